//! Pools, normalisations, element-wise operators, reductions, moves and nested graphs.

use super::*;

#[test]
fn pools_agree_in_every_geometry() {
    check_all(&[
        ("max", |g| {
            g.input("x", [2, 3, 9, 8]).max_pool([3, 2]).strides([2, 2])
        }),
        ("max padded, ceil", |g| {
            g.input("x", [1, 3, 9, 8])
                .max_pool([3, 3])
                .strides([2, 2])
                .pads([1, 1, 1, 1])
                .attr("ceil_mode", 1)
        }),
        ("max dilated", |g| {
            g.input("x", [1, 3, 9, 8])
                .max_pool([2, 2])
                .dilations([2, 3])
        }),
        ("average", |g| {
            g.input("x", [2, 3, 9, 8])
                .average_pool([2, 2])
                .strides([2, 2])
        }),
        ("average without pads", |g| {
            g.input("x", [2, 3, 9, 8])
                .average_pool([3, 3])
                .pads([1, 1, 1, 1])
        }),
        ("average with pads", |g| {
            g.input("x", [2, 3, 9, 8])
                .average_pool([3, 3])
                .pads([1, 1, 1, 1])
                .attr("count_include_pad", 1)
        }),
        ("average same", |g| {
            g.input("x", [2, 3, 9, 8])
                .average_pool([3, 3])
                .strides([2, 2])
                .auto_pad("SAME_UPPER")
        }),
        ("global average", |g| {
            g.input("x", [2, 3, 5, 6, 4]).global_average_pool()
        }),
        ("global max", |g| {
            g.input("x", [2, 3, 5, 6]).global_max_pool()
        }),
    ]);
}

#[test]
fn normalisations_agree() {
    check_all(&[
        ("batch", |g| {
            g.input("x", [2, 5, 4, 3]).batch_norm().negative_scales()
        }),
        ("batch, rank 2", |g| {
            g.input("x", [6, 5]).batch_norm().epsilon(1e-3)
        }),
        ("batch, opset 7", |g| {
            g.opset(7).input("x", [2, 5, 4, 3]).batch_norm()
        }),
        ("instance", |g| g.input("x", [2, 5, 4, 3]).instance_norm()),
        ("group", |g| {
            g.opset(21).input("x", [2, 6, 4, 3]).group_norm(3)
        }),
        ("layer", |g| g.input("x", [2, 5, 7]).layer_norm()),
    ]);
}

#[test]
fn element_wise_operators_agree() {
    for op in [
        "Abs",
        "Neg",
        "Sign",
        "Exp",
        "Erf",
        "Sigmoid",
        "Tanh",
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Celu",
        "ThresholdedRelu",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
        "Softsign",
        "Mish",
        "Gelu",
        "Shrink",
        "Floor",
        "Ceil",
        "Round",
        "Sin",
        "Cos",
        "Atan",
        "Sinh",
        "Cosh",
        "Asinh",
        "Reciprocal",
        "Softmax",
        "LogSoftmax",
        "Hardmax",
    ] {
        let opset = if op == "Gelu" { 20 } else { 18 };
        check(
            op,
            &model(|g| g.opset(opset).input("x", [3, 4, 50]).op(op).output("y")),
        );
    }
    for op in ["Sqrt", "Log", "Acosh"] {
        let lifted = |g: &Graph| {
            g.input("x", [3, 4, 50])
                .op("Abs")
                .add(g.constant("value_float", 1.0f32))
                .op(op)
                .output("y")
        };
        check(op, &model(lifted));
    }
    for op in [
        "Add", "Sub", "Mul", "Div", "PRelu", "Max", "Min", "Sum", "Mean",
    ] {
        for (a, b) in [
            (vec![3, 4, 5], vec![4, 1]),
            (vec![2, 3], vec![2, 3]),
            (vec![2, 3], vec![]),
        ] {
            let build = |g: &Graph| {
                let (x, z) = (g.input("x", a.as_slice()), g.input("z", b.as_slice()));
                g.op(op, &[&x, &z]).output("y")
            };
            check(&format!("{op} {a:?} {b:?}"), &model(build));
        }
    }
    for op in ["Softmax", "LogSoftmax"] {
        let build = |g: &Graph| g.opset(11).input("x", [3, 4, 5]).op(op).axis(1).output("y");
        check(&format!("{op} of opset 11"), &model(build));
        let build = |g: &Graph| g.input("x", [3, 4, 5]).op(op).axis(1).output("y");
        check(&format!("{op} along axis 1"), &model(build));
    }
}

#[test]
fn reductions_agree() {
    for op in [
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
    ] {
        for opset in [11, 18] {
            let build = |g: &Graph| {
                g.opset(opset)
                    .input("x", [3, 4, 50])
                    .reduce(op, [0, -1])
                    .output("y")
            };
            check(&format!("{op} of opset {opset}"), &model(build));
        }
    }
}

#[test]
fn moves_agree() {
    check_all(&[
        ("transpose", |g| {
            g.input("x", [2, 3, 4, 5]).transpose([2, 0, 3, 1])
        }),
        ("reshape", |g| {
            g.input("x", [2, 3, 4, 5]).reshape([0, -1, 10])
        }),
        ("flatten", |g| g.input("x", [2, 3, 4, 5]).flatten()),
        ("squeeze", |g| g.input("x", [2, 1, 4, 1]).squeeze([1, -1])),
        ("unsqueeze", |g| g.input("x", [2, 4]).unsqueeze([0, 2])),
        ("slice", |g| g.input("x", [7, 9]).slice(1, -7, -1)),
        ("concat", |g| {
            let x = g.input("x", [2, 3, 4]);
            x.concat(&[&g.input("z", [2, 5, 4]), &x], 1)
        }),
        ("split", |g| {
            g.input("x", [2, 7, 3]).split(1, [2, 5])[1].clone()
        }),
        ("pad", |g| g.input("x", [2, 3, 4]).pad([1, 0, 2, 0, 1, 1])),
        ("negative pad", |g| g.input("x", [4, 5]).pad([-1, 2, 1, -2])),
        ("resize", |g| {
            g.input("x", [1, 2, 4, 5]).resize([1.0, 1.0, 2.0, 3.0])
        }),
        ("clip", |g| g.input("x", [4, 5]).clip(-0.5, 1.25)),
    ]);
}

#[test]
fn nested_graphs_see_the_values_around_them() {
    for flag in [true, false] {
        let build = |g: &Graph| {
            let x = g.input("x", [2, 3]);
            let a = x.relu();
            let condition = g.initializer("flag", Reference::bools(&[], [flag]));
            let y = g.if_else(
                &condition,
                |t| t.capture(&a).add(t.capture(&x)).output("then"),
                |e| e.capture(&x).sigmoid().output("else"),
            );
            y.mul(&a).output("y")
        };
        check(&format!("if {flag}"), &model(build));
    }
}

#[test]
fn quantizing_agrees_by_tensor_axis_and_block() {
    fn scale(g: &Graph, shape: &[usize]) -> Value {
        let count = shape.iter().product::<usize>();
        let numbers = (0..count).map(|i| 0.03 + 0.01 * i as f32);
        g.initializer("scale", Reference::floats(shape, numbers))
    }
    fn zero(g: &Graph, shape: &[usize]) -> Value {
        let count = shape.iter().product::<usize>();
        let numbers = (0..count).map(|i| i as f64 - 2.0).collect();
        g.initializer("zero", Reference::new(DataType::Int8, shape, numbers))
    }
    fn both(g: &Graph, form: &[usize], axis: i64, block: i64) -> Value {
        let x = g.opset(21).input("x", [2, 3, 8]);
        let (scale, zero) = (scale(g, form), zero(g, form));
        let set = |value: Value| {
            value
                .attr("axis", axis)
                .attr("block_size", block)
                .shape("2,3,8")
        };
        let y = set(g.op("QuantizeLinear", &[&x, &scale, &zero])).dtype(DataType::Int8);
        set(g.op("DequantizeLinear", &[&y, &scale, &zero])).dtype(DataType::Float)
    }
    check_all(&[
        ("by tensor", |g| both(g, &[], 1, 0)),
        ("by channel", |g| both(g, &[3], 1, 0)),
        ("by the last axis", |g| both(g, &[8], -1, 0)),
        ("by block", |g| both(g, &[2, 3, 2], 2, 4)),
        ("to unsigned bytes", |g| {
            let x = g.input("x", [5, 7]);
            g.op("QuantizeLinear", &[&x, &scale(g, &[])])
                .dtype(DataType::Uint8)
                .shape("5,7")
        }),
    ]);
}
