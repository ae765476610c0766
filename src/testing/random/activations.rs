//! Functions of single elements and of lines of elements.

use super::generator::{Draw, Generator};
use super::live::Live;
use crate::testing::{DataType, Tensor, Value};

pub(super) const DRAWS: &[(u32, Draw)] = &[
    (8, |_, x| Some(vec![x.value.relu()])),
    (2, |_, x| Some(vec![x.value.leaky_relu(0.2)])),
    (2, |_, x| (x.rank() >= 2).then(|| vec![x.value.prelu()])),
    (6, plain),
    (2, positive),
    (2, clip),
    (2, softmax),
    (3, |_, x| Some(vec![x.value.identity()])),
    (2, |_, x| Some(vec![x.value.dropout()])),
    (2, cast),
    (2, masked),
];

pub(super) const JUMPS: &[(u32, Draw)] = &[(2, quantize), (2, rounded), (2, chosen)];

/// Operators without a setting that matters, from the opset that brought them.
fn plain(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let known = [
        ("Sigmoid", 7),
        ("Tanh", 7),
        ("Elu", 7),
        ("Selu", 7),
        ("HardSigmoid", 7),
        ("Softplus", 7),
        ("Softsign", 7),
        ("Neg", 7),
        ("Abs", 7),
        ("Erf", 9),
        ("HardSwish", 14),
        ("Mish", 18),
        ("Gelu", 20),
    ];
    let &(op_type, since) = generator.pick(&known);
    (generator.opset >= since).then(|| vec![x.value.op(op_type)])
}

/// Operators that want positive elements, behind a Softplus and a constant.
fn positive(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let half = generator.scalar(0.5);
    let value = x.value.op("Softplus").add(half);
    match generator.random_below(4) {
        0 => Some(vec![value.op("Sqrt")]),
        1 => Some(vec![value.op("Reciprocal")]),
        2 => Some(vec![value.op("Log")]),
        _ => {
            let exponent = generator.scalar(1.5);
            Some(vec![generator.graph.op("Pow", &[&value, &exponent])])
        }
    }
}

fn clip(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    // Clip takes half types and double as inputs since opset 12.
    let plain = generator.dtype == DataType::Float || generator.opset >= 12;
    let &(least, greatest) = generator.pick(&[(0.0, 6.0), (-1.0, 1.0), (-0.5, 3.0)]);
    plain.then(|| vec![x.value.clip(least, greatest)])
}

fn softmax(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let axis = generator.random_below(x.rank());
    let op_type = *generator.pick(&["Softmax", "LogSoftmax"]);
    (x.rank() > 1 && axis > 0).then(|| vec![x.value.op(op_type).axis(axis as i64)])
}

/// To a wider float type and back; a narrower one would round.
fn cast(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let wider = match generator.dtype {
        DataType::Double => return None,
        DataType::Float => DataType::Double,
        _ => DataType::Float,
    };
    let value = x.value.cast(wider);
    let value = if generator.chance(0.5) {
        value.relu()
    } else {
        value
    };
    if generator.opset < 15 || generator.chance(0.5) {
        return Some(vec![value.cast(generator.dtype)]);
    }
    let like = generator.scalar(0.25);
    Some(vec![generator.graph.op("CastLike", &[&value, &like])])
}

/// Where a constant mask says so, else a constant.
fn masked(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if generator.opset < 9 || x.rank() == 0 {
        return None;
    }
    let last = x.shape()[x.rank() - 1];
    let mask: Vec<bool> = (0..last).map(|_| generator.chance(0.7)).collect();
    let mask = generator
        .graph
        .constant_parameter("mask", Tensor::bools(&[last], mask));
    let other = generator.scalar(0.25);
    Some(vec![
        generator.graph.op("Where", &[&mask, &x.value, &other]),
    ])
}

fn quantize(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if generator.opset < 10 || generator.dtype != DataType::Float {
        return None;
    }
    let graph = generator.graph;
    let scale = generator.scalar(0.05);
    let zero = Tensor::scalar(DataType::Int8, 3.0);
    let zero = graph.constant_parameter("zero_point", zero);
    let quantized = graph.op("QuantizeLinear", &[&x.value, &scale, &zero]);
    Some(vec![
        graph.op("DequantizeLinear", &[&quantized, &scale, &zero]),
    ])
}

fn rounded(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let &(op_type, since) =
        generator.pick(&[("Floor", 7), ("Ceil", 7), ("Sign", 9), ("Round", 11)]);
    (generator.opset >= since).then(|| vec![x.value.op(op_type)])
}

/// The value where it is greater than a constant, else another constant.
fn chosen(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if generator.opset < 9 || x.rank() == 0 {
        return None;
    }
    let (bound, other) = (generator.scalar(0.1), generator.scalar(-0.5));
    let greater = generator
        .graph
        .op("Greater", &[&x.value, &bound])
        .dtype(DataType::Bool);
    Some(vec![
        generator.graph.op("Where", &[&greater, &x.value, &other]),
    ])
}
