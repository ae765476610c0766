//! Which BatchNormalizations are calibrated, and what each of them is.

use globset::GlobSet;

use super::CalibrateError;
use crate::apply::inference::used_statistics;
use crate::batch_norm::{BatchNorm, Mode};
use crate::graph::{Graph, NodeId, Origin, ScopeKind};
use crate::rules::seed;

/// A BN whose statistics are to be estimated.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) node: NodeId,
    pub(super) kernel: BatchNorm,
    /// Stored mean and variance, where they are constants.
    pub(super) old: [Option<Vec<f64>>; 2],
}

/// What people decide about which nodes are calibrated.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Nodes in inference mode are estimated anew as well.
    pub all: bool,
    /// Nodes whose names match stay as they are.
    pub keep: GlobSet,
    /// If present, only nodes whose names match are calibrated.
    pub only: Option<GlobSet>,
}

impl Choice {
    fn takes(&self, name: &str) -> bool {
        !self.keep.is_match(name) && self.only.as_ref().is_none_or(|only| only.is_match(name))
    }
}

/// The BNs of a graph that are in training mode.
///
/// # Errors
/// A BN whose attributes cannot be read, or contradict its opset.
pub fn training_nodes(graph: &Graph<'_>) -> Result<Vec<NodeId>, CalibrateError> {
    let mut found = Vec::new();
    for node in batch_norms(graph) {
        if kernel(graph, node)?.mode == Mode::Training {
            found.push(node);
        }
    }
    Ok(found)
}

/// The BNs in training mode that are taken, each of which has an inference form.
///
/// # Errors
/// As for [`training_nodes`]; a BN whose statistics outputs are in use.
pub fn assumable_nodes(graph: &Graph<'_>, choice: &Choice) -> Result<Vec<NodeId>, CalibrateError> {
    let mut nodes = training_nodes(graph)?;
    nodes.retain(|&node| choice.takes(&graph.label(node)));
    nodes
        .iter()
        .try_for_each(|&node| has_inference_form(graph, node))?;
    Ok(nodes)
}

pub(super) fn select(graph: &Graph<'_>, choice: &Choice) -> Result<Vec<Site>, CalibrateError> {
    let (mut sites, mut n_seen) = (Vec::new(), 0);
    for node in batch_norms(graph) {
        n_seen += 1;
        let kernel = kernel(graph, node)?;
        let is_wanted = choice.all || kernel.mode == Mode::Training;
        if is_wanted && choice.takes(&graph.label(node)) {
            has_inference_form(graph, node)?;
            sites.push(site(graph, node, kernel)?);
        }
    }
    match (sites.is_empty(), n_seen) {
        (false, _) => Ok(sites),
        (true, 0) => Err(CalibrateError::Nothing(
            "the model has no BatchNormalization",
        )),
        (true, _) if choice.all => Err(CalibrateError::Nothing(
            "--keep or --only holds every BatchNormalization out",
        )),
        (true, _) => Err(CalibrateError::Nothing(
            "no BatchNormalization in training mode is left to take; --all estimates the statistics of those in inference mode anew",
        )),
    }
}

fn batch_norms<'g>(graph: &'g Graph<'_>) -> impl Iterator<Item = NodeId> + 'g {
    let is_batch_norm = |&node: &NodeId| &*graph.node(node).op == "BatchNormalization";
    graph.node_ids().filter(is_batch_norm)
}

fn kernel(graph: &Graph<'_>, node: NodeId) -> Result<BatchNorm, CalibrateError> {
    let kernel = seed::kernel(graph, node);
    kernel.map_err(|refusal| CalibrateError::node(graph.label(node), refusal.detail))
}

fn has_inference_form(graph: &Graph<'_>, node: NodeId) -> Result<(), CalibrateError> {
    let Some(name) = used_statistics(graph, node) else {
        return Ok(());
    };
    let reason = format!(
        "its statistics output {name} is in use, and inference mode has none; take that use out of the model, or hold the node out with --keep"
    );
    Err(CalibrateError::node(graph.label(node), reason))
}

fn site(graph: &Graph<'_>, node: NodeId, kernel: BatchNorm) -> Result<Site, CalibrateError> {
    let is_function = matches!(
        graph.scopes[graph.node(node).scope.0 as usize].kind,
        ScopeKind::Function(_)
    );
    let statistics = [3, 4].map(|slot| graph.input(node, slot));
    let from_caller = statistics
        .into_iter()
        .flatten()
        .find(|&value| is_function && matches!(graph.value(value).origin, Origin::Input));
    if let Some(value) = from_caller {
        let reason = format!(
            "it stands in a function whose callers give {}; inline the model's functions first",
            graph.value(value).name
        );
        return Err(CalibrateError::node(graph.label(node), reason));
    }
    let old = statistics.map(|value| {
        let floats = graph.floats(value?).ok()?;
        Some(floats.iter().copied().collect())
    });
    Ok(Site { node, kernel, old })
}
