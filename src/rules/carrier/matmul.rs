//! MatMul (opset 1, 9, 13) of two values: `s·(A·V) + t`.
//!
//! A scale of columns passes to the right factor and one of rows to the left. A shift of columns passes to the right
//! factor where the rows of the left one sum to one, as behind a Softmax: `A·(s·V + t) = s·(A·V) + t`.

use super::operand::{onto, operand, over};
use super::transparent::dropout;
use crate::affine::Affine;
use crate::graph::shape::axis;
use crate::graph::{Graph, NodeId, ValueId};
use crate::rules::{Carrier, Code, Direction, Refusal, Step, fixed_along, refuse, shape};

/// Products of two values in both directions.
pub const PRODUCT_OF_VALUES: Carrier = Carrier::Joint {
    upstream,
    downstream,
};

/// The rank of the product, which is that of the larger factor.
fn rank(graph: &Graph<'_>, node: NodeId) -> Result<usize, Refusal> {
    let [left, right] = [0, 1].map(|slot| shape(graph, node, graph.input(node, slot)));
    let ranks = [left?.rank(), right?.rank()];
    match ranks.iter().all(|&rank| rank >= 2) {
        true => Ok(ranks[0].max(ranks[1])),
        false => Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "one of its factors is a vector",
        )),
    }
}

fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    _: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    let rank = rank(graph, node)?;
    let into = |slot: usize| {
        // The axis that the other factor gives.
        let across = rank - 1 - slot;
        may_shift(graph, node, slot, affine)?;
        fixed_along(graph, node, affine, |axis| axis == across)?;
        let factor = operand(graph, node, slot)?;
        let next = vec![(slot, onto(graph, node, factor, affine)?)];
        let effects = Vec::new();
        Ok(Step { effects, next })
    };
    let (right, left) = (into(1), into(0));
    match (right, left) {
        (Err(refusal), Err(_)) => Err(refusal),
        (right, left) => Ok(right.into_iter().chain(left).collect()),
    }
}

fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let [(slot, affine)] = given else {
        return Err(refuse(
            graph,
            node,
            Code::VariableWeight,
            "both of its factors depend on the value",
        ));
    };
    let rank = rank(graph, node)?;
    may_shift(graph, node, *slot, affine)?;
    // The axis of a factor that is summed over.
    let summed = affine.rank() - 1 - slot;
    fixed_along(graph, node, affine, |axis| axis == summed)?;
    let next = vec![(0, over(affine, rank))];
    let effects = Vec::new();
    Ok(vec![Step { effects, next }])
}

/// Refuses a shift, but for one of the right factor where the rows of the left one sum to one.
fn may_shift(graph: &Graph<'_>, node: NodeId, slot: usize, affine: &Affine) -> Result<(), Refusal> {
    let sums_to_one = || {
        let left = graph.input(node, 0);
        slot == 1 && left.is_some_and(|left| is_distribution(graph, left))
    };
    match affine.is_linear() || sums_to_one() {
        true => Ok(()),
        false => Err(refuse(
            graph,
            node,
            Code::ShiftBlocked,
            "a product with a value sums the shift with weights that are not known to sum to one",
        )),
    }
}

/// Whether every row of a value sums to one: a Softmax over its last axis.
fn is_distribution(graph: &Graph<'_>, mut value: ValueId) -> bool {
    loop {
        let Some((node, 0)) = graph.producer(value) else {
            return false;
        };
        let (at, Some(input)) = (graph.node(node), graph.input(node, 0)) else {
            return false;
        };
        let none = Affine::identity(1);
        match &*at.op {
            "Identity" => {}
            "Dropout" if dropout(graph, node, Direction::Upstream, &none).is_ok() => {}
            "Softmax" => {
                let Some(shape) = graph.shape(input) else {
                    return false;
                };
                let default = if graph.opset(node) < 13 { 1 } else { -1 };
                let listed = at.int("axis", default);
                let place = listed.ok().and_then(|listed| axis(listed, shape.rank()));
                return place.is_some_and(|place| place + 1 == shape.rank());
            }
            _ => return false,
        }
        value = input;
    }
}
