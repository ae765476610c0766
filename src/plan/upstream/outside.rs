//! Readers outside a fold: those that see nothing of it, and those that make up for it.

use super::{Region, Search};
use crate::affine::Affine;
use crate::graph::{NodeId, ValueId};
use crate::plan::{Found, downstream};
use crate::rules::{self, Refusal};

impl Search<'_, '_> {
    /// Whether a reader lets only such parts of a value pass as an affine leaves alone: a Slice or Gather of other channels.
    pub(super) fn is_blind(&self, (reader, slot): (NodeId, usize), affine: &Affine) -> bool {
        // A Concat of all features of a DenseNet reads thousands of channels: what leaves none out is not asked.
        if !matches!(&*self.graph.node(reader).op, "Slice" | "Gather") {
            return false;
        }
        let steps = rules::downstream(self.graph, reader, &[(slot, affine.clone())]);
        steps.is_ok_and(|steps| {
            steps.iter().any(|step| {
                let mut carried = step.next.iter();
                step.effects.is_empty() && carried.all(|(_, affine)| affine.is_identity())
            })
        })
    }

    /// Readers outside the fold absorb the inverse; they must not be what brought the affine about.
    pub(super) fn compensated(
        &self,
        region: &Region,
        value: ValueId,
        outside: &[(NodeId, usize)],
        affine: &Affine,
    ) -> Result<Found, Refusal> {
        let refused = || self.also_read(outside[0].0, value);
        let inverse = affine.inverse().filter(|_| well_conditioned(affine));
        let inverse = inverse.ok_or_else(refused)?;
        let other = downstream::absorbed_by(self.graph, self.seed, outside, &inverse)?;
        match other.nodes.iter().find(|node| region.nodes.contains(node)) {
            Some(&both) => Err(self.also_read(both, value)),
            None => Ok(other),
        }
    }
}

/// A scale near zero would blow up what its inverse is multiplied with.
fn well_conditioned(affine: &Affine) -> bool {
    let magnitudes = affine.scale().iter().map(|s| s.abs());
    let smallest = magnitudes.clone().fold(f64::INFINITY, f64::min);
    let largest = magnitudes.fold(0.0, f64::max);
    smallest >= 1e-3 * largest.max(1.0)
}
