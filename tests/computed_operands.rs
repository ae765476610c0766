//! Operands that the unoptimised dynamo exporter leaves to be computed: axes, bounds, extents, and types by CastLike.

use bnfold::testing::builder::Value;
use bnfold::testing::{DataType, Graph, Tensor, model};

mod support;
use support::{check, refused};

fn image(g: &Graph) -> Value {
    g.dtype(DataType::Double).input("x", [2, 4, 8, 8])
}

/// A list of one integer, as a Reshape of a scalar.
fn listed(g: &Graph, name: &str, at: i64) -> Value {
    let scalar = g.initializer(name, Tensor::ints(&[], [at]));
    let extents = g.initializer(&format!("{name}.extents"), Tensor::ints(&[1], [-1]));
    g.op("Reshape", &[&scalar, &extents])
}

#[test]
fn axes_of_a_mean_are_computed() {
    let m = model(|g| {
        let x = image(g.opset(18)).batch_norm();
        let axes = g.op("Concat", &[&listed(g, "a", 2), &listed(g, "b", 3)]);
        let mean = g.op("ReduceMean", &[&x, &axes.axis(0)]);
        mean.conv(6).kernel([1, 1]).output("y")
    });
    check(&m, "bn_0 -> conv_0 input through reduce_mean_0");
}

#[test]
fn bounds_of_a_slice_are_computed() {
    let m = model(|g| {
        let x = image(g).conv(6);
        let lists = [("start", 1), ("end", 5), ("axis", 1)].map(|(name, at)| {
            let one = listed(g, &format!("{name}.one"), 1);
            listed(g, name, at + 1).sub(one)
        });
        let sliced = g.op("Slice", &[&x, &lists[0], &lists[1], &lists[2]]);
        sliced.batch_norm().relu().output("y")
    });
    check(&m, "bn_0 -> conv_0 output through slice_0");
}

#[test]
fn bounds_from_the_end_are_what_they_are() {
    let sliced = |places: fn(&Graph, i64, &str) -> Value| {
        model(|g| {
            let x = image(g).conv(6);
            let lists = [("start", -5), ("end", -2), ("axis", 1)];
            let lists = lists.map(|(name, at)| places(g, at, name));
            let sliced = g.op("Slice", &[&x, &lists[0], &lists[1], &lists[2]]);
            sliced.batch_norm().relu().output("y")
        })
    };
    check(
        &sliced(|g, at, name| {
            let scalar = g.initializer(name, Tensor::ints(&[], [at]));
            scalar.unsqueeze([0])
        }),
        "bn_0 -> conv_0 output through slice_0",
    );
    check(
        &sliced(|g, at, name| {
            let half = g.initializer(name, Tensor::ints(&[1], [at + 1]));
            half.sub(g.initializer(&format!("{name}.one"), Tensor::ints(&[1], [1])))
        }),
        "bn_0 -> conv_0 output through slice_0",
    );
}

#[test]
fn extents_of_a_reshape_are_computed() {
    let m = model(|g| {
        let x = image(g).conv(6);
        let given = g.initializer("given", Tensor::ints(&[3], [2, 6, 36]));
        let wide = given.mul(g.initializer("one", Tensor::ints(&[1], [1])));
        g.op("Reshape", &[&x, &wide])
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output through reshape_0");
}

/// `bias = Expand(CastLike(0, x), …)`: the type of `x` is read, and no fold changes that.
#[test]
fn a_node_that_reads_a_type_stands_in_no_way() {
    let like = |x: &Value| {
        let zero = x.graph().initializer("zero", Tensor::floats(&[1], [0.0]));
        x.graph().op("CastLike", &[&zero, x])
    };
    let upstream = model(|g| {
        let x = image(g).conv(6);
        x.batch_norm().add(like(&x)).relu().output("y")
    });
    check(&upstream, "bn_0 -> conv_0 output");
    let downstream = model(|g| {
        let x = image(g).batch_norm();
        let bias = g.op(
            "Expand",
            &[&like(&x), &g.initializer("n", Tensor::ints(&[1], [6]))],
        );
        let weight = g.weight("w", [6, 4, 3, 3]);
        g.op("Conv", &[&x, &weight, &bias]).output("y")
    });
    check(&downstream, "bn_0 -> conv_0 input");
    // What it casts is read in full.
    let cast = model(|g| {
        let x = image(g).conv(6);
        x.batch_norm().relu().output("y");
        g.op("CastLike", &[&x, &g.weight("k", [1])])
            .sigmoid()
            .output("z")
    });
    refused(
        &cast,
        "bn_0 stays: upstream other-reader, downstream shift-blocked, sideways no-sibling",
    );
}
