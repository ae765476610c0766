//! Upstream: the value in front of the seed is to come out as the affine of what it was.
//!
//! A demand says which affine an input slot of a node must see. Whoever produces the value either takes the affine, or
//! passes demands on to its own inputs; where it can do so in several ways, they are tried in turn.
//! Everything that reads a rewritten value must be part of the fold.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::{BUDGET, Found, finite, rewritable};
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
    let mut found = demanded(graph, demand)?;
    found.effects.push(Effect::Remove {
        node: seed,
        slot,
        keep,
    });
    found.ends.push(output);
    Ok(found)
}

/// What it takes that an input slot of a node sees an affine of what it saw.
pub(super) fn demanded(graph: &Graph<'_>, demand: Demand) -> Result<Found, Refusal> {
    finite(graph, demand.node, &demand.affine)?;
    let search = Search {
        graph,
        budget: Cell::new(BUDGET),
    };
    let region = search.solve(Region::default(), vec![demand])?;
    Ok(Found {
        effects: region.effects,
        ends: Vec::new(),
        changed: region.assigned.into_keys().collect(),
        nodes: region.nodes.into_iter().collect(),
    })
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
    budget: Cell<usize>,
}

impl Search<'_, '_> {
    fn solve(&self, mut region: Region, mut open: Vec<Demand>) -> Result<Region, Refusal> {
        while let Some(demand) = open.pop() {
            let Some((producer, steps)) = self.meet(&mut region, &demand)? else {
                continue;
            };
            let Ok([step]) = <[Step; 1]>::try_from(steps.clone()) else {
                return self.branch(&region, &open, producer, steps);
            };
            take(&mut region, &mut open, producer, step);
        }
        self.closed(&region)?;
        Ok(region)
    }

    fn branch(
        &self,
        region: &Region,
        open: &[Demand],
        producer: NodeId,
        steps: Vec<Step>,
    ) -> Result<Region, Refusal> {
        let mut reason = None;
        for step in steps {
            let (mut region, mut open) = (region.clone(), open.to_vec());
            take(&mut region, &mut open, producer, step);
            match self.solve(region, open) {
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

    /// Notes a demand; if its value is produced by a node, returns the ways in which that node could meet it.
    fn meet(
        &self,
        region: &mut Region,
        demand: &Demand,
    ) -> Result<Option<(NodeId, Vec<Step>)>, Refusal> {
        let Demand { node, slot, affine } = demand;
        let graph = self.graph;
        self.budget.set(self.budget.get().saturating_sub(1));
        if self.budget.get() == 0 {
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
        if let Some(known) = region.assigned.get(&value) {
            return match known == affine {
                true => Ok(None),
                false => Err(refuse(
                    graph,
                    *node,
                    Code::OtherReader,
                    format!("{} is needed with two scales", graph.value(value).name),
                )),
            };
        }
        rewritable(graph, *node, value)?;
        if graph.value(value).scope != graph.node(*node).scope {
            return Err(refuse(
                graph,
                *node,
                Code::Captured,
                format!("{} belongs to an outer graph", graph.value(value).name),
            ));
        }
        let Some((producer, output)) = graph.producer(value) else {
            return Err(refuse(
                graph,
                *node,
                Code::GraphInput,
                format!("{} is an input of the graph", graph.value(value).name),
            ));
        };
        let steps = rules::upstream(graph, producer, output, affine)?;
        region.assigned.insert(value, affine.clone());
        Ok(Some((producer, steps)))
    }

    fn closed(&self, region: &Region) -> Result<(), Refusal> {
        for &value in region.assigned.keys() {
            let outside = self
                .graph
                .readers(value)
                .find(|edge| !region.edges.contains(edge));
            if let Some((reader, _)) = outside {
                let name = &self.graph.value(value).name;
                return Err(refuse(
                    self.graph,
                    reader,
                    Code::OtherReader,
                    format!("it also reads {name}"),
                ));
            }
        }
        Ok(())
    }
}

fn take(region: &mut Region, open: &mut Vec<Demand>, producer: NodeId, step: Step) {
    region.nodes.insert(producer);
    region.effects.extend(step.effects);
    let demands = step.next.into_iter().rev();
    open.extend(demands.map(|(slot, affine)| Demand {
        node: producer,
        slot,
        affine,
    }));
}
