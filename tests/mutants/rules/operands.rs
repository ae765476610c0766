//! Sums and products, of variables and with constants.

use bnfold::testing::{Graph, Value};

use super::super::case::{Case, case};
use super::{barrier, pointwise, scale_alone};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sums();
    cases.extend(products());
    cases.extend(constants());
    cases
}

fn both(g: &Graph) -> (Value, Value) {
    let x = g.input("x", [1, 4, 5, 5]);
    (x.conv(6).bias(), x.conv(6))
}

/// A shift alone, which nothing in front of it takes, and a value to add to it.
fn shifted(g: &Graph) -> (Value, Value) {
    let x = barrier(g, &[1, 4, 3, 3]);
    (x.add(g.weight("c", [4, 1, 1])), x.tanh())
}

fn sums() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ["Add", "Sub", "Sum"] {
        cases.push(case(&[&format!("{op} upstream")], "of variables", |g| {
            let (a, b) = both(g);
            g.op(op, &[&a, &b])
                .batch_norm()
                .negative_scales()
                .leaky_relu(0.1)
                .output("y")
        }));
        cases.push(case(
            &[&format!("{op} downstream")],
            "a shift on the left",
            |g| {
                let (a, b) = shifted(g);
                pointwise(&g.op(op, &[&a, &b])).output("y")
            },
        ));
        cases.push(case(
            &[&format!("{op} downstream")],
            "a shift on the right",
            |g| {
                let (a, b) = shifted(g);
                pointwise(&g.op(op, &[&b, &a])).output("y")
            },
        ));
    }
    cases.push(case(
        &["Add downstream"],
        "the same scale on both sides",
        |g| {
            let x = barrier(g, &[1, 4, 3, 3]).batch_norm();
            pointwise(&x.max_pool([1, 1]).add(&x)).output("y")
        },
    ));
    cases
}

fn products() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ["Mul", "Div"] {
        cases.push(case(&[&format!("{op} upstream")], "of variables", |g| {
            let (a, b) = both(g);
            scale_alone(&g.op(op, &[&a, &b.sigmoid()]))
                .leaky_relu(0.1)
                .output("y")
        }));
        for side in ["left", "right"] {
            let variant = format!("of variables, a scale on the {side}");
            cases.push(case(&[&format!("{op} downstream")], variant, |g| {
                let x = barrier(g, &[1, 4, 3, 3]);
                let (a, b) = (scale_alone(&x), x.op("Exp"));
                let inputs = if side == "left" { [&a, &b] } else { [&b, &a] };
                pointwise(&g.op(op, &inputs)).output("y")
            }));
        }
    }
    cases
}

fn constants() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ["Add", "Sub"] {
        cases.push(case(
            &[&format!("{op} upstream")],
            "of a constant behind a MatMul",
            |g| {
                let x = g.input("x", [2, 5, 4]).matmul(6);
                let x = g.op(op, &[&x, &g.weight("c", [6])]);
                x.transpose([0, 2, 1])
                    .batch_norm()
                    .negative_scales()
                    .leaky_relu(0.1)
                    .output("y")
            },
        ));
    }
    for op in ["Mul", "Div"] {
        cases.push(case(
            &[&format!("{op} upstream")],
            "by a constant that takes a scale",
            |g| {
                let x = barrier(g, &[1, 4, 3, 3]);
                let c = g.weight_between("c", [4, 1, 1], 0.5, 2.0);
                scale_alone(&g.op(op, &[&x, &c])).tanh().output("y")
            },
        ));
        cases.push(case(
            &["Conv upstream"],
            format!("a {op} by a constant for a seed"),
            |g| {
                let c = g.weight_between("c", [6, 1, 1], 0.5, 2.0);
                g.op(op, &[&g.input("x", [1, 4, 5, 5]).conv(6), &c])
                    .leaky_relu(0.1)
                    .output("y")
            },
        ));
    }
    cases
}
