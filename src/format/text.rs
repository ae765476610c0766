//! For a terminal: a line per finding, then what it comes to.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::check::{Audit, Audited, Severity};

use super::totals::Totals;
use crate::report::visible;

const BOLD: Style = Style::new().bold();

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
    writeln!(text, "{}", Totals::of(audit))
}

fn model(text: &mut String, audited: &Audited) -> std::fmt::Result {
    if let Some(trouble) = &audited.trouble {
        let red = style(Severity::Error);
        return writeln!(
            text,
            "{BOLD}{}{BOLD:#}: {red}trouble{red:#}: {}",
            visible(&audited.path),
            visible(trouble)
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
            visible(&audited.path),
            finding.severity,
            finding.code,
            visible(&finding.place()),
            visible(&finding.message)
        )?;
    }
    Ok(())
}
