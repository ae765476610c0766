//! Sideways: `Add(Conv(x), BN(x))`, where the BN joins the convolution's centre tap and its branch goes.
//!
//! The convolution may stand anywhere in the same tree of sums, as long as nothing else reads what lies between.

use super::{Found, finite};
use crate::affine::Affine;
use crate::graph::edit::channels;
use crate::graph::{Effect, Graph, Keep, NodeId, ValueId};
use crate::rules::carrier::sum::sign;
use crate::rules::sibling::{self, Sibling};
use crate::rules::{Code, Refusal, fixed_along, refuse};

/// Folds a seed into a convolution of the same input.
///
/// # Errors
/// If there is none.
pub(super) fn search(
    graph: &Graph<'_>,
    seed: NodeId,
    slot: usize,
    affine: &Affine,
) -> Result<Found, Refusal> {
    let none = || {
        refuse(
            graph,
            seed,
            Code::NoSibling,
            "no convolution of its input is summed with it",
        )
    };
    finite(graph, seed, affine)?;
    let (Some(x), Some(output)) = (graph.input(seed, slot), graph.output(seed, 0)) else {
        return Err(none());
    };
    let (sum, operand) = only_sum(graph, output).ok_or_else(none)?;
    if sign(graph, sum, operand) > 0.0 && operand == 0 && &*graph.node(sum).op == "Sub" {
        return Err(refuse(
            graph,
            sum,
            Code::NoSibling,
            "what is taken away from it would need a negation",
        ));
    }
    fixed_along(graph, seed, affine, |axis| axis != 1)?;
    let (mut at, mut from, mut factor) = (sum, operand, sign(graph, sum, operand));
    let mut between = Vec::new();
    loop {
        if let Some(Sibling {
            conv,
            sign: of_conv,
            channels: count,
        }) = sibling::beside(graph, at, from, x)
        {
            let factor = factor * of_conv;
            let scale = channels(affine.scale(), count)
                .iter()
                .map(|s| s * factor)
                .collect();
            let shift = Affine::shifting(affine.shift() * factor);
            between.extend(graph.output(conv, 0));
            between.retain(|value| graph.output(at, 0) != Some(*value));
            let effects = vec![
                Effect::Tap { node: conv, scale },
                Effect::AbsorbOutput {
                    node: conv,
                    affine: shift,
                },
                Effect::RemoveOperand {
                    node: sum,
                    slot: operand,
                },
                Effect::Remove {
                    node: seed,
                    slot,
                    keep: Keep::Input,
                },
            ];
            let ends = graph.output(at, 0).into_iter().collect();
            return Ok(Found {
                effects,
                ends,
                changed: between,
                nodes: vec![sum],
            });
        }
        let value = graph.output(at, 0).ok_or_else(none)?;
        (at, from) = only_sum(graph, value).ok_or_else(none)?;
        factor *= sign(graph, at, from);
        between.push(value);
    }
}

/// The sum that alone reads a value.
fn only_sum(graph: &Graph<'_>, value: ValueId) -> Option<(NodeId, usize)> {
    let at = graph.value(value);
    let [(reader, slot)] = at.consumers[..] else {
        return None;
    };
    let is_sum = matches!(&*graph.node(reader).op, "Add" | "Sub" | "Sum")
        && graph.node(reader).scope == at.scope;
    (is_sum && !at.is_output && !at.is_reserved).then_some((reader, slot))
}
