//! Pools over the spatial axes: averages are linear, maxima commute with what grows.
//!
//! An average passes a scale always, a shift only where no padded zero is averaged in.
//! A maximum passes `s·x + t` where every `s ≥ 0` (its padding is −∞) and the indices output is unused.

use crate::affine::Affine;
use crate::graph::shape::Window;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, fixed_along, readable, refuse};

/// AveragePool (opset 1, 7, 10, 11, 19, 22).
///
/// # Errors
/// If the affine varies along a spatial axis, or a shift meets padded zeros.
pub fn average(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    fixed_along(graph, node, affine, |axis| axis >= 2)?;
    if !affine.is_linear()
        && readable(graph, node, graph.node(node).int("count_include_pad", 0))? != 0
    {
        let window = readable(graph, node, Window::read(graph, node, None))?;
        let spatial = graph
            .input(node, 0)
            .and_then(|input| graph.shape(input)?.0.get(2..));
        let unpadded =
            window.is_unpadded(spatial.filter(|spatial| spatial.len() == window.kernel.len()));
        // With ceil_mode a last window may reach past the input; runtimes differ in what they divide by.
        if !unpadded || readable(graph, node, graph.node(node).int("ceil_mode", 0))? != 0 {
            return Err(refuse(
                graph,
                node,
                Code::ZeroPadding,
                "it averages padded zeros in (count_include_pad)",
            ));
        }
    }
    Ok(affine.clone())
}

/// GlobalAveragePool (opset 1, 22).
///
/// # Errors
/// If the affine varies along a spatial axis.
pub fn global_average(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    fixed_along(graph, node, affine, |axis| axis >= 2)?;
    Ok(affine.clone())
}

/// MaxPool (opset 1, 8, 10, 11, 12, 22).
///
/// # Errors
/// If the affine varies along a spatial axis, a scale is negative, or the indices are in use.
pub fn max(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let indices = graph.output(node, 1).map(|indices| graph.value(indices));
    if indices.is_some_and(|indices| indices.is_output || !indices.consumers.is_empty()) {
        return Err(refuse(
            graph,
            node,
            Code::IndicesUsed,
            "its indices are in use",
        ));
    }
    global_max(graph, node, direction, affine)
}

/// GlobalMaxPool (opset 1, 22).
///
/// # Errors
/// If the affine varies along a spatial axis, or a scale is negative.
pub fn global_max(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    fixed_along(graph, node, affine, |axis| axis >= 2)?;
    growing(graph, node, affine)?;
    Ok(affine.clone())
}

/// Refuses a negative scale: `max(s·x) = s·max(x)` only for `s ≥ 0`.
pub(super) fn growing(graph: &Graph<'_>, node: NodeId, affine: &Affine) -> Result<(), Refusal> {
    let negative = affine.scale().iter().filter(|&&s| s < 0.0).count();
    match negative {
        0 => Ok(()),
        _ => {
            let all = affine.scale().len();
            Err(refuse(
                graph,
                node,
                Code::NegativeScale,
                format!("{negative} of {all} scales are negative"),
            ))
        }
    }
}
