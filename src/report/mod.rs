//! Report: what happened to a model, as one value that every format prints.
//!
//! Its JSON form is versioned by `schema`; fields are only ever added under one version.

mod around;
pub mod calibration;
pub mod dot;
pub mod json;
mod parameters;
pub mod sort;
mod table;
pub mod text;
mod verification;
mod visible;

pub use calibration::{
    Assumed, CalibratedNode, CalibrationReport, ReadingFigures, Spread, StandardError, WhatWasDone,
};
use serde::{Deserialize, Serialize};

use crate::fold::Folded;
use crate::graph::Graph;
use crate::plan::{Entry, Outcome};
use crate::rules::{Code, Kind};
use around::Survey;
pub use around::{Excerpt, Neighbourhood, Role, Vertex};
pub use parameters::{BINS, Parameters, Range};
pub use verification::{
    Comparison, FigureSet, LayerFigures, OutputFigures, ValueFigures, Verification,
};
pub use visible::visible;

/// What happened to a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// `bnfold-report/1`.
    pub schema: String,
    /// The program's version.
    pub version: String,
    /// The model that was read.
    pub model: ModelSummary,
    /// Every BatchNormalization, in the order of the graph.
    pub batch_norms: Vec<NodeReport>,
    /// Other nodes that were folded: affines in disguise, and merged convolutions.
    pub affines: Vec<NodeReport>,
    /// How many nodes fewer the result has.
    pub nodes_removed: i64,
    /// Weights that had to be cloned because other nodes read them too.
    pub clones: usize,
    /// The reading of nodes in training mode that was asked for (`--assume-inference`), if it concerns any.
    pub assumed: Option<Assumed>,
    /// What the comparison of both models said.
    pub verification: Verification,
    /// The fold that makes the result differ, if it does.
    pub at_fault: Option<FoldAtFault>,
    /// Folds that were left out because with them the result differed (`--on-different rollback`).
    pub rolled_back: Vec<FoldAtFault>,
    /// What was written, if anything was.
    pub output: Option<OutputSummary>,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

/// A model that was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModelSummary {
    /// Its path.
    pub path: String,
    /// Its bytes, without external data.
    pub bytes: u64,
    /// Its file format version.
    pub ir_version: i64,
    /// The version of the standard operators.
    pub opset: i64,
    /// Its nodes, of all scopes.
    pub nodes: usize,
}

/// A fold with which the result computes something else, and without which it does not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FoldAtFault {
    /// The node that is folded.
    pub node: String,
    /// The nodes that take its affine, each with its side.
    pub sites: String,
    /// What differed.
    pub counterexample: String,
}

/// A model that was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OutputSummary {
    /// Its path.
    pub path: String,
    /// Its bytes, without external data.
    pub bytes: u64,
    /// Bytes of its data files.
    pub data_bytes: u64,
}

/// What became of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeReport {
    /// Its name, or its operator and output.
    pub name: String,
    /// The nested graph or function it stands in; empty for the main graph.
    pub scope: String,
    /// Its operator.
    pub op_type: String,
    /// What its parameters are like; absent for other operators, and where they are not constant.
    pub parameters: Option<Parameters>,
    /// The fold, if it is folded.
    pub fold: Option<FoldReport>,
    /// Why it stays, for each way that was tried.
    pub reasons: Vec<Reason>,
    /// The graph around it, where it was asked for ([`Report::draw`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub around: Option<Neighbourhood>,
}

/// How a node is folded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FoldReport {
    /// `upstream`, `downstream`, `sideways`, `compensation`, `reduction` or `merge`; where the shift went another way,
    /// that of the scale.
    pub way: String,
    /// The nodes that took the affine.
    pub sites: Vec<SiteReport>,
    /// The nodes that it passed.
    pub through: Vec<String>,
}

/// A node that took an affine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SiteReport {
    /// The node.
    pub node: String,
    /// `output`, `input`, `tap`, `constant` or `add`.
    pub side: String,
}

/// Why a node stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reason {
    /// The way that was tried.
    pub way: String,
    /// The stable code.
    pub code: Code,
    /// What the reason rests on.
    pub kind: Kind,
    /// Where the affine could not go on.
    pub node: String,
    /// What was found there.
    pub detail: String,
}

impl ModelSummary {
    fn new(path: &str, graph: &Graph<'_>) -> ModelSummary {
        let model = graph.model;
        let standard = model
            .opset_imports
            .iter()
            .find(|opset| opset.domain.is_empty());
        ModelSummary {
            path: path.to_owned(),
            bytes: model.len(),
            ir_version: model.ir_version,
            opset: standard.map_or(0, |opset| opset.version),
            nodes: graph.nodes.len(),
        }
    }
}

impl Report {
    /// The report of a fold that has not been verified or written yet.
    pub fn new(path: &str, folded: &Folded<'_>) -> Report {
        let (batch_norms, affines) = folded
            .plan
            .entries
            .iter()
            .partition::<Vec<&Entry>, _>(|entry| entry.is_batch_norm());
        let node = |entry| NodeReport::new(&folded.graph, entry);
        Report {
            schema: "bnfold-report/1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model: ModelSummary::new(path, &folded.graph),
            batch_norms: batch_norms.into_iter().map(node).collect(),
            affines: affines.into_iter().map(node).collect(),
            nodes_removed: folded.applied.nodes_removed,
            clones: folded.applied.clones.len(),
            assumed: None,
            verification: Verification::Skipped,
            at_fault: None,
            rolled_back: Vec::new(),
            output: None,
            notes: notes(folded),
        }
    }

    /// Adds the graph around nodes, of at most so many: first of those that are folded, then of those that stay.
    pub fn draw(&mut self, folded: &Folded<'_>, most: usize) {
        let survey = Survey::of(folded);
        let (norms, others): (Vec<&Entry>, Vec<&Entry>) = {
            let entries = folded.plan.entries.iter();
            entries.partition(|entry| entry.is_batch_norm())
        };
        let nodes = self.batch_norms.iter_mut().zip(norms);
        let nodes = nodes.chain(self.affines.iter_mut().zip(others));
        let mut nodes: Vec<(&mut NodeReport, &Entry)> = nodes.collect();
        nodes.sort_by_key(|(node, _)| node.fold.is_none());
        for (node, entry) in nodes.into_iter().take(most) {
            node.around = Some(survey.around(entry));
        }
    }

    /// How many BNs are folded, and how many stay.
    pub fn counts(&self) -> (usize, usize) {
        let folded = self
            .batch_norms
            .iter()
            .filter(|node| node.fold.is_some())
            .count();
        (folded, self.batch_norms.len() - folded)
    }
}

fn notes(folded: &Folded<'_>) -> Vec<String> {
    let clones = &folded.applied.clones;
    let bytes: u64 = clones.iter().map(|copy| copy.bytes).sum();
    let copies = format!(
        "{} copied, {} in all, because other nodes read them unchanged",
        text::count(clones.len(), "constant"),
        text::bytes(bytes)
    );
    if clones.is_empty() {
        Vec::new()
    } else {
        vec![copies]
    }
}

impl NodeReport {
    fn new(graph: &Graph<'_>, entry: &Entry) -> NodeReport {
        let (fold, reasons) = match &entry.outcome {
            Outcome::Folded(folds) => {
                let sites = entry.sites().into_iter().map(|site| SiteReport {
                    node: site.label.clone(),
                    side: site.side.to_owned(),
                });
                let ways = folds.iter().map(|fold| fold.way.name());
                let fold = FoldReport {
                    way: ways.take(1).collect(),
                    sites: sites.collect(),
                    through: entry.carriers().into_iter().map(str::to_owned).collect(),
                };
                (Some(fold), Vec::new())
            }
            Outcome::Stays(reasons) => {
                let reason = |(way, refusal): &(crate::plan::Way, crate::rules::Refusal)| Reason {
                    way: way.name().to_owned(),
                    code: refusal.code,
                    kind: refusal.code.kind(),
                    node: refusal.node.clone(),
                    detail: refusal.detail.clone(),
                };
                (None, reasons.iter().map(reason).collect())
            }
        };
        NodeReport {
            name: entry.label.clone(),
            scope: entry.scope.clone(),
            op_type: entry.op.clone(),
            parameters: entry
                .is_batch_norm()
                .then(|| Parameters::read(graph, entry.node))
                .flatten(),
            fold,
            reasons,
            around: None,
        }
    }
}
