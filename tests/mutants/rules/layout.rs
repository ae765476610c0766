//! Carriers that move elements about.

use bnfold::testing::{DataType, Graph, Tensor, Value};

use super::super::case::{Case, case};
use super::{alike, barrier, pointwise};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rule, step) in STEPS {
        let upstream = case(&[&format!("{rule} upstream")], "behind a Conv", |g| {
            let x = g.input("x", [1, 4, 5, 5]).conv(6).bias();
            step(&x)
                .batch_norm()
                .negative_scales()
                .leaky_relu(0.1)
                .output("y")
        });
        cases.push(match *rule {
            "Slice" => {
                upstream.equivalent("cut off in its last element", "the slice leaves it out")
            }
            _ => upstream,
        });
        cases.push(case(
            &[&format!("{rule} downstream")],
            "in front of a Conv",
            |g| {
                pointwise(&step(
                    &barrier(g, &[1, 4, 3, 3]).batch_norm().negative_scales(),
                ))
                .output("y")
            },
        ));
    }
    cases.extend(flattened());
    cases.extend(reshaped());
    cases.extend(blocks());
    cases.extend(parts());
    cases
}

type Step = fn(&Value) -> Value;

const STEPS: &[(&str, Step)] = &[
    ("Identity", |x| x.identity()),
    ("Dropout", |x| x.dropout()),
    ("Neg", |x| x.op("Neg")),
    ("Cast", |x| x.cast(DataType::Double).cast(DataType::Float)),
    ("CastLike", |x| {
        let like = x.graph().constant("value_float", 0.0f32);
        x.graph().op("CastLike", &[x, &like])
    }),
    ("Clip", |x| x.op("Clip")),
    ("Expand", |x| {
        let shape = Tensor::ints(&[4], [2, 1, 1, 1]);
        let shape = x.graph().initializer("shape", shape);
        x.graph().op("Expand", &[x, &shape])
    }),
    ("Tile", |x| {
        let repeats = Tensor::ints(&[4], [1, 1, 2, 1]);
        let repeats = x.graph().initializer("repeats", repeats);
        x.graph().op("Tile", &[x, &repeats])
    }),
    ("Transpose", |x| x.transpose([0, 1, 3, 2])),
    ("Unsqueeze", |x| x.unsqueeze([2])),
    ("Squeeze", |x| x.reshape([0, 0, 1, 9]).squeeze([2])),
    ("Reshape", |x| x.reshape([0, 0, 9, 1])),
    ("Pad", |x| {
        x.pad([0, 0, 1, 1, 0, 0, 1, 1]).attr("mode", "reflect")
    }),
    ("Resize", |x| {
        x.resize([1.0, 1.0, 2.0, 2.0]).attr("mode", "linear")
    }),
    ("Slice", |x| x.slice(1, 1, 4)),
    ("Gather", |x| {
        let places = Tensor::ints(&[4], [-1, 0, -2, 1]);
        let places = x.graph().initializer("places", places);
        x.graph().op("Gather", &[x, &places]).axis(1)
    }),
];

fn flattened() -> Vec<Case> {
    vec![
        case(
            &["Flatten upstream", "GlobalAveragePool upstream"],
            "behind a pool",
            |g| {
                let x = g
                    .input("x", [3, 4, 5, 5])
                    .conv(6)
                    .global_average_pool()
                    .flatten();
                x.batch_norm().negative_scales().leaky_relu(0.1).output("y")
            },
        ),
        case(&["Flatten downstream"], "in front of a Gemm", |g| {
            barrier(g, &[2, 4, 3, 3])
                .batch_norm()
                .flatten()
                .linear(5)
                .output("y")
        })
        .blocks(4)
        .equivalent(
            "two channels swapped",
            "the first two elements are of one channel",
        ),
    ]
}

fn shuffled(x: &Value) -> Value {
    let [n, c, h, w] = x.sizes().expect("known extents")[..] else {
        panic!("an image");
    };
    let cut = [n, 2, c / 2, h, w].map(|extent| extent as i64);
    let whole = [n, c, h, w].map(|extent| extent as i64);
    x.reshape(cut).transpose([0, 2, 1, 3, 4]).reshape(whole)
}

fn reshaped() -> Vec<Case> {
    vec![
        case(
            &["Reshape upstream", "Transpose upstream"],
            "a channel shuffle",
            |g| {
                let x = g.input("x", [1, 4, 5, 5]).conv(6);
                shuffled(&x)
                    .batch_norm()
                    .negative_scales()
                    .leaky_relu(0.1)
                    .output("y")
            },
        )
        .blocks(2),
        case(
            &["Reshape downstream", "Transpose downstream"],
            "a channel shuffle",
            |g| pointwise(&shuffled(&barrier(g, &[1, 6, 3, 3]).batch_norm())).output("y"),
        )
        .blocks(3),
        case(&["Transpose downstream"], "channels last", |g| {
            barrier(g, &[2, 4, 3, 3])
                .batch_norm()
                .transpose([0, 2, 3, 1])
                .matmul(4)
                .leaky_relu(0.1)
                .output("y")
        }),
        case(&["Upsample upstream"], "behind a Conv", |g| {
            let x = g
                .opset(9)
                .input("x", [1, 4, 4, 4])
                .conv(4)
                .resize([1.0, 1.0, 2.0, 2.0]);
            x.batch_norm().negative_scales().leaky_relu(0.1).output("y")
        }),
        case(&["Upsample downstream"], "in front of a Conv", |g| {
            g.opset(9);
            let x = barrier(g, &[1, 4, 2, 2])
                .batch_norm()
                .resize([1.0, 1.0, 2.0, 2.0]);
            pointwise(&x.shape([1, 4, 4, 4])).output("y")
        }),
        case(&["Pad upstream"], "zeros, without a shift", |g| {
            let x = g
                .input("x", [1, 4, 4, 4])
                .conv(4)
                .pad([0, 0, 1, 1, 0, 0, 1, 1]);
            super::scale_alone(&x).leaky_relu(0.1).output("y")
        }),
    ]
}

fn spaced(x: &Value, op: &str, mode: &str) -> Value {
    let x = x.op(op).attr("blocksize", 2);
    if mode.is_empty() {
        x
    } else {
        x.attr("mode", mode)
    }
}

fn blocks() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in ["DCR", "CRD"] {
        let upstream = case(&["DepthToSpace upstream"], mode, |g| {
            let x = spaced(&g.input("x", [1, 3, 4, 4]).conv(8), "DepthToSpace", mode);
            x.shape([1, 2, 4, 4])
                .batch_norm()
                .negative_scales()
                .leaky_relu(0.1)
                .output("y")
        });
        cases.push(match mode {
            "DCR" => upstream.blocks(4),
            _ => upstream.blocks(2).equivalent(
                "two channels swapped",
                "the first two become one channel's pixels",
            ),
        });
        let like = move |c: usize| if mode == "DCR" { c % 2 } else { c / 4 };
        cases.push(case(&["DepthToSpace downstream"], mode, |g| {
            let x = alike(&barrier(g, &[1, 8, 2, 2]), like);
            pointwise(&spaced(&x, "DepthToSpace", mode).shape([1, 2, 4, 4])).output("y")
        }));
    }
    cases.push(case(&["SpaceToDepth upstream"], "a block alike", |g| {
        let x = g.input("x", [1, 3, 6, 6]).conv(3);
        let x = spaced(&x, "SpaceToDepth", "").shape([1, 12, 2, 2]);
        alike(&x, |c| c % 3).leaky_relu(0.1).output("y")
    }));
    cases.push(
        case(&["SpaceToDepth downstream"], "in front of a Conv", |g| {
            let x = spaced(&barrier(g, &[1, 3, 4, 4]).batch_norm(), "SpaceToDepth", "");
            pointwise(&x.shape([1, 12, 2, 2])).output("y")
        })
        .blocks(4),
    );
    cases
}

fn both(g: &Graph) -> (Value, Value) {
    let x = g.input("x", [1, 4, 5, 5]);
    (x.conv(3), x.conv(3).bias())
}

fn parts() -> Vec<Case> {
    vec![
        case(&["Split upstream"], "one part", |g| {
            let parts = g.input("x", [1, 4, 5, 5]).conv(6).split(1, [2, 4]);
            parts[1]
                .batch_norm()
                .negative_scales()
                .leaky_relu(0.1)
                .output("y");
            parts[0].leaky_relu(0.1).output("z")
        })
        .equivalent(
            "two channels swapped",
            "the first two are of the other part",
        ),
        case(&["Split downstream"], "two parts", |g| {
            let parts = barrier(g, &[1, 6, 3, 3]).batch_norm().split(1, [2, 4]);
            pointwise(&parts[0]).output("y");
            pointwise(&parts[1]).output("z")
        }),
        case(&["Concat upstream"], "of channels", |g| {
            let (a, b) = both(g);
            a.concat(&[&b], 1)
                .batch_norm()
                .negative_scales()
                .leaky_relu(0.1)
                .output("y")
        }),
        case(&["Concat upstream"], "of rows", |g| {
            let (a, b) = both(g);
            a.concat(&[&b], 2).batch_norm().leaky_relu(0.1).output("y")
        }),
        case(&["Concat downstream"], "beside what stays", |g| {
            let x = barrier(g, &[1, 4, 3, 3]);
            pointwise(&x.batch_norm().concat(&[&x.tanh()], 1)).output("y")
        }),
    ]
}
