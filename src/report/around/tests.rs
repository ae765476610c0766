use super::*;
use crate::fold::fold;
use crate::graph::Reading;
use crate::onnx::Model;
use crate::plan::PlanOptions;
use crate::report::Report;
use crate::testing::{Graph as Built, ToBytes, Value, model};

fn around(build: impl FnOnce(&Built) -> Value, reduce: bool) -> Neighbourhood {
    let model = Model::from_bytes(model(build).to_bytes()).unwrap();
    let options = PlanOptions {
        reduce,
        ..PlanOptions::default()
    };
    let folded = fold(&model, Reading::default(), &options).unwrap();
    let mut report = Report::new("m.onnx", &folded);
    report.draw(&folded, 1);
    report.batch_norms.remove(0).around.unwrap()
}

/// `conv_0 → bn_0 (Subject)`, line by line, in the order of the edges.
fn lines(excerpt: &Excerpt) -> Vec<String> {
    let edges = excerpt.edges.iter();
    let line = edges.map(|&(from, to)| {
        let [from, to] = [from, to].map(|at| &excerpt.vertices[at]);
        format!("{} {:?} → {} {:?}", from.name, from.role, to.name, to.role)
    });
    let mut lines: Vec<String> = line.collect();
    lines.sort();
    lines
}

#[test]
fn a_fold_is_shown_before_and_after() {
    let found = around(
        |g| {
            let x = g.input("x", [1, 4, 8, 8]);
            x.conv(4).batch_norm().relu().sigmoid().tanh().output("y")
        },
        false,
    );
    assert_eq!(
        lines(&found.before),
        [
            "bn_0 Subject → relu_0 Near",
            "conv_0 Site → bn_0 Subject",
            "relu_0 Near → sigmoid_0 Near",
            "x Input → conv_0 Site",
        ]
    );
    assert_eq!(
        lines(&found.after.unwrap()),
        [
            "conv_0 Site → relu_0 Near",
            "relu_0 Near → sigmoid_0 Near",
            "x Input → conv_0 Site",
        ]
    );
    let cut: Vec<&str> = found
        .before
        .vertices
        .iter()
        .filter(|vertex| vertex.read_outside)
        .map(|vertex| vertex.name.as_str())
        .collect();
    assert_eq!(cut, ["sigmoid_0"], "tanh_0 is three edges away");
}

#[test]
fn what_the_affine_passes_is_shown_however_long_the_way() {
    let found = around(
        |g| {
            let x = g.input("x", [1, 4, 8, 8]).conv(4);
            let x = x.transpose([0, 2, 3, 1]).transpose([0, 3, 1, 2]);
            let x = x.transpose([0, 2, 3, 1]).transpose([0, 3, 1, 2]);
            let x = x.transpose([0, 2, 3, 1]).transpose([0, 3, 1, 2]);
            x.batch_norm().output("y")
        },
        false,
    );
    let of = |role: Role| {
        let vertices = found.before.vertices.iter();
        vertices.filter(|vertex| vertex.role == role).count()
    };
    assert_eq!((of(Role::Site), of(Role::Passed)), (1, 6));
    assert_eq!(lines(&found.before).len(), 9, "one chain");
}

#[test]
fn an_inserted_add_is_shown() {
    let found = around(
        |g| {
            let x = g.input("x", [1, 4, 8, 8]).relu().batch_norm();
            x.conv(4).pads([1, 1, 1, 1]).output("y")
        },
        true,
    );
    let after = found.after.unwrap();
    let adds = after.vertices.iter().filter(|at| at.op_type == "Add");
    assert_eq!(adds.count(), 1, "{after:?}");
    assert_eq!(
        after
            .vertices
            .iter()
            .filter(|at| at.op_type == "BatchNormalization")
            .count(),
        0
    );
}

#[test]
fn a_fold_into_what_another_inserted_is_shown() {
    let found = around(
        |g| {
            let x = g.input("x", [2, 5, 4]).matmul(6).transpose([0, 2, 1]);
            x.batch_norm().batch_norm().sigmoid().output("y")
        },
        false,
    );
    let after = found.after.unwrap();
    let ops: Vec<&str> = after
        .vertices
        .iter()
        .map(|at| at.op_type.as_str())
        .collect();
    assert!(ops.contains(&"Add"), "{after:?}");
}

#[test]
fn an_excerpt_of_a_hub_is_bounded_and_says_so() {
    let found = around(
        |g| {
            let x = g.input("x", [1, 4, 8, 8]).conv(4).batch_norm();
            for at in 0..60 {
                x.relu().output(&format!("y{at}"));
            }
            x.sigmoid().output("y")
        },
        false,
    );
    let nodes = found
        .before
        .vertices
        .iter()
        .filter(|at| !at.op_type.is_empty());
    assert_eq!(nodes.count(), MOST);
    assert_eq!(found.before.left_out, 63 - MOST);
}
