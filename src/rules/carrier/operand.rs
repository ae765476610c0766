//! Operands of multidirectional broadcasting: arrays are aligned at the last axis (ONNX Add-7 and later).

use ndarray::{ArrayD, Axis};

use crate::affine::Affine;
use crate::graph::{Effect, Graph, NodeId, ValueId};
use crate::rules::{Code, Refusal, readable, refuse, shape};

/// The operands of an arithmetic node, constants apart from what is computed while the model runs.
#[derive(Debug)]
pub(crate) struct Operands {
    pub(crate) constants: Vec<usize>,
    pub(crate) variables: Vec<usize>,
}

/// Sorts the operands of a node.
///
/// # Errors
/// If the node broadcasts by the `broadcast` and `axis` attributes of opsets below 7.
pub(crate) fn operands(graph: &Graph<'_>, node: NodeId) -> Result<Operands, Refusal> {
    if graph.opset(node) < 7 && readable(graph, node, graph.node(node).int("broadcast", 0))? != 0 {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "it broadcasts by attribute, as operators below opset 7 do",
        ));
    }
    let slots =
        (0..graph.node(node).inputs.len()).filter(|&slot| graph.input(node, slot).is_some());
    let (constants, variables) = slots.partition(|&slot| {
        graph
            .input(node, slot)
            .is_some_and(|value| graph.is_constant(value))
    });
    Ok(Operands {
        constants,
        variables,
    })
}

/// The value in a slot.
///
/// # Errors
/// If there is none.
pub(crate) fn operand(graph: &Graph<'_>, node: NodeId, slot: usize) -> Result<ValueId, Refusal> {
    let lacking = || refuse(graph, node, Code::VariableWeight, "it lacks an operand");
    graph.input(node, slot).ok_or_else(lacking)
}

/// New elements for a constant operand, with no more axes than it needs.
pub(crate) fn replaced(
    graph: &Graph<'_>,
    node: NodeId,
    slot: usize,
    elements: &ArrayD<f64>,
) -> Effect {
    let old = graph.input(node, slot).and_then(|value| graph.shape(value));
    let elements = trimmed(elements, old.map_or(0, |shape| shape.rank()));
    Effect::SetConstant {
        node,
        slot,
        elements,
    }
}

/// What a slot brings over a result of this rank: the identity where it is given nothing.
pub(crate) fn brought(given: &[(usize, Affine)], slot: usize, rank: usize) -> Affine {
    let found = given.iter().find(|(at, _)| *at == slot);
    found.map_or_else(|| Affine::identity(rank), |(_, affine)| over(affine, rank))
}

/// Leading axes of extent 1 until the array has this rank.
pub(crate) fn widened(array: &ArrayD<f64>, rank: usize) -> ArrayD<f64> {
    let missing = rank.saturating_sub(array.ndim());
    (0..missing).fold(array.clone(), |array, _| array.insert_axis(Axis(0)))
}

/// No more leading axes of extent 1 than this rank needs.
pub(crate) fn trimmed(array: &ArrayD<f64>, rank: usize) -> ArrayD<f64> {
    let mut array = array.clone();
    while array.ndim() > rank.max(1) && array.shape()[0] == 1 {
        array = array.index_axis_move(Axis(0), 0);
    }
    array
}

/// An affine over the result, as one over an operand that is not itself broadcast where the affine varies.
pub(crate) fn onto(
    graph: &Graph<'_>,
    node: NodeId,
    operand: ValueId,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let own = shape(graph, node, Some(operand))?;
    let ahead = affine.rank().checked_sub(own.rank());
    let Some(ahead) = ahead else {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "the rank of its output is in doubt",
        ));
    };
    for axis in affine.varying_axes() {
        let extent = axis.checked_sub(ahead).map(|axis| own.0[axis].known());
        match extent {
            Some(Some(extent)) if extent == affine.extent(axis) => {}
            Some(None) => {
                return Err(refuse(
                    graph,
                    node,
                    Code::UnknownShape,
                    format!("an operand's extent along axis {axis} is not known"),
                ));
            }
            _ => {
                return Err(refuse(
                    graph,
                    node,
                    Code::AxesMixed,
                    format!(
                        "an operand is broadcast along axis {axis}, on which the affine varies"
                    ),
                ));
            }
        }
    }
    Ok(affine.map(|array| trimmed_to(array, own.rank())))
}

fn trimmed_to(array: &ArrayD<f64>, rank: usize) -> ArrayD<f64> {
    let mut array = array.clone();
    while array.ndim() > rank {
        array = array.index_axis_move(Axis(0), 0);
    }
    array
}

/// An affine over an operand, as one over a result of higher rank.
pub(crate) fn over(affine: &Affine, rank: usize) -> Affine {
    affine.map(|array| widened(array, rank))
}

/// A constant operand over the result's rank, if it does not make the result larger than the variable operand.
pub(crate) fn constant_over(
    graph: &Graph<'_>,
    node: NodeId,
    slot: usize,
    variable: ValueId,
) -> Result<ArrayD<f64>, Refusal> {
    let own = shape(graph, node, Some(variable))?;
    let value = operand(graph, node, slot)?;
    let array = crate::rules::constant(graph, node, value, graph.floats(value))?;
    if array.ndim() > own.rank() {
        return Err(refuse(
            graph,
            node,
            Code::AxesMixed,
            "its constant has more axes than the value",
        ));
    }
    let array = widened(&array, own.rank());
    for (axis, &extent) in array.shape().iter().enumerate() {
        match own.0[axis].known() {
            _ if extent == 1 => {}
            Some(known) if known == extent => {}
            Some(_) => {
                return Err(refuse(
                    graph,
                    node,
                    Code::AxesMixed,
                    format!("its constant widens axis {axis}"),
                ));
            }
            None => {
                return Err(refuse(
                    graph,
                    node,
                    Code::UnknownShape,
                    format!("the extent along axis {axis} is not known"),
                ));
            }
        }
    }
    Ok(array)
}
