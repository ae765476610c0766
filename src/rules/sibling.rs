//! Siblings: a convolution of the same `x` elsewhere in a sum.
//!
//! A per-channel multiple of `x` is a depthwise 1×1 convolution, so in a sum it may join a convolution of `x` as
//! `W[m, c(m), centre] += s[m]`, where the centre tap reads the same element.
//! This is what RepVGG, MobileOne, FastViT and RepGhost leave behind.

use super::carrier::sum::sign;
use super::linear::conv;
use crate::graph::{Graph, NodeId, ValueId};

/// Operands of sums within sums that are looked at for one sibling.
const MOST_OPERANDS: usize = 256;

/// A convolution in a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sibling {
    /// The convolution.
    pub(crate) conv: NodeId,
    /// How its output counts in the sum it was found from.
    pub(crate) sign: f64,
    /// Its channels, in and out.
    pub(crate) channels: usize,
}

/// A convolution of the operand in `slot` among the other operands of a sum.
pub(crate) fn of_operand(graph: &Graph<'_>, sum: NodeId, slot: usize) -> Option<Sibling> {
    // A difference that loses its first operand would need a negation.
    if is_minuend(graph, sum, slot) {
        return None;
    }
    let x = graph.input(sum, slot)?;
    beside(graph, sum, slot, &|conv| tapped(graph, conv, x))
}

/// Whether an operand is what another is taken away from.
pub(crate) fn is_minuend(graph: &Graph<'_>, sum: NodeId, slot: usize) -> bool {
    slot == 0 && &*graph.node(sum).op == "Sub"
}

/// The channels of a convolution of `x` that has a centre tap for each of them.
pub(crate) fn tapped(graph: &Graph<'_>, conv: NodeId, x: ValueId) -> Option<usize> {
    if graph.input(conv, 0) != Some(x) {
        return None;
    }
    let channels = conv::layout(graph, conv).ok()?.dims[..2].iter().product();
    conv::has_centre_tap(graph, conv, channels).then_some(channels)
}

/// A convolution among the operands of a sum other than the one in `slot`, if it is accepted.
fn beside(
    graph: &Graph<'_>,
    sum: NodeId,
    slot: usize,
    accept: &dyn Fn(NodeId) -> Option<usize>,
) -> Option<Sibling> {
    let mut open: Vec<(NodeId, usize, f64)> = operands(graph, sum, 1.0)
        .filter(|&(_, at, _)| at != slot)
        .collect();
    open.reverse();
    for _ in 0..MOST_OPERANDS {
        let (node, slot, sign) = open.pop()?;
        let Some((producer, 0)) = graph
            .input(node, slot)
            .and_then(|value| private(graph, value))
        else {
            continue;
        };
        match &*graph.node(producer).op {
            "Conv" => {
                if let Some(channels) = accept(producer) {
                    return Some(Sibling {
                        conv: producer,
                        sign,
                        channels,
                    });
                }
            }
            "Add" | "Sub" | "Sum" => open.extend(operands(graph, producer, sign)),
            _ => {}
        }
    }
    None
}

/// A branch of a tree of sums, and a convolution in another.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    /// The sum that the branch ends in.
    pub(crate) sum: NodeId,
    /// The operand that the branch is there.
    pub(crate) operand: usize,
    /// The convolution; its sign is relative to the branch.
    pub(crate) sibling: Sibling,
    /// Values between the convolution and the branch's meeting point.
    pub(crate) between: Vec<ValueId>,
    /// Where both meet.
    pub(crate) end: Option<ValueId>,
}

/// Climbs from a value through the sums that alone read it, to a convolution that is accepted.
pub(crate) fn climb(
    graph: &Graph<'_>,
    value: ValueId,
    accept: &dyn Fn(NodeId) -> Option<usize>,
) -> Option<Branch> {
    let (sum, operand) = only_sum(graph, value)?;
    if is_minuend(graph, sum, operand) {
        return None;
    }
    let (mut at, mut from, mut factor) = (sum, operand, sign(graph, sum, operand));
    let mut between = Vec::new();
    loop {
        if let Some(mut sibling) = beside(graph, at, from, accept) {
            sibling.sign *= factor;
            let end = graph.output(at, 0);
            between.extend(graph.output(sibling.conv, 0));
            between.retain(|value| end != Some(*value));
            return Some(Branch {
                sum,
                operand,
                sibling,
                between,
                end,
            });
        }
        let value = graph.output(at, 0)?;
        (at, from) = only_sum(graph, value)?;
        factor *= sign(graph, at, from);
        between.push(value);
    }
}

/// The sum that alone reads a value.
fn only_sum(graph: &Graph<'_>, value: ValueId) -> Option<(NodeId, usize)> {
    let at = graph.value(value);
    let (Some(&(reader, slot)), 1) = (at.consumers.first(), at.consumers.len()) else {
        return None;
    };
    let is_sum = matches!(&*graph.node(reader).op, "Add" | "Sub" | "Sum")
        && graph.node(reader).scope == at.scope;
    (is_sum && !at.is_output && !at.is_reserved).then_some((reader, slot))
}

fn operands<'g>(
    graph: &'g Graph<'_>,
    sum: NodeId,
    outer: f64,
) -> impl Iterator<Item = (NodeId, usize, f64)> + 'g {
    let slots = 0..graph.node(sum).inputs.len();
    slots.map(move |slot| (sum, slot, outer * sign(graph, sum, slot)))
}

/// The producer of a value that one node reads and nothing else names.
fn private(graph: &Graph<'_>, value: ValueId) -> Option<(NodeId, usize)> {
    let at = graph.value(value);
    let producer = graph.producer(value)?;
    let same_scope = at
        .consumers
        .first()
        .is_some_and(|&(node, _)| graph.node(node).scope == at.scope);
    (at.consumers.len() == 1 && !at.is_output && !at.is_reserved && same_scope).then_some(producer)
}
