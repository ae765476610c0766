//! What calibration did, and what a reading in inference mode assumes.
//!
//! With `n` independent values per channel the standard errors are `se(mean) = sd/√n` and
//! `se(var) ≈ var·√(2/(n − 1))`; positions of one sample correlate, so the truth lies between that and `n` = samples.

use std::fmt::Write as _;

use serde::Serialize;

use super::text::{BOLD, DIM, DOUBTFUL, Detail, GOOD, bytes, count};
use super::{ModelSummary, OutputSummary, Report};
use crate::calibrate::{Calibrated, Dependence, Estimate, OutputDependence, training_nodes};
use crate::graph::{Graph, NodeId, ScopeKind};
use crate::verify::{Verdict, Verification as Found};

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
            scope: scope(graph, estimate.node),
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

fn scope(graph: &Graph<'_>, node: NodeId) -> String {
    match graph.scopes[graph.node(node).scope.0 as usize].kind {
        ScopeKind::Main => String::new(),
        ScopeKind::Nested { node } => format!("body of {}", graph.label(node)),
        ScopeKind::Function(index) => format!("function {}", graph.model.functions[index].name),
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

/// The report for people.
pub fn render(report: &CalibrationReport, detail: Detail) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, report, detail);
    text
}

fn write(text: &mut String, report: &CalibrationReport, detail: Detail) -> std::fmt::Result {
    let (model, work) = (&report.model, &report.work);
    writeln!(
        text,
        "{BOLD}{}{BOLD:#}: {}, opset {}, {}",
        model.path,
        count(model.nodes, "node"),
        model.opset,
        bytes(model.bytes)
    )?;
    let nodes = count(report.nodes.len(), "BatchNormalization");
    writeln!(
        text,
        "  {GOOD}calibrated{GOOD:#} {nodes} on {} in {}, {}",
        count(work.samples as usize, "sample"),
        count(work.batches as usize, "run"),
        match work.passes {
            1 => "1 pass over the data".to_owned(),
            passes => format!("{passes} passes over the data"),
        }
    )?;
    if detail > Detail::Short {
        report.nodes.iter().try_for_each(|one| node(text, one))?;
    }
    if work.left_over > 0 {
        let left = count(work.left_over as usize, "sample");
        writeln!(
            text,
            "  {DOUBTFUL}left out{DOUBTFUL:#} {left} that fill no batch of the size that the model fixes"
        )?;
    }
    if !report.held.is_empty() {
        writeln!(
            text,
            "  {DOUBTFUL}held in training mode{DOUBTFUL:#} {}",
            report.held.join(", ")
        )?;
    }
    match (&report.output, &report.fold) {
        (Some(output), _) => writeln!(
            text,
            "{GOOD}calibrated{GOOD:#}; wrote {BOLD}{}{BOLD:#}",
            output.path
        ),
        (None, Some(fold)) => write!(text, "{}", super::text::render(fold, detail)),
        (None, None) => writeln!(text, "nothing was written"),
    }
}

fn node(text: &mut String, node: &CalibratedNode) -> std::fmt::Result {
    let scope = match node.scope.is_empty() {
        true => String::new(),
        false => format!(" in {}", node.scope),
    };
    writeln!(
        text,
        "    {}{scope}: mean {}, var {}; {} {DIM}per channel{DIM:#}",
        node.name,
        moved(&node.mean),
        moved(&node.var),
        count(node.values_per_channel as usize, "value")
    )?;
    for warning in &node.warnings {
        writeln!(text, "      {DOUBTFUL}warning{DOUBTFUL:#}: {warning}")?;
    }
    Ok(())
}

fn moved(spread: &Spread) -> String {
    let range = |[low, high]: [f64; 2]| match low == high {
        true => format!("{low:.3}"),
        false => format!("{low:.3}..{high:.3}"),
    };
    let old = spread.old.map_or("(none stored)".to_owned(), range);
    format!("{old} → {}", range(spread.new))
}

/// A model whose nodes in training mode were read as inference mode.
#[derive(Clone, Debug, Serialize)]
pub struct Assumed {
    /// The nodes.
    pub nodes: Vec<String>,
    /// How far both readings are apart on the samples.
    pub outputs: Vec<ReadingFigures>,
    /// Why that could not be measured.
    pub reason: Option<String>,
}

/// How far an output is from itself in the other reading.
#[derive(Clone, Debug, Serialize)]
pub struct ReadingFigures {
    /// The output.
    pub name: String,
    /// Its element type.
    pub element: String,
    /// Its shape on the samples.
    pub shape: Vec<usize>,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Root mean square of the differences.
    pub rms: f64,
    /// Cosine of the angle between both.
    pub cosine: f64,
}

impl Assumed {
    /// From a comparison of the original as it is with its reading in inference mode.
    pub fn new(nodes: Vec<String>, found: &Found) -> Assumed {
        let figures = found.outputs.iter().filter_map(|output| {
            let difference = output.difference.as_ref()?;
            Some(ReadingFigures {
                name: output.name.clone(),
                element: output.element.clone(),
                shape: output.shape.clone(),
                max_abs: difference.max_abs,
                rms: difference.rms,
                cosine: difference.cosine,
            })
        });
        let outputs: Vec<ReadingFigures> = figures.collect();
        let reason = match &found.verdict {
            Verdict::Unknown { reason } if outputs.is_empty() => Some(reason.to_string()),
            _ => None,
        };
        Assumed {
            nodes,
            outputs,
            reason,
        }
    }
}

pub(super) fn assumption(text: &mut String, assumed: Option<&Assumed>) -> std::fmt::Result {
    let Some(assumed) = assumed else {
        return Ok(());
    };
    writeln!(
        text,
        "  {DOUBTFUL}ASSUMED inference mode{DOUBTFUL:#} for {} in training mode, with the statistics they store: {}",
        count(assumed.nodes.len(), "node"),
        assumed.nodes.join(", ")
    )?;
    for output in &assumed.outputs {
        writeln!(
            text,
            "    {} {} {:?}: the model as it is and as assumed differ by {:.1e} (root mean square {:.1e}, cosine {:.4})",
            output.name, output.element, output.shape, output.max_abs, output.rms, output.cosine
        )?;
    }
    match &assumed.reason {
        Some(reason) => writeln!(
            text,
            "    how far both readings are apart is unknown: {reason}"
        ),
        None => Ok(()),
    }
}

/// How far outputs move with the batch size, for people.
pub fn render_dependence(dependence: &Dependence, training: &[String]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_dependence(&mut text, dependence, training);
    text
}

fn write_dependence(
    text: &mut String,
    dependence: &Dependence,
    training: &[String],
) -> std::fmt::Result {
    let samples = dependence.samples;
    match training.is_empty() {
        true => writeln!(text, "  no BatchNormalization is in training mode")?,
        false => writeln!(
            text,
            "  {DOUBTFUL}in training mode{DOUBTFUL:#} {}: {}",
            count(training.len(), "BatchNormalization"),
            training.join(", ")
        )?,
    }
    writeln!(
        text,
        "  the same {samples} samples in smaller batches, against one batch of {samples}"
    )?;
    dependence
        .outputs
        .iter()
        .try_for_each(|output| shifts(text, output))
}

fn shifts(text: &mut String, output: &OutputDependence) -> std::fmt::Result {
    writeln!(
        text,
        "    {} {:?}, root mean square {:.1e}",
        output.name, output.shape, output.rms
    )?;
    let Some(shifts) = &output.shifts else {
        return writeln!(
            text,
            "      it has no batch axis, so there is nothing to compare by sample"
        );
    };
    for shift in shifts {
        writeln!(
            text,
            "      batches of {:<4} {}differ by {:.1e}, {:.1e} of the root mean square",
            shift.batch,
            match shift.samples == output.shape.first().copied().unwrap_or(0) {
                true => String::new(),
                false => format!("({} samples) ", shift.samples),
            },
            shift.max_abs,
            shift.relative
        )?;
    }
    Ok(())
}
