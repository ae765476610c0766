//! Functions whose operands bring one affine, and copies of a value.

use bnfold::onnx::proto::ModelProto;
use bnfold::testing::builder::Value;
use bnfold::testing::{DataType, Graph, Tensor, model};

mod support;
use support::{check, refused};

fn image(g: &Graph) -> Value {
    g.dtype(DataType::Double).input("x", [2, 4, 6, 6])
}

/// A BN with or without negative scales behind a function of two convolutions.
fn behind(op: &'static str, negative: bool) -> ModelProto {
    model(|g| {
        let x = image(g);
        let both = g.op(op, &[&x.conv(5), &x.sigmoid().conv(5)]);
        let norm = both.batch_norm();
        let norm = if negative {
            norm.negative_scales()
        } else {
            norm
        };
        norm.leaky_relu(0.1).output("y")
    })
}

#[test]
fn every_operand_of_a_mean_takes_the_affine() {
    check(
        &behind("Mean", true),
        "bn_0 -> conv_0 output, conv_1 output through mean_0",
    );
}

#[test]
fn a_maximum_takes_a_scale_that_grows() {
    for op in ["Max", "Min"] {
        let through = format!(
            "bn_0 -> conv_0 output, conv_1 output through {}_0",
            op.to_lowercase()
        );
        check(&behind(op, false), &through);
        refused(
            &behind(op, true),
            "bn_0 stays: upstream negative-scale, downstream shift-blocked, sideways no-sibling",
        );
    }
}

#[test]
fn a_constant_operand_takes_the_affine_too() {
    let m = model(|g| {
        let x = image(g).conv(5);
        let floor = g.weight("floor", [5, 1, 1]);
        g.op("Max", &[&x, &floor]).batch_norm().relu().output("y")
    });
    check(&m, "bn_0 -> max_0 constant, conv_0 output");
    let scalar = model(|g| {
        let x = image(g).conv(5);
        let zero = g.initializer("zero", Tensor::doubles(&[], [0.0]));
        g.op("Max", &[&x, &zero])
            .batch_norm()
            .leaky_relu(0.1)
            .output("y")
    });
    check(&scalar, "bn_0 -> max_0 constant, conv_0 output");
}

#[test]
fn both_sides_of_a_choice_take_the_affine_and_what_is_chosen_by_stays() {
    let chosen = |by: fn(&Value, &Value) -> Value| {
        model(|g| {
            let x = image(g);
            let (left, right) = (x.conv(5), x.sigmoid().conv(5));
            let mask = g.op(
                "Greater",
                &[
                    &by(&x, &left),
                    &g.constant("value_float", 0.25f32).cast(DataType::Double),
                ],
            );
            let both = g.op("Where", &[&mask, &left, &right]);
            both.batch_norm()
                .negative_scales()
                .leaky_relu(0.1)
                .output("y")
        })
    };
    check(
        &chosen(|x, _| x.reduce_mean([1, 2, 3])),
        "bn_0 -> conv_0 output, conv_1 output through where_0",
    );
    refused(
        &chosen(|_, left| left.clone()),
        "bn_0 stays: upstream other-reader, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn in_front_every_operand_must_bring_the_same() {
    let m = |alike: bool| {
        model(move |g| {
            let x = image(g).sigmoid().batch_norm();
            let other = if alike {
                x.transpose([0, 1, 3, 2])
            } else {
                g.input("z", [2, 4, 6, 6]).sigmoid()
            };
            g.op("Mean", &[&x, &other]).conv(5).output("y")
        })
    };
    check(&m(true), "bn_0 -> conv_0 input through transpose_0, mean_0");
    refused(
        &m(false),
        "bn_0 stays: upstream nonlinear, downstream other-reader, sideways no-sibling",
    );
}

#[test]
fn copies_take_an_affine_that_is_the_same_for_all() {
    let list = |g: &Graph, list: [i64; 4]| g.initializer("list", Tensor::ints(&[4], list));
    let expanded = |channels: usize| {
        model(move |g| {
            let x = image(g).conv(channels).global_average_pool();
            let whole = g.op("Expand", &[&x, &list(g, [2, 5, 6, 6])]);
            whole.batch_norm().relu().output("y")
        })
    };
    check(
        &expanded(5),
        "bn_0 -> conv_0 output through global_average_pool_0, expand_0",
    );
    refused(
        &expanded(1),
        "bn_0 stays: upstream axes-mixed, downstream shift-blocked, sideways no-sibling",
    );
    let tiled = |repeats: [i64; 4]| {
        model(move |g| {
            let x = image(g).conv(4);
            g.op("Tile", &[&x, &list(g, repeats)])
                .batch_norm()
                .relu()
                .output("y")
        })
    };
    check(&tiled([1, 1, 2, 3]), "bn_0 -> conv_0 output through tile_0");
    refused(
        &tiled([1, 2, 1, 1]),
        "bn_0 stays: upstream axes-mixed, downstream shift-blocked, sideways no-sibling",
    );
    let downstream = model(|g| {
        let x = image(g).sigmoid().global_average_pool().batch_norm();
        g.op("Expand", &[&x, &list(g, [2, 4, 6, 6])])
            .conv(5)
            .output("y")
    });
    check(&downstream, "bn_0 -> conv_0 input through expand_0");
}

#[test]
fn a_clip_without_bounds_is_nothing() {
    let m = |bounded: bool| {
        model(move |g| {
            let x = image(g).conv(5);
            let zero = g.initializer("zero", Tensor::doubles(&[], [0.0]));
            let clipped = if bounded {
                g.op("Clip", &[&x, &zero])
            } else {
                x.op("Clip")
            };
            clipped.batch_norm().leaky_relu(0.1).output("y")
        })
    };
    check(&m(false), "bn_0 -> conv_0 output through clip_0");
    refused(
        &m(true),
        "bn_0 stays: upstream nonlinear, downstream shift-blocked, sideways no-sibling",
    );
}
