//! An execution order for nodes that a file may hold in any order, and where each value is read last.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::display_name;
use crate::engine::error::EngineError;
use crate::engine::graph::{Callee, Node, Slot};
use crate::onnx::proto::{GraphProto, NodeProto};

/// Indices of `nodes` such that producers come before consumers, otherwise in file order.
///
/// Reads of a nested graph count as reads of the node that holds it.
pub(super) fn execution_order(
    nodes: &[NodeProto],
    given: &[&str],
) -> Result<Vec<usize>, EngineError> {
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            producers.entry(output).or_insert(index);
        }
    }
    for name in given {
        producers.remove(name);
    }
    let mut waits_for = vec![0usize; nodes.len()];
    let mut consumers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let mut before: Vec<usize> = reads(node)
            .iter()
            .filter_map(|name| producers.get(name).copied())
            .collect();
        before.sort_unstable();
        before.dedup();
        for producer in before {
            if let (Some(count), Some(list)) =
                (waits_for.get_mut(index), consumers.get_mut(producer))
            {
                *count += 1;
                list.push(index);
            }
        }
    }
    let free = waits_for
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = free.map(|(index, _)| Reverse(index)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &consumer in consumers.get(index).into_iter().flatten() {
            if let Some(count) = waits_for.get_mut(consumer) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(consumer));
                }
            }
        }
    }
    if order.len() < nodes.len() {
        let stuck = waits_for
            .iter()
            .position(|count| *count > 0)
            .and_then(|i| nodes.get(i));
        let node = stuck.map_or_else(String::new, display_name);
        return Err(EngineError::Cycle { node });
    }
    Ok(order)
}

/// Names that a node reads, those of its nested graphs included.
fn reads(node: &NodeProto) -> HashSet<&str> {
    let mut names: HashSet<&str> = node
        .input
        .iter()
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    for graph in node
        .attribute
        .iter()
        .flat_map(|attribute| attribute.g.as_ref())
    {
        free_names(graph, &mut names);
    }
    names
}

fn free_names<'a>(graph: &'a GraphProto, names: &mut HashSet<&'a str>) {
    let mut inner: HashSet<&str> = HashSet::new();
    for node in &graph.node {
        inner.extend(reads(node));
    }
    inner.extend(graph.output.iter().map(|output| output.name()));
    for node in &graph.node {
        for output in &node.output {
            inner.remove(output.as_str());
        }
    }
    for input in &graph.input {
        inner.remove(input.name());
    }
    for tensor in &graph.initializer {
        inner.remove(tensor.name());
    }
    for values in graph
        .sparse_initializer
        .iter()
        .flat_map(|sparse| &sparse.values)
    {
        inner.remove(values.name());
    }
    names.extend(inner);
}

/// Notes in each node which slots nobody reads after it; `kept` outlive the run.
pub(super) fn mark_last_reads(nodes: &mut [Node], n_slots: usize, kept: &HashSet<Slot>) {
    let mut seen = vec![false; n_slots];
    for slot in kept {
        if let Some(flag) = seen.get_mut(*slot) {
            *flag = true;
        }
    }
    for node in nodes.iter_mut().rev() {
        let captured = node
            .bodies()
            .flat_map(|body| body.captures.iter().map(|(outer, _)| *outer));
        let captured: Vec<Slot> = captured.collect();
        let touched = node
            .inputs
            .iter()
            .chain(&node.outputs)
            .flatten()
            .copied()
            .chain(captured);
        let mut last = Vec::new();
        for slot in touched {
            if let Some(flag) = seen.get_mut(slot)
                && !*flag
            {
                *flag = true;
                last.push(slot);
            }
        }
        node.last_reads = last;
    }
}

/// Constants and what nodes in execution order compute from them alone, without graphs or chance.
pub(super) fn fixed(nodes: &[Node], constants: HashSet<Slot>) -> HashSet<Slot> {
    let mut fixed = constants;
    for node in nodes {
        let is_plain = matches!(node.callee, Callee::Operator) && node.bodies().next().is_none();
        let is_chance = node.op_type.starts_with("Random")
            || matches!(
                node.op_type.as_str(),
                "Bernoulli" | "Multinomial" | "Dropout"
            );
        let mut inputs = node.inputs.iter().flatten();
        if is_plain && !is_chance && inputs.all(|input| fixed.contains(input)) {
            fixed.extend(node.outputs.iter().flatten());
        }
    }
    fixed
}
