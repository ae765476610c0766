//! Apart: scale and shift go different ways, where neither way takes both.
//!
//! `s·x + t`: the scale upstream, as through a Relu, and the shift downstream. Or `s·(x + t/s)`: the shift upstream, as
//! through a MaxPool that a negative scale does not pass, and the scale downstream, as into a padded convolution.

use std::collections::BTreeSet;

use super::upstream::{Demand, Readers, demanded};
use super::{Found, downstream};
use crate::affine::{Affine, zip};
use crate::graph::{Effect, Graph, NodeId};

/// Folds one part of a seed's affine into what comes before it and the other into what comes after.
pub(super) fn search(
    graph: &Graph<'_>,
    seed: NodeId,
    slot: usize,
    affine: &Affine,
) -> Option<Found> {
    if affine.is_linear() || affine.is_shift() {
        return None;
    }
    let part = |up: Affine, down: Affine| {
        let (node, affine) = (seed, up);
        let demand = Demand { node, slot, affine };
        let before = demanded(graph, demand, Readers::Refused).ok()?;
        let behind = downstream::search(graph, seed, slot, &down).ok()?;
        joined(before, behind)
    };
    let scale_first = part(affine.without_shift(), affine.without_scale());
    scale_first.or_else(|| {
        let is_invertible = affine.scale().iter().all(|&s| s != 0.0);
        let first = is_invertible.then(|| zip(affine.shift(), affine.scale(), |t, s| t / s))?;
        part(Affine::shifting(first), affine.without_shift())
    })
}

/// Both, if they touch no node in common and nothing new is left behind.
fn joined(before: Found, behind: Found) -> Option<Found> {
    let touched = |found: &Found| -> BTreeSet<NodeId> {
        let effects = found.effects.iter().map(Effect::node);
        effects.chain(found.nodes.iter().copied()).collect()
    };
    let is_apart = touched(&before).is_disjoint(&touched(&behind));
    if !is_apart || before.adds() || behind.adds() {
        return None;
    }
    Some(Found {
        effects: [before.effects, behind.effects].concat(),
        ends: [before.ends, behind.ends].concat(),
        changed: [before.changed, behind.changed].concat(),
        nodes: [before.nodes, behind.nodes].concat(),
    })
}
