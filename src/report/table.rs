//! A table of a report's BatchNormalizations, one line each.

use std::fmt::Write as _;

use anstyle::Style;

use super::text::{DIM, DOUBTFUL, GOOD, number};
use super::{NodeReport, Range};

/// How many nodes that take an affine a line names.
const NAMED: usize = 2;

/// A column: its head, whether it stands to the right, and what it says of a node.
type Column = (&'static str, bool, fn(&NodeReport) -> String);

const COLUMNS: [Column; 9] = [
    ("name", false, |node| node.name.clone()),
    ("scope", false, |node| node.scope.clone()),
    ("channels", true, |node| {
        known(node, |p| p.channels.to_string())
    }),
    ("epsilon", true, |node| known(node, |p| number(p.epsilon))),
    ("scale", true, |node| known(node, |p| range(p.scale))),
    ("shift", true, |node| known(node, |p| range(p.shift))),
    ("var", true, |node| known(node, |p| range(p.var))),
    ("dead", true, |node| {
        known(node, |p| p.dead.len().to_string())
    }),
    ("verdict", false, verdict),
];

/// The nodes in their order; a column in which all are empty is left out.
pub(super) fn write(text: &mut String, nodes: &[NodeReport]) -> std::fmt::Result {
    let columns = COLUMNS.map(|(head, is_right, cell)| {
        let cells: Vec<String> = nodes.iter().map(cell).collect();
        let lengths = cells.iter().map(|cell| cell.chars().count());
        let width = lengths.max().unwrap_or(0);
        (head, is_right, cells, width)
    });
    let columns: Vec<_> = columns
        .into_iter()
        .filter(|(.., width)| *width > 0)
        .collect();
    let line = |text: &mut String, style: Style, cell: &dyn Fn(usize) -> String| {
        let mut padded = String::new();
        for (at, (head, is_right, _, width)) in columns.iter().enumerate() {
            let width = head.len().max(*width);
            let cell = cell(at);
            match is_right {
                true => write!(padded, "  {cell:>width$}")?,
                false => write!(padded, "  {cell:<width$}")?,
            }
        }
        writeln!(text, "{style}{}{style:#}", padded.trim_end())
    };
    if nodes.is_empty() {
        return Ok(());
    }
    line(text, DIM, &|at| columns[at].0.to_owned())?;
    for (row, node) in nodes.iter().enumerate() {
        let style = match node.fold.is_some() {
            true => GOOD,
            false => DOUBTFUL,
        };
        let last = columns.len() - 1;
        let styled = |at: usize| {
            let cell = &columns[at].2[row];
            match at == last {
                true => format!("{style}{cell}{style:#}"),
                false => cell.clone(),
            }
        };
        line(text, Style::new(), &styled)?;
    }
    Ok(())
}

fn known(node: &NodeReport, cell: impl Fn(&super::Parameters) -> String) -> String {
    node.parameters.as_ref().map_or("-".to_owned(), cell)
}

fn range(range: Range) -> String {
    format!("{} … {}", number(range.min), number(range.max))
}

fn verdict(node: &NodeReport) -> String {
    let Some(fold) = &node.fold else {
        let mut codes: Vec<&str> = Vec::new();
        for reason in &node.reasons {
            let code = reason.code.name();
            // That there is no sibling convolution goes without saying.
            if code != "no-sibling" && !codes.contains(&code) {
                codes.push(code);
            }
        }
        return format!("stays: {}", codes.join(", "));
    };
    let sites = fold.sites.iter().take(NAMED);
    let mut sites: Vec<String> = sites.map(|site| site.node.clone()).collect();
    match fold.sites.len().checked_sub(NAMED) {
        Some(more) if more > 0 => sites.push(format!("{more} more")),
        _ if sites.is_empty() => sites.push("nothing".to_owned()),
        _ => {}
    }
    format!("{} → {}", fold.way, sites.join(", "))
}
