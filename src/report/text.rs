//! The report for people: what was folded, what stays and why, and how close both models are.

mod comparison;

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use comparison::comparison;

use super::calibration;
use super::visible::shown;
use super::{Comparison, NodeReport, Report, Verification, table};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();

/// How much to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// One line.
    Short,
    /// Folds, refusals, figures.
    Normal,
    /// Every way that was tried for every node, carriers, notes of the engine.
    Full,
}

/// The report as text with terminal styles; strip them where there is no terminal.
pub fn render(report: &Report, detail: Detail) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, &shown(report), detail);
    text
}

/// A verification alone.
pub fn render_verification(verification: &Verification, detail: Detail) -> String {
    let mut text = String::new();
    let verification = &shown(verification);
    // Writing to a String cannot fail.
    let _ = comparison(&mut text, verification, detail);
    let reason = |comparison: &Comparison| comparison.reason.clone().unwrap_or_default();
    let _ = match verification {
        Verification::Unchanged => writeln!(text, "{GOOD}equivalent{GOOD:#}: the same bytes"),
        Verification::Skipped => writeln!(text, "{DOUBTFUL}not verified{DOUBTFUL:#}"),
        Verification::Equivalent(_) => writeln!(text, "{GOOD}equivalent{GOOD:#}"),
        Verification::Different(comparison) => {
            writeln!(text, "{BAD}different{BAD:#}: {}", reason(comparison))
        }
        Verification::Unknown(comparison) => writeln!(
            text,
            "{DOUBTFUL}unknown{DOUBTFUL:#}: {}",
            reason(comparison)
        ),
    };
    text
}

/// The plan alone: a table of what there is and what becomes of it, then why the rest stays.
pub fn render_plan(report: &Report, detail: Detail) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = plan(&mut text, &shown(report), detail);
    text
}

fn plan(text: &mut String, report: &Report, detail: Detail) -> std::fmt::Result {
    header(text, report)?;
    calibration::assumption(text, report.assumed.as_ref())?;
    table::write(text, &report.batch_norms)?;
    if detail == Detail::Full {
        return nodes(text, report, detail);
    }
    other_folds(text, report, detail)?;
    stays(text, report, detail)
}

fn header(text: &mut String, report: &Report) -> std::fmt::Result {
    let (folded, stay) = report.counts();
    let model = &report.model;
    writeln!(
        text,
        "{BOLD}{}{BOLD:#}: {}, {}, opset {}, {}",
        model.path,
        count(model.nodes, "node"),
        count(folded + stay, "BatchNormalization"),
        model.opset,
        bytes(model.bytes),
    )
}

fn write(text: &mut String, report: &Report, detail: Detail) -> std::fmt::Result {
    header(text, report)?;
    calibration::assumption(text, report.assumed.as_ref())?;
    if detail > Detail::Short {
        nodes(text, report, detail)?;
        comparison(text, &report.verification, detail)?;
        for note in &report.notes {
            writeln!(text, "  note: {note}")?;
        }
    }
    faults(text, report)?;
    verdict(text, report)
}

/// Folds that change results are told at every level of detail.
fn faults(text: &mut String, report: &Report) -> std::fmt::Result {
    for fault in &report.rolled_back {
        writeln!(
            text,
            "  {BAD}ROLLED BACK{BAD:#} {} → {}: {}",
            fault.node, fault.sites, fault.counterexample
        )?;
    }
    if let Some(fault) = &report.at_fault {
        writeln!(
            text,
            "  {BAD}at fault{BAD:#} {} → {}; --on-different rollback leaves this fold out",
            fault.node, fault.sites
        )?;
    }
    Ok(())
}

fn nodes(text: &mut String, report: &Report, detail: Detail) -> std::fmt::Result {
    let (folded, _) = report.counts();
    if folded > 0 {
        writeln!(text, "  {GOOD}folded{GOOD:#} {folded}")?;
        for node in report.batch_norms.iter().filter(|node| node.fold.is_some()) {
            fold(text, node, detail)?;
        }
    }
    other_folds(text, report, detail)?;
    stays(text, report, detail)
}

fn other_folds(text: &mut String, report: &Report, detail: Detail) -> std::fmt::Result {
    let merged = |node: &&NodeReport| node.fold.as_ref().is_some_and(|fold| fold.way == "merge");
    let (merged, affines): (Vec<_>, Vec<_>) = report.affines.iter().partition(merged);
    for (nodes, what) in [
        (affines, "that scale or shift by constants"),
        (merged, "merged into convolutions of the same value"),
    ] {
        if nodes.is_empty() {
            continue;
        }
        writeln!(
            text,
            "  {GOOD}folded{GOOD:#} {} {what}",
            count(nodes.len(), "other node")
        )?;
        for node in nodes {
            fold(text, node, detail)?;
        }
    }
    Ok(())
}

fn stays(text: &mut String, report: &Report, detail: Detail) -> std::fmt::Result {
    let (_, stay) = report.counts();
    if stay > 0 {
        writeln!(text, "  {DOUBTFUL}stay{DOUBTFUL:#} {stay}")?;
        for node in report.batch_norms.iter().filter(|node| node.fold.is_none()) {
            reasons(text, node, detail)?;
        }
    }
    Ok(())
}

fn fold(text: &mut String, node: &NodeReport, detail: Detail) -> std::fmt::Result {
    let Some(fold) = &node.fold else {
        return Ok(());
    };
    let sites: Vec<String> = fold
        .sites
        .iter()
        .map(|site| format!("{} ({})", site.node, site.side))
        .collect();
    let sites = if sites.is_empty() {
        "no weight: it is unread, or constant".to_owned()
    } else {
        sites.join(", ")
    };
    write!(text, "    {}{} → {sites}", node.name, within(node))?;
    if ["compensation", "reduction"].contains(&fold.way.as_str()) {
        write!(text, " {DOUBTFUL}by {}{DOUBTFUL:#}", fold.way)?;
    }
    if !fold.through.is_empty() && detail == Detail::Full {
        write!(text, " {DIM}through {}{DIM:#}", fold.through.join(", "))?;
    }
    writeln!(text)
}

fn within(node: &NodeReport) -> String {
    match node.scope.is_empty() {
        true => String::new(),
        false => format!(" in {}", node.scope),
    }
}

fn reasons(text: &mut String, node: &NodeReport, detail: Detail) -> std::fmt::Result {
    writeln!(text, "    {}{}", node.name, within(node))?;
    // One reason for all ways is said once; that there is no sibling convolution goes without saying.
    let same = node
        .reasons
        .windows(2)
        .all(|pair| pair[0].code == pair[1].code && pair[0].node == pair[1].node);
    let shown = node
        .reasons
        .iter()
        .filter(|reason| detail == Detail::Full || reason.code.name() != "no-sibling");
    for reason in shown.take(if same { 1 } else { usize::MAX }) {
        let way = if same { "" } else { &reason.way };
        writeln!(
            text,
            "      {way:<10} {BOLD}{}{BOLD:#} {DIM}({}){DIM:#} at {}: {}",
            reason.code.name(),
            reason.kind,
            reason.node,
            reason.detail
        )?;
    }
    Ok(())
}

fn verdict(text: &mut String, report: &Report) -> std::fmt::Result {
    let (folded, stay) = report.counts();
    let reason = |comparison: &Comparison| comparison.reason.clone().unwrap_or_default();
    match &report.verification {
        Verification::Unchanged => {
            let same = match &report.assumed {
                Some(_) => "read in inference mode",
                None => "byte for byte",
            };
            write!(
                text,
                "{BOLD}nothing to fold{BOLD:#}: the output is the input, {same}"
            )?;
        }
        Verification::Skipped => write!(
            text,
            "{DOUBTFUL}not verified{DOUBTFUL:#}: {folded} folded, {stay} stay"
        )?,
        Verification::Equivalent(_) => write!(
            text,
            "{GOOD}equivalent{GOOD:#}: {folded} folded, {stay} stay"
        )?,
        Verification::Different(comparison) => {
            write!(text, "{BAD}different{BAD:#}: {}", reason(comparison))?
        }
        Verification::Unknown(comparison) => write!(
            text,
            "{DOUBTFUL}unknown{DOUBTFUL:#}: {}",
            reason(comparison)
        )?,
    }
    match &report.output {
        Some(output) => writeln!(
            text,
            "; wrote {BOLD}{}{BOLD:#} ({})",
            output.path,
            saved(report, output.bytes)
        ),
        None => writeln!(text, "; nothing was written"),
    }
}

/// `3 nodes and 1.2 kB less`, or `3 nodes less, 1.2 kB more`.
fn saved(report: &Report, after: u64) -> String {
    let nodes = count(usize::try_from(report.nodes_removed).unwrap_or(0), "node");
    let before = report.model.bytes;
    match before.checked_sub(after) {
        Some(less) => format!("{nodes} and {} less", bytes(less)),
        None => format!("{nodes} less, {} more", bytes(after - before)),
    }
}

/// A count with its noun.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// A size in the unit that keeps it short.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut size = number as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{number} bytes"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

/// A number in three digits, or two and an exponent.
pub fn number(number: f64) -> String {
    let magnitude = number.abs();
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    if !(1e-3..1e4).contains(&magnitude) {
        return format!("{number:.1e}");
    }
    let digits = 2 - magnitude.log10().floor() as i32;
    format!("{number:.*}", usize::try_from(digits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.0, 1.0, -12.345, 999.9, 0.012_34, 1e-5, 123_456.0, -1e-12];
        let shown = numbers.map(number);
        let expected = [
            "0", "1.00", "-12.3", "1000", "0.0123", "1.0e-5", "1.2e5", "-1.0e-12",
        ];
        assert_eq!(shown, expected);
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(number(f64::INFINITY), "inf");
    }
}
