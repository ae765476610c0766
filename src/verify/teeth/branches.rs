//! Folds in nested graphs, which a sample may never enter.

use super::*;

/// A Conv and a BN in each branch of an If whose condition is given, with outputs of one shape.
fn branched(taken: bool) -> ModelProto {
    model(|g| {
        let x = g.input("x", [2, 4, 8, 8]);
        let condition = g.initializer("flag", Weights::bools(&[], [taken]));
        g.if_else(
            &condition,
            |t| t.capture(&x).conv(4).bias().batch_norm().output("then"),
            |e| {
                e.capture(&x)
                    .relu()
                    .conv(4)
                    .bias()
                    .batch_norm()
                    .output("else")
            },
        )
        .relu()
        .output("y")
    })
}

/// The fold of a nested graph's Conv and BN, and where it ends.
fn folded_in(original: &ModelProto, attribute: &str, factor: f64) -> (ModelProto, String) {
    let mut rewritten = original.clone();
    let main = rewritten.graph.as_mut().unwrap();
    let nested = main
        .node
        .iter_mut()
        .flat_map(|node| &mut node.attribute)
        .find(|a| a.name() == attribute)
        .unwrap();
    let inner = ModelProto {
        graph: nested.g.clone(),
        ..original.clone()
    };
    nested.g = folded(&inner, |_, w, _| w.data[5] *= factor).graph;
    let nodes = &inner.graph.as_ref().unwrap().node;
    let norm = nodes.iter().find(|n| n.op_type() == "BatchNormalization");
    (rewritten, norm.unwrap().output[0].clone())
}

#[test]
fn a_fold_in_a_branch_that_no_sample_takes_is_compared_all_the_same() {
    for taken in [true, false] {
        let original = branched(taken);
        for branch in ["then_branch", "else_branch"] {
            let is_taken = taken == (branch == "then_branch");
            let (right, end) = folded_in(&original, branch, 1.0);
            let found = compare(&original, &right, &options(vec![end.clone()]));
            assert_eq!(found.verdict, Verdict::Equivalent, "{branch}: {found:#?}");
            assert_eq!(found.extent, Extent::Full);
            assert_eq!(found.forced.is_empty(), is_taken, "{branch}: {found:#?}");
            let (wrong, end) = folded_in(&original, branch, 1.0001);
            let found = compare(&original, &wrong, &options(vec![end.clone()]));
            let Verdict::Different {
                counterexample: Counterexample::Element { name, .. },
            } = &found.verdict
            else {
                panic!("{branch}: {found:#?}");
            };
            assert!(name.ends_with(&end), "{name}");
        }
    }
}

#[test]
fn a_fold_in_a_branch_behind_an_operator_that_the_engine_lacks_is_compared() {
    let original = undeclared(model(|g| {
        let x = g.input("x", [2, 4, 8, 8]);
        let condition = x
            .op("Decide")
            .domain("org.custom")
            .dtype(DataType::Bool)
            .shape("");
        g.if_else(
            &condition,
            |t| t.capture(&x).conv(4).bias().batch_norm().output("then"),
            |e| e.capture(&x).relu().output("else"),
        )
        .relu()
        .output("y")
    }));
    for (factor, is_right) in [(1.0, true), (1.0001, false)] {
        let (rewritten, end) = folded_in(&original, "then_branch", factor);
        let found = compare(&original, &rewritten, &options(vec![end]));
        assert_eq!(found.verdict == Verdict::Equivalent, is_right, "{found:#?}");
        assert!(is_right || matches!(found.verdict, Verdict::Different { .. }));
        assert!(matches!(found.extent, Extent::Regional { .. }));
    }
}

#[test]
fn a_fold_in_a_loop_that_never_turns_is_compared() {
    let original = model(|g| {
        let x = g.input("x", [2, 4, 8, 8]);
        let body = g.body(|b| {
            b.typed_input("i", DataType::Int64, []);
            b.typed_input("go", DataType::Bool, [])
                .identity()
                .output("on");
            let state = b.input("state", [2, 4, 8, 8]);
            state
                .conv(4)
                .pads([1, 1, 1, 1])
                .bias()
                .batch_norm()
                .output("next")
        });
        let trips = g.initializer("trips", Weights::ints(&[], [0]));
        let go = g.initializer("go_on", Weights::bools(&[], [true]));
        g.op("Loop", &[&trips, &go, &x])
            .attr("body", body)
            .shape("2,4,8,8")
            .output("y")
    });
    for (factor, is_right) in [(1.0, true), (1.0001, false)] {
        let (rewritten, end) = folded_in(&original, "body", factor);
        let found = compare(&original, &rewritten, &options(vec![end]));
        assert_eq!(found.verdict == Verdict::Equivalent, is_right, "{found:#?}");
        assert_eq!(found.forced.len(), 1, "{found:#?}");
    }
}

#[test]
fn both_branches_count_where_they_name_their_values_alike() {
    let mut original = branched(true);
    let main = original.graph.as_mut().unwrap();
    for attribute in main.node.iter_mut().flat_map(|node| &mut node.attribute) {
        for node in attribute.g.iter_mut().flat_map(|graph| &mut graph.node) {
            if node.op_type() == "BatchNormalization" {
                node.output[0] = "end".to_owned();
            }
        }
        for output in attribute.g.iter_mut().flat_map(|graph| &mut graph.output) {
            output.name = Some("end".to_owned());
        }
    }
    let (wrong, end) = folded_in(&original, "else_branch", 1.0001);
    let found = compare(&original, &wrong, &options(vec![end]));
    assert!(
        matches!(found.verdict, Verdict::Different { .. }),
        "{found:#?}"
    );
}
