//! Siblings: a convolution of the same `x` elsewhere in a sum.
//!
//! A per-channel multiple of `x` is a depthwise 1×1 convolution, so in a sum it may join a convolution of `x` as
//! `W[m, c(m), centre] += s[m]`, where the centre tap reads the same element.
//! This is what RepVGG, MobileOne, FastViT and RepGhost leave behind.

use super::carrier::sum::sign;
use super::linear::conv;
use crate::graph::{Graph, NodeId, ValueId};

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
    if slot == 0 && &*graph.node(sum).op == "Sub" {
        return None;
    }
    let x = graph.input(sum, slot)?;
    beside(graph, sum, slot, x)
}

/// A convolution of `x` among the operands of a sum other than the one in `slot`.
pub(crate) fn beside(graph: &Graph<'_>, sum: NodeId, slot: usize, x: ValueId) -> Option<Sibling> {
    let mut open: Vec<(NodeId, usize, f64)> = operands(graph, sum, 1.0)
        .filter(|&(_, at, _)| at != slot)
        .collect();
    open.reverse();
    while let Some((node, slot, sign)) = open.pop() {
        let Some((producer, 0)) = graph
            .input(node, slot)
            .and_then(|value| private(graph, value))
        else {
            continue;
        };
        match &*graph.node(producer).op {
            "Conv" if graph.input(producer, 0) == Some(x) => {
                let channels = conv::layout(graph, producer).ok()?.dims[..2]
                    .iter()
                    .product();
                if conv::has_centre_tap(graph, producer, channels) {
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
