//! Reductions over axes along which the affine does not vary.
//!
//! A mean passes both scale and shift, a sum the scale alone, a maximum or minimum where every `s ≥ 0`.

use super::axes::{with_axes, without_axes};
use super::pool::growing;
use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, fixed_along, geometry, readable, refuse};

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

/// ReduceSum (opset 1, 11, 13).
///
/// # Errors
/// If there is a shift, which would be counted once per element, or as for [`mean`].
pub fn sum(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    match affine.is_linear() {
        true => mean(graph, node, direction, affine),
        false => Err(refuse(
            graph,
            node,
            Code::ShiftBlocked,
            "a sum counts the shift once per element",
        )),
    }
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
