//! Upstream: the value in front of the seed is to come out as the affine of what it was.
//!
//! A demand says which affine an input slot of a node must see. Whoever produces the value either takes the affine, or
//! passes demands on to its own inputs; where it can do so in several ways, they are tried in turn.
//! Everything that reads a rewritten value must be part of the fold, or read none of what changes in it.

mod outside;

use std::collections::{BTreeMap, BTreeSet};

use super::checks::{finite, fits, rewritable};
use super::{BUDGET, Found};
use crate::affine::Affine;
use crate::graph::{Effect, Graph, Keep, NodeId, ValueId};
use crate::rules::{self, Code, Refusal, Step, refuse};

/// Folds a seed into what comes before it.
///
/// # Errors
/// The first reason that was met on the best way.
pub(super) fn search(
    graph: &Graph<'_>,
    seed: NodeId,
    slot: usize,
    affine: &Affine,
    readers: Readers,
) -> Result<Found, Refusal> {
    let Some(output) = graph.output(seed, 0) else {
        return Err(refuse(graph, seed, Code::Nonlinear, "it has no output"));
    };
    let on_constant = graph
        .input(seed, slot)
        .is_some_and(|input| graph.is_constant(input));
    if on_constant {
        rewritable(graph, seed, output)?;
    }
    let keep = if on_constant {
        Keep::Input
    } else {
        Keep::Output
    };
    let demand = Demand {
        node: seed,
        slot,
        affine: affine.clone(),
    };
    let mut found = demanded(graph, demand, readers)?;
    found.effects.push(Effect::Remove {
        node: seed,
        slot,
        keep,
    });
    found.ends.push(output);
    Ok(found)
}

/// What becomes of readers outside the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// There must be none.
    Refused,
    /// They absorb the inverse affine (Yvinec, Dapogny and Bailly, IJCAI 2022).
    Compensated,
}

/// What it takes that an input slot of a node sees an affine of what it saw.
pub(super) fn demanded(
    graph: &Graph<'_>,
    demand: Demand,
    readers: Readers,
) -> Result<Found, Refusal> {
    finite(graph, demand.node, &demand.affine)?;
    let mut search = Search {
        graph,
        seed: demand.node,
        readers,
        budget: BUDGET,
        hopeless: BTreeMap::new(),
        failed: BTreeMap::new(),
        contradictions: 0,
    };
    loop {
        let region = search.meet_all(Region::default(), demand.clone(), 0)?;
        match search.closed(region) {
            Ok(found) => return Ok(found),
            Err(outside) => {
                search.hopeless.extend(outside);
                search.failed.clear();
            }
        }
    }
}

/// An affine that an input slot must see.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) node: NodeId,
    pub(super) slot: usize,
    pub(super) affine: Affine,
}

#[derive(Clone, Debug, Default)]
struct Region {
    effects: Vec<Effect>,
    assigned: BTreeMap<ValueId, Affine>,
    edges: BTreeSet<(NodeId, usize)>,
    nodes: BTreeSet<NodeId>,
}

struct Search<'g, 'm> {
    graph: &'g Graph<'m>,
    seed: NodeId,
    readers: Readers,
    budget: usize,
    /// Values that something outside every fold of this seed reads.
    hopeless: BTreeMap<ValueId, Refusal>,
    /// Values that could not be rewritten, with or without a shift, whatever else is.
    failed: BTreeMap<(ValueId, bool), Refusal>,
    /// How many demands have contradicted others so far.
    contradictions: usize,
}

/// Sums within sums deeper than this are not searched.
const DEPTH: usize = 256;

impl Search<'_, '_> {
    fn meet_all(
        &mut self,
        region: Region,
        demand: Demand,
        depth: usize,
    ) -> Result<Region, Refusal> {
        let key = self
            .graph
            .input(demand.node, demand.slot)
            .map(|value| (value, demand.affine.is_linear()));
        if let Some(refusal) = key.and_then(|key| self.failed.get(&key)) {
            return Err(refusal.clone());
        }
        let contradictions = self.contradictions;
        let result = self.follow(region, demand, depth);
        if let (Some(key), Err(refusal)) = (key, &result)
            && self.contradictions == contradictions
        {
            self.failed.insert(key, refusal.clone());
        }
        result
    }

    /// Follows a demand as long as there is one way and one value; branches are searched in turn.
    fn follow(
        &mut self,
        mut region: Region,
        mut demand: Demand,
        depth: usize,
    ) -> Result<Region, Refusal> {
        loop {
            let Some((producer, mut steps)) = self.meet(&mut region, &demand)? else {
                return Ok(region);
            };
            region.nodes.insert(producer);
            if steps.len() > 1 || steps.iter().any(|step| step.next.len() > 1) {
                return self.branch(&region, producer, steps, depth);
            }
            let Some(step) = steps.pop() else {
                return Err(refuse(
                    self.graph,
                    producer,
                    Code::Nonlinear,
                    "it lets no affine pass",
                ));
            };
            region.effects.extend(step.effects);
            let Some((slot, affine)) = step.next.into_iter().next() else {
                return Ok(region);
            };
            demand = Demand {
                node: producer,
                slot,
                affine,
            };
        }
    }

    fn branch(
        &mut self,
        region: &Region,
        producer: NodeId,
        steps: Vec<Step>,
        depth: usize,
    ) -> Result<Region, Refusal> {
        if depth > DEPTH {
            return Err(refuse(
                self.graph,
                producer,
                Code::Budget,
                "sums stand too deep in one another",
            ));
        }
        let mut reason = None;
        for step in steps {
            match self.take(region.clone(), producer, step, depth) {
                Ok(region) => return Ok(region),
                Err(refusal) => reason = reason.or(Some(refusal)),
            }
        }
        Err(reason.unwrap_or_else(|| {
            refuse(
                self.graph,
                producer,
                Code::Nonlinear,
                "it lets no affine pass",
            )
        }))
    }

    fn take(
        &mut self,
        mut region: Region,
        producer: NodeId,
        step: Step,
        depth: usize,
    ) -> Result<Region, Refusal> {
        region.effects.extend(step.effects);
        for (slot, affine) in step.next {
            let demand = Demand {
                node: producer,
                slot,
                affine,
            };
            region = self.meet_all(region, demand, depth + 1)?;
        }
        Ok(region)
    }

    /// Notes a demand; if its value is produced by a node, returns the ways in which that node could meet it.
    fn meet(
        &mut self,
        region: &mut Region,
        demand: &Demand,
    ) -> Result<Option<(NodeId, Vec<Step>)>, Refusal> {
        let Demand { node, slot, affine } = demand;
        let graph = self.graph;
        self.budget = self.budget.saturating_sub(1);
        if self.budget == 0 {
            return Err(refuse(graph, *node, Code::Budget, "too many branches"));
        }
        if affine.is_identity() {
            return Ok(None);
        }
        let Some(value) = graph.input(*node, *slot) else {
            return Err(refuse(
                graph,
                *node,
                Code::VariableWeight,
                "an operand is missing",
            ));
        };
        fits(graph, *node, value, affine)?;
        if graph.is_constant(value) {
            let old = rules::constant(graph, *node, value, graph.floats(value))?;
            let elements = affine
                .map(|array| rules::carrier::operand::widened(array, old.ndim()))
                .apply(&old);
            region.effects.push(Effect::SetConstant {
                node: *node,
                slot: *slot,
                elements,
            });
            return Ok(None);
        }
        region.edges.insert((*node, *slot));
        let name = || &graph.value(value).name;
        if let Some(known) = region.assigned.get(&value) {
            if known == affine {
                return Ok(None);
            }
            self.contradictions += 1;
            let detail = format!("{} is needed with two affines", name());
            return Err(refuse(graph, *node, Code::OtherReader, detail));
        }
        self.rewritable(*node, value)?;
        let Some((producer, output)) = graph.producer(value) else {
            return Err(refuse(
                graph,
                *node,
                Code::GraphInput,
                format!("{} is an input of the graph", name()),
            ));
        };
        let steps = rules::upstream(graph, producer, output, affine)?;
        region.assigned.insert(value, affine.clone());
        Ok(Some((producer, steps)))
    }

    /// Refuses a value that a reader outside any fold of this seed would see changed.
    fn rewritable(&self, node: NodeId, value: ValueId) -> Result<(), Refusal> {
        let graph = self.graph;
        rewritable(graph, node, value)?;
        if graph.value(value).scope != graph.node(node).scope {
            let detail = format!("{} belongs to an outer graph", graph.value(value).name);
            return Err(refuse(graph, node, Code::Captured, detail));
        }
        if let Some(refusal) = self.hopeless.get(&value) {
            return Err(refusal.clone());
        }
        if self.readers == Readers::Compensated {
            return Ok(());
        }
        let mut readers = graph.readers(value);
        let outside =
            readers.find(|&(reader, _)| reader != self.seed && !rules::passes(graph, reader));
        match outside {
            Some((reader, _)) => Err(self.also_read(reader, value)),
            None => Ok(()),
        }
    }

    fn also_read(&self, reader: NodeId, value: ValueId) -> Refusal {
        let name = &self.graph.value(value).name;
        refuse(
            self.graph,
            reader,
            Code::OtherReader,
            format!("it also reads {name}"),
        )
    }

    /// The fold, if nothing outside it reads what it rewrites, or what reads it can make up for it; else the values
    /// that cannot be rewritten.
    fn closed(&self, region: Region) -> Result<Found, Vec<(ValueId, Refusal)>> {
        let mut found = Found {
            effects: region.effects.clone(),
            ends: Vec::new(),
            changed: region.assigned.keys().copied().collect(),
            nodes: region.nodes.iter().copied().collect(),
        };
        let mut refused = Vec::new();
        for (&value, affine) in &region.assigned {
            let readers = self.graph.readers(value);
            let outside: Vec<(NodeId, usize)> = readers
                .filter(|edge| !region.edges.contains(edge))
                .filter(|&edge| !self.is_blind(edge, affine))
                .collect();
            let Some(&(reader, _)) = outside.first() else {
                continue;
            };
            let compensated = match self.readers {
                Readers::Refused => Err(self.also_read(reader, value)),
                Readers::Compensated => self.compensated(&region, value, &outside, affine),
            };
            match compensated {
                Ok(other) => {
                    found.effects.extend(other.effects);
                    found.ends.extend(other.ends);
                    found.changed.extend(other.changed);
                    found.nodes.extend(other.nodes);
                }
                Err(refusal) => refused.push((value, refusal)),
            }
        }
        if refused.is_empty() {
            Ok(found)
        } else {
            Err(refused)
        }
    }
}
