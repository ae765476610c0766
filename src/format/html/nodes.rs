//! The tables of nodes: what is folded, and what stays.

use maud::{Markup, html};

use super::charts::distribution;
use super::picture::figure;
use super::table::{LONG, folding};
use crate::report::text::number;
use crate::report::visible;
use crate::report::{NodeReport, Range, Report};

const HEADS: [&str; 7] = ["node", "channels", "ε", "scale", "shift", "var", "dead"];

/// The nodes that are folded, with the graph around them and their scales; at most so many pictures.
pub(super) fn folded(report: &Report, pictures: usize) -> Markup {
    let all = report.batch_norms.iter().chain(&report.affines);
    let nodes: Vec<&NodeReport> = all.filter(|node| node.fold.is_some()).collect();
    entries(
        &nodes,
        "what takes it",
        "Nodes that are folded",
        |node, at| {
            html! {
                (unfold("picture and scales", &details(node, at < pictures)))
            }
        },
    )
}

/// The BatchNormalizations that stay, with their reasons.
pub(super) fn stays(report: &Report, pictures: usize) -> Markup {
    let all = report.batch_norms.iter();
    let nodes: Vec<&NodeReport> = all.filter(|node| node.fold.is_none()).collect();
    entries(
        &nodes,
        "why it stays",
        "BatchNormalizations that stay",
        |node, at| {
            html! {
                (unfold("reasons", &html! { (reasons(node)) (details(node, at < pictures)) }))
            }
        },
    )
}

fn entries(
    nodes: &[&NodeReport],
    verdict: &str,
    caption: &str,
    more: impl Fn(&NodeReport, usize) -> Markup,
) -> Markup {
    let heads = [&HEADS[..], &[verdict]].concat();
    let rows = html! {
        @for (at, node) in nodes.iter().enumerate() {
            tbody.row data-find=(find(node)) {
                (row(node))
                tr.more { td colspan=(heads.len()) { (more(node, at)) } }
            }
        }
    };
    match nodes.is_empty() {
        true => html! { p.muted { "None." } },
        false => folding(nodes.len(), LONG, caption, &heads, &rows),
    }
}

fn unfold(summary: &str, inside: &Markup) -> Markup {
    html! { details { summary { (summary) } (inside) } }
}

/// What a search looks at.
fn find(node: &NodeReport) -> String {
    let codes = node.reasons.iter().map(|reason| reason.code.name());
    let sites = node.fold.iter().flat_map(|fold| &fold.sites);
    let words = [
        node.name.as_str(),
        node.scope.as_str(),
        node.op_type.as_str(),
    ];
    let words = words
        .into_iter()
        .chain(codes)
        .chain(sites.map(|site| site.node.as_str()));
    visible(&words.collect::<Vec<&str>>().join(" "))
}

fn row(node: &NodeReport) -> Markup {
    let known = node.parameters.as_ref();
    html! {
        tr {
            th scope="row" {
                span.name { (visible(&node.name)) }
                @if node.op_type != "BatchNormalization" { " " span.muted { "(" (visible(&node.op_type)) ")" } }
                @if !node.scope.is_empty() { " " span.muted { "in " span.name { (visible(&node.scope)) } } }
            }
            @if let Some(known) = known {
                td.number { (known.channels) }
                td.number { (number(known.epsilon)) }
                @for range in [known.scale, known.shift, known.var] { td.number { (between(range)) } }
                td.number { (known.dead.len()) }
            } @else {
                @for _ in 1..HEADS.len() { td.number { "–" } }
            }
            td { (verdict(node)) }
        }
    }
}

fn between(range: Range) -> String {
    format!("{} … {}", number(range.min), number(range.max))
}

fn verdict(node: &NodeReport) -> Markup {
    let Some(fold) = &node.fold else {
        let mut codes: Vec<&str> = node
            .reasons
            .iter()
            .map(|reason| reason.code.name())
            .collect();
        codes.retain(|code| *code != "no-sibling");
        codes.dedup();
        return html! { @for (at, code) in codes.iter().enumerate() { @if at > 0 { ", " } code { (code) } } };
    };
    html! {
        (fold.way) " → "
        @if fold.sites.is_empty() { "no weight: it is unread, or constant" }
        @for (at, site) in fold.sites.iter().enumerate() {
            @if at > 0 { ", " }
            span.name { (visible(&site.node)) } " (" (site.side) ")"
        }
    }
}

fn reasons(node: &NodeReport) -> Markup {
    html! {
        dl.reasons {
            @for reason in &node.reasons {
                dt { (reason.way) ": " code { (reason.code.name()) } " " span.muted { "(" (reason.kind) ")" } }
                dd {
                    "at " span.name { (visible(&reason.node)) } ": " (visible(&reason.detail)) ". "
                    (reason.code.summary())
                }
            }
        }
    }
}

fn details(node: &NodeReport, is_drawn: bool) -> Markup {
    html! {
        @if let Some(fold) = &node.fold {
            @if !fold.through.is_empty() {
                p { "It passes " @for (at, passed) in fold.through.iter().enumerate() {
                    @if at > 0 { ", " } span.name { (visible(passed)) }
                } "." }
            }
        }
        @let around = node.around.as_ref().filter(|_| is_drawn);
        @if around.is_some() {
            (legend())
        } @else {
            p.muted { "No picture here; bnfold inspect --dot --only NAME draws one." }
        }
        div.pair {
            @if let Some(around) = around {
                (figure(&around.before, if around.after.is_some() { "Before" } else { "Around it" }))
                @if let Some(after) = &around.after { (figure(after, "After")) }
            }
            @if let Some(parameters) = &node.parameters { (distribution(parameters)) }
        }
    }
}

fn legend() -> Markup {
    html! {
        ul.legend {
            li { span.key.subject {} "the node" }
            li { span.key.site {} "takes the affine" }
            li { span.key.passed {} "is passed" }
        }
    }
}
