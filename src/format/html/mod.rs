//! A page for a browser: one file that loads nothing, readable in light and dark.
//!
//! The verdict comes first, then an index of the models, then a section for each.
//! Whatever a model names is text, never markup; the page's own policy forbids it to load or send anything.
//! Pictures are bounded in number, so that a page of many models opens quickly.

mod charts;
mod layout;
mod model;
mod nodes;
mod picture;
mod table;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::check::{Audit, Audited, Severity};
use crate::report::text::count;
use crate::report::visible;
use crate::report::{Report, Verification};
use charts::bars;
use model::{Place, anchor, badge, section, sizes, verdict};
use picture::arrow;
use table::table;

/// How many nodes of a page have a picture, and how many each model may at least have.
const PICTURES: usize = 300;
const AT_LEAST: usize = 3;
/// A page of more models than this shows their sections folded.
const OPEN: usize = 3;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The audit as a page.
pub(super) fn render(audit: &Audit) -> String {
    let title = format!("bnfold: {}", headline(audit));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                a.skip href="#models" { "Skip to the models" }
                (arrow())
                (top(audit))
                main #models {
                    @if audit.models.len() > 1 { (index(audit)) }
                    @for (index, audited) in audit.models.iter().enumerate() {
                        (section(audited, place(index, audit.models.len())))
                    }
                }
                footer { p.muted { "bnfold " (audit.version) ". “After” is what bnfold MODEL -o OUT would write; a check writes no model." } }
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

fn place(index: usize, n_models: usize) -> Place {
    Place {
        index,
        is_open: n_models <= OPEN,
        pictures: (PICTURES / n_models).max(AT_LEAST),
    }
}

fn headline(audit: &Audit) -> String {
    let severities = [Severity::Error, Severity::Warning, Severity::Note];
    let found: Vec<String> = severities
        .iter()
        .map(|&severity| (audit.count(severity), severity.name()))
        .filter(|(n, _)| *n > 0)
        .map(|(n, name)| count(n, name))
        .collect();
    let models = count(audit.models.len(), "model");
    let troubles = audit.troubles().count();
    let unread = match troubles {
        0 => String::new(),
        _ => format!("; {troubles} could not be checked"),
    };
    match found.is_empty() {
        true => format!("nothing found in {models}{unread}"),
        false => format!("{} in {models}{unread}", found.join(", ")),
    }
}

fn top(audit: &Audit) -> Markup {
    let reports = || {
        audit
            .models
            .iter()
            .filter_map(|audited| audited.report.as_ref())
    };
    let sums = reports().map(sizes).fold([(0, 0); 2], |sums, sizes| {
        let add = |at: usize| (sums[at].0 + sizes[at].1, sums[at].1 + sizes[at].2);
        [add(0), add(1)]
    });
    html! {
        header {
            h1 { (headline(audit)) }
            p.verdict { (verdicts(reports())) }
            @if audit.models.len() > 1 {
                (bars(&[("BatchNormalization", sums[0].0, sums[0].1), ("all nodes", sums[1].0, sums[1].1)]))
            }
            div.search role="search" hidden {
                label for="search" { "Filter by name" }
                input #search type="search" autocomplete="off" spellcheck="false";
                output #found for="search" {}
            }
        }
    }
}

/// How many comparisons came out how.
fn verdicts<'r>(reports: impl Iterator<Item = &'r Report>) -> String {
    let mut counts = [0usize; 5];
    for report in reports {
        let at = match report.verification {
            Verification::Equivalent(_) => 0,
            Verification::Different(_) => 1,
            Verification::Unknown(_) => 2,
            Verification::Skipped => 3,
            Verification::Unchanged => 4,
        };
        counts[at] += 1;
    }
    let words = [
        "equivalent",
        "different",
        "unknown",
        "not verified",
        "nothing to fold",
    ];
    let told = counts.iter().zip(words).filter(|(n, _)| **n > 0);
    let told: Vec<String> = told.map(|(n, word)| format!("{n} {word}")).collect();
    match told.is_empty() {
        true => "No model could be looked at.".to_owned(),
        false => format!("Folded models beside the originals: {}.", told.join(", ")),
    }
}

fn index(audit: &Audit) -> Markup {
    let heads = ["model", "found", "BN before", "BN after", "folded model"];
    let lines =
        html! { @for (at, audited) in audit.models.iter().enumerate() { (line(audited, at)) } };
    html! {
        h2 { "Models" }
        (table("Models", &heads, &lines))
    }
}

fn line(audited: &Audited, at: usize) -> Markup {
    html! {
        tbody.row data-find=(visible(&audited.path)) { tr {
            th scope="row" { a.name href={ "#" (anchor(at)) } { (visible(&audited.path)) } }
            td { (badge(audited)) }
            @if let Some(report) = &audited.report {
                @let [(_, before, after), _] = sizes(report);
                td.number { (before) }
                td.number { (after) }
                td { (verdict(report)) }
            } @else {
                td.number { "–" }
                td.number { "–" }
                td { (visible(audited.trouble.as_deref().unwrap_or_default())) }
            }
        } }
    }
}
