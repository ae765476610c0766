//! What was drawn, and which rules folded it.

#![expect(
    clippy::print_stdout,
    reason = "the table is part of what the test says"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bnfold::graph::{Graph, NodeId};
use bnfold::plan::Way;
use bnfold::rules::{CARRIERS, LINEAR};
use bnfold::testing::random::Recipe;
use bnfold::verify::Verdict;

use crate::properties::Case;

/// What one model shows.
pub(crate) struct Seen {
    nodes: usize,
    ops: BTreeMap<String, usize>,
    rules: BTreeMap<(String, Part), usize>,
    folded: usize,
    further: usize,
    stay: usize,
    scoped: usize,
    reasons: BTreeMap<String, usize>,
    is_informative: bool,
}

/// An operator's part in a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// It takes the affine.
    Takes(Way),
    /// It lets it pass.
    Passes(Way),
}

impl Seen {
    pub(crate) fn new(case: &Case<'_>) -> Seen {
        let (graph, plan) = (&case.folded.graph, &case.folded.plan);
        let mut ops = BTreeMap::new();
        for node in graph.node_ids() {
            *ops.entry(graph.node(node).op_type()).or_default() += 1;
        }
        let mut rules = BTreeMap::new();
        for (_, fold) in plan.folds() {
            for op in fold.sites.iter().filter_map(|site| op(graph, site.node)) {
                *rules.entry((op, Part::Takes(fold.way))).or_default() += 1;
            }
            let passed = graph
                .node_ids()
                .filter(|&node| fold.carriers.contains(&graph.label(node)));
            for op in passed.filter_map(|node| op(graph, node)) {
                *rules.entry((op, Part::Passes(fold.way))).or_default() += 1;
            }
        }
        let mut reasons = BTreeMap::new();
        for entry in &plan.entries {
            if let bnfold::plan::Outcome::Stays(why) = &entry.outcome {
                let codes: BTreeSet<String> = why
                    .iter()
                    .map(|(_, refusal)| refusal.code.to_string())
                    .collect();
                for code in codes {
                    *reasons.entry(code).or_default() += 1;
                }
            }
        }
        let (folded, stay) = plan.counts();
        let folds = plan.folds().into_iter();
        let further = folds.filter(|(_, fold)| fold.seed.after > 0);
        Seen {
            nodes: graph.nodes.len(),
            ops,
            rules,
            folded,
            further: further.count(),
            stay,
            scoped: plan
                .entries
                .iter()
                .filter(|entry| entry.is_batch_norm() && !entry.scope.is_empty())
                .count(),
            reasons,
            is_informative: case.verdict == Verdict::Equivalent,
        }
    }
}

/// The operator of a node that is in the file.
fn op(graph: &Graph<'_>, node: NodeId) -> Option<String> {
    graph
        .nodes
        .get(node.0 as usize)
        .map(|node| node.op.to_string())
}

/// What all models show.
#[derive(Default)]
pub(crate) struct Coverage {
    models: usize,
    nodes: Vec<usize>,
    ops: BTreeMap<String, usize>,
    rules: BTreeMap<(String, Part), usize>,
    dtypes: BTreeMap<String, usize>,
    opsets: BTreeMap<i64, usize>,
    ir_below_4: usize,
    folded: usize,
    further: usize,
    stay: usize,
    scoped: usize,
    reasons: BTreeMap<String, usize>,
    uninformative: usize,
}

fn add<K: Ord>(to: &mut BTreeMap<K, usize>, from: BTreeMap<K, usize>) {
    for (key, count) in from {
        *to.entry(key).or_default() += count;
    }
}

impl Coverage {
    pub(crate) fn add(&mut self, recipe: &Recipe, seen: Seen) {
        self.models += 1;
        self.nodes.push(seen.nodes);
        add(&mut self.ops, seen.ops);
        add(&mut self.rules, seen.rules);
        add(&mut self.reasons, seen.reasons);
        *self
            .dtypes
            .entry(format!("{:?}", recipe.dtype))
            .or_default() += 1;
        *self.opsets.entry(recipe.opset).or_default() += 1;
        let below = recipe.opset < 9 && recipe.ir_version.is_none() || recipe.ir_version == Some(3);
        self.ir_below_4 += usize::from(below);
        self.folded += seen.folded;
        self.further += seen.further;
        self.stay += seen.stay;
        self.scoped += seen.scoped;
        self.uninformative += usize::from(!seen.is_informative);
    }

    fn rule(&self, op: &str, part: Part) -> usize {
        self.rules.get(&(op.to_owned(), part)).copied().unwrap_or(0)
    }

    /// Each operator of the rule tables: how often drawn, and how often it takes and passes an affine each way.
    pub(crate) fn print(&self, time: Duration) {
        println!(
            "| operator | drawn | takes upstream | downstream | sideways | passes upstream | downstream |"
        );
        println!("|---|---|---|---|---|---|---|");
        let parts = [
            Part::Takes(Way::Upstream),
            Part::Takes(Way::Downstream),
            Part::Takes(Way::Sideways),
            Part::Passes(Way::Upstream),
            Part::Passes(Way::Downstream),
        ];
        for op in tables() {
            let drawn = self.ops.get(op).copied().unwrap_or(0);
            let parts = parts.map(|part| self.rule(op, part).to_string());
            println!("| {op} | {drawn} | {} |", parts.join(" | "));
        }
        let others = self
            .ops
            .iter()
            .filter(|(op, _)| !tables().contains(&op.as_str()) && !op.contains("::"));
        let others: Vec<String> = others.map(|(op, count)| format!("{op} {count}")).collect();
        println!("\nother operators: {}", others.join(", "));
        println!(
            "types: {:?}\nopsets: {:?}\nIR version below 4: {}",
            self.dtypes, self.opsets, self.ir_below_4
        );
        println!("reasons to stay: {:?}", self.reasons);
        println!(
            "{} models of {} to {} nodes, {} BatchNormalizations ({} in nested graphs and functions), {} folded, {} Adds that folds left folded on, {} say nothing on the samples, {:.1} s",
            self.models,
            self.nodes.iter().min().unwrap_or(&0),
            self.nodes.iter().max().unwrap_or(&0),
            self.folded + self.stay,
            self.scoped,
            self.folded,
            self.further,
            self.uninformative,
            time.as_secs_f64()
        );
    }

    /// Every operator of the tables is drawn and every rule folds, or the properties were not put to the test.
    pub(crate) fn check(&self) {
        let undrawn: Vec<&str> = tables()
            .into_iter()
            .filter(|op| !self.ops.contains_key(*op))
            .collect();
        assert!(undrawn.is_empty(), "never drawn: {undrawn:?}");
        let takes = LINEAR.iter().flat_map(|&(op, _)| {
            let ways: &[Way] = match op {
                "Gather" => &[Way::Upstream],
                "LSTM" | "GRU" | "RNN" => &[Way::Downstream],
                _ => &[Way::Upstream, Way::Downstream],
            };
            ways.iter().map(move |&way| (op, Part::Takes(way)))
        });
        let idle: Vec<(&str, Part)> = takes
            .filter(|&(op, part)| self.rule(op, part) == 0)
            .collect();
        assert!(idle.is_empty(), "never folded: {idle:?}");
        let is_idle = |op: &str| !self.rules.keys().any(|(other, _)| other == op);
        let idle: Vec<&str> = CARRIERS
            .iter()
            .map(|(op, _)| *op)
            .filter(|op| is_idle(op))
            .collect();
        assert!(idle.is_empty(), "never in a fold: {idle:?}");
        assert_eq!(self.opsets.len(), 18, "{:?}", self.opsets);
        assert_eq!(self.dtypes.len(), 4, "{:?}", self.dtypes);
        assert!(self.ir_below_4 > 0 && self.scoped > 0);
        assert!(
            10 * self.uninformative < self.models,
            "{} say nothing",
            self.uninformative
        );
    }
}

fn tables() -> Vec<&'static str> {
    let linear = LINEAR.iter().map(|(op, _)| *op);
    linear.chain(CARRIERS.iter().map(|(op, _)| *op)).collect()
}
