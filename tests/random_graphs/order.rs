//! The same model with its nodes in another order.

use std::collections::HashSet;

use bnfold::onnx::proto::{GraphProto, ModelProto, NodeProto};
use bnfold::plan::{Entry, Fold, Outcome, Plan};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The nodes of every graph in another topological order, and so those of the functions.
pub(crate) fn reordered(model: &ModelProto, seed: u64) -> ModelProto {
    let mut model = model.clone();
    let random = &mut ChaCha8Rng::seed_from_u64(seed);
    model
        .graph
        .iter_mut()
        .for_each(|graph| shuffle_graph(graph, random));
    model
        .functions
        .iter_mut()
        .for_each(|function| shuffle(&mut function.node, random));
    model
}

fn shuffle_graph(graph: &mut GraphProto, random: &mut ChaCha8Rng) {
    shuffle(&mut graph.node, random);
}

fn shuffle(nodes: &mut Vec<NodeProto>, random: &mut ChaCha8Rng) {
    let bodies = nodes.iter_mut().flat_map(|node| &mut node.attribute);
    bodies
        .filter_map(|attribute| attribute.g.as_mut())
        .for_each(|graph| shuffle_graph(graph, random));
    let mut rest = std::mem::take(nodes);
    let mut pending: HashSet<String> = rest
        .iter()
        .flat_map(|node| node.output.iter().cloned())
        .collect();
    let mut needs: Vec<Vec<String>> = rest.iter().map(reads).collect();
    while !rest.is_empty() {
        let ready = |at: &usize| needs[*at].iter().all(|input| !pending.contains(input));
        let ready: Vec<usize> = (0..rest.len()).filter(ready).collect();
        let at = ready[random.random_range(0..ready.len())];
        needs.remove(at);
        let node = rest.remove(at);
        for output in &node.output {
            pending.remove(output);
        }
        nodes.push(node);
    }
}

/// What a node reads, with what its bodies read.
fn reads(node: &NodeProto) -> Vec<String> {
    let bodies = node
        .attribute
        .iter()
        .filter_map(|attribute| attribute.g.as_ref());
    let inner = bodies.flat_map(|graph| {
        let outputs = graph.output.iter().map(|output| output.name().to_owned());
        graph.node.iter().flat_map(reads).chain(outputs)
    });
    node.input.iter().cloned().chain(inner).collect()
}

/// What becomes of each node with all reasons, in the order of names.
pub(crate) fn lines(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = plan.entries.iter().map(line).collect();
    lines.sort();
    lines
}

fn line(entry: &Entry) -> String {
    let parts = |mut parts: Vec<String>| {
        parts.sort_unstable();
        parts.join(", ")
    };
    let outcome = match &entry.outcome {
        Outcome::Folded(folds) => {
            let fold = |fold: &Fold| {
                let sites = fold.sites.iter();
                let sites = sites.map(|site| format!("{} {}", site.label, site.side));
                let (sites, carriers) = (parts(sites.collect()), parts(fold.carriers.clone()));
                format!("{} -> {sites} through {carriers}", fold.way.name())
            };
            folds.iter().map(fold).collect::<Vec<_>>().join(", then ")
        }
        Outcome::Stays(reasons) => {
            let reason = reasons
                .iter()
                .map(|(way, refusal)| format!("{} {refusal}", way.name()));
            format!("stays: {}", parts(reason.collect()))
        }
    };
    format!("{} in {:?}: {outcome}", entry.label, entry.scope)
}
