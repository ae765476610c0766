//! The section of one model.

use maud::{Markup, html};

use super::charts::{bars, errors};
use super::nodes::{folded, stays};
use super::table::{LONG, folding};
use crate::check::{Audited, Finding};
use crate::report::text::{bytes, count, number};
use crate::report::visible;
use crate::report::{Comparison, Report, Verification};

/// Where in a page a model is, and how many pictures it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) index: usize,
    pub(super) is_open: bool,
    pub(super) pictures: usize,
}

pub(super) fn section(audited: &Audited, place: Place) -> Markup {
    html! {
        details.model id=(anchor(place.index)) open[place.is_open] data-find=(visible(&audited.path)) {
            summary { h2 { (badge(audited)) " " span.name { (visible(&audited.path)) } } }
            @if let Some(trouble) = &audited.trouble {
                p.trouble { "It could not be checked: " (visible(trouble)) }
            }
            @if let Some(report) = &audited.report { (summary(report)) }
            (findings(&audited.findings))
            @if let Some(report) = &audited.report { (nodes(report, place.pictures)) (comparison(&report.verification)) }
        }
    }
}

/// The anchor of a model.
pub(super) fn anchor(index: usize) -> String {
    format!("model-{}", index + 1)
}

/// What was found, in a word.
pub(super) fn badge(audited: &Audited) -> Markup {
    let open = audited
        .findings
        .iter()
        .filter(|finding| !finding.is_accepted);
    let worst = open.map(|finding| finding.severity).max();
    let word = match (&audited.trouble, worst) {
        (Some(_), _) => "trouble",
        (None, Some(severity)) => severity.name(),
        (None, None) => "clean",
    };
    html! { span class={ "badge " (word) } { (word) } }
}

/// The verdict of the comparison, in a sentence.
pub(super) fn verdict(report: &Report) -> Markup {
    let (folded, stay) = report.counts();
    let counts = format!("{folded} folded, {stay} stay");
    let reason =
        |comparison: &Comparison| visible(comparison.reason.as_deref().unwrap_or_default());
    match &report.verification {
        Verification::Unchanged => html! { strong { "Nothing to fold" } ", " (stay) " stay." },
        Verification::Skipped => html! { strong.doubtful { "Not verified" } ": " (counts) "." },
        Verification::Equivalent(_) => html! { strong.good { "Equivalent" } ": " (counts) "." },
        Verification::Different(comparison) => {
            html! { strong.bad { "Different" } ": " (reason(comparison)) }
        }
        Verification::Unknown(comparison) => {
            html! { strong.doubtful { "Unknown" } ": " (reason(comparison)) }
        }
    }
}

/// Nodes and BatchNormalizations of a model, each before and after.
pub(super) fn sizes(report: &Report) -> [(&'static str, usize, usize); 2] {
    let (folded, stay) = report.counts();
    let before = report.model.nodes;
    let after = usize::try_from(before as i64 - report.nodes_removed).unwrap_or(0);
    [
        ("BatchNormalization", folded + stay, stay),
        ("all nodes", before, after),
    ]
}

fn summary(report: &Report) -> Markup {
    let model = &report.model;
    html! {
        p.verdict { (verdict(report)) }
        @if let Some(fault) = &report.at_fault {
            p.trouble { "At fault is the fold of " span.name { (visible(&fault.node)) } " into "
                span.name { (visible(&fault.sites)) } ": " (visible(&fault.counterexample)) }
        }
        p.muted { "opset " (model.opset) ", IR version " (model.ir_version) ", " (count(model.nodes, "node")) ", " (bytes(model.bytes)) }
        @for note in &report.notes { p.muted { (visible(note)) } }
        h3 { "Before and after" }
        (bars(&sizes(report)))
    }
}

fn findings(findings: &[Finding]) -> Markup {
    let heads = ["severity", "code", "node", "what"];
    let rows = html! { @for finding in findings { (row(finding)) } };
    html! {
        @if !findings.is_empty() {
            h3 { "Findings" }
            (folding(findings.len(), LONG, "Findings", &heads, &rows))
        }
    }
}

fn row(finding: &Finding) -> Markup {
    html! {
        tbody.row data-find={ (visible(&finding.node)) " " (visible(&finding.scope)) " " (finding.code.name()) } {
            tr {
                td {
                    span class={ "badge " (finding.severity.name()) } { (finding.severity.name()) }
                    @if finding.is_accepted { " " span.muted { "(in the baseline)" } }
                }
                td { code { (finding.code.name()) } }
                th scope="row" {
                    @if finding.node.is_empty() { "the model" } @else { span.name { (visible(&finding.node)) } }
                    @if !finding.scope.is_empty() { " " span.muted { "in " span.name { (visible(&finding.scope)) } } }
                }
                td { (visible(&finding.message)) details { summary { "what it means" } p { (finding.code.summary()) } } }
            }
        }
    }
}

fn nodes(report: &Report, pictures: usize) -> Markup {
    let (_, n_stay) = report.counts();
    html! {
        h3 { "What stays" }
        (stays(report, pictures))
        h3 { "What is folded" }
        (folded(report, pictures.saturating_sub(n_stay)))
    }
}

fn comparison(verification: &Verification) -> Markup {
    let (Verification::Equivalent(comparison)
    | Verification::Different(comparison)
    | Verification::Unknown(comparison)) = verification
    else {
        return html! {};
    };
    html! {
        h3 { "How close both models are" }
        p.muted {
            (count(comparison.samples, "sample")) ", seed " (comparison.seed) "; " (visible(&comparison.tolerance)) "; " (visible(&comparison.engine))
        }
        @for cut in &comparison.left_out { p { "Compared around " (visible(cut)) } }
        @if !comparison.unreached.is_empty() { p { "Not compared: " (visible(&comparison.unreached.join(", "))) } }
        (errors(comparison))
        (outputs(comparison))
        (values(comparison))
        (layers(comparison))
    }
}

fn outputs(comparison: &Comparison) -> Markup {
    let heads = [
        "output",
        "type",
        "error of the original",
        "error of the result",
        "difference",
        "allowed",
    ];
    let cell = |error: Option<f64>| error.map_or("–".to_owned(), number);
    let rows = html! {
        @for output in &comparison.outputs {
            tbody.row data-find=(visible(&output.name)) { tr {
                th scope="row" { span.name { (visible(&output.name)) } }
                td { (output.element) " " (format!("{:?}", output.shape)) }
                @for error in [output.original_error, output.rewritten_error, output.difference, Some(output.allowed)] {
                    td.number { (cell(error)) }
                }
            } }
        }
    };
    let n_rows = comparison.outputs.len();
    html! { @if n_rows > 0 { (folding(n_rows, LONG, "Outputs", &heads, &rows)) } }
}

fn values(comparison: &Comparison) -> Markup {
    let heads = [
        "end of a fold",
        "node",
        "error of the rewrite",
        "in roundings of the weights",
        "agrees",
    ];
    let rows = html! {
        @for value in &comparison.values {
            tbody.row data-find={ (visible(&value.name)) " " (visible(&value.node)) } { tr {
                th scope="row" { span.name { (visible(&value.name)) } }
                td { span.name { (visible(&value.node)) } }
                td.number { (number(value.error)) }
                td.number { (number(value.roundings)) }
                td { @if value.agrees { "yes" } @else { strong.bad { "no" } } }
            } }
        }
    };
    let n_rows = comparison.values.len();
    html! { @if n_rows > 0 { (folding(n_rows, 0, "Ends of folds", &heads, &rows)) } }
}

fn layers(comparison: &Comparison) -> Markup {
    let heads = [
        "value",
        "node",
        "error of the original",
        "error of the result",
    ];
    let rows = html! {
        @for layer in &comparison.layer_errors {
            tbody.row data-find={ (visible(&layer.name)) " " (visible(&layer.node)) } { tr {
                th scope="row" { span.name { (visible(&layer.name)) } }
                td { span.name { (visible(&layer.node)) } }
                td.number { (number(layer.original_error)) }
                td.number { (number(layer.rewritten_error)) }
            } }
        }
    };
    let n_rows = comparison.layer_errors.len();
    html! { @if n_rows > 0 { (folding(n_rows, 0, "Layers", &heads, &rows)) } }
}
