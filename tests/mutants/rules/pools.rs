//! Carriers that average, sum, or take the largest; and those that bend.

use bnfold::testing::{Tensor, Value};

use super::super::case::{Case, case};
use super::{barrier, pointwise, scale_alone};

type Step = fn(&Value) -> Value;

/// Each with whether it passes a shift.
const STEPS: &[(&str, bool, Step)] = &[
    ("AveragePool", true, |x| {
        x.average_pool([2, 2]).strides([2, 2])
    }),
    ("GlobalAveragePool", true, |x| x.global_average_pool()),
    ("MaxPool", true, |x| x.max_pool([2, 2]).strides([2, 2])),
    ("GlobalMaxPool", true, |x| x.global_max_pool()),
    ("ReduceMean", true, |x| x.reduce_mean([2, 3])),
    ("ReduceSum", true, |x| x.reduce("ReduceSum", [2, 3])),
    ("ReduceMax", true, |x| x.reduce("ReduceMax", [2, 3])),
    ("ReduceMin", true, |x| x.reduce("ReduceMin", [2, 3])),
    ("Max", true, |x| with_turned(x, "Max")),
    ("Min", true, |x| with_turned(x, "Min")),
    ("Mean", true, |x| with_turned(x, "Mean")),
    ("Where", true, |x| {
        let mask = Tensor::bools(&[1, 1, 1, 1], [false]);
        let mask = x.graph().initializer("mask", mask);
        x.graph()
            .op("Where", &[&mask, x, &x.transpose([0, 1, 3, 2])])
    }),
    ("Relu", false, |x| x.relu()),
    ("LeakyRelu", false, |x| x.leaky_relu(0.1)),
    ("PRelu", false, |x| x.prelu()),
];

/// With its own transpose, of a square image.
fn with_turned(x: &Value, op: &str) -> Value {
    x.graph().op(op, &[x, &x.transpose([0, 1, 3, 2])])
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(rule, is_shifted, step) in STEPS {
        let variant = if is_shifted {
            "with a shift"
        } else {
            "without a shift"
        };
        let norm = |x: &Value| {
            if is_shifted {
                x.batch_norm()
            } else {
                scale_alone(x)
            }
        };
        cases.push(case(&[&format!("{rule} upstream")], variant, |g| {
            norm(&step(&g.input("x", [2, 4, 5, 5]).conv(5)))
                .tanh()
                .output("y")
        }));
        cases.push(case(&[&format!("{rule} downstream")], variant, |g| {
            pointwise(&step(&norm(&barrier(g, &[2, 4, 4, 4])))).output("y")
        }));
    }
    cases.push(case(
        &["AveragePool upstream"],
        "padded, zeros not counted",
        |g| {
            let x = g
                .input("x", [1, 4, 6, 6])
                .conv(5)
                .average_pool([3, 3])
                .pads([1, 1, 1, 1]);
            x.batch_norm().negative_scales().leaky_relu(0.1).output("y")
        },
    ));
    cases
}
