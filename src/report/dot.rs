//! The graph around BatchNormalizations as Graphviz text.
//!
//! Nodes are drawn as in the model; a dashed edge goes from a node that is folded to each node that takes its affine.
//! Nodes that a pattern holds out are not drawn for their own sake.

use std::fmt::Write as _;

use super::around::{Members, Role, Vertex, excerpt};
use crate::fold::Folded;
use crate::plan::{Entry, Outcome};
use crate::rules::Code;

/// The graph around every BatchNormalization that no pattern holds out, and around every other node that is folded.
pub fn render(folded: &Folded<'_>) -> String {
    let entries: Vec<&Entry> = folded.plan.entries.iter().filter(is_drawn).collect();
    let members = Members::around(&folded.graph, &entries, usize::MAX);
    let excerpt = excerpt(&folded.graph, &members);
    let mut text = String::from(HEAD);
    for (at, vertex) in excerpt.vertices.iter().enumerate() {
        let _ = writeln!(
            text,
            "  n{at} [label={}{}];",
            quoted(&label(vertex, entries.get(at).copied())),
            style(vertex, entries.get(at).copied())
        );
    }
    for (from, to) in &excerpt.edges {
        let _ = writeln!(text, "  n{from} -> n{to};");
    }
    for (from, entry) in entries.iter().enumerate() {
        let sites = entry.sites();
        let mut drawn = Vec::new();
        for site in sites {
            let mut nodes = members.nodes.iter();
            let to = nodes.position(|&(node, _)| node == site.node);
            if let Some(to) = to.filter(|to| !drawn.contains(to)) {
                drawn.push(to);
                let side = quoted(site.side);
                let _ = writeln!(text, "  n{from} -> n{to} [label={side}{TAKES}];");
            }
        }
    }
    text.push_str("}\n");
    text
}

const HEAD: &str = "\
digraph bnfold {
  node [shape=box, style=rounded, fontname=\"sans-serif\"];
  edge [fontname=\"sans-serif\", fontsize=10];
";
const TAKES: &str = ", style=dashed, color=\"#1a7f37\", fontcolor=\"#1a7f37\", constraint=false";

fn is_drawn(entry: &&Entry) -> bool {
    match &entry.outcome {
        Outcome::Folded(_) => true,
        Outcome::Stays(reasons) => reasons.iter().all(|(_, reason)| reason.code != Code::Held),
    }
}

fn label(vertex: &Vertex, entry: Option<&Entry>) -> String {
    let verdict = match entry.map(|entry| &entry.outcome) {
        Some(Outcome::Folded(folds)) => {
            let ways: Vec<&str> = folds.iter().map(|fold| fold.way.name()).collect();
            format!("folded {}", ways.join(", "))
        }
        Some(Outcome::Stays(reasons)) => {
            let mut codes: Vec<&str> = reasons.iter().map(|(_, why)| why.code.name()).collect();
            codes.dedup();
            format!("stays: {}", codes.join(", "))
        }
        None => String::new(),
    };
    let lines = [vertex.op_type.as_str(), vertex.name.as_str(), &verdict];
    let lines = lines.iter().filter(|line| !line.is_empty());
    lines.copied().collect::<Vec<&str>>().join("\n")
}

fn style(vertex: &Vertex, entry: Option<&Entry>) -> &'static str {
    match vertex.role {
        Role::Subject if entry.is_some_and(|entry| !entry.folds().is_empty()) => {
            ", style=\"rounded,filled\", fillcolor=\"#dafbe1\""
        }
        Role::Subject => ", style=\"rounded,filled\", fillcolor=\"#fff8c5\"",
        Role::Site => ", penwidth=2, color=\"#1a7f37\"",
        Role::Passed => ", color=\"#0969da\"",
        Role::Input | Role::Output => ", shape=plaintext",
        Role::Near => "",
    }
}

/// In quotes, with nothing in it that ends them or that Graphviz replaces.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => quoted.push('\u{fffd}'),
            // Graphviz reads entities in labels.
            '&' => quoted.push_str("&amp;"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"];x\\N\u{1b}"), "\"a\\\"];x\\\\N\u{fffd}\"");
        assert_eq!(quoted("&lt;\n"), "\"&amp;lt;\\n\"");
    }
}
