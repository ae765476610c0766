//! The report as JSON.

use serde::Serialize;

use super::{CalibrationReport, Report, Verification};
use crate::calibrate::Dependence;

/// The report, indented, with a newline at its end.
pub fn render(report: &Report) -> String {
    pretty(report)
}

/// A verification alone.
pub fn render_verification(verification: &Verification) -> String {
    pretty(verification)
}

/// The report of a calibration.
pub fn render_calibration(report: &CalibrationReport) -> String {
    pretty(report)
}

/// How far outputs move with the batch size.
pub fn render_dependence(dependence: &Dependence) -> String {
    pretty(dependence)
}

pub(crate) fn pretty(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value);
    // Every key is a string, and numbers that JSON lacks become null.
    let mut text = text.unwrap_or_else(|error| unreachable!("a report is always JSON: {error}"));
    text.push('\n');
    text
}
