//! What calibration did, what a reading in inference mode assumes, and what the batch does.
//!
//! With `n` independent values per channel the standard errors are `se(mean) = sd/√n` and
//! `se(var) ≈ var·√(2/(n − 1))`; positions of one sample correlate, so the truth lies between that and `n` = samples.

mod assumed;
mod dependence;
mod text;

pub(super) use assumed::assumption;
pub use assumed::{Assumed, ReadingFigures};
pub use dependence::render_dependence;
pub use text::render;

use serde::Serialize;

use super::text::count;
use super::{ModelSummary, OutputSummary, Report};
use crate::calibrate::{Calibrated, Estimate, training_nodes};
use crate::graph::{Graph, NodeId};

/// A variance whose standard error is beyond this share of it is poor: below about 200 values.
const POOR: f64 = 0.1;
/// Fewer samples than these are warned of, however many positions each has.
const FEW_SAMPLES: u64 = 32;

/// What a calibration did to a model.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationReport {
    /// `bnfold-calibration/1`.
    pub schema: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The model that was read.
    pub model: ModelSummary,
    /// What was run.
    #[serde(flatten)]
    pub work: WhatWasDone,
    /// The nodes that were calibrated.
    pub nodes: Vec<CalibratedNode>,
    /// Nodes that stay in training mode, because they were held out.
    pub held: Vec<String>,
    /// What was written, if the calibrated model itself was.
    pub output: Option<OutputSummary>,
    /// What folding made of the calibrated model (`--fold`).
    pub fold: Option<Report>,
}

/// The runs of a calibration.
#[derive(Clone, Debug, Serialize)]
pub struct WhatWasDone {
    /// Whether all nodes were measured in one pass.
    pub one_pass: bool,
    /// How often the data were read.
    pub passes: usize,
    /// Samples along the batch axis.
    pub samples: u64,
    /// Runs of the model in each pass.
    pub batches: u64,
    /// Samples that fill no batch of the size that the model fixes.
    pub left_over: u64,
}

/// A node's old and new statistics.
#[derive(Clone, Debug, Serialize)]
pub struct CalibratedNode {
    /// Its name, or its operator and output.
    pub name: String,
    /// The nested graph or function it stands in; empty for the main graph.
    pub scope: String,
    /// Whether it was in training mode.
    pub was_training: bool,
    /// How many channels it has.
    pub channels: usize,
    /// Values seen per channel.
    pub values_per_channel: u64,
    /// Its means.
    pub mean: Spread,
    /// Its variances.
    pub var: Spread,
    /// How far the estimates may be off.
    pub standard_error: StandardError,
    /// What makes them doubtful.
    pub warnings: Vec<String>,
}

/// The smallest and the largest number over the channels.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// As it was; absent where it was no constant.
    pub old: Option<[f64; 2]>,
    /// As it was estimated.
    pub new: [f64; 2],
}

/// Standard errors with all values taken as independent.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StandardError {
    /// Of a mean, in standard deviations: `1/√n`.
    pub mean_in_deviations: f64,
    /// Of a variance, as a share of it: `√(2/(n − 1))`.
    pub var_relative: f64,
}

impl CalibrationReport {
    /// The report of a calibration whose result is not written yet.
    pub fn new(
        path: &str,
        graph: &Graph<'_>,
        calibrated: &Calibrated<'_>,
        one_pass: bool,
    ) -> CalibrationReport {
        let node = |estimate: &Estimate| CalibratedNode::new(graph, estimate, calibrated.samples);
        let is_held = |node: &NodeId| calibrated.nodes.iter().all(|known| known.node != *node);
        let training = training_nodes(graph).unwrap_or_default();
        CalibrationReport {
            schema: "bnfold-calibration/1",
            version: env!("CARGO_PKG_VERSION"),
            model: ModelSummary::new(path, graph),
            work: WhatWasDone {
                one_pass,
                passes: calibrated.passes,
                samples: calibrated.samples,
                batches: calibrated.batches,
                left_over: calibrated.left_over,
            },
            nodes: calibrated.nodes.iter().map(node).collect(),
            held: training
                .iter()
                .filter(|node| is_held(node))
                .map(|&node| graph.label(node))
                .collect(),
            output: None,
            fold: None,
        }
    }
}

impl CalibratedNode {
    fn new(graph: &Graph<'_>, estimate: &Estimate, samples: u64) -> CalibratedNode {
        let [mean, var] = &estimate.old;
        CalibratedNode {
            name: graph.label(estimate.node),
            scope: graph.scope_name(estimate.node),
            was_training: estimate.was_training,
            channels: estimate.mean.len(),
            values_per_channel: estimate.count,
            mean: Spread::new(mean.as_deref(), &estimate.mean),
            var: Spread::new(var.as_deref(), &estimate.var),
            standard_error: StandardError::of(estimate.count),
            warnings: warnings(estimate, samples),
        }
    }
}

impl Spread {
    fn new(old: Option<&[f64]>, new: &[f64]) -> Spread {
        let ends = |list: &[f64]| {
            let low = list.iter().copied().fold(f64::INFINITY, f64::min);
            [low, list.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
        };
        Spread {
            old: old.filter(|old| !old.is_empty()).map(ends),
            new: ends(new),
        }
    }
}

impl StandardError {
    /// With so many independent values.
    fn of(n: u64) -> StandardError {
        StandardError {
            mean_in_deviations: 1.0 / (n.max(1) as f64).sqrt(),
            var_relative: (2.0 / n.saturating_sub(1) as f64).sqrt(),
        }
    }

    fn in_words(self) -> String {
        let var = match self.var_relative.is_finite() {
            true => format!("{:.0} %", 100.0 * self.var_relative),
            false => "unknown".to_owned(),
        };
        format!(
            "{:.2} deviations of a mean, {var} of a variance",
            self.mean_in_deviations
        )
    }
}

fn warnings(estimate: &Estimate, samples: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    let n = estimate.count;
    let error = StandardError::of(n);
    if error.var_relative > POOR {
        warnings.push(format!(
            "{n} values per channel are few: standard error {} (sd/√n and var·√(2/(n − 1)), n = {n}), more where positions of one sample correlate; give more samples",
            error.in_words()
        ));
    } else if samples < FEW_SAMPLES {
        warnings.push(format!(
            "{} alone: positions of one sample correlate, so the standard error lies between {} (sd/√n and var·√(2/(n − 1)), n = {n}) and {} (n = {samples}); give more samples",
            count(samples as usize, "sample"),
            error.in_words(),
            StandardError::of(samples).in_words()
        ));
    }
    let constant: Vec<usize> = estimate
        .var
        .iter()
        .zip(0..)
        .filter(|(var, _)| **var == 0.0)
        .map(|(_, c)| c)
        .collect();
    if let Some(first) = constant.first() {
        warnings.push(format!(
            "{} of {} channels have variance 0 (the first is {first}), so ε alone scales them",
            constant.len(),
            estimate.var.len()
        ));
    }
    warnings
}
