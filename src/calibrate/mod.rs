//! Calibration: the statistics of BatchNormalizations from data, and training mode made visible.
//!
//! A BN in training mode normalises by its batch; in inference mode by a stored mean and variance. These are estimated
//! as the mean and the population variance of everything that enters the node on all samples, merged over mini-batches
//! by Chan's parallel update in float64: no average of averages, no momentum, and no dependence on how samples are cut.
//! They are measured level by level, so that what enters a BN comes from earlier ones that are in inference mode
//! already; BNs none of which is upstream of another share a pass over the data.
//! With independent values the standard errors are `se(mean) = sd/√n` and `se(var) ≈ var·√(2/(n − 1))`; positions of one
//! sample correlate, so they are larger in truth.
//! The model runs in the caller's process, on the project's kernel, in the types that it declares.

mod batches;
mod dependence;
mod error;
mod levels;
mod pass;
mod select;
#[cfg(test)]
mod tests;

use ndarray::{ArrayD, IxDyn};

pub use dependence::{Dependence, DependenceOptions, OutputDependence, Shift, dependence};
pub use error::CalibrateError;
pub use select::{Choice, assumable_nodes, training_nodes};

use crate::apply::inference::{Settled, infer_modes};
use crate::batch_norm::{Mode, Moments};
use crate::engine::Budget;
use crate::graph::{Graph, NodeId};
use crate::onnx::{Edits, Model, ReadOptions};
use crate::verify::data::Source;
use pass::Pass;
use select::{Site, select};

/// Samples in a mini-batch, unless the caller or the model says.
pub const BATCH_SIZE: usize = 32;

/// How a model is calibrated.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which nodes.
    pub choice: Choice,
    /// Measure all nodes in one pass, each behind earlier ones in the mode that they have.
    pub one_pass: bool,
    /// Samples in a mini-batch.
    pub batch_size: Option<usize>,
    /// What the model may take.
    pub budget: Budget,
}

/// How far a calibration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Passes that are over.
    pub pass: usize,
    /// All passes.
    pub passes: usize,
    /// Samples of this pass that are over.
    pub source: usize,
    /// Samples of each pass.
    pub sources: usize,
}

/// A calibrated model, as edits, and what it rests on.
#[derive(Debug)]
pub struct Calibrated<'m> {
    /// What changes in the model.
    pub edits: Edits<'m>,
    /// The nodes that were calibrated, in the graph's order.
    pub nodes: Vec<Estimate>,
    /// How often the data were read.
    pub passes: usize,
    /// Rows along the batch axis of all samples.
    pub samples: u64,
    /// Runs of the model in each pass.
    pub batches: u64,
    /// Rows that were left out because they fill no batch of the size that the model fixes.
    pub left_over: u64,
}

/// New statistics of a node.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The node.
    pub node: NodeId,
    /// Whether it was in training mode.
    pub was_training: bool,
    /// Values seen per channel (per activation with `spatial` = 0).
    pub count: u64,
    /// Stored mean and variance, where they were constants.
    pub old: [Option<Vec<f64>>; 2],
    /// Mean per channel, not yet rounded.
    pub mean: Vec<f64>,
    /// Population variance per channel, not yet rounded.
    pub var: Vec<f64>,
}

/// Estimates the statistics of a graph's BNs from data.
///
/// `watch` is told when a sample is over.
///
/// # Errors
/// If there is nothing to calibrate, a node has no inference form, the data do not fit, or the model does not run.
pub fn calibrate<'m>(
    graph: &Graph<'m>,
    data: &[Source],
    options: &Options,
    watch: &mut dyn FnMut(Tick),
) -> Result<Calibrated<'m>, CalibrateError> {
    let sites = select(graph, &options.choice)?;
    let groups = match options.one_pass {
        true => vec![(0..sites.len()).collect()],
        false => levels::groups(graph, &sites),
    };
    let mut settled = Vec::new();
    let mut nodes = Vec::new();
    let (mut samples, mut batches, mut left_over) = (0, 0, 0);
    for (pass, group) in groups.iter().enumerate() {
        let group: Vec<&Site> = group.iter().map(|&site| &sites[site]).collect();
        let tick = Tick {
            pass,
            passes: groups.len(),
            source: 0,
            sources: data.len(),
        };
        let seen = Pass {
            graph,
            data,
            options,
            tick,
        }
        .run(&settled, &group, watch)?;
        for (site, moments) in group.iter().zip(&seen.moments) {
            let estimate = estimate(graph, site, moments)?;
            settled.push(settle(graph, &estimate)?);
            nodes.push(estimate);
        }
        (samples, batches, left_over) = (seen.rows, seen.batches, seen.left_over);
    }
    nodes.sort_by_key(|estimate| estimate.node);
    let edits = infer_modes(graph, &settled)?;
    sound(graph, &edits, &settled)?;
    Ok(Calibrated {
        edits,
        nodes,
        passes: groups.len(),
        samples,
        batches,
        left_over,
    })
}

fn estimate(graph: &Graph<'_>, site: &Site, moments: &Moments) -> Result<Estimate, CalibrateError> {
    let fault = |reason: String| CalibrateError::node(graph.label(site.node), reason);
    match moments.count() {
        0 => {
            return Err(fault(
                "the data never reach it; give samples that do, or hold it out with --keep"
                    .to_owned(),
            ));
        }
        1 => {
            return Err(fault(
                "it saw one value per channel, which has no variance; give more samples".to_owned(),
            ));
        }
        _ => {}
    }
    let (mean, var) = (moments.mean().to_vec(), moments.var());
    let not_finite = mean.iter().chain(&var).position(|x| !x.is_finite());
    if let Some(at) = not_finite {
        let channel = at % mean.len();
        return Err(fault(format!(
            "what enters its channel {channel} is NaN or infinite, or too large to have a variance, on these data; look at the nodes before it"
        )));
    }
    Ok(Estimate {
        node: site.node,
        was_training: site.kernel.mode == Mode::Training,
        count: moments.count(),
        old: site.old.clone(),
        mean,
        var,
    })
}

/// The new statistics in the extents of the old ones.
fn settle(graph: &Graph<'_>, estimate: &Estimate) -> Result<Settled, CalibrateError> {
    let lay = |slot: usize, numbers: &[f64]| {
        let known = graph
            .input(estimate.node, slot)
            .and_then(|value| graph.shape(value));
        let dims = known
            .and_then(|shape| shape.numbers())
            .unwrap_or_else(|| vec![numbers.len()]);
        ArrayD::from_shape_vec(IxDyn(&dims), numbers.to_vec()).map_err(|_| {
            let reason = format!(
                "its input has {} channels and its statistics are {dims:?}; make them equal",
                numbers.len()
            );
            CalibrateError::node(graph.label(estimate.node), reason)
        })
    };
    Ok(Settled {
        node: estimate.node,
        statistics: Some([lay(3, &estimate.mean)?, lay(4, &estimate.var)?]),
    })
}

/// The edited model reads again, and none of the nodes is left in training mode.
fn sound(graph: &Graph<'_>, edits: &Edits<'_>, settled: &[Settled]) -> Result<(), CalibrateError> {
    let options = ReadOptions {
        verify_checksums: false,
        ..ReadOptions::default()
    };
    let model = Model::edited(edits, &options)?;
    let again = Graph::new(&model, crate::graph::Reading::default());
    let again = again.map_err(|error| {
        CalibrateError::Misfit(format!("the calibrated model does not read again: {error}"))
    })?;
    let left = training_nodes(&again)?;
    let before = training_nodes(graph)?;
    let settled_before = before
        .iter()
        .filter(|node| settled.iter().any(|one| one.node == **node));
    let expected = before.len() - settled_before.count();
    match left.len() == expected {
        true => Ok(()),
        false => Err(CalibrateError::Misfit(format!(
            "the calibrated model would keep {} nodes in training mode instead of {expected}; please report this",
            left.len()
        ))),
    }
}
