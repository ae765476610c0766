//! A model for every rule on each side that it serves, and for each condition of a rule one that breaks it.

mod broken;
mod flags;
mod layout;
mod linear;
mod norms;
mod operands;
mod pools;
mod scopes;

use bnfold::testing::{Graph, Tensor, Value};

use super::case::Case;

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let tables = [
        linear::cases(),
        norms::cases(),
        layout::cases(),
        pools::cases(),
        operands::cases(),
        flags::cases(),
        scopes::cases(),
        broken::cases(),
    ];
    tables.into_iter().flatten().collect()
}

/// A BatchNormalization without a shift: `B` and mean are zero.
fn scale_alone(x: &Value) -> Value {
    let g = x.graph();
    let channels = x.sizes().expect("known extents")[1];
    let zero = g.initializer("zero", Tensor::floats(&[channels], vec![0.0; channels]));
    x.batch_norm().with_input(2, &zero).with_input(3, &zero)
}

/// A BatchNormalization whose channel `c` has the parameters of `like(c)`.
fn alike(x: &Value, like: impl Fn(usize) -> usize) -> Value {
    let g = x.graph();
    let channels = x.sizes().expect("known extents")[1];
    let draw = |name: &str, low: f32| {
        let element = |c: usize| low + (like(c) * 7 % 5) as f32 * 0.25 + like(c) as f32 * 0.05;
        g.initializer(
            name,
            Tensor::floats(&[channels], (0..channels).map(element)),
        )
    };
    let (scale, b, mean, var) = (
        draw("s", 0.5),
        draw("t", -0.5),
        draw("m", -0.25),
        draw("v", 0.5),
    );
    x.batch_norm()
        .with_input(1, &scale)
        .with_input(2, &b)
        .with_input(3, &mean)
        .with_input(4, &var)
}

/// What precedes an affine that goes downstream: nothing can take it there.
fn barrier(g: &Graph, shape: &[usize]) -> Value {
    g.input("x", shape).sigmoid()
}

/// A convolution without padding or neighbours.
fn pointwise(x: &Value) -> Value {
    x.conv(5)
        .kernel(vec![1; x.sizes().expect("known extents").len() - 2])
}
