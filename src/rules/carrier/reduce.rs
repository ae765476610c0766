//! Reductions over axes along which the affine does not vary.
//!
//! A mean passes both scale and shift, a sum too where its terms can be counted, a maximum or minimum where every `s ≥ 0`.

use super::axes::{with_axes, without_axes};
use super::pool::growing;
use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, fixed_along, geometry, readable, refuse, shape};

/// ReduceMean (opset 1, 11, 13, 18).
///
/// # Errors
/// If the affine varies along a reduced axis, or the axes are not known.
pub fn mean(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let unknown = || {
        refuse(
            graph,
            node,
            Code::UnknownShape,
            "the axes that it reduces are not known",
        )
    };
    let axes = geometry::reduced_axes(graph, node).ok_or_else(unknown)?;
    let keeps = readable(graph, node, graph.node(node).int("keepdims", 1))? != 0;
    let carried = match (direction, keeps) {
        (Direction::Upstream, false) => with_axes(affine, axes.clone()),
        _ => affine.clone(),
    };
    fixed_along(graph, node, &carried, |axis| axes.contains(&axis))?;
    Ok(match (direction, keeps) {
        (Direction::Downstream, false) => without_axes(&carried, axes),
        _ => carried,
    })
}

/// ReduceSum (opset 1, 11, 13): every element brings its shift.
///
/// # Errors
/// If there is a shift and it is not known how many elements are summed, or as for [`mean`].
pub fn sum(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let carried = mean(graph, node, direction, affine)?;
    if affine.is_linear() {
        return Ok(carried);
    }
    let axes = geometry::reduced_axes(graph, node).unwrap_or_default();
    let shape = shape(graph, node, graph.input(node, 0))?;
    let extents = axes.iter().map(|&axis| shape.extent(axis));
    let count: Option<usize> = extents.product();
    match (count.filter(|&count| count > 0), direction) {
        (Some(count), Direction::Downstream) => Ok(shifted(&carried, count as f64)),
        (Some(count), Direction::Upstream) => Ok(shifted(&carried, 1.0 / count as f64)),
        (None, _) => Err(refuse(
            graph,
            node,
            Code::ShiftBlocked,
            "it sums the shift of each element, and how many there are is not known",
        )),
    }
}

fn shifted(affine: &Affine, factor: f64) -> Affine {
    Affine::new(affine.scale().clone(), affine.shift() * factor)
}

/// ReduceMax and ReduceMin (opset 1, 11, 12, 13, 18, 20).
///
/// # Errors
/// If a scale is negative, or as for [`mean`].
pub fn extreme(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    growing(graph, node, affine)?;
    mean(graph, node, direction, affine)
}
