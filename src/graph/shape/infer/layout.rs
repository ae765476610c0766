//! Extents behind operators that move, merge, repeat or drop axes.

use super::{Dim, axes, axis, broadcast, dims, reshaped};
use crate::graph::{Graph, NodeId, ValueId};

pub(super) fn transpose(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    match graph.node(id).ints("perm").ok()? {
        Some(permutation) => permutation
            .iter()
            .map(|&from| input.get(usize::try_from(from).ok()?).copied())
            .collect(),
        None => Some(input.into_iter().rev().collect()),
    }
}

pub(super) fn reshape(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0);
    let node = graph.node(id);
    let allow_zero = node.int("allowzero", 0).ok()? != 0;
    let (target, infer_at) = match node.ints("shape").ok()? {
        Some(shape) => targets(&shape),
        None => {
            let value = node.inputs.get(1).copied().flatten()?;
            match graph.integers(value) {
                Some(shape) => targets(&shape),
                None => (computed_target(graph, value)?, None),
            }
        }
    };
    let infer_at = infer_at.or_else(|| unknown_remainder(&target));
    Some(reshaped(
        input.as_deref(),
        &target,
        allow_zero,
        infer_at,
        &mut graph.symbols,
    ))
}

/// A target computed while the model runs: what is known of it, at least its length.
fn computed_target(graph: &mut Graph<'_>, value: ValueId) -> Option<Vec<Dim>> {
    if let Some(extents) = graph.extents(value) {
        return Some(extents.to_vec());
    }
    let rank = graph.shape(value)?.extent(0).filter(|&rank| rank <= 64)?;
    Some((0..rank).map(|_| graph.symbols.fresh()).collect())
}

/// Computed targets write −1 as a number that no extent can be.
fn unknown_remainder(target: &[Dim]) -> Option<usize> {
    target.iter().position(|&dim| dim == Dim::Known(usize::MAX))
}

fn targets(shape: &[i64]) -> (Vec<Dim>, Option<usize>) {
    let dims = shape
        .iter()
        .map(|&extent| Dim::Known(usize::try_from(extent).unwrap_or(usize::MAX)));
    (
        dims.collect(),
        shape.iter().position(|&extent| extent == -1),
    )
}

pub(super) fn flatten(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    // Flatten may cut behind the last axis.
    let at = graph.node(id).int("axis", 1).ok()?;
    let at = if at == input.len() as i64 {
        input.len()
    } else {
        axis(at, input.len())?
    };
    let mut product = |dims: &[Dim]| {
        let alone: Vec<Dim> = dims
            .iter()
            .copied()
            .filter(|&dim| dim != Dim::Known(1))
            .collect();
        match &alone[..] {
            [] => Dim::Known(1),
            [dim] => *dim,
            _ => {
                let number = alone
                    .iter()
                    .map(|dim| dim.known())
                    .try_fold(1usize, |a, b| a.checked_mul(b?));
                number.map_or_else(|| graph.symbols.fresh(), Dim::Known)
            }
        }
    };
    Some(vec![product(input.get(..at)?), product(input.get(at..)?)])
}

pub(super) fn squeeze(graph: &Graph<'_>, id: NodeId, op: &str) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let axes = axes(graph, id, 1)?;
    if op == "Unsqueeze" {
        let axes = axes?;
        let rank = input.len() + axes.len();
        let axes: Vec<usize> = axes.iter().map(|&a| axis(a, rank)).collect::<Option<_>>()?;
        let mut rest = input.into_iter();
        return (0..rank)
            .map(|i| {
                if axes.contains(&i) {
                    Some(Dim::Known(1))
                } else {
                    rest.next()
                }
            })
            .collect();
    }
    let gone: Vec<usize> = match axes {
        Some(axes) => axes
            .iter()
            .map(|&a| axis(a, input.len()))
            .collect::<Option<_>>()?,
        None if input.iter().all(|dim| dim.known().is_some()) => (0..input.len())
            .filter(|&i| input[i] == Dim::Known(1))
            .collect(),
        None => return None,
    };
    Some(
        (0..input.len())
            .filter(|i| !gone.contains(i))
            .map(|i| input[i])
            .collect(),
    )
}

pub(super) fn concat(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let parts: Vec<Vec<Dim>> = (0..graph.node(id).inputs.len())
        .map(|slot| dims(graph, id, slot))
        .collect::<Option<_>>()?;
    let mut result = parts.first()?.clone();
    let axis = axis(graph.node(id).int("axis", 1).ok()?, result.len())?;
    let total = parts
        .iter()
        .map(|part| part.get(axis)?.known())
        .try_fold(0usize, |sum, extent| sum.checked_add(extent?));
    for (i, dim) in result.iter_mut().enumerate() {
        if i == axis {
            *dim = total.map_or_else(|| graph.symbols.fresh(), Dim::Known);
        } else if let Some(known) = parts.iter().find_map(|part| part.get(i)?.known()) {
            *dim = Dim::Known(known);
        }
    }
    Some(result)
}

pub(super) fn gather(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let (data, indices) = (dims(graph, id, 0)?, dims(graph, id, 1)?);
    let axis = axis(graph.node(id).int("axis", 0).ok()?, data.len())?;
    Some([data.get(..axis)?, &indices, data.get(axis + 1..)?].concat())
}

pub(super) fn expand(graph: &mut Graph<'_>, id: NodeId, op: &str) -> Option<Vec<Dim>> {
    let shape = graph.input(id, if op == "Expand" { 1 } else { 0 })?;
    let target = graph.extents(shape)?.to_vec();
    match op {
        "Expand" => {
            let input = dims(graph, id, 0)?;
            Some(broadcast(&input, &target, &mut graph.symbols))
        }
        _ => Some(target),
    }
}

/// Only the axes that these operators leave alone are followed.
pub(super) fn resized(graph: &mut Graph<'_>, id: NodeId, op: &str) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let rank = input.len();
    let mut result = Vec::with_capacity(rank);
    for (axis, dim) in input.iter().enumerate() {
        let kept = match op {
            "Pad" => crate::rules::geometry::pads(graph, id).and_then(|pads| {
                let total = pads.get(axis)?.checked_add(*pads.get(axis + rank)?)?;
                match total {
                    0 => Some(*dim),
                    _ => {
                        let extent = i64::try_from(dim.known()?).ok()?.checked_add(total)?;
                        usize::try_from(extent).ok().map(Dim::Known)
                    }
                }
            }),
            _ => crate::rules::geometry::resized(graph, id, axis),
        };
        result.push(kept.unwrap_or_else(|| graph.symbols.fresh()));
    }
    Some(result)
}

pub(super) fn depth_space(graph: &mut Graph<'_>, id: NodeId, op: &str) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let block = usize::try_from(graph.node(id).int("blocksize", 0).ok()?)
        .ok()
        .filter(|&block| block > 0)?;
    let [batch, channels, height, width] = input[..] else {
        return None;
    };
    let scaled = |dim: Dim, up: bool| match (dim, up) {
        (Dim::Known(n), true) => n.checked_mul(block).map(Dim::Known),
        (Dim::Known(n), false) => Some(Dim::Known(n / block)),
        _ => None,
    };
    let up = op == "DepthToSpace";
    let channels = scaled(channels, !up).and_then(|dim| scaled(dim, !up));
    let mut or_fresh = |dim: Option<Dim>| dim.unwrap_or_else(|| graph.symbols.fresh());
    Some(vec![
        batch,
        or_fresh(channels),
        or_fresh(scaled(height, up)),
        or_fresh(scaled(width, up)),
    ])
}

pub(super) fn reduce(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let keep = graph.node(id).int("keepdims", 1).ok()? != 0;
    let axes = crate::rules::geometry::reduced_axes(graph, id)?;
    let kept = (0..input.len()).filter_map(|i| match axes.contains(&i) {
        true => keep.then_some(Dim::Known(1)),
        false => Some(input[i]),
    });
    Some(kept.collect())
}
