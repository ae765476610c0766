//! Identity, inference Dropout and Clip without bounds: the affine passes unchanged. Neg: `−(s·x + t) = s·(−x) − t`.
//!
//! Dropout up to opset 6 is inference with `is_test = 1`; in opsets 7 to 11 always; from opset 12 on unless its
//! `training_mode` input is given and not the constant false. A used mask does not depend on the values.

use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, readable, refuse};

/// Identity.
///
/// # Errors
/// Never.
pub fn identity(
    _: &Graph<'_>,
    _: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    Ok(affine.clone())
}

/// Clip without bounds.
///
/// # Errors
/// If there is a bound.
pub fn clip(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let at = graph.node(node);
    let is_bounded = [1, 2].iter().any(|&slot| graph.input(node, slot).is_some())
        || at.has("min")
        || at.has("max");
    match is_bounded {
        true => Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it bends at its bounds",
        )),
        false => Ok(affine.clone()),
    }
}

/// Neg.
///
/// # Errors
/// Never.
pub fn negative(
    _: &Graph<'_>,
    _: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    Ok(Affine::new(affine.scale().clone(), -affine.shift()))
}

/// Dropout in inference mode.
///
/// # Errors
/// If the node may be in training mode.
pub fn dropout(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let is_inference = match graph.opset(node) {
        ..7 => readable(graph, node, graph.node(node).int("is_test", 0))? != 0,
        7..12 => true,
        _ => match graph.input(node, 2) {
            None => true,
            Some(training_mode) => graph
                .integers(training_mode)
                .is_some_and(|flag| flag == [0]),
        },
    };
    match is_inference {
        true => Ok(affine.clone()),
        false => Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it drops elements in training mode",
        )),
    }
}
