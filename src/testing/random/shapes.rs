//! Operators that move elements, and reductions.

use super::generator::{Draw, Generator};
use super::live::Live;
use crate::testing::{Tensor, Value};

pub(super) const DRAWS: &[(u32, Draw)] = &[
    (3, transpose),
    (4, reshape),
    (2, computed_reshape),
    (3, |generator, x| {
        let axis = generator.random_below(x.rank() + 1) as i64;
        (x.rank() > 0).then(|| vec![x.value.flatten().axis(axis)])
    }),
    (2, |generator, x| {
        let axis = generator.random_below(x.rank() + 1) as i64;
        (x.rank() < 5).then(|| vec![x.value.unsqueeze([axis])])
    }),
    (2, squeeze),
    (3, slice),
    (2, split_in_two),
    (4, reduce),
    (5, space),
    (1, tile),
    (1, expand),
    (1, gather),
];

fn transpose(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let mut perm: Vec<i64> = (0..x.rank() as i64).collect();
    if x.rank() < 2 {
        return None;
    }
    for _ in 0..1 + generator.random_below(2) {
        let (a, b) = (
            generator.random_below(perm.len()),
            generator.random_below(perm.len()),
        );
        perm.swap(a, b);
    }
    Some(vec![x.value.transpose(perm)])
}

/// Joins neighbouring axes or takes one apart, with 0 and −1 now and then.
fn reshape(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let mut shape: Vec<i64> = x.shape().iter().map(|&extent| extent as i64).collect();
    let at = generator.random_below(x.rank().max(1));
    if x.rank() == 0 {
        return None;
    }
    if at + 1 < shape.len() && (generator.chance(0.5) || shape.len() > 4) {
        let joined = shape[at] * shape.remove(at + 1);
        shape[at] = if generator.chance(0.5) { -1 } else { joined };
    } else {
        let divisors = generator.divisors(shape[at] as usize);
        let outer = *generator.pick(&divisors) as i64;
        shape[at] /= outer;
        shape.insert(at, outer);
    }
    if at > 0 && generator.chance(0.3) {
        shape[0] = 0;
    }
    (shape.len() <= 5).then(|| vec![x.value.reshape(shape)])
}

/// A flattening whose shape is computed from the value's own.
fn computed_reshape(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if x.rank() < 2 {
        return None;
    }
    let graph = generator.graph;
    let shape = x.value.op("Shape");
    let first = shape.slice(0, 0, 1);
    let rest = graph.ints(&[-1]);
    let wanted = first.concat(&[&rest], 0);
    let last = x.shape()[x.rank() - 1];
    if x.rank() > 2 && generator.chance(0.5) {
        let last = graph.ints(&[last as i64]);
        let wanted = wanted.concat(&[&last], 0);
        return Some(vec![graph.op("Reshape", &[&x.value, &wanted])]);
    }
    Some(vec![graph.op("Reshape", &[&x.value, &wanted])])
}

fn squeeze(_: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let axis = x.shape().iter().position(|&extent| extent == 1)?;
    (x.rank() > 2).then(|| vec![x.value.squeeze([axis as i64])])
}

fn slice(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let axis = generator.random_below(x.rank().max(1));
    let extent = *x.shape().get(axis)?;
    if extent < 3 {
        return None;
    }
    let (start, end) = *generator.pick(&[(1, i64::MAX), (0, -1), (-2, i64::MAX), (1, 3)]);
    if generator.opset >= 10 && generator.chance(0.2) {
        let graph = generator.graph;
        let [starts, ends, axes, steps] =
            [-1, -1000, axis as i64, -1].map(|value| graph.ints(&[value]));
        return Some(vec![
            graph.op("Slice", &[&x.value, &starts, &ends, &axes, &steps]),
        ]);
    }
    Some(vec![x.value.slice(axis as i64, start, end)])
}

fn split_in_two(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let axis = generator.random_below(x.rank().max(1));
    let extent = *x.shape().get(axis)? as i64;
    let first = 1 + generator.random_below(extent.max(1) as usize) as i64;
    (first < extent).then(|| x.value.split(axis as i64, [first, extent - first]))
}

fn reduce(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if x.rank() < 2 {
        return None;
    }
    let kinds = [
        "ReduceMean",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceSum",
        "ReduceL2",
    ];
    let op_type = *generator.pick(&kinds);
    let first = generator.random_below(x.rank());
    let axes: Vec<i64> = match generator.chance(0.5) {
        true => vec![first as i64],
        false => (first.max(1) as i64..x.rank() as i64).collect(),
    };
    let keeps = generator.chance(0.6);
    Some(vec![
        x.value
            .reduce(op_type, axes)
            .attr("keepdims", i64::from(keeps)),
    ])
}

/// DepthToSpace and SpaceToDepth.
fn space(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let [_, channels, height, width] = *x.shape() else {
        return None;
    };
    if channels % 4 == 0 && generator.chance(0.5) {
        let value = x.value.op("DepthToSpace").attr("blocksize", 2);
        let crd = generator.opset >= 11 && generator.chance(0.5);
        return Some(vec![if crd {
            value.attr("mode", "CRD")
        } else {
            value
        }]);
    }
    let even = height % 2 == 0 && width % 2 == 0;
    even.then(|| vec![x.value.op("SpaceToDepth").attr("blocksize", 2)])
}

fn tile(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let repeats: Vec<i64> = (0..x.rank())
        .map(|_| 1 + generator.random_below(2) as i64)
        .collect();
    let repeats = generator.graph.ints(&repeats);
    (x.rank() > 0).then(|| vec![generator.graph.op("Tile", &[&x.value, &repeats])])
}

fn expand(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if generator.opset < 8 || x.rank() == 0 {
        return None;
    }
    let stretched: Vec<i64> = x
        .shape()
        .iter()
        .map(|&extent| if extent == 1 { 2 } else { extent as i64 })
        .collect();
    let shape = generator.graph.ints(&stretched);
    Some(vec![generator.graph.op("Expand", &[&x.value, &shape])])
}

/// Some channels, in another order.
fn gather(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let axis = generator.random_below(x.rank().max(1));
    let extent = *x.shape().get(axis)?;
    let count = 1 + generator.random_below(extent);
    let indices: Vec<i64> = (0..count)
        .map(|_| generator.random_below(extent) as i64)
        .collect();
    let tensor = Tensor::ints(&[count], indices);
    let indices = generator.graph.constant_parameter("indices", tensor);
    Some(vec![
        generator
            .graph
            .op("Gather", &[&x.value, &indices])
            .axis(axis as i64),
    ])
}
