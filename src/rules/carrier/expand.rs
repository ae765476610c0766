//! Expand (opset 8, 13) and Tile (opset 6, 13): an affine passes that is the same for all copies.

use super::operand::{onto, over};
use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, fixed_along, refuse, shape};

/// Expand.
///
/// # Errors
/// If the affine varies along an axis that is stretched.
pub fn expand(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    match (direction, graph.input(node, 0)) {
        (Direction::Upstream, Some(input)) => onto(graph, node, input, affine),
        _ => Ok(over(
            affine,
            shape(graph, node, graph.output(node, 0))?.rank(),
        )),
    }
}

/// Tile.
///
/// # Errors
/// If the affine varies along an axis that is repeated, or may be.
pub fn tile(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let repeats = graph.input(node, 1).and_then(|value| graph.integers(value));
    let Some(repeats) = repeats.filter(|repeats| repeats.len() == affine.rank()) else {
        let detail = "how often it repeats is not known";
        return Err(refuse(graph, node, Code::UnknownShape, detail));
    };
    fixed_along(graph, node, affine, |axis| repeats[axis] != 1)?;
    Ok(affine.clone())
}
