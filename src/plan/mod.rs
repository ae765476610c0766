//! The plan: what becomes of every BatchNormalization, as data.
//!
//! Every BN of the model stands in it exactly once, folded or staying with a reason per direction tried.
//! A fold is a list of [`Effect`]s; the planner performs them on a copy of the graph, because one fold may open the way
//! for the next, and repeats until nothing more folds.
//! Seeds are tried upstream first, all of them, then downstream, then sideways, in the order of their outputs' names, so
//! that the outcome does not depend on the order of the nodes.

mod downstream;
mod merge;
mod reduce;
mod sideways;
mod text;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobSet;

use crate::affine::Affine;
use crate::graph::{Effect, Graph, NodeId, ScopeKind, ValueId};
use crate::rules::{Code, Refusal, refuse, seed};
use upstream::Readers;

/// What people decide about folding.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Nodes whose names match stay as they are.
    pub keep: GlobSet,
    /// If present, only nodes whose names match are folded.
    pub only: Option<GlobSet>,
    /// Leave Mul, Add, Sub and Div by constants alone, unless they sit on a BN's path.
    pub only_batch_norm: bool,
    /// Let a BN whose scale can go but whose shift cannot become one Add.
    pub reduce: bool,
    /// Let other readers of a rewritten value absorb the inverse affine.
    pub compensate: bool,
    /// Let sums of convolutions of the same value become one convolution.
    pub merge_branches: bool,
    /// How many bytes the model may grow by clones of shared weights.
    pub max_growth: Option<u64>,
    /// Seeds that may not be folded, each with its reason; filled by checks that come after planning.
    pub excluded: BTreeMap<NodeId, Refusal>,
}

/// What becomes of the BNs of a model.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One entry per BN, in the order of the graph, then one per affine in disguise that is folded.
    pub entries: Vec<Entry>,
}

/// What becomes of one node.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The node.
    pub node: NodeId,
    /// Its name, or its operator and output.
    pub label: String,
    /// Its operator.
    pub op: String,
    /// The scope it stands in; empty for the main graph.
    pub scope: String,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// What becomes of a node.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is folded.
    Folded(Fold),
    /// It stays; why, for each way that was tried.
    Stays(Vec<(Way, Refusal)>),
}

/// A way to fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Into what comes before.
    Upstream,
    /// Into what comes after.
    Downstream,
    /// Into a convolution beside it.
    Sideways,
    /// Into what comes before, with other readers making up for it (`--compensate`).
    Compensation,
    /// Not removed but made an Add (`--reduce`).
    Reduction,
    /// A convolution into another of the same input (`--merge-branches`).
    Merge,
}

impl Way {
    /// The way's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Way::Upstream => "upstream",
            Way::Downstream => "downstream",
            Way::Sideways => "sideways",
            Way::Compensation => "compensation",
            Way::Reduction => "reduction",
            Way::Merge => "merge",
        }
    }
}

/// A fold.
#[derive(Clone, Debug)]
pub struct Fold {
    /// The fold's place in the sequence of all folds.
    pub order: usize,
    /// The way it goes.
    pub way: Way,
    /// Nodes that take the affine, and on which side.
    pub sites: Vec<Site>,
    /// Nodes that it passes.
    pub carriers: Vec<String>,
    /// What changes in the graph.
    pub effects: Vec<Effect>,
    /// Values that must be the same before and after.
    pub ends: Vec<ValueId>,
    /// Values whose meaning changes under the same name.
    pub changed: Vec<ValueId>,
}

/// A node that takes an affine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The node.
    pub node: NodeId,
    /// Its name, or its operator and output.
    pub label: String,
    /// Where it takes it: `output`, `input`, `tap`, `constant`, `add`.
    pub side: &'static str,
}

/// Effects found by a search, with the values and nodes that they touch.
#[derive(Clone, Debug, Default)]
struct Found {
    effects: Vec<Effect>,
    ends: Vec<ValueId>,
    changed: Vec<ValueId>,
    nodes: Vec<NodeId>,
}

/// Steps that one search may take before it gives up.
const BUDGET: usize = 4096;

impl Plan {
    /// Plans the folds of a graph.
    ///
    /// # Errors
    /// If a BN's parameters do not have one length.
    pub fn new(graph: &Graph<'_>, options: &PlanOptions) -> Result<Plan, PlanError> {
        let mut planner = Planner::new(graph, options)?;
        planner.run();
        Ok(planner.finish())
    }

    /// The folds, in the order in which they are to be performed.
    pub fn folds(&self) -> Vec<(&Entry, &Fold)> {
        let mut folds: Vec<(&Entry, &Fold)> = self.entries.iter().filter_map(Entry::fold).collect();
        folds.sort_by_key(|(_, fold)| fold.order);
        folds
    }

    /// The BNs that are folded, and those that stay.
    pub fn counts(&self) -> (usize, usize) {
        let batch_norms = self.entries.iter().filter(|entry| entry.is_batch_norm());
        let (folded, stay): (Vec<&Entry>, Vec<&Entry>) =
            batch_norms.partition(|entry| entry.fold().is_some());
        (folded.len(), stay.len())
    }
}

impl Entry {
    /// The entry's fold, if it has one.
    pub fn fold(&self) -> Option<(&Entry, &Fold)> {
        match &self.outcome {
            Outcome::Folded(fold) => Some((self, fold)),
            Outcome::Stays(_) => None,
        }
    }

    /// Whether the node is a BatchNormalization, rather than an affine in disguise.
    pub fn is_batch_norm(&self) -> bool {
        self.op == "BatchNormalization"
    }
}

/// A model that cannot be planned for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// BN parameters of different lengths.
    #[error(
        "node {node}: its parameters have {found} elements; all four need one per channel; export the model again"
    )]
    Parameters {
        /// The node.
        node: String,
        /// The lengths of scale, B, mean and var.
        found: String,
    },
}

struct Planner<'g, 'm> {
    original: &'g Graph<'m>,
    options: &'g PlanOptions,
    graph: Graph<'m>,
    seeds: Vec<NodeId>,
    folded: BTreeMap<NodeId, Fold>,
    refused: BTreeMap<NodeId, BTreeMap<Way, Refusal>>,
}

impl<'g, 'm> Planner<'g, 'm> {
    fn new(
        original: &'g Graph<'m>,
        options: &'g PlanOptions,
    ) -> Result<Planner<'g, 'm>, PlanError> {
        let is_batch_norm = |&node: &NodeId| &*original.node(node).op == "BatchNormalization";
        let mut seeds: Vec<NodeId> = original.node_ids().filter(is_batch_norm).collect();
        for &node in &seeds {
            check_parameters(original, node)?;
        }
        if !options.only_batch_norm {
            let in_disguise = original.node_ids().filter(|node| !is_batch_norm(node));
            seeds.extend(
                in_disguise.filter(|&node| matches!(seed::affine(original, node), Some(Ok(_)))),
            );
        }
        let name = |&node: &NodeId| {
            let output = original
                .output(node, 0)
                .map(|output| original.value(output).name.clone());
            (!is_batch_norm(&node), original.node(node).scope, output)
        };
        seeds.sort_by_cached_key(name);
        Ok(Planner {
            original,
            options,
            graph: original.clone(),
            seeds,
            folded: BTreeMap::new(),
            refused: BTreeMap::new(),
        })
    }

    /// Passes over the seeds until one folds nothing. Within a pass the better ways come first for all seeds, and a fold
    /// reopens them for the seeds around it.
    fn run(&mut self) {
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
        let places: BTreeMap<NodeId, usize> = self
            .seeds
            .iter()
            .enumerate()
            .map(|(place, &node)| (node, place))
            .collect();
        loop {
            let before = self.folded.len();
            let all = ways
                .iter()
                .flat_map(|&way| (0..self.seeds.len()).map(move |seed| (way, seed)));
            self.pass(&ways, &places, all.collect());
            if self.folded.len() == before {
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
            let found = match self.is_kept(node) {
                true => continue,
                false => merge::search(&self.graph, node),
            };
            if let Ok(fold) = found.and_then(|found| self.fold(node, Way::Merge, found)) {
                self.seeds.push(node);
                self.perform(node, fold);
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
            if self.folded.contains_key(&node) {
                continue;
            }
            match self.attempt(node, way) {
                Ok(fold) => {
                    let near = self.perform(node, fold);
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
        if let Some(refusal) = self.options.excluded.get(&node) {
            return Err(refusal.clone());
        }
        if self.is_kept(node)
            || self
                .options
                .only
                .as_ref()
                .is_some_and(|only| !only.is_match(self.original.label(node)))
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
            Way::Upstream => upstream::search(&self.graph, node, slot, &affine, Readers::Refused)?,
            Way::Downstream => downstream::search(&self.graph, node, slot, &affine)?,
            Way::Sideways => sideways::search(&self.graph, node, slot, &affine)?,
            Way::Compensation => {
                upstream::search(&self.graph, node, slot, &affine, Readers::Compensated)?
            }
            Way::Reduction => reduce::search(&self.graph, node, &affine)?,
            Way::Merge => merge::search(&self.graph, node)?,
        };
        self.fold(node, way, found)
    }

    /// Nodes that a fold inserted have no name to be kept by.
    fn is_kept(&self, node: NodeId) -> bool {
        (node.0 as usize) < self.original.nodes.len()
            && self.options.keep.is_match(self.original.label(node))
    }

    fn fold(&self, seed: NodeId, way: Way, found: Found) -> Result<Fold, Refusal> {
        if let Some(kept) = found
            .effects
            .iter()
            .filter_map(touched)
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
        if moves > 0 && &*self.original.node(seed).op != "BatchNormalization" {
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
            order: self.folded.len(),
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
    fn perform(&mut self, node: NodeId, fold: Fold) -> BTreeSet<NodeId> {
        let mut near: BTreeSet<NodeId> = fold.effects.iter().flat_map(touched).collect();
        let around = |graph: &Graph<'_>, near: &mut BTreeSet<NodeId>| {
            let values: Vec<ValueId> = near
                .iter()
                .flat_map(|&node| {
                    graph
                        .node(node)
                        .inputs
                        .iter()
                        .chain(&graph.node(node).outputs)
                        .flatten()
                        .copied()
                })
                .collect();
            for value in values {
                near.extend(graph.producer(value).map(|(node, _)| node));
                near.extend(graph.value(value).consumers.iter().map(|&(node, _)| node));
            }
        };
        around(&self.graph, &mut near);
        for effect in &fold.effects {
            self.graph.perform(effect);
        }
        around(&self.graph, &mut near);
        self.folded.insert(node, fold);
        near
    }

    fn finish(mut self) -> Plan {
        let is_batch_norm = |node: NodeId| &*self.original.node(node).op == "BatchNormalization";
        let mut seeds = std::mem::take(&mut self.seeds);
        seeds.retain(|&node| is_batch_norm(node) || self.folded.contains_key(&node));
        seeds.sort_by_key(|&node| (!is_batch_norm(node), node));
        let entries = seeds.into_iter().map(|node| {
            let outcome = match self.folded.remove(&node) {
                Some(fold) => Outcome::Folded(fold),
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
                scope: scope_name(self.original, node),
                outcome,
            }
        });
        Plan {
            entries: entries.collect(),
        }
    }
}

fn touched(effect: &Effect) -> Option<NodeId> {
    match effect {
        Effect::AbsorbOutput { node, .. }
        | Effect::AbsorbInput { node, .. }
        | Effect::Tap { node, .. }
        | Effect::SetConstant { node, .. }
        | Effect::Remove { node, .. }
        | Effect::RemoveOperand { node, .. }
        | Effect::InsertAdd { node, .. }
        | Effect::BecomeGemm { node }
        | Effect::BecomeAdd { node, .. } => Some(*node),
        Effect::Merge { into, .. } => Some(*into),
    }
}

fn scope_name(graph: &Graph<'_>, node: NodeId) -> String {
    match graph.scopes[graph.node(node).scope.0 as usize].kind {
        ScopeKind::Main => String::new(),
        ScopeKind::Nested { node } => format!("body of {}", graph.label(node)),
        ScopeKind::Function(index) => format!("function {}", graph.model.functions[index].name),
    }
}

fn check_parameters(graph: &Graph<'_>, node: NodeId) -> Result<(), PlanError> {
    let lengths = (1..5).map(|slot| {
        let shape = graph
            .input(node, slot)
            .and_then(|value| graph.shape(value)?.numbers());
        shape.map(|dims| dims.iter().product::<usize>())
    });
    let lengths: Vec<usize> = lengths.flatten().collect();
    let channels = graph
        .input(node, 0)
        .and_then(|value| graph.shape(value))
        .filter(|shape| shape.rank() >= 2);
    let channels = channels.and_then(|shape| shape.extent(1));
    let is_spatial = graph.node(node).int("spatial", 1) == Ok(1);
    let fits = lengths.windows(2).all(|pair| pair[0] == pair[1])
        && (!is_spatial
            || channels.is_none_or(|channels| lengths.iter().all(|&length| length == channels)));
    match fits {
        true => Ok(()),
        false => Err(PlanError::Parameters {
            node: graph.label(node),
            found: format!(
                "{lengths:?} for {} channels",
                channels.map_or("unknown".to_owned(), |count| count.to_string())
            ),
        }),
    }
}

/// Refuses to change what a value means where something outside the fold could see it.
fn rewritable(graph: &Graph<'_>, node: NodeId, value: ValueId) -> Result<(), Refusal> {
    let at = graph.value(value);
    let refuse = |code, what: &str| Err(refuse(graph, node, code, format!("{} {what}", at.name)));
    if at.is_output {
        return refuse(Code::GraphOutput, "is a graph output");
    }
    if at.is_reserved {
        return refuse(
            Code::Reserved,
            "is named by a quantization annotation or training_info",
        );
    }
    if graph
        .readers(value)
        .any(|(reader, _)| graph.node(reader).scope != at.scope)
    {
        return refuse(Code::Captured, "is read by a nested graph");
    }
    Ok(())
}

/// Refuses an affine that does not fit the value it is for: a declared shape that is wrong.
fn fits(graph: &Graph<'_>, node: NodeId, value: ValueId, affine: &Affine) -> Result<(), Refusal> {
    let fits = graph.shape(value).is_none_or(|shape| {
        let extent = |axis: usize| {
            shape
                .extent(axis)
                .is_none_or(|extent| [1, extent].contains(&affine.extent(axis)))
        };
        shape.rank() == affine.rank() && (0..affine.rank()).all(extent)
    });
    match fits {
        true => Ok(()),
        false => {
            let detail = format!("the shape of {} is in doubt", graph.value(value).name);
            Err(refuse(graph, node, Code::UnknownShape, detail))
        }
    }
}

/// An affine that is no number cannot be folded.
fn finite(graph: &Graph<'_>, node: NodeId, affine: &Affine) -> Result<(), Refusal> {
    match affine.is_finite() {
        true => Ok(()),
        false => Err(refuse(
            graph,
            node,
            Code::Degenerate,
            "scale and shift are not finite",
        )),
    }
}
