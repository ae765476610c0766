//! Cast and CastLike between float types: the affine passes, and values are rounded on its other side than before.
//!
//! That is no equality in the types that the file states, so it takes `--allow-precision-change`.

use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::onnx::elements::is_float;
use crate::rules::{Code, Direction, Refusal, refuse};

/// Cast or CastLike.
///
/// # Errors
/// If one of the types is not known to be a float type, or if they differ and the rounding may not move.
pub fn cast(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let type_of = |value| graph.value(value).data_type;
    let input = graph.input(node, 0).map(type_of);
    let output = graph.output(node, 0).map(type_of);
    let (Some(from), Some(to)) = (input, output) else {
        return Err(refuse(graph, node, Code::Nonlinear, "it lacks a value"));
    };
    if !is_float(from) || !is_float(to) {
        let detail = "it is not known to lead from floats to floats";
        return Err(refuse(graph, node, Code::Nonlinear, detail));
    }
    match from == to || graph.allows_precision_change {
        true => Ok(affine.clone()),
        false => Err(refuse(
            graph,
            node,
            Code::Precision,
            "values would be rounded on its other side; --allow-precision-change permits that",
        )),
    }
}
