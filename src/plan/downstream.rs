//! Downstream: the seed goes, and whoever read its output must make up for it.
//!
//! Readers are visited in topological order, so that a node of several inputs sees all the affines that reach it.
//! Every reader must take or carry the affine; the fold ends where the values are what they were.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::checks::{finite, fits, rewritable};
use super::{BUDGET, Found};
use crate::affine::Affine;
use crate::graph::{Effect, Graph, Keep, NodeId, ValueId};
use crate::rules::{self, Code, Refusal, Step, refuse};

/// Folds a seed into what comes after it.
///
/// # Errors
/// The first reason that was met on the best way.
pub(super) fn search(
    graph: &Graph<'_>,
    seed: NodeId,
    slot: usize,
    affine: &Affine,
) -> Result<Found, Refusal> {
    let mut found = compensated(graph, seed, affine)?;
    if graph
        .input(seed, slot)
        .is_some_and(|input| graph.is_constant(input))
    {
        return Err(refuse(
            graph,
            seed,
            Code::Unevaluated,
            "it normalises a constant",
        ));
    }
    found.effects.push(Effect::Remove {
        node: seed,
        slot,
        keep: Keep::Input,
    });
    Ok(found)
}

/// What it takes that a node's readers see its output without an affine that it had.
pub(super) fn compensated(
    graph: &Graph<'_>,
    seed: NodeId,
    affine: &Affine,
) -> Result<Found, Refusal> {
    finite(graph, seed, affine)?;
    let Some(output) = graph.output(seed, 0) else {
        return Err(refuse(graph, seed, Code::Nonlinear, "it has no output"));
    };
    let search = Search {
        graph,
        budget: Cell::new(BUDGET),
    };
    let mut region = Region::default();
    search.reach(&mut region, seed, output, affine)?;
    let region = search.solve(region)?;
    Ok(Found {
        effects: region.effects,
        ends: region.ends,
        changed: region.changed,
        nodes: region.nodes,
    })
}

/// What it takes that some readers of a value see it without an affine that it had.
pub(super) fn absorbed_by(
    graph: &Graph<'_>,
    node: NodeId,
    readers: &[(NodeId, usize)],
    affine: &Affine,
) -> Result<Found, Refusal> {
    finite(graph, node, affine)?;
    let search = Search {
        graph,
        budget: Cell::new(BUDGET),
    };
    let mut region = Region::default();
    for &(reader, slot) in readers {
        let given = region.open.entry((graph.node(reader).position, reader));
        given.or_default().insert(slot, affine.clone());
    }
    let region = search.solve(region)?;
    Ok(Found {
        effects: region.effects,
        ends: region.ends,
        changed: region.changed,
        nodes: region.nodes,
    })
}

type Position = ((u32, u32), NodeId);

#[derive(Clone, Debug, Default)]
struct Region {
    open: BTreeMap<Position, BTreeMap<usize, Affine>>,
    effects: Vec<Effect>,
    ends: Vec<ValueId>,
    changed: Vec<ValueId>,
    nodes: Vec<NodeId>,
}

struct Search<'g, 'm> {
    graph: &'g Graph<'m>,
    budget: Cell<usize>,
}

impl Search<'_, '_> {
    fn solve(&self, mut region: Region) -> Result<Region, Refusal> {
        while let Some(((_, node), given)) = region.open.pop_first() {
            self.budget.set(self.budget.get().saturating_sub(1));
            if self.budget.get() == 0 {
                return Err(refuse(self.graph, node, Code::Budget, "too many branches"));
            }
            region.nodes.push(node);
            let given: Vec<(usize, Affine)> = given.into_iter().collect();
            let mut steps = rules::downstream(self.graph, node, &given)?;
            if steps.len() != 1 {
                return self.branch(&region, node, steps);
            }
            self.take(&mut region, node, steps.remove(0))?;
        }
        Ok(region)
    }

    fn branch(&self, region: &Region, node: NodeId, steps: Vec<Step>) -> Result<Region, Refusal> {
        let mut reason = None;
        for step in steps {
            let mut region = region.clone();
            match self
                .take(&mut region, node, step)
                .and_then(|()| self.solve(region))
            {
                Ok(region) => return Ok(region),
                Err(refusal) => reason = reason.or(Some(refusal)),
            }
        }
        Err(reason
            .unwrap_or_else(|| refuse(self.graph, node, Code::Nonlinear, "it lets no affine pass")))
    }

    fn take(&self, region: &mut Region, node: NodeId, step: Step) -> Result<(), Refusal> {
        region.effects.extend(step.effects);
        if step.next.is_empty() {
            region
                .ends
                .extend(self.graph.node(node).outputs.iter().flatten());
        }
        for (slot, affine) in step.next {
            let Some(output) = self.graph.output(node, slot) else {
                continue;
            };
            match affine.is_identity() {
                true => region.ends.push(output),
                false => self.reach(region, node, output, &affine)?,
            }
        }
        Ok(())
    }

    fn reach(
        &self,
        region: &mut Region,
        node: NodeId,
        value: ValueId,
        affine: &Affine,
    ) -> Result<(), Refusal> {
        finite(self.graph, node, affine)?;
        fits(self.graph, node, value, affine)?;
        rewritable(self.graph, node, value)?;
        region.changed.push(value);
        for (reader, slot) in self.graph.readers(value) {
            let position = (self.graph.node(reader).position, reader);
            if position <= (self.graph.node(node).position, node) {
                return Err(refuse(
                    self.graph,
                    reader,
                    Code::Budget,
                    "its place in the graph is in doubt",
                ));
            }
            region
                .open
                .entry(position)
                .or_default()
                .insert(slot, affine.clone());
        }
        Ok(())
    }
}
