//! A calibration's report for people.

use std::fmt::Write as _;

use super::{CalibratedNode, CalibrationReport, Spread};
use crate::report::text::{BOLD, DIM, DOUBTFUL, Detail, GOOD, bytes, count};
use crate::report::visible;

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
        visible(&model.path),
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
            passes => format!("{passes} passes over the data, one per node on the longest way"),
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
            visible(&report.held.join(", "))
        )?;
    }
    match (&report.output, &report.fold) {
        (Some(output), _) => writeln!(
            text,
            "{GOOD}calibrated{GOOD:#}; wrote {BOLD}{}{BOLD:#}",
            visible(&output.path)
        ),
        (None, Some(fold)) => write!(text, "{}", crate::report::text::render(fold, detail)),
        (None, None) => writeln!(text, "nothing was written"),
    }
}

fn node(text: &mut String, node: &CalibratedNode) -> std::fmt::Result {
    let scope = match node.scope.is_empty() {
        true => String::new(),
        false => format!(" in {}", visible(&node.scope)),
    };
    writeln!(
        text,
        "    {}{scope}: mean {}, var {}; {} {DIM}per channel{DIM:#}",
        visible(&node.name),
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
        true => short(low),
        false => format!("{}..{}", short(low), short(high)),
    };
    let old = spread.old.map_or("(none stored)".to_owned(), range);
    format!("{old} → {}", range(spread.new))
}

/// About three digits, whatever the magnitude.
fn short(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        1e-2..1e4 => format!("{number:.3}"),
        _ => format!("{number:.2e}"),
    }
}
