//! The plan: what becomes of every BatchNormalization, as data.
//!
//! Every BN of the model stands in it exactly once, folded or staying with a reason per direction tried.
//! A fold is a list of [`Effect`]s; the planner performs them on a copy of the graph, because one fold may open the way
//! for the next, and repeats until nothing more folds; an Add that a fold leaves for a shift is a seed like any other.
//! Seeds are tried upstream first, all of them, then downstream (if need be with one half of the affine upstream), then
//! sideways, in the order of their outputs' names,
//! and a search meets nodes in an order that names decide too, so that neither folds nor reasons depend on the order of
//! the nodes in the file.

mod apart;
mod checks;
mod downstream;
mod merge;
mod planner;
mod reduce;
mod sideways;
mod text;
mod upstream;

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::graph::{Effect, Graph, NodeId, ValueId};
use crate::onnx::ReadError;
use crate::rules::Refusal;
use planner::Planner;

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
    pub excluded: BTreeMap<Seed, Refusal>,
}

/// What is to be folded: a node of the model, or the Add that earlier folds of it have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed {
    /// The node.
    pub node: NodeId,
    /// How many folds of it come before.
    pub after: usize,
}

impl From<NodeId> for Seed {
    fn from(node: NodeId) -> Seed {
        Seed { node, after: 0 }
    }
}

/// Patterns of node names, in which `*` matches slashes too, because exporters put them into names.
///
/// # Errors
/// If one of them is no pattern.
pub fn name_patterns(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).literal_separator(false).build()?);
    }
    set.build()
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
    /// It is folded: it goes or becomes an Add, and what that leaves goes in the folds after it.
    Folded(Vec<Fold>),
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
    /// What is folded.
    pub seed: Seed,
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

impl Found {
    /// Whether a node would be added.
    fn adds(&self) -> bool {
        let mut effects = self.effects.iter();
        effects.any(|effect| matches!(effect, Effect::InsertAdd { .. }))
    }
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
        let of = |entry| Entry::folds(entry).iter().map(move |fold| (entry, fold));
        let mut folds: Vec<(&Entry, &Fold)> = self.entries.iter().flat_map(of).collect();
        folds.sort_by_key(|(_, fold)| fold.order);
        folds
    }

    /// The plan of the first `n` folds only; the nodes of the others stay without a reason.
    pub fn prefix(&self, n: usize) -> Plan {
        let mut prefix = self.clone();
        for entry in &mut prefix.entries {
            let Outcome::Folded(folds) = &mut entry.outcome else {
                continue;
            };
            folds.retain(|fold| fold.order < n);
            if folds.is_empty() {
                entry.outcome = Outcome::Stays(Vec::new());
            }
        }
        prefix
    }

    /// The BNs that are folded, and those that stay.
    pub fn counts(&self) -> (usize, usize) {
        let batch_norms = self.entries.iter().filter(|entry| entry.is_batch_norm());
        let (folded, stay): (Vec<&Entry>, Vec<&Entry>) =
            batch_norms.partition(|entry| !entry.folds().is_empty());
        (folded.len(), stay.len())
    }
}

impl Entry {
    /// The entry's folds, in their order; none if it stays.
    pub fn folds(&self) -> &[Fold] {
        match &self.outcome {
            Outcome::Folded(folds) => folds,
            Outcome::Stays(_) => &[],
        }
    }

    /// The nodes that take the affine, each side of a node once; an Add that a later fold takes away is none.
    pub fn sites(&self) -> Vec<&Site> {
        let mut sites: Vec<&Site> = Vec::new();
        for (at, fold) in self.folds().iter().enumerate() {
            let is_last = at + 1 == self.folds().len();
            let stay = fold
                .sites
                .iter()
                .filter(|site| is_last || site.side != "add");
            for site in stay {
                if !sites.contains(&site) {
                    sites.push(site);
                }
            }
        }
        sites
    }

    /// The nodes that the affine passes, each once.
    pub fn carriers(&self) -> Vec<&str> {
        let mut carriers: Vec<&str> = Vec::new();
        for carrier in self.folds().iter().flat_map(|fold| &fold.carriers) {
            if !carriers.contains(&carrier.as_str()) {
                carriers.push(carrier);
            }
        }
        carriers
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
    /// A BN parameter whose data are cut off or missing.
    #[error("node {node}: {error}")]
    Unreadable {
        /// The node.
        node: String,
        /// The tensor, and what is wrong with it.
        error: ReadError,
    },
}
