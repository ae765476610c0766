//! Operators that absorb an affine into a weight.

use bnfold::testing::{DataType, Graph, Value};

use super::super::case::{Case, case};
use super::{alike, barrier, pointwise, scale_alone};

const HALVES: &str =
    "the layer adds both halves of its bias before anything else (LSTM-7, GRU-7, RNN-7)";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = convolutions();
    cases.extend(transposed());
    cases.extend(gemms());
    cases.extend(matrix_products());
    cases.extend(recurrent());
    cases.push(case(&["Gather upstream"], "a constant table", |g| {
        let ids = g.typed_input("x", DataType::Int64, [2, 5]);
        let table = g.weight("table", [7, 4]);
        let rows = g.op("Gather", &[&table, &ids]);
        rows.transpose([0, 2, 1])
            .batch_norm()
            .leaky_relu(0.1)
            .output("y")
    }));
    cases.push(case(&["MatMul upstream"], "an attention", |g| {
        let x = g.input("x", [2, 5, 8]);
        let keys = x.matmul(3).sigmoid().transpose([0, 2, 1]);
        let scores = x.matmul(3).sigmoid().matmul_by(keys);
        let values = x.matmul(4).add(g.weight("bias", [4]));
        let mixed = scores.op("Softmax").axis(-1).matmul_by(values);
        let channels = mixed.transpose([0, 2, 1]).batch_norm();
        channels.leaky_relu(0.1).output("y")
    }));
    cases
}

fn image(g: &Graph) -> Value {
    g.input("x", [1, 4, 6, 6])
}

fn convolutions() -> Vec<Case> {
    let up = &["Conv upstream"];
    let down = &["Conv downstream"];
    vec![
        case(up, "plain", |g| {
            image(g).conv(6).batch_norm().leaky_relu(0.1).output("y")
        }),
        case(up, "padded, with a bias and an epsilon of 1e-3", |g| {
            let x = image(g).conv(6).pads([1, 1, 1, 1]).bias();
            x.batch_norm()
                .negative_scales()
                .epsilon(1e-3)
                .leaky_relu(0.1)
                .output("y")
        }),
        case(up, "in two groups", |g| {
            image(g)
                .conv(6)
                .group(2)
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        })
        .blocks(2),
        case(up, "depthwise", |g| {
            image(g)
                .conv(4)
                .group(4)
                .bias()
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        })
        .blocks(4)
        .equivalent("laid out by the wrong group", "each group has one channel"),
        case(up, "in one dimension", |g| {
            g.input("x", [1, 4, 9])
                .conv(6)
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        }),
        case(up, "in three dimensions", |g| {
            g.input("x", [1, 2, 3, 4, 5])
                .conv(3)
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        }),
        case(up, "two channels alike", |g| {
            alike(&image(g).conv(6), |c| c.max(1))
                .leaky_relu(0.1)
                .output("y")
        })
        .equivalent(
            "two channels swapped",
            "the two channels have the same scale and shift",
        ),
        case(down, "unpadded", |g| {
            barrier(g, &[1, 4, 6, 6]).batch_norm().conv(6).output("y")
        }),
        case(down, "unpadded, in two groups", |g| {
            barrier(g, &[1, 4, 6, 6])
                .batch_norm()
                .conv(6)
                .group(2)
                .bias()
                .output("y")
        })
        .blocks(2),
        case(down, "padded, without a shift", |g| {
            scale_alone(&barrier(g, &[1, 4, 6, 6]))
                .conv(6)
                .pads([1, 1, 1, 1])
                .output("y")
        }),
        case(
            &["Conv upstream", "Conv downstream"],
            "on both sides of one weight",
            |g| {
                let x = barrier(g, &[1, 4, 6, 6]).batch_norm();
                x.conv(6)
                    .batch_norm()
                    .negative_scales()
                    .leaky_relu(0.1)
                    .output("y")
            },
        ),
    ]
}

fn transposed() -> Vec<Case> {
    let mut cases = Vec::new();
    for group in [1, 2] {
        let blocks = if group == 1 { 0 } else { 2 };
        cases.push(
            case(
                &["ConvTranspose upstream"],
                format!("in {group} group(s)"),
                |g| {
                    let x = g.input("x", [1, 4, 5, 5]).conv_transpose(6).group(group);
                    x.batch_norm().leaky_relu(0.1).output("y")
                },
            )
            .blocks(blocks),
        );
        cases.push(
            case(
                &["ConvTranspose downstream"],
                format!("in {group} group(s), without a shift"),
                |g| {
                    scale_alone(&barrier(g, &[1, 4, 5, 5]))
                        .conv_transpose(6)
                        .group(group)
                        .output("y")
                },
            )
            .blocks(blocks),
        );
    }
    cases
}

fn gemm(g: &Graph, x: &Value, trans_b: i64, c: Option<Vec<usize>>) -> Value {
    let w = match trans_b {
        1 => g.weight("w", [6, 4]),
        _ => g.weight("w", [4, 6]),
    };
    let c = c.map(|shape| g.weight("c", &shape[..]));
    let inputs: Vec<&Value> = [x, &w].into_iter().chain(&c).collect();
    g.op("Gemm", &inputs).attr("transB", trans_b)
}

fn gemms() -> Vec<Case> {
    let shapes = [
        None,
        Some(vec![]),
        Some(vec![6]),
        Some(vec![3, 1]),
        Some(vec![3, 6]),
    ];
    let mut cases = Vec::new();
    for (at, shape) in shapes.into_iter().enumerate() {
        let (trans_b, alpha, beta) = [(0, 1.0f32, 1.0f32), (1, 0.5, 2.0), (0, -1.5, 0.5)][at % 3];
        let variant = format!("transB {trans_b}, alpha {alpha}, beta {beta}, C {shape:?}");
        cases.push(case(&["Gemm upstream"], &variant, |g| {
            let y = gemm(g, &g.input("x", [3, 4]), trans_b, shape.clone());
            let y = y.attr("alpha", alpha).attr("beta", beta);
            y.batch_norm().negative_scales().leaky_relu(0.1).output("y")
        }));
        cases.push(case(&["Gemm downstream"], &variant, |g| {
            let y = gemm(g, &barrier(g, &[3, 4]).batch_norm(), trans_b, shape.clone());
            y.attr("alpha", alpha).attr("beta", beta).output("y")
        }));
    }
    cases
}

fn matrix_products() -> Vec<Case> {
    let up = &["MatMul upstream"];
    let down = &["MatMul downstream"];
    vec![
        case(up, "the shift becomes an Add", |g| {
            let x = g.input("x", [2, 6, 4]).matmul(6);
            x.transpose([0, 2, 1])
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        }),
        case(
            &["MatMul upstream", "MaxPool downstream"],
            "the Add goes on where the scale cannot",
            |g| {
                let x = g.input("x", [2, 6, 4]).matmul(6).transpose([0, 2, 1]);
                let x = x.batch_norm().negative_scales().max_pool([2]);
                x.conv(3).kernel([1]).output("y")
            },
        )
        .equivalent("added shift", "the fold after it takes the Add away"),
        case(up, "the shift joins an Add", |g| {
            let x = g.input("x", [2, 5, 4]).matmul(6).add(g.weight("b", [6]));
            x.transpose([0, 2, 1])
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        }),
        case(up, "it becomes a Gemm", |g| {
            g.input("x", [3, 4])
                .matmul(6)
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        }),
        case(up, "a constant on the left", |g| {
            let (x, w) = (g.input("x", [2, 4, 6]), g.weight("w", [6, 4]));
            g.op("MatMul", &[&w, &x])
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        }),
        case(down, "the shift becomes an Add", |g| {
            let x = barrier(g, &[2, 4, 6]).batch_norm().transpose([0, 2, 1]);
            x.matmul(6).leaky_relu(0.1).output("y")
        }),
        case(down, "it becomes a Gemm", |g| {
            barrier(g, &[3, 4])
                .batch_norm()
                .matmul(6)
                .leaky_relu(0.1)
                .output("y")
        }),
        case(down, "two readers", |g| {
            let x = barrier(g, &[3, 4]).batch_norm();
            x.linear(6).output("y");
            x.matmul(5).sigmoid().output("z")
        }),
        case(&["Conv downstream"], "two readers", |g| {
            let x = barrier(g, &[1, 4, 5, 5]).batch_norm();
            pointwise(&x).output("y");
            x.conv(3).output("z")
        }),
    ]
}

fn recurrent() -> Vec<Case> {
    let mut cases = Vec::new();
    for (op, gates, direction, bias) in [
        ("LSTM", 4, "forward", false),
        ("LSTM", 4, "bidirectional", true),
        ("GRU", 3, "reverse", true),
        ("RNN", 1, "bidirectional", false),
    ] {
        let variant = format!(
            "{direction}, {}",
            if bias {
                "with a bias"
            } else {
                "without a bias"
            }
        );
        let rule = format!("{op} downstream");
        let layer = case(&[&rule], variant, |g| {
            layer(g, op, gates, direction, bias).output("y")
        });
        let layer = layer.equivalent("bias in the recurrent half", HALVES);
        cases.push(match bias {
            true => layer,
            false => layer.equivalent(
                "bias cut off in its last element",
                "the recurrent half is zero",
            ),
        });
    }
    cases.push(case(&["GRU downstream"], "linear before reset", |g| {
        layer(g, "GRU", 3, "forward", true)
            .attr("linear_before_reset", 1)
            .output("y")
    }));
    cases
}

fn layer(g: &Graph, op: &str, gates: usize, direction: &str, bias: bool) -> Value {
    let directions = if direction == "bidirectional" { 2 } else { 1 };
    // A BN's channels are along axis 1, a layer's features along axis 2.
    let x = barrier(g, &[5, 3, 2]).batch_norm().transpose([0, 2, 1]);
    let w = g.weight("w", [directions, gates * 4, 3]);
    let r = g.weight("r", [directions, gates * 4, 4]);
    let b = bias.then(|| g.weight("b", [directions, 2 * gates * 4]));
    let inputs: Vec<&Value> = [&x, &w, &r].into_iter().chain(&b).collect();
    let layer = g
        .op(op, &inputs)
        .attr("hidden_size", 4)
        .attr("direction", direction);
    layer.outputs(1)[0].clone()
}
