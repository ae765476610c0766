//! Markdown for a job summary: the verdict, what it comes to, findings, and what stays behind a fold.

use crate::check::{Audit, Audited};
use crate::report::text::count;
use crate::report::{NodeReport, Report, Verification};

use super::totals::Totals;
use crate::report::visible;

/// Rows of a table; GitHub takes summaries of 1 MiB and no more.
const ROWS: usize = 500;

pub(super) fn render(audit: &Audit) -> String {
    let totals = Totals::of(audit);
    let head = format!("## bnfold: {}\n\n{totals}\n", totals.verdict());
    let troubles = table(
        ["trouble with", "what it is"],
        audit
            .troubles()
            .map(|(audited, trouble)| [cell(&audited.path), cell(trouble)]),
    );
    let findings = table(
        ["severity", "code", "model", "node", "message"],
        audit.open().map(|(audited, finding)| {
            [
                finding.severity.to_string(),
                format!("`{}`", finding.code),
                cell(&audited.path),
                cell(&within(&finding.node, &finding.scope)),
                cell(&finding.message),
            ]
        }),
    );
    [head, troubles, findings, models(audit), stay(audit)].concat()
}

fn reports(audit: &Audit) -> impl Iterator<Item = (&Audited, &Report)> {
    let models = audit.models.iter();
    models.filter_map(|audited| Some((audited, audited.report.as_ref()?)))
}

fn models(audit: &Audit) -> String {
    let rows = reports(audit).map(|(audited, report)| {
        let (folds, stay) = report.counts();
        [
            cell(&audited.path),
            report.model.nodes.to_string(),
            folds.to_string(),
            stay.to_string(),
            verdict(&report.verification).to_owned(),
        ]
    });
    let columns = ["model", "nodes", "BN that fold", "BN that stay", "verdict"];
    let checked = count(reports(audit).count(), "model");
    details(&format!("{checked} checked"), &table(columns, rows))
}

fn stay(audit: &Audit) -> String {
    let nodes = || {
        reports(audit).flat_map(|(audited, report)| {
            let stay = report.batch_norms.iter().filter(|node| node.fold.is_none());
            stay.map(move |node| (audited, node))
        })
    };
    let rows = nodes().map(|(audited, node)| {
        [
            cell(&audited.path),
            cell(&within(&node.name, &node.scope)),
            reasons(node),
        ]
    });
    let table = table(["model", "node", "reasons"], rows);
    let many = nodes().count();
    let verb = if many == 1 { "stays" } else { "stay" };
    details(
        &format!("{} {verb}", count(many, "BatchNormalization")),
        &table,
    )
}

fn reasons(node: &NodeReport) -> String {
    let reasons = node.reasons.iter().map(|reason| {
        let place = cell(&reason.node);
        format!(
            "{}: `{}` at {place}: {}",
            reason.way,
            reason.code,
            cell(&reason.detail)
        )
    });
    reasons.collect::<Vec<String>>().join("<br>")
}

fn verdict(verification: &Verification) -> &'static str {
    match verification {
        Verification::Unchanged => "nothing to fold",
        Verification::Skipped => "not verified",
        Verification::Equivalent(_) => "equivalent",
        Verification::Different(_) => "different",
        Verification::Unknown(_) => "unknown",
    }
}

fn within(node: &str, scope: &str) -> String {
    match scope.is_empty() {
        true => node.to_owned(),
        false => format!("{node} in {scope}"),
    }
}

/// A part that is unfolded by a click; nothing if there is nothing in it.
fn details(summary: &str, content: &str) -> String {
    match content.is_empty() {
        true => String::new(),
        false => format!("\n<details><summary>{summary}</summary>\n{content}\n</details>\n"),
    }
}

/// A table with an empty line in front; nothing if it has no rows.
fn table<const N: usize>(columns: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<String> = rows
        .map(|row| format!("| {} |\n", row.join(" | ")))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let more = match rows.len().saturating_sub(ROWS) {
        0 => String::new(),
        more => format!("\nand {more} more; a JSON report has them all\n"),
    };
    let rows = rows[..rows.len().min(ROWS)].concat();
    format!(
        "\n| {} |\n|{}\n{rows}{more}",
        columns.join(" | "),
        "---|".repeat(N)
    )
}

/// Text that means nothing to Markdown, on one line.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    for character in visible(text).chars() {
        match character {
            '<' => cell.push_str("&lt;"),
            '>' => cell.push_str("&gt;"),
            '&' => cell.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' => {
                cell.extend(['\\', character]);
            }
            _ => cell.push(character),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples;

    #[test]
    fn no_name_brings_in_a_mark_a_tag_or_a_cell() {
        assert_eq!(cell("a|`<b>&*\n\\"), "a\\|\\`&lt;b&gt;&amp;\\*\\\\n\\\\");
        for (name, audit) in samples::all() {
            for line in render(&audit).lines().filter(|line| line.starts_with('|')) {
                let bare = line.replace("\\\\", "").replace("\\|", "");
                let cells = bare.matches('|').count() - 1;
                assert!([2, 3, 5].contains(&cells), "{name}: {line}");
            }
        }
    }

    #[test]
    fn long_tables_end_with_what_is_left_out() {
        let rows = (0..ROWS + 3).map(|index| [index.to_string()]);
        let text = table(["n"], rows);
        assert_eq!(text.matches("\n| ").count(), ROWS + 1);
        assert!(text.ends_with("| 499 |\n\nand 3 more; a JSON report has them all\n"));
    }
}
