//! The order of a report's BatchNormalizations.
//!
//! Numbers put first what stands out: large scales and shifts, small variances, and whatever is no number.

use super::{NodeReport, Parameters, Range};

/// What BatchNormalizations are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Name.
    Name,
    /// Scope, the main graph first.
    Scope,
    /// Channels, most first.
    Channels,
    /// ε, largest first.
    Epsilon,
    /// Largest |s| first.
    Scale,
    /// Largest |t| first.
    Shift,
    /// Least variance first.
    Var,
    /// Most dead channels first.
    Dead,
    /// Those that stay first, by reason; then those that are folded, by way.
    Verdict,
}

impl Column {
    /// Every column, with its name.
    pub const ALL: &'static [(Column, &'static str)] = &[
        (Column::Name, "name"),
        (Column::Scope, "scope"),
        (Column::Channels, "channels"),
        (Column::Epsilon, "epsilon"),
        (Column::Scale, "scale"),
        (Column::Shift, "shift"),
        (Column::Var, "var"),
        (Column::Dead, "dead"),
        (Column::Verdict, "verdict"),
    ];
}

/// Puts nodes into the order of a column; those that are equal there keep theirs, those without parameters come last.
pub fn sort(nodes: &mut [NodeReport], column: Column) {
    match column {
        Column::Name => nodes.sort_by(|a, b| a.name.cmp(&b.name)),
        Column::Scope => nodes.sort_by(|a, b| a.scope.cmp(&b.scope)),
        Column::Verdict => nodes.sort_by(|a, b| verdict(a).cmp(&verdict(b))),
        Column::Channels => first_by(nodes, |found| found.channels as f64),
        Column::Epsilon => first_by(nodes, |found| found.epsilon),
        Column::Scale => first_by(nodes, |found| magnitude(found.scale)),
        Column::Shift => first_by(nodes, |found| magnitude(found.shift)),
        Column::Var => first_by(nodes, |found| -found.var.min),
        Column::Dead => first_by(nodes, |found| found.dead.len() as f64),
    }
}

/// The largest number first; what is no number stands out most.
fn first_by(nodes: &mut [NodeReport], key: impl Fn(&Parameters) -> f64) {
    let rank = |node: &NodeReport| match node.parameters.as_ref().map(&key) {
        Some(key) if key.is_nan() => (0, 0.0),
        Some(key) => (1, -key),
        None => (2, 0.0),
    };
    nodes.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
}

fn magnitude(range: Range) -> f64 {
    match range.min.is_nan() {
        true => f64::NAN,
        false => range.max.abs().max(range.min.abs()),
    }
}

fn verdict(node: &NodeReport) -> (bool, Vec<&str>) {
    let codes = node.reasons.iter().map(|reason| reason.code.name());
    let way = node.fold.iter().map(|fold| fold.way.as_str());
    (node.fold.is_some(), codes.chain(way).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{FoldReport, Range};

    fn node(name: &str, parameters: Option<(usize, f64, f64)>, is_folded: bool) -> NodeReport {
        let parameters = parameters.map(|(channels, scale, var)| {
            let range = |min, max| Range { min, max };
            Parameters {
                channels,
                epsilon: 1e-5,
                scale: range(scale, 0.5),
                shift: range(0.0, 0.0),
                mean: range(0.0, 0.0),
                var: range(var, 9.0),
                largest: 9.0,
                spread: 1.0,
                histogram: Vec::new(),
                dead: Vec::new(),
                negative_var: Vec::new(),
                not_finite: Vec::new(),
            }
        });
        NodeReport {
            name: name.to_owned(),
            scope: String::new(),
            op_type: "BatchNormalization".to_owned(),
            parameters,
            fold: is_folded.then(|| FoldReport {
                way: "upstream".to_owned(),
                sites: Vec::new(),
                through: Vec::new(),
            }),
            reasons: Vec::new(),
            around: None,
        }
    }

    fn order(column: Column) -> String {
        let mut nodes = [
            node("c", Some((8, -3.0, 1e-6)), true),
            node("a", None, false),
            node("d", Some((64, f64::NAN, 0.5)), true),
            node("b", Some((16, 1.0, 0.1)), false),
        ];
        sort(&mut nodes, column);
        nodes.iter().map(|node| node.name.as_str()).collect()
    }

    #[test]
    fn each_column_has_its_order() {
        assert_eq!(order(Column::Name), "abcd");
        assert_eq!(order(Column::Scope), "cadb", "equal ones keep their order");
        assert_eq!(order(Column::Channels), "dbca");
        assert_eq!(order(Column::Scale), "dcba", "what is no number first");
        assert_eq!(order(Column::Var), "cbda", "the least first");
        assert_eq!(order(Column::Verdict), "abcd", "what stays first");
    }
}
