//! Sideways: `Add(Conv(x), BN(x))`, where the BN joins the convolution's centre tap and its branch goes.
//!
//! The convolution may stand anywhere in the same tree of sums, as long as nothing else reads what lies between.

use super::Found;
use super::checks::finite;
use crate::affine::Affine;
use crate::graph::edit::channels;
use crate::graph::{Effect, Graph, Keep, NodeId};
use crate::rules::linear::conv::layout;
use crate::rules::sibling::{climb, tapped};
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
    finite(graph, seed, affine)?;
    // A weight of another rank than its input makes no valid convolution.
    let fits = |conv| layout(graph, conv).is_ok_and(|at| at.output_rank == affine.rank());
    let branch = graph
        .input(seed, slot)
        .zip(graph.output(seed, 0))
        .and_then(|(x, output)| {
            let accept = |conv| tapped(graph, conv, x).filter(|_| fits(conv));
            climb(graph, output, &accept)
        });
    let Some(branch) = branch else {
        let detail = "no convolution of its input is summed with it";
        return Err(refuse(graph, seed, Code::NoSibling, detail));
    };
    fixed_along(graph, seed, affine, |axis| axis != 1)?;
    let (node, sign) = (branch.sibling.conv, branch.sibling.sign);
    let scale = channels(affine.scale(), branch.sibling.channels);
    let effects = vec![
        Effect::Tap {
            node,
            scale: scale.iter().map(|s| s * sign).collect(),
        },
        Effect::AbsorbOutput {
            node,
            affine: Affine::shifting(affine.shift() * sign),
        },
        Effect::RemoveOperand {
            node: branch.sum,
            slot: branch.operand,
        },
        Effect::Remove {
            node: seed,
            slot,
            keep: Keep::Input,
        },
    ];
    Ok(Found {
        effects,
        ends: branch.end.into_iter().collect(),
        changed: branch.between,
        nodes: vec![branch.sum],
    })
}
