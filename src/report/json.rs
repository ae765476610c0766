//! The report as JSON.

use super::Report;

/// The report, indented, with a newline at its end.
pub fn render(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report);
    // Every key is a string and every number is written as JSON allows; NaN becomes null.
    let mut text = text.unwrap_or_else(|error| unreachable!("a report is always JSON: {error}"));
    text.push('\n');
    text
}
