//! The planner: seeds, the ways they are tried, and the passes until nothing more folds.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::check_parameters;
use super::upstream::Readers;
use super::{
    Entry, Fold, Found, Outcome, Plan, PlanError, PlanOptions, Seed, Site, Way, apart, downstream,
    merge, reduce, sideways, upstream,
};
use crate::graph::{Effect, Graph, NodeId, ValueId};
use crate::rules::{Code, Refusal, refuse, seed};

/// A fold reopens no seeds through a value that more nodes read than this; the next pass sees to them.
const CROWD: usize = 64;

pub(super) struct Planner<'g, 'm> {
    original: &'g Graph<'m>,
    options: &'g PlanOptions,
    graph: Graph<'m>,
    seeds: Vec<NodeId>,
    /// Nodes that folds inserted, each with the node of the model whose fold it was.
    inserted: BTreeMap<NodeId, NodeId>,
    folded: BTreeMap<NodeId, Vec<Fold>>,
    n_folds: usize,
    refused: BTreeMap<NodeId, BTreeMap<Way, Refusal>>,
}

impl<'g, 'm> Planner<'g, 'm> {
    pub(super) fn new(
        original: &'g Graph<'m>,
        options: &'g PlanOptions,
    ) -> Result<Planner<'g, 'm>, PlanError> {
        let is_batch_norm = |&node: &NodeId| &*original.node(node).op == "BatchNormalization";
        let seeds: Vec<NodeId> = original.node_ids().filter(is_batch_norm).collect();
        for &node in &seeds {
            check_parameters(original, node)?;
        }
        let mut graph = original.clone();
        graph.set_canonical_order();
        let mut planner = Planner {
            original,
            options,
            graph,
            seeds,
            inserted: BTreeMap::new(),
            folded: BTreeMap::new(),
            n_folds: 0,
            refused: BTreeMap::new(),
        };
        planner.find_disguised();
        planner.sort_seeds();
        Ok(planner)
    }

    /// Adds the nodes that are affines in disguise, or have become so; says whether there are any.
    fn find_disguised(&mut self) -> bool {
        let known: BTreeSet<NodeId> = self.seeds.iter().copied().collect();
        let is_new = |&node: &NodeId| {
            !known.contains(&node)
                && (!self.options.only_batch_norm || self.inserted.contains_key(&node))
                && matches!(seed::affine(&self.graph, node), Some(Ok(_)))
        };
        let found: Vec<NodeId> = self.graph.node_ids().filter(is_new).collect();
        self.seeds.extend(&found);
        !found.is_empty()
    }

    /// BNs first, each kind in the order of its outputs' names.
    fn sort_seeds(&mut self) {
        let original = self.original;
        self.seeds.sort_by_cached_key(|&node| {
            let at = original.node(node);
            let output = original.output(node, 0);
            let output = output.map(|output| original.value(output).name.clone());
            (&*at.op != "BatchNormalization", at.scope, output)
        });
    }

    /// Passes over the seeds until one folds nothing. Within a pass the better ways come first for all seeds, and a fold
    /// reopens them for the seeds around it.
    pub(super) fn run(&mut self) {
        let optional = [
            (Way::Compensation, self.options.compensate),
            (Way::Reduction, self.options.reduce),
        ];
        let mut ways = vec![Way::Upstream, Way::Downstream, Way::Sideways];
        ways.extend(
            optional
                .iter()
                .filter(|(_, wanted)| *wanted)
                .map(|(way, _)| *way),
        );
        loop {
            let seeds = self.seeds.iter().enumerate();
            let places: BTreeMap<NodeId, usize> =
                seeds.map(|(place, &node)| (node, place)).collect();
            let before = self.n_folds;
            let all = ways
                .iter()
                .flat_map(|&way| (0..self.seeds.len()).map(move |seed| (way, seed)));
            self.pass(&ways, &places, all.collect());
            // A fold may leave an Add, or make an affine of a node that was none: a constant that varies now and did not.
            if self.n_folds == before && !self.find_disguised() {
                break;
            }
        }
        if self.options.merge_branches {
            self.merge();
        }
    }

    /// Folds are done; convolutions that sums bring together become one, the smaller into the larger.
    fn merge(&mut self) {
        let is_conv = |&node: &NodeId| &*self.graph.node(node).op == "Conv";
        let mut convolutions: Vec<NodeId> = self.graph.node_ids().filter(is_conv).collect();
        convolutions.sort_by_cached_key(|&node| {
            let output = self.graph.output(node, 0);
            output.map(|output| self.graph.value(output).name.clone())
        });
        for node in convolutions {
            if self.is_kept(node) || self.options.excluded.contains_key(&node.into()) {
                continue;
            }
            let found = merge::search(&self.graph, node);
            if let Ok(fold) = found.and_then(|found| self.fold(node, Way::Merge, found)) {
                self.seeds.push(node);
                self.perform(fold);
            }
        }
    }

    fn pass(
        &mut self,
        ways: &[Way],
        places: &BTreeMap<NodeId, usize>,
        mut open: BTreeSet<(Way, usize)>,
    ) {
        while let Some((way, seed)) = open.pop_first() {
            let node = self.seeds[seed];
            if !self.graph.node(node).alive {
                continue;
            }
            match self.attempt(node, way) {
                Ok(fold) => {
                    let near = self.perform(fold);
                    let near = near.iter().filter_map(|node| places.get(node));
                    open.extend(near.flat_map(|&place| ways.iter().map(move |&way| (way, place))));
                }
                Err(refusal) => {
                    self.refused.entry(node).or_default().insert(way, refusal);
                }
            }
        }
    }

    fn attempt(&self, node: NodeId, way: Way) -> Result<Fold, Refusal> {
        let seed = self.seed(node);
        if let Some(refusal) = self.options.excluded.get(&seed) {
            return Err(refusal.clone());
        }
        if self.is_kept(node)
            || self
                .options
                .only
                .as_ref()
                .is_some_and(|only| !only.is_match(self.original.label(seed.node)))
        {
            return Err(refuse(
                &self.graph,
                node,
                Code::Held,
                "--keep or --only holds it out",
            ));
        }
        let gone = || {
            refuse(
                &self.graph,
                node,
                Code::Nonlinear,
                "it is no affine of one value",
            )
        };
        let (slot, affine) = seed::affine(&self.graph, node).ok_or_else(gone)??;
        let found = match way {
            Way::Upstream => {
                let found = upstream::search(&self.graph, node, slot, &affine, Readers::Refused)?;
                // Downstream a shift may leave nothing behind that upstream becomes an Add.
                if found.adds()
                    && let Ok(other) = downstream::search(&self.graph, node, slot, &affine)
                    && !other.adds()
                    && let Ok(fold) = self.fold(node, Way::Downstream, other)
                {
                    return Ok(fold);
                }
                found
            }
            Way::Downstream => match downstream::search(&self.graph, node, slot, &affine) {
                Ok(found) => found,
                Err(refusal) => apart::search(&self.graph, node, slot, &affine).ok_or(refusal)?,
            },
            Way::Sideways => sideways::search(&self.graph, node, slot, &affine)?,
            Way::Compensation => {
                upstream::search(&self.graph, node, slot, &affine, Readers::Compensated)?
            }
            Way::Reduction => reduce::search(&self.graph, node, &affine)?,
            Way::Merge => merge::search(&self.graph, node)?,
        };
        self.fold(node, way, found)
    }

    /// What folding a node would fold.
    fn seed(&self, node: NodeId) -> Seed {
        let node = self.inserted.get(&node).copied().unwrap_or(node);
        Seed {
            node,
            after: self.folded.get(&node).map_or(0, Vec::len),
        }
    }

    /// Nodes that a fold inserted have no name to be kept by.
    fn is_kept(&self, node: NodeId) -> bool {
        !self.inserted.contains_key(&node) && self.options.keep.is_match(self.original.label(node))
    }

    fn fold(&self, seed: NodeId, way: Way, found: Found) -> Result<Fold, Refusal> {
        if let Some(kept) = found
            .effects
            .iter()
            .map(Effect::node)
            .find(|&node| self.is_kept(node))
        {
            return Err(refuse(
                &self.graph,
                kept,
                Code::Held,
                "--keep holds it as it is",
            ));
        }
        let count = |wanted: fn(&Effect) -> bool| {
            found.effects.iter().filter(|effect| wanted(effect)).count()
        };
        let added = count(|effect| matches!(effect, Effect::InsertAdd { .. }));
        let removed =
            count(|effect| matches!(effect, Effect::Remove { .. } | Effect::RemoveOperand { .. }));
        let moves =
            count(|effect| matches!(effect, Effect::InsertAdd { .. } | Effect::BecomeGemm { .. }));
        if moves > 0 && &*self.graph.node(seed).op != "BatchNormalization" {
            return Err(refuse(
                &self.graph,
                seed,
                Code::Growth,
                "it would only move",
            ));
        }
        if added > removed {
            let detail = format!("it would add {added} nodes and remove {removed}");
            return Err(refuse(&self.graph, seed, Code::Growth, detail));
        }
        let sites = found
            .effects
            .iter()
            .filter_map(|effect| self.site(seed, effect))
            .collect::<Vec<Site>>();
        let carriers = found
            .nodes
            .iter()
            .filter(|&&node| node != seed && !sites.iter().any(|site| site.node == node));
        Ok(Fold {
            seed: self.seed(seed),
            order: self.n_folds,
            way,
            carriers: carriers.map(|&node| self.graph.label(node)).collect(),
            sites,
            effects: found.effects,
            ends: found.ends,
            changed: found.changed,
        })
    }

    fn site(&self, seed: NodeId, effect: &Effect) -> Option<Site> {
        let (node, side) = match effect {
            Effect::AbsorbOutput { node, .. } => (*node, "output"),
            Effect::AbsorbInput { node, .. } => (*node, "input"),
            Effect::Tap { node, .. } => (*node, "tap"),
            Effect::SetConstant { node, .. } => (*node, "constant"),
            Effect::InsertAdd { node, .. } => (*node, "add"),
            Effect::BecomeAdd { node, .. } => (*node, "add"),
            Effect::Merge { into, .. } => (*into, "kernel"),
            Effect::Remove { .. } | Effect::RemoveOperand { .. } | Effect::BecomeGemm { .. } => {
                return None;
            }
        };
        (node != seed || side == "add").then(|| Site {
            node,
            label: self.graph.label(node),
            side,
        })
    }

    /// Performs a fold and names the nodes around it.
    fn perform(&mut self, fold: Fold) -> BTreeSet<NodeId> {
        let mut near: BTreeSet<NodeId> = fold.effects.iter().map(Effect::node).collect();
        let around = |graph: &Graph<'_>, near: &mut BTreeSet<NodeId>| {
            let slots = near.iter().flat_map(|&node| {
                let node = graph.node(node);
                node.inputs.iter().chain(&node.outputs)
            });
            let values: BTreeSet<ValueId> = slots.flatten().copied().collect();
            for value in values {
                near.extend(graph.producer(value).map(|(node, _)| node));
                let consumers = &graph.value(value).consumers;
                if consumers.len() <= CROWD {
                    near.extend(consumers.iter().map(|&(node, _)| node));
                }
            }
        };
        around(&self.graph, &mut near);
        let known = self.graph.nodes.len() as u32;
        for effect in &fold.effects {
            self.graph.perform(effect);
        }
        around(&self.graph, &mut near);
        let new = (known..self.graph.nodes.len() as u32).map(NodeId);
        self.inserted.extend(new.map(|new| (new, fold.seed.node)));
        self.folded.entry(fold.seed.node).or_default().push(fold);
        self.n_folds += 1;
        near
    }

    pub(super) fn finish(mut self) -> Plan {
        let is_batch_norm = |node: NodeId| &*self.original.node(node).op == "BatchNormalization";
        let mut seeds = std::mem::take(&mut self.seeds);
        seeds.retain(|&node| {
            let is_folded = self.folded.contains_key(&node);
            !self.inserted.contains_key(&node) && (is_batch_norm(node) || is_folded)
        });
        seeds.sort_by_key(|&node| (!is_batch_norm(node), node));
        let entries = seeds.into_iter().map(|node| {
            let outcome = match self.folded.remove(&node) {
                Some(folds) => Outcome::Folded(folds),
                None => Outcome::Stays(
                    self.refused
                        .remove(&node)
                        .unwrap_or_default()
                        .into_iter()
                        .collect(),
                ),
            };
            Entry {
                node,
                label: self.original.label(node),
                op: self.original.node(node).op_type(),
                scope: self.original.scope_name(node),
                outcome,
            }
        });
        Plan {
            entries: entries.collect(),
        }
    }
}
