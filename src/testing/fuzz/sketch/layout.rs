//! Operators that move elements.

use super::drawing::On;
use crate::testing::Value;

pub(super) fn pad(on: &On<'_>) -> Option<Value> {
    if !on.is_wide(3) {
        return None;
    }
    let side = |number: usize| {
        let inner = (0..on.spatial()).map(move |axis| (number >> axis & 1) as i64);
        [0, 0].into_iter().chain(inner)
    };
    let pads: Vec<i64> = side(on.a).chain(side(on.a / 8)).collect();
    let value = on.x.pad(pads);
    Some(match on.b % 3 {
        0 => value,
        1 => value.attr("mode", "reflect"),
        _ => value.attr("mode", "edge"),
    })
}

pub(super) fn transpose(on: &On<'_>) -> Option<Value> {
    let mut perm: Vec<i64> = (0..on.rank() as i64).collect();
    let (a, b) = (on.axis(on.a), on.axis(on.b));
    (on.rank() > 1).then(|| perm.swap(a, b))?;
    Some(on.x.transpose(perm))
}

/// Joins two neighbouring axes, or takes one apart.
pub(super) fn reshape(on: &On<'_>) -> Option<Value> {
    let mut shape: Vec<i64> = on.shape.iter().map(|&extent| extent as i64).collect();
    let axis = on.axis(on.a);
    let extent = *shape.get(axis)?;
    if on.b.is_multiple_of(2) && axis + 1 < shape.len() {
        shape[axis] *= shape.remove(axis + 1);
    } else if shape.len() < 5 {
        let part = [2, 3].into_iter().find(|part| extent % part == 0)?;
        shape[axis] /= part;
        shape.insert(axis + usize::from(on.b & 2 != 0), part);
    }
    Some(on.x.reshape(shape))
}
pub(super) fn split(on: &On<'_>) -> Option<Vec<Value>> {
    let axis = on.axis(on.a);
    let extent = *on.shape.get(axis)?;
    let first = 1 + on.b % extent;
    (first < extent).then(|| {
        on.x.split(axis as i64, [first as i64, (extent - first) as i64])
    })
}

pub(super) fn slice(on: &On<'_>) -> Option<Value> {
    let axis = on.axis(on.a);
    let extent = *on.shape.get(axis)?;
    (extent > 1).then(|| {
        on.x.slice(axis as i64, (on.b % extent) as i64, extent as i64)
    })
}

pub(super) fn resize(on: &On<'_>) -> Option<Value> {
    let mut scales = vec![1.0; on.rank()];
    (on.spatial() > 0).then(|| scales[2..].fill(2.0))?;
    Some(on.x.resize(scales))
}
pub(super) fn space(on: &On<'_>) -> Option<Value> {
    let [_, channels, height, width] = *on.shape else {
        return None;
    };
    if channels % 4 == 0 && on.a.is_multiple_of(2) {
        return Some(on.x.op("DepthToSpace").attr("blocksize", 2));
    }
    let is_even = height % 2 == 0 && width % 2 == 0;
    is_even.then(|| on.x.op("SpaceToDepth").attr("blocksize", 2))
}
