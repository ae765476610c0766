//! How planning grows with the model: blocks of Conv, BN, Relu and a residual Add, at 1,000 to 100,000 nodes.
//!
//! Run with `cargo bench --bench plan`; times are per stage, and per node beside them.

use std::time::{Duration, Instant};

use bnfold::apply::apply;
use bnfold::graph::{Graph, Reading};
use bnfold::onnx::Model;
use bnfold::plan::{Plan, PlanOptions};
use bnfold::testing::{ToBytes, model};

/// A residual net of so many nodes.
fn residual(nodes: usize) -> Vec<u8> {
    let built = model(|g| {
        let mut x = g.input("x", [1, 4, 4, 4]);
        let w = g.weight("w", [4, 4, 1, 1]);
        for _ in 0..nodes / 4 {
            let y = x.conv(4).weight(&w).kernel([1, 1]).batch_norm().relu();
            x = x.add(&y);
        }
        x.output("y")
    });
    built.to_bytes()
}

fn timed<T>(stage: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = stage();
    (result, start.elapsed())
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    println!(
        "{:>8} {:>12} {:>12} {:>12} {:>12} {:>10}",
        "nodes", "read", "index", "plan", "apply", "ns/node"
    );
    for nodes in [1_000, 10_000, 100_000] {
        let bytes = residual(nodes);
        let (read, reading) = timed(|| Model::from_bytes(bytes).expect("the model reads"));
        let (graph, indexing) =
            timed(|| Graph::new(&read, Reading::default()).expect("the model fits together"));
        let (plan, planning) =
            timed(|| Plan::new(&graph, &PlanOptions::default()).expect("the model can be planned"));
        let (applied, applying) =
            timed(|| apply(&graph, &plan).expect("the plan can be carried out"));
        assert_eq!(plan.counts(), (nodes / 4, 0));
        drop(applied);
        let per_node = planning.as_nanos() / nodes as u128;
        println!(
            "{nodes:>8} {reading:>12.2?} {indexing:>12.2?} {planning:>12.2?} {applying:>12.2?} {per_node:>10}"
        );
    }
}
