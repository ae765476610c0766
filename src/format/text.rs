//! For a terminal: a line per finding, then what it comes to.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::check::{Audit, Audited, Finding, Severity};
use crate::report::text::count;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

fn style(severity: Severity) -> Style {
    let color = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Note => AnsiColor::Cyan,
    };
    color.on_default().bold()
}

/// The audit as text with terminal styles; strip them where there is no terminal.
pub(super) fn render(audit: &Audit) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, audit);
    text
}

fn write(text: &mut String, audit: &Audit) -> std::fmt::Result {
    for audited in &audit.models {
        model(text, audited)?;
    }
    total(text, audit)
}

fn model(text: &mut String, audited: &Audited) -> std::fmt::Result {
    if let Some(trouble) = &audited.trouble {
        let red = style(Severity::Error);
        return writeln!(
            text,
            "{BOLD}{}{BOLD:#}: {red}trouble{red:#}: {trouble}",
            audited.path
        );
    }
    for finding in audited
        .findings
        .iter()
        .filter(|finding| !finding.is_accepted)
    {
        let style = style(finding.severity);
        writeln!(
            text,
            "{BOLD}{}{BOLD:#}: {style}{}{style:#} {BOLD}{}{BOLD:#}{}: {}",
            audited.path,
            finding.severity,
            finding.code,
            place(finding),
            finding.message
        )?;
    }
    Ok(())
}

/// ` at NODE in SCOPE`, as far as there are any.
fn place(finding: &Finding) -> String {
    let mut place = String::new();
    for (preposition, name) in [("at", &finding.node), ("in", &finding.scope)] {
        if !name.is_empty() {
            let _ = write!(place, " {preposition} {name}");
        }
    }
    place
}

fn total(text: &mut String, audit: &Audit) -> std::fmt::Result {
    let [errors, warnings, notes] =
        [Severity::Error, Severity::Warning, Severity::Note].map(|severity| audit.count(severity));
    let accepted = audit
        .models
        .iter()
        .flat_map(|audited| &audited.findings)
        .filter(|finding| finding.is_accepted)
        .count();
    write!(
        text,
        "{}: {}, {}, {}",
        count(audit.models.len(), "model"),
        count(errors, "error"),
        count(warnings, "warning"),
        count(notes, "note")
    )?;
    if accepted > 0 {
        write!(text, " {DIM}({accepted} more in the baseline){DIM:#}")?;
    }
    match audit.troubles().count() {
        0 => writeln!(text),
        troubles => writeln!(text, "; {troubles} could not be checked"),
    }
}
