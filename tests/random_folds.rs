//! Random valid models, far beyond the rules' own shapes: what is folded computes the same, and nothing else changes.

use std::collections::HashSet;

use bnfold::fold::{Folded, fold};
use bnfold::onnx::Model;
use bnfold::onnx::proto::{ModelProto, NodeProto};
use bnfold::plan::{Entry, Plan, PlanOptions};
use bnfold::testing::random::{Options, random_inputs, random_model};
use bnfold::testing::reference::run_outputs;
use bnfold::testing::{DataType, Tensor, ToBytes};
use prost::Message;

mod support;

/// How many models: a few hundred in the short form, as many as `BNFOLD_RANDOM_MODELS` says in the long one.
fn models() -> u64 {
    let wanted = std::env::var("BNFOLD_RANDOM_MODELS").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(150)
}

#[test]
fn random_models_compute_the_same_after_folding() {
    let (mut all, mut left) = (0, 0);
    let first: u64 = std::env::var("BNFOLD_RANDOM_FIRST")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0);
    for seed in first..first + models() {
        // In float64 a wrong fold cannot hide behind rounding; every fourth model has the type it was drawn with.
        let dtype = if seed % 4 == 3 {
            None
        } else {
            Some(DataType::Double)
        };
        let model = random_model(
            seed,
            &Options {
                dtype,
                ..Options::default()
            },
        );
        let inputs = random_inputs(&model, seed).expect("inputs with known extents");
        let inputs: Vec<(&str, Tensor)> = inputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.clone()))
            .collect();
        let (before, after) = campaign(
            seed,
            &model,
            &inputs,
            if dtype.is_some() { 1e-8 } else { 5e-2 },
        );
        all += before;
        left += after;
    }
    assert!(
        left < all,
        "{left} of {all} BatchNormalization nodes are left"
    );
}

/// Folds and compares; returns the BNs before and after.
fn campaign(
    seed: u64,
    model: &ModelProto,
    inputs: &[(&str, Tensor)],
    tolerance: f64,
) -> (usize, usize) {
    let original = Model::from_bytes(model.to_bytes()).expect("the model reads");
    let folded = fold(&original, support::reading(), &PlanOptions::default());
    let Folded { plan, applied, .. } =
        folded.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let (bytes, flaws) = applied
        .edits
        .to_rope()
        .expect("the edits fit")
        .to_vec(&original)
        .expect("it renders");
    if !flaws.is_empty() {
        return (0, 0);
    }
    let rewritten = ModelProto::decode(&*bytes).expect("prost reads the output");
    let (done, stay) = plan.counts();
    let graphs = [model, &rewritten].map(|model| model.graph.as_ref().expect("a graph"));
    assert_eq!(
        graphs[0].output, graphs[1].output,
        "seed {seed}: the outputs are unchanged"
    );
    let expected =
        run_outputs(model, inputs).unwrap_or_else(|error| panic!("seed {seed}: original: {error}"));
    let actual = run_outputs(&rewritten, inputs)
        .unwrap_or_else(|error| panic!("seed {seed}: rewritten: {error}\n{plan}"));
    for (at, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
        assert_eq!(expected.shape, actual.shape, "seed {seed}\n{plan}");
        let bound = tolerance * expected.max_magnitude().max(1.0);
        let difference = expected.max_difference(actual);
        assert!(
            difference <= bound || difference <= sensitivity(model, inputs, at),
            "seed {seed}: differs by {difference:e}, bound {bound:e}\n{plan}"
        );
    }
    let nodes = graphs.map(|graph| {
        graph
            .node
            .iter()
            .filter(|node| node.op_type() != "Constant")
            .count()
    });
    assert!(nodes[1] <= nodes[0], "seed {seed}: {nodes:?} nodes\n{plan}");
    let shuffled =
        Model::from_bytes(reordered(model).to_bytes()).expect("the shuffled model reads");
    let shuffled = fold(&shuffled, support::reading(), &PlanOptions::default())
        .expect("the shuffled model folds");
    assert_eq!(
        lines(&shuffled.plan),
        lines(&plan),
        "seed {seed}: the order of the nodes decides nothing"
    );
    let again = Model::from_bytes(bytes).expect("the output reads");
    let again =
        fold(&again, support::reading(), &PlanOptions::default()).expect("the output folds");
    assert_eq!(
        again.plan.counts(),
        (0, stay),
        "seed {seed}: a second fold finds nothing\n{plan}\n{}",
        again.plan
    );
    (done + stay, stay)
}

/// How far an output moves when the inputs move in the eleventh digit: what an ill-conditioned model does by itself.
fn sensitivity(model: &ModelProto, inputs: &[(&str, Tensor)], output: usize) -> f64 {
    let moved: Vec<(&str, Tensor)> = inputs
        .iter()
        .map(|(name, tensor)| {
            let mut tensor = tensor.clone();
            if tensor.dtype == DataType::Double {
                let wobble = |i: usize| 1e-11 * (((i * 7919) % 1009) as f64 / 504.0 - 1.0);
                tensor
                    .data
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, x)| *x *= 1.0 + wobble(i));
            }
            (*name, tensor)
        })
        .collect();
    let outputs =
        [inputs, &moved].map(|inputs| run_outputs(model, inputs).expect("the model runs"));
    outputs[0][output].max_difference(&outputs[1][output])
}

/// What becomes of each node, sites and carriers in any order; of several reasons to stay, the one that is met first may depend on the order.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |entry: &Entry| {
        let text = entry.to_string();
        let text = text
            .split(" stays:")
            .next()
            .unwrap_or_default()
            .replace(" through ", ", ")
            .replace(" -> ", ", ");
        let mut parts: Vec<&str> = text.split(", ").collect();
        parts.sort_unstable();
        format!("{}: {}", entry.label, parts.join(", "))
    };
    let mut lines: Vec<String> = plan.entries.iter().map(line).collect();
    lines.sort();
    lines
}

/// The same model with the nodes of its main graph in another topological order: the last one that can come, comes first.
fn reordered(model: &ModelProto) -> ModelProto {
    let mut model = model.clone();
    let graph = model.graph.as_mut().expect("a graph");
    let mut rest = std::mem::take(&mut graph.node);
    let mut pending: HashSet<String> = rest
        .iter()
        .flat_map(|node| node.output.iter().cloned())
        .collect();
    while !rest.is_empty() {
        let ready = |node: &NodeProto| reads(node).iter().all(|input| !pending.contains(input));
        let at = rest
            .iter()
            .rposition(ready)
            .expect("the nodes have an order");
        let node = rest.remove(at);
        node.output.iter().for_each(|output| {
            pending.remove(output);
        });
        graph.node.push(node);
    }
    model
}

/// What a node reads, with what its bodies read.
fn reads(node: &NodeProto) -> Vec<String> {
    let bodies = node
        .attribute
        .iter()
        .filter_map(|attribute| attribute.g.as_ref());
    let inner = bodies.flat_map(|graph| {
        graph
            .node
            .iter()
            .flat_map(reads)
            .chain(graph.output.iter().map(|output| output.name().to_owned()))
    });
    node.input.iter().cloned().chain(inner).collect()
}
