//! Models that the engine cannot run as a whole.

use super::*;
use crate::testing::builder::{Attribute, Value};

fn foreign(x: &Value, shape: &str) -> Value {
    x.op("Sharpen").domain("org.custom").shape(shape)
}

/// A custom operator between two folds.
fn gapped(declared: bool) -> ModelProto {
    let mut gapped = model(|g| {
        if declared {
            g.with_value_info();
        }
        let x = g
            .input("x", "N,4,12,12")
            .conv(8)
            .pads([1, 1, 1, 1])
            .bias()
            .batch_norm()
            .relu();
        let x = foreign(&x, "N,8,12,12").conv(6).bias().batch_norm();
        x.output("y")
    });
    if !declared {
        gapped.graph.as_mut().unwrap().value_info.clear();
    }
    gapped
}

#[test]
fn folds_around_an_operator_that_the_engine_lacks_are_verified_one_by_one() {
    for declared in [true, false] {
        let original = gapped(declared);
        let found = compare(
            &original,
            &folded(&original, |_, _, _| {}),
            &options(vec!["bn_0.out".to_owned(), "y".to_owned()]),
        );
        assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
        let Extent::Regional { cuts, unreached } = &found.extent else {
            panic!("{found:#?}")
        };
        assert!(
            cuts[0].contains("org.custom::Sharpen") && cuts[0].contains("sharpen_0"),
            "{cuts:?}"
        );
        assert_eq!((cuts.len(), unreached.len()), (1, 0));
        for at in [0, 1] {
            let wrong = folded(&original, |index, w, _| {
                if index == at {
                    w.data[7] *= 1.001;
                }
            });
            let found = compare(
                &original,
                &wrong,
                &options(vec!["bn_0.out".to_owned(), "y".to_owned()]),
            );
            let Verdict::Different {
                counterexample: Counterexample::Element { name, .. },
            } = &found.verdict
            else {
                panic!("{found:#?}");
            };
            assert_eq!(name, ["bn_0.out", "y"][at]);
        }
    }
}

#[test]
fn what_enters_a_foreign_operator_is_compared_too() {
    let build = |factor: f32| {
        model(|g| {
            let x = g.input("x", [1, 4]);
            foreign(&x.mul(g.constant("value_float", factor)), "1,4").output("y")
        })
    };
    assert_eq!(
        compare(&build(2.0), &build(2.0), &VerifyOptions::default()).verdict,
        Verdict::Equivalent
    );
    let found = compare(&build(2.0), &build(2.001), &VerifyOptions::default());
    let Verdict::Different { counterexample } = &found.verdict else {
        panic!("{found:#?}")
    };
    assert!(
        counterexample
            .to_string()
            .contains("input 0 of the Sharpen that gives y"),
        "{counterexample}"
    );
}

/// DeformConv's bias in detection models is a constant of zeros, stored or expanded.
#[test]
fn a_constant_that_enters_a_foreign_operator_may_be_zero_and_a_dead_value_may_not() {
    let build = |bias: fn(&Value) -> Value| {
        model(|g| {
            let x = g.input("x", [1, 4]).relu();
            let bias = bias(&x);
            let y = g.op("Sharpen", &[&x, &bias]).domain("org.custom");
            y.shape("1,4").output("y")
        })
    };
    let stored = build(|x| {
        let g = x.graph();
        g.initializer("zeros", Weights::floats(&[4], [0.0; 4]))
    });
    assert_eq!(verdict(&stored, &stored), Verdict::Equivalent);
    let expanded = build(|x| {
        let g = x.graph();
        let like = g.initializer("like", Weights::floats(&[4], [1.0; 4]));
        let zero = g.initializer("zero", Weights::floats(&[1], [0.0]));
        g.op("Expand", &[&zero, &like.op("Shape")])
    });
    assert_eq!(verdict(&expanded, &expanded), Verdict::Equivalent);
    let dead = build(|x| x.op("Neg").relu());
    let found = verdict(&dead, &dead);
    let Verdict::Unknown {
        reason: Unknown::Uninformative { name, .. },
    } = &found
    else {
        panic!("{found:#?}");
    };
    assert!(name.contains("input 1 of the Sharpen"), "{name}");
    // A constant is still compared.
    let wrong = build(|x| {
        let g = x.graph();
        g.initializer("zeros", Weights::floats(&[4], [0.0, 0.0, 0.1, 0.0]))
    });
    let found = verdict(&stored, &wrong);
    assert!(matches!(found, Verdict::Different { .. }), "{found:#?}");
}

/// A custom operator with an attribute.
fn called(op: &str, value: impl Into<Attribute>) -> ModelProto {
    model(|g| {
        let x = g.input("x", [1, 4]).op(op).domain("org.custom");
        let x = x.attr("how", value).shape("1,4");
        x.relu().output("y")
    })
}

fn verdict(original: &ModelProto, rewritten: &ModelProto) -> Verdict {
    compare(original, rewritten, &VerifyOptions::default()).verdict
}

fn check_calls<T: Into<Attribute>>(value: fn(bool) -> T) {
    let original = called("Sharpen", value(false));
    let alike = called("Sharpen", value(false));
    assert_eq!(verdict(&original, &alike), Verdict::Equivalent);
    let other = verdict(&original, &called("Sharpen", value(true)));
    let is_unreached = matches!(
        other,
        Verdict::Unknown {
            reason: Unknown::Unreached { .. }
        }
    );
    assert!(is_unreached, "{other:?}");
}

#[test]
fn foreign_operators_that_are_called_in_different_ways_are_not_taken_for_the_same() {
    check_calls(|other| if other { -0.0f32 } else { 0.0 });
    check_calls(i64::from);
    check_calls(|other| if other { "nearest" } else { "bilinear" });
    check_calls(|other| vec![i64::from(other), 1]);
    check_calls(|other| vec![1.0, if other { 2.0f32 } else { f32::NAN }]);
    check_calls(|other| Weights::ints(&[2], [3, i64::from(other)]));
    check_calls(|other| Weights::floats(&[2], [3.0, if other { 2.0 } else { f32::NAN }]));
    check_calls(|other| Weights::ints(if other { &[2, 1] } else { &[1, 2] }, [3, 4]));
    let original = called("Sharpen", 1);
    assert_ne!(verdict(&original, &called("Blur", 1)), Verdict::Equivalent);
    // An optional input that is left out may be written or not.
    let mut padded = called("Sharpen", 1);
    let node = &mut padded.graph.as_mut().unwrap().node[0];
    node.input.push(String::new());
    assert_eq!(verdict(&original, &padded), Verdict::Equivalent);
}

#[test]
fn a_fold_that_cannot_be_reached_is_unknown_and_named() {
    // Nothing says what shape the custom operators give, and the input's rank does not suit a Conv.
    let original = model(|g| {
        let x = g.input("x", [3, 5]);
        let x = foreign(&x, "1,4,9,9")
            .op("Sharpen")
            .domain("org.custom")
            .shape("1,4,9,9");
        let y = x.op("Resize2").domain("org.custom").shape("1,4,9,9");
        let y = g.op("Concat", &[&y, &y]).axis(0).shape("2,4,9,9");
        let y = y.conv(6).bias();
        y.batch_norm().output("y")
    });
    let mut original = original;
    original.graph.as_mut().unwrap().value_info.clear();
    original.graph.as_mut().unwrap().output[0].r#type = None;
    let found = compare(
        &original,
        &folded(&original, |_, _, _| {}),
        &options(vec!["y".to_owned()]),
    );
    match &found.verdict {
        Verdict::Unknown {
            reason: Unknown::Unreached { names, cuts },
        } => {
            assert_eq!(names, &["y"]);
            assert!(!cuts.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn folds_behind_a_shape_that_cannot_be_settled_are_verified_in_an_assumed_one() {
    // No batch and length make 7·N·L elements fill 11 rows of 5 channels.
    let original = model(|g| {
        let x = g.input("x", "N,7,L").reshape([-1, 5, 11]).shape("M,5,11");
        x.conv(6).kernel([3]).bias().batch_norm().output("y")
    });
    let found = compare(
        &original,
        &folded(&original, |_, _, _| {}),
        &options(vec!["y".to_owned()]),
    );
    assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
    assert!(
        matches!(found.extent, Extent::Regional { .. }),
        "{:?}",
        found.extent
    );
}

#[test]
fn folds_in_functions_and_branches_are_compared_where_they_are() {
    let original = model(|g| {
        let x = g.input("x", [2, 4, 8, 8]);
        let condition = g.initializer("flag", Weights::bools(&[], [true]));
        let y = g.if_else(
            &condition,
            |t| t.capture(&x).conv(4).bias().batch_norm().output("then"),
            |e| e.capture(&x).slice(2, 0, 6).slice(3, 0, 6).output("else"),
        );
        y.relu().output("y")
    });
    let rewrite = |wrong: bool| {
        let mut rewritten = original.clone();
        let main = rewritten.graph.as_mut().unwrap();
        let branch = main
            .node
            .iter_mut()
            .find(|node| node.op_type() == "If")
            .unwrap();
        let nested = branch
            .attribute
            .iter_mut()
            .find(|a| a.name() == "then_branch")
            .unwrap();
        let inner = ModelProto {
            graph: nested.g.clone(),
            ..original.clone()
        };
        let folded = folded(&inner, |_, _, b| {
            if wrong {
                b.data[0] *= 1.001;
            }
        });
        nested.g = folded.graph;
        rewritten
    };
    let name = {
        let main = original.graph.as_ref().unwrap();
        let branch = main
            .node
            .iter()
            .find(|node| node.op_type() == "If")
            .unwrap();
        let nested = branch
            .attribute
            .iter()
            .find(|a| a.name() == "then_branch")
            .unwrap();
        let graph = nested.g.as_ref().unwrap();
        let norm = graph
            .node
            .iter()
            .find(|node| node.op_type() == "BatchNormalization")
            .unwrap();
        norm.output[0].clone()
    };
    let found = compare(&original, &rewrite(false), &options(vec![name.clone()]));
    assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
    let found = compare(&original, &rewrite(true), &options(vec![name.clone()]));
    let Verdict::Different {
        counterexample: Counterexample::Element { name: found, .. },
    } = &found.verdict
    else {
        panic!("{found:#?}");
    };
    assert!(found.ends_with(&name), "{found}");
}

#[test]
fn a_missing_value_takes_the_rank_that_a_later_reader_needs() {
    // The custom operator's own input is a matrix; only the convolution says that it gives images.
    for (kernel, taps) in [
        (vec![3], "5"),
        (vec![3, 3], "5,5"),
        (vec![3, 3, 3], "5,5,5"),
    ] {
        let original = undeclared(model(|g| {
            let x = foreign(&g.input("x", [3, 5]), &format!("1,4,{taps}"));
            let y = x.relu().conv(6).kernel(kernel.clone()).bias().batch_norm();
            y.output("y")
        }));
        let compared = |wrong: f64| {
            let rewritten = folded(&original, |_, w, _| w.data[0] *= wrong);
            compare(&original, &rewritten, &options(vec!["y".to_owned()]))
        };
        let found = compared(1.0);
        assert_eq!(found.verdict, Verdict::Equivalent, "{kernel:?}: {found:#?}");
        assert!(matches!(compared(1.001).verdict, Verdict::Different { .. }));
    }
}

#[test]
fn a_right_fold_behind_a_wrong_guess_is_never_different() {
    // Joined to itself along any axis, the value says nothing about the rank that the Conv needs.
    let original = undeclared(model(|g| {
        let x = foreign(&g.input("x", [3, 5]), "2,4,9,9");
        let x = g.op("Concat", &[&x, &x]).axis(0).shape("4,4,9,9");
        x.conv(6).bias().batch_norm().output("y")
    }));
    let rewritten = folded(&original, |_, _, _| {});
    for values in [Vec::new(), vec!["y".to_owned()]] {
        let found = compare(&original, &rewritten, &options(values));
        assert!(
            matches!(
                &found.verdict,
                Verdict::Unknown {
                    reason: Unknown::Unreached { .. }
                }
            ),
            "{found:#?}"
        );
    }
}

#[test]
fn an_operator_that_only_one_model_lacks_is_unknown() {
    let plain = model(|g| {
        let x = g.input("x", [1, 3, 6, 6]).conv(4).bias();
        x.relu().flatten().gemm(5).output("y")
    });
    let mut fused = plain.clone();
    let graph = fused.graph.as_mut().unwrap();
    let relu = graph
        .node
        .iter()
        .position(|n| n.op_type() == "Relu")
        .unwrap();
    let relu = graph.node.remove(relu);
    let conv = graph
        .node
        .iter_mut()
        .find(|n| n.op_type() == "Conv")
        .unwrap();
    conv.op_type = Some("FusedConv".to_owned());
    conv.domain = Some("org.custom".to_owned());
    conv.output = relu.output;
    fused
        .opset_import
        .push(crate::onnx::proto::OperatorSetIdProto {
            domain: Some("org.custom".to_owned()),
            version: Some(1),
        });
    for (original, rewritten) in [(&plain, &fused), (&fused, &plain)] {
        let found = compare(original, rewritten, &VerifyOptions::default());
        assert!(
            matches!(found.verdict, Verdict::Unknown { .. }),
            "{found:#?}"
        );
    }
}
