//! Pad (opset 1, 2, 11, 13, 18, 19): `reflect`, `edge` and `wrap` repeat elements, so an affine always passes along axes
//! that are not padded; the constant 0 passes a scale.

use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, fixed_along, geometry, readable, refuse};

/// Pad.
///
/// # Errors
/// If the affine varies along a padded axis, or shifts what is padded with a constant.
pub fn pad(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let unknown = || refuse(graph, node, Code::UnknownShape, "its pads are not known");
    let pads = geometry::pads(graph, node).ok_or_else(unknown)?;
    let rank = pads.len() / 2;
    let is_padded = |axis: usize| pads[axis] != 0 || pads[axis + rank] != 0;
    fixed_along(graph, node, affine, is_padded)?;
    let mode = readable(graph, node, graph.node(node).string("mode", "constant"))?;
    // Negative pads cut elements off and bring none in.
    if mode != "constant" || pads.iter().all(|&pad| pad <= 0) {
        return Ok(affine.clone());
    }
    let zero = match graph.input(node, 2) {
        Some(value) => {
            let is_zero = |elements: &ndarray::ArrayD<f64>| elements.iter().all(|&x| x == 0.0);
            graph.floats(value).is_ok_and(|elements| is_zero(&elements))
        }
        None => readable(graph, node, graph.node(node).float("value", 0.0))? == 0.0,
    };
    match zero && affine.is_linear() {
        true => Ok(affine.clone()),
        false => Err(refuse(
            graph,
            node,
            Code::ZeroPadding,
            "it pads with a constant",
        )),
    }
}
