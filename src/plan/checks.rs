//! What every fold must hold, whatever its rules: parameters, shapes and readers that fit.

use super::PlanError;
use crate::affine::Affine;
use crate::graph::{Constant, Graph, NodeId, ValueId};
use crate::rules::{Code, Refusal, refuse};

pub(super) fn check_parameters(graph: &Graph<'_>, node: NodeId) -> Result<(), PlanError> {
    let lengths = (1..5).map(|slot| {
        let shape = graph
            .input(node, slot)
            .and_then(|value| graph.shape(value)?.numbers());
        shape.map(|dims| dims.iter().product::<usize>())
    });
    let lengths: Vec<usize> = lengths.flatten().collect();
    let channels = graph
        .input(node, 0)
        .and_then(|value| graph.shape(value))
        .filter(|shape| shape.rank() >= 2);
    let channels = channels.and_then(|shape| shape.extent(1));
    let is_spatial = graph.node(node).int("spatial", 1) == Ok(1);
    let fits = lengths.windows(2).all(|pair| pair[0] == pair[1])
        && (!is_spatial
            || channels.is_none_or(|channels| lengths.iter().all(|&length| length == channels)));
    let stored = (1..5).filter_map(|slot| match graph.constant(graph.input(node, slot)?) {
        Ok(Constant::Stored(tensor)) if tensor.is_float() => Some(tensor),
        _ => None,
    });
    let mut read = stored.map(|tensor| graph.model.check_length(tensor));
    if let Some(error) = read.find_map(Result::err) {
        let node = graph.label(node);
        return Err(PlanError::Unreadable { node, error });
    }
    match fits {
        true => Ok(()),
        false => Err(PlanError::Parameters {
            node: graph.label(node),
            found: format!(
                "{lengths:?} for {} channels",
                channels.map_or("unknown".to_owned(), |count| count.to_string())
            ),
        }),
    }
}

/// Refuses to change what a value means where something outside the fold could see it.
pub(super) fn rewritable(graph: &Graph<'_>, node: NodeId, value: ValueId) -> Result<(), Refusal> {
    let at = graph.value(value);
    let refuse = |code, what: &str| Err(refuse(graph, node, code, format!("{} {what}", at.name)));
    if at.is_output {
        return refuse(Code::GraphOutput, "is a graph output");
    }
    if at.is_reserved {
        return refuse(
            Code::Reserved,
            "is named by a quantization annotation or training_info",
        );
    }
    if graph
        .readers(value)
        .any(|(reader, _)| graph.node(reader).scope != at.scope)
    {
        return refuse(Code::Captured, "is read by a nested graph");
    }
    Ok(())
}

/// Refuses an affine that does not fit the value it is for: a declared shape that is wrong.
pub(super) fn fits(
    graph: &Graph<'_>,
    node: NodeId,
    value: ValueId,
    affine: &Affine,
) -> Result<(), Refusal> {
    let fits = graph.shape(value).is_none_or(|shape| {
        let extent = |axis: usize| {
            shape
                .extent(axis)
                .is_none_or(|extent| [1, extent].contains(&affine.extent(axis)))
        };
        shape.rank() == affine.rank() && (0..affine.rank()).all(extent)
    });
    match fits {
        true => Ok(()),
        false => {
            let detail = format!("the shape of {} is in doubt", graph.value(value).name);
            Err(refuse(graph, node, Code::UnknownShape, detail))
        }
    }
}

/// An affine that is no number cannot be folded.
pub(super) fn finite(graph: &Graph<'_>, node: NodeId, affine: &Affine) -> Result<(), Refusal> {
    match affine.is_finite() {
        true => Ok(()),
        false => Err(refuse(
            graph,
            node,
            Code::Degenerate,
            "scale and shift are not finite",
        )),
    }
}
