//! Merging (`--merge-branches`): sums of convolutions of the same `x` become one convolution.
//!
//! `W₁∗x + W₂∗x = (W₁ + W₂)∗x` where both have the same groups and strides and a smaller kernel stands in the middle of
//! the larger (RepVGG's deploy form); biases add up. Folds come first, so that the kernels are summed once, in f64.

use super::Found;
use crate::graph::shape::Window;
use crate::graph::{Effect, Graph, NodeId};
use crate::rules::linear::conv;
use crate::rules::sibling::climb;
use crate::rules::{Code, Refusal, refuse};

/// Merges a convolution into another of the same input.
///
/// # Errors
/// If there is none.
pub(super) fn search(graph: &Graph<'_>, from: NodeId) -> Result<Found, Refusal> {
    let output = graph.output(from, 0);
    let accept = |into: NodeId| fits(graph, from, into).then_some(0);
    let Some(branch) = output.and_then(|output| climb(graph, output, &accept)) else {
        let detail = "no convolution of the same input and geometry is summed with it";
        return Err(refuse(graph, from, Code::NoSibling, detail));
    };
    let merge = Effect::Merge {
        into: branch.sibling.conv,
        from,
        sign: branch.sibling.sign,
    };
    let remove = Effect::RemoveOperand {
        node: branch.sum,
        slot: branch.operand,
    };
    Ok(Found {
        effects: vec![merge, remove],
        ends: branch.end.into_iter().collect(),
        changed: branch.between,
        nodes: vec![branch.sum],
    })
}

fn fits(graph: &Graph<'_>, from: NodeId, into: NodeId) -> bool {
    let geometry = |node: NodeId| {
        let layout = conv::layout(graph, node).ok()?;
        let window = Window::read(graph, node, Some(&layout.dims[3..])).ok()?;
        let pads = window.pads.clone()?;
        Some((layout.dims, window, pads))
    };
    let (Some((small, a, inner)), Some((large, b, outer))) = (geometry(from), geometry(into))
    else {
        return false;
    };
    let rank = a.kernel.len();
    let centred = |axis: usize| {
        let difference = (b.reach(axis) as i64) - (a.reach(axis) as i64);
        let even = |side: usize| 2 * (outer[side] - inner[side]) == difference;
        (a.kernel[axis] == 1 || a.dilations[axis] == b.dilations[axis])
            && b.kernel[axis] >= a.kernel[axis]
            && (b.kernel[axis] - a.kernel[axis]) % 2 == 0
            && even(axis)
            && even(axis + rank)
    };
    from != into
        && graph.input(from, 0) == graph.input(into, 0)
        && small[..3] == large[..3]
        && rank == b.kernel.len()
        && a.strides == b.strides
        && (0..rank).all(centred)
}
