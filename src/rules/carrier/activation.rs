//! Relu, LeakyRelu and PRelu: `f(s·x) = s·f(x)` for `s > 0`; a shift does not pass.

use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, refuse};

/// Relu (opset 1, 6, 13, 14), LeakyRelu (opset 1, 6, 16), PRelu (opset 1, 6, 7, 9, 16).
///
/// # Errors
/// If there is a shift, or a scale that is not positive.
pub fn positive(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    if !affine.is_linear() {
        return Err(refuse(
            graph,
            node,
            Code::ShiftBlocked,
            "a shift moves the point at which it bends",
        ));
    }
    let blocked = affine.scale().iter().filter(|&&s| s <= 0.0).count();
    if blocked > 0 {
        let detail = format!(
            "{blocked} of {} scales are not positive",
            affine.scale().len()
        );
        return Err(refuse(graph, node, Code::NegativeScale, detail));
    }
    Ok(affine.clone())
}
