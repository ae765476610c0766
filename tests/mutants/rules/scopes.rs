//! The same rules in other element types, other scopes, and deep in a model.

use bnfold::testing::{DataType, Tensor};

use super::super::case::{Case, case};

const FINE: &str = "it is less than a rounding of the weight's type";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![nested(), function(), deep()];
    cases.extend(types());
    cases
}

fn types() -> Vec<Case> {
    let typed = |dtype: DataType| {
        case(&["Conv upstream"], format!("in {dtype:?}"), |g| {
            let x = g
                .dtype(dtype)
                .opset(22)
                .input("x", [1, 4, 6, 6])
                .conv(6)
                .bias();
            x.batch_norm().negative_scales().leaky_relu(0.1).output("y")
        })
    };
    let halves = [DataType::Float16, DataType::Bfloat16].map(|dtype| {
        let half = typed(dtype)
            .equivalent("off by 1e-4", FINE)
            .equivalent("epsilon", FINE);
        let half = half.equivalent("rounded to half precision", FINE);
        match dtype {
            DataType::Float16 => half,
            _ => half.equivalent("weight cut off in its last element", "that one is small"),
        }
    });
    halves
        .into_iter()
        .chain([typed(DataType::Double)])
        .collect()
}

fn nested() -> Case {
    case(&["Conv upstream"], "in the branch of an If", |g| {
        let x = g.input("x", [1, 4, 6, 6]);
        let condition = g.initializer("condition", Tensor::bools(&[], [true]));
        let taken = g.if_else(
            &condition,
            |g| {
                g.capture(&x)
                    .conv(4)
                    .batch_norm()
                    .leaky_relu(0.1)
                    .output("a")
            },
            |g| g.capture(&x).leaky_relu(0.5).output("b"),
        );
        taken.leaky_relu(0.1).output("y")
    })
}

fn function() -> Case {
    case(&["Conv upstream"], "in a function", |g| {
        g.function("org.test", "Block", |g| {
            g.input("in", [1, 4, 6, 6])
                .conv(4)
                .batch_norm()
                .leaky_relu(0.1)
                .output("out")
        });
        let x = g.input("x", [1, 4, 6, 6]);
        g.op("Block", &[&x])
            .domain("org.test")
            .shape([1, 4, 6, 6])
            .leaky_relu(0.1)
            .output("y")
    })
}

fn deep() -> Case {
    case(&["Conv upstream"], "one of six layers", |g| {
        let mut x = g.input("x", [1, 4, 8, 8]);
        for _ in 0..6 {
            x = x.conv(8).pads([1, 1, 1, 1]).batch_norm().leaky_relu(0.1);
        }
        x.output("y")
    })
}
