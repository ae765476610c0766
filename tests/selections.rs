//! Carriers that select parts of a value, sum it, or mix it with weights that are computed.

use bnfold::onnx::proto::ModelProto;
use bnfold::testing::builder::Value;
use bnfold::testing::{DataType, Graph, Tensor, model};

mod support;
use support::{check, check_with, refused};

const BLOCKED: &str =
    "bn_0 stays: upstream shift-blocked, downstream shift-blocked, sideways no-sibling";

fn image(g: &Graph) -> Value {
    g.dtype(DataType::Double).input("x", [2, 4, 8, 8])
}

/// `x` at constant places along an axis; a scalar if there is one place.
fn at(x: &Value, axis: i64, places: &[i64]) -> Value {
    let g = x.graph();
    let dims: &[usize] = if places.len() == 1 {
        &[]
    } else {
        &[places.len()]
    };
    let name = format!(
        "places_{axis}_{}",
        places.iter().map(|at| at + 99).sum::<i64>()
    );
    let places = g.initializer(&name, Tensor::ints(dims, places.iter().copied()));
    g.op("Gather", &[x, &places]).axis(axis)
}

#[test]
fn a_channel_shuffle_by_gather_passes_both_ways() {
    let upstream = model(|g| {
        let x = image(g).conv(6);
        at(&x, 1, &[3, 0, -1, 1, 4, 2])
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&upstream, "bn_0 -> conv_0 output through gather_0");
    let downstream = model(|g| {
        let x = image(g).batch_norm();
        at(&x, 1, &[2, 2, -4, 1, 0]).conv(3).output("y")
    });
    check(&downstream, "bn_0 -> conv_0 input through gather_0");
}

#[test]
fn a_place_on_another_axis_is_a_slice() {
    let last = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 9]).conv(6);
        at(&x, 2, &[-1]).batch_norm().relu().output("y")
    });
    check(&last, "bn_0 -> conv_0 output through gather_0");
    let several = model(|g| {
        at(&image(g).batch_norm(), 3, &[0, 5, 5])
            .conv(6)
            .output("y")
    });
    check(&several, "bn_0 -> conv_0 input through gather_0");
}

#[test]
fn a_channel_that_is_selected_twice_takes_one_affine() {
    let twice = |places: &'static [i64]| {
        model(move |g| {
            let x = image(g).conv(3);
            at(&x, 1, places).batch_norm().relu().output("y")
        })
    };
    refused(
        &twice(&[0, 1, 1, 2]),
        "bn_0 stays: upstream other-reader, downstream shift-blocked, sideways no-sibling",
    );
    check(&twice(&[2, 0]), "bn_0 -> conv_0 output through gather_0");
}

/// `q, k, v = qkv.unbind(0)`: a BN behind one of the parts leaves the others alone.
#[test]
fn parts_of_an_unbound_value_are_rewritten_alone() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 5, 8]);
        let qkv = x.matmul(12).reshape([2, 5, 3, 4]).transpose([2, 0, 1, 3]);
        let normed = at(&qkv, 0, &[0]).transpose([0, 2, 1]).batch_norm();
        normed.transpose([0, 2, 1]).sigmoid().output("q");
        at(&qkv, 0, &[1]).sigmoid().output("k");
        at(&qkv, 0, &[2]).sigmoid().output("v")
    });
    check(&m, "");
}

#[test]
fn a_place_that_is_given_passes_what_does_not_vary_there() {
    let along = |axis: i64| {
        model(move |g| {
            let x = image(g).conv(6);
            let place = g.dtype(DataType::Int64).input("place", [2]);
            let y = g
                .dtype(DataType::Double)
                .op("Gather", &[&x, &place])
                .axis(axis);
            y.batch_norm().relu().output("y")
        })
    };
    let x = (0..512).map(|at| f64::from(at % 23) / 7.0 - 1.5);
    let inputs = [
        ("x", Tensor::doubles(&[2, 4, 8, 8], x)),
        ("place", Tensor::ints(&[2], [4, 1])),
    ];
    check_with(&along(2), &inputs, "bn_0 -> conv_0 output through gather_0");
    refused(
        &along(1),
        "bn_0 stays: upstream unknown-shape, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_sum_over_known_extents_counts_the_shift() {
    let upstream = model(|g| {
        let x = image(g).conv(6).reduce("ReduceSum", [2, 3]);
        x.batch_norm().relu().output("y")
    });
    check(&upstream, "bn_0 -> conv_0 output through reduce_sum_0");
    let downstream = model(|g| {
        let x = image(g).batch_norm().reduce("ReduceSum", [2, 3]);
        x.conv(6).kernel([1, 1]).output("y")
    });
    check(&downstream, "bn_0 -> conv_0 input through reduce_sum_0");
    let open = model(|g| {
        let x = g.dtype(DataType::Double).input("x", "2,4,H,8").relu();
        x.batch_norm()
            .reduce("ReduceSum", [2, 3])
            .conv(6)
            .kernel([1, 1])
            .output("y")
    });
    refused(&open, BLOCKED);
}

/// BN behind `weights(scores)·V`, the scores computed from the same value as V.
fn attention(weights: fn(&Value) -> Value) -> ModelProto {
    model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 5, 8]);
        let keys = x.matmul(3).sigmoid().transpose([0, 2, 1]);
        let scores = x.matmul(3).sigmoid().matmul_by(keys);
        let values = x.matmul(4).add(g.weight("bias", [4]));
        let mixed = weights(&scores).matmul_by(values);
        mixed
            .transpose([0, 2, 1])
            .batch_norm()
            .leaky_relu(0.1)
            .output("y")
    })
}

/// Rows of a Softmax sum to one, so that a shift of all values is one of every mean of them.
#[test]
fn a_shift_passes_an_attention_to_its_values() {
    let into_values = "bn_0 -> add_0 constant, matmul_3 output through matmul_4, transpose_1";
    check(&attention(|x| x.op("Softmax").axis(-1)), into_values);
    check(
        &attention(|x| x.op("Softmax").identity().dropout()),
        into_values,
    );
    let blocked =
        "bn_0 stays: upstream shift-blocked, downstream shift-blocked, sideways no-sibling";
    refused(&attention(|x| x.op("Softmax").axis(-2)), blocked);
    refused(&attention(Value::sigmoid), blocked);
}

#[test]
fn a_scale_passes_a_product_of_values_to_the_factor_of_its_axis() {
    let product = |end: fn(&Value) -> Value| {
        model(|g| {
            let x = g.dtype(DataType::Double).input("x", [2, 5, 8]);
            let (left, right) = (x.matmul(3), x.matmul(3).transpose([0, 2, 1]));
            let norm = end(&left.matmul_by(&right)).batch_norm();
            let none = g.initializer("none", Tensor::doubles(&[5], [0.0; 5]));
            norm.with_input(2, &none)
                .with_input(3, &none)
                .relu()
                .output("y")
        })
    };
    // Channels of the BN are rows of the product: tokens of the left factor, on which its weights do not vary.
    refused(
        &product(Clone::clone),
        "bn_0 stays: upstream axes-mixed, downstream graph-output, sideways no-sibling",
    );
    let heads = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 4, 5, 5])
            .conv(4)
            .kernel([1, 1]);
        let other = g.input("z", [2, 4, 3, 3]).sigmoid();
        let norm = x
            .sigmoid()
            .conv(4)
            .kernel([3, 3])
            .matmul_by(&other)
            .batch_norm();
        let none = g.initializer("none", Tensor::doubles(&[4], [0.0; 4]));
        norm.with_input(2, &none)
            .with_input(3, &none)
            .relu()
            .output("y")
    });
    check(&heads, "bn_0 -> conv_1 output through matmul_0");
    let downstream = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 3, 3]).sigmoid();
        let none = g.initializer("none", Tensor::doubles(&[4], [0.0; 4]));
        let norm = x.batch_norm().with_input(2, &none).with_input(3, &none);
        let other = g.input("z", [2, 4, 3, 3]).sigmoid();
        norm.matmul_by(&other).conv(5).output("y")
    });
    check(&downstream, "bn_0 -> conv_0 input through matmul_0");
}
