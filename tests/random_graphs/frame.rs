//! The frame: what the plan's folds do not name is the same bytes afterwards.
//!
//! A node that gives or reads the value of a removed node may name another value in its place, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use bnfold::graph::{Effect, Graph, NodeId, ScopeId, ScopeKind, ValueId};
use bnfold::testing::random::Recipe;

use crate::properties::Case;
use crate::record::{Record, records, text};

const NODE: u64 = 1;
const FUNCTION: u64 = 25;
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const INPUT: u64 = 11;
const VALUE_INFO: u64 = 13;
const TENSOR_NAME: u64 = 8;
const INFO_NAME: u64 = 1;

/// Nodes that folds name, and those around removed ones.
struct Touched {
    changed: BTreeSet<NodeId>,
    renamed: BTreeSet<NodeId>,
}

pub(crate) fn identical(case: &Case<'_>, _: &Recipe) -> Result<(), String> {
    let graph = &case.folded.graph;
    let touched = Touched::new(graph, case);
    if case.folded.plan.folds().is_empty() && case.bytes != case.rewritten {
        return Err("nothing is folded, but bytes differ".into());
    }
    let [before, after] = [&case.bytes, &case.rewritten].map(|bytes| records(bytes));
    same(&before, &after, "of the model", |number| {
        ![GRAPH, FUNCTION].contains(&number)
    })?;
    functions(graph, &touched, &before, &after)?;
    let body = |records: &[Record<'_>]| {
        records
            .iter()
            .find(|r| r.number == GRAPH)
            .map(|r| r.payload.to_vec())
    };
    let (Some(before), Some(after)) = (body(&before), body(&after)) else {
        return Err("there is no graph".into());
    };
    let [before, after] = [&before, &after].map(|bytes| records(bytes));
    same(&before, &after, "of the graph", |number| {
        ![NODE, INITIALIZER, INPUT, VALUE_INFO].contains(&number)
    })?;
    inputs(&before, &after)?;
    nodes(graph, &touched, &before, &after)?;
    initializers(graph, &touched, &before, &after)?;
    value_info(case, &before, &after)
}

impl Touched {
    fn new(graph: &Graph<'_>, case: &Case<'_>) -> Touched {
        let (mut changed, mut renamed) = (BTreeSet::new(), BTreeSet::new());
        for (entry, fold) in case.folded.plan.folds() {
            changed.insert(entry.node);
            changed.extend(fold.effects.iter().map(Effect::node));
        }
        changed.retain(|node| (node.0 as usize) < graph.nodes.len());
        for &node in &changed {
            let at = graph.node(node);
            for &value in at.inputs.iter().chain(&at.outputs).flatten() {
                renamed.extend(graph.producer(value).map(|(node, _)| node));
                renamed.extend(graph.value(value).consumers.iter().map(|&(node, _)| node));
            }
        }
        // The node that holds a body holds its bytes.
        let inner: Vec<NodeId> = changed.iter().chain(&renamed).copied().collect();
        changed.extend(inner.into_iter().flat_map(|node| holders(graph, node)));
        Touched { changed, renamed }
    }
}

fn holders(graph: &Graph<'_>, node: NodeId) -> Vec<NodeId> {
    let mut holders = Vec::new();
    let mut scope = graph.node(node).scope;
    while let ScopeKind::Nested { node } = graph.scopes[scope.0 as usize].kind {
        holders.push(node);
        scope = graph.node(node).scope;
    }
    holders
}

/// Records of the wanted fields, in their order.
fn same(
    before: &[Record<'_>],
    after: &[Record<'_>],
    what: &str,
    wanted: impl Fn(u64) -> bool,
) -> Result<(), String> {
    let [before, after] = [before, after].map(|records| {
        let wanted = records.iter().filter(|record| wanted(record.number));
        wanted.map(|record| record.whole).collect::<Vec<_>>()
    });
    match before == after {
        true => Ok(()),
        false => Err(format!("fields {what} differ")),
    }
}

/// No input comes or changes; one that goes was the name of an initializer.
fn inputs(before: &[Record<'_>], after: &[Record<'_>]) -> Result<(), String> {
    let stored = by_name(before, INITIALIZER, TENSOR_NAME);
    let of = |records: &'_ [Record<'_>]| -> Vec<(String, Vec<u8>)> {
        let inputs = records.iter().filter(|record| record.number == INPUT);
        inputs
            .map(|record| (text(record.payload, INFO_NAME), record.whole.to_vec()))
            .collect()
    };
    let mut after = of(after).into_iter().peekable();
    for input in of(before) {
        let is_there = after.next_if_eq(&input).is_some();
        if !is_there && !stored.contains_key(&input.0) {
            return Err(format!("input {} differs", input.0));
        }
    }
    after.next().map_or(Ok(()), |(name, _)| {
        Err(format!("input {name} differs or is new"))
    })
}

fn functions(
    graph: &Graph<'_>,
    touched: &Touched,
    before: &[Record<'_>],
    after: &[Record<'_>],
) -> Result<(), String> {
    let [before, after] = [before, after].map(|records| payloads(records, FUNCTION));
    let hit: BTreeSet<usize> = touched
        .changed
        .iter()
        .filter_map(
            |&node| match graph.scopes[graph.node(node).scope.0 as usize].kind {
                ScopeKind::Function(index) => Some(index),
                _ => None,
            },
        )
        .collect();
    let differs = |at: &usize| !hit.contains(at) && before.get(*at) != after.get(*at);
    match (0..before.len().max(after.len())).find(differs) {
        Some(at) => Err(format!("function {at} differs")),
        None => Ok(()),
    }
}

/// Everything but the names of inputs and outputs.
fn without_names(node: &[u8]) -> Vec<Vec<u8>> {
    let rest = records(node).into_iter().filter(|record| record.number > 2);
    rest.map(|record| record.whole.to_vec()).collect()
}

/// Nodes that no fold names keep their bytes and their order.
fn nodes(
    graph: &Graph<'_>,
    touched: &Touched,
    before: &[Record<'_>],
    after: &[Record<'_>],
) -> Result<(), String> {
    let [before, after] = [before, after].map(|records| payloads(records, NODE));
    let ids: Vec<NodeId> = (0..graph.nodes.len() as u32)
        .map(NodeId)
        .filter(|&node| graph.node(node).scope == ScopeId(0))
        .collect();
    let mut rest = after.iter();
    for (&id, bytes) in ids.iter().zip(&before) {
        if touched.changed.contains(&id) || is_swept(graph, touched, id) {
            continue;
        }
        let wanted = without_names(bytes);
        let found = match touched.renamed.contains(&id) {
            true => rest.any(|node| without_names(node) == wanted),
            false => rest.any(|node| node == bytes),
        };
        if !found {
            return Err(format!(
                "node {} is not what and where it was",
                graph.label(id)
            ));
        }
    }
    Ok(())
}

/// Whether all that a node gives is for nodes that folds name: a constant that they no longer need may go.
fn is_swept(graph: &Graph<'_>, touched: &Touched, node: NodeId) -> bool {
    let outputs = graph.node(node).outputs.iter().flatten();
    let mut readers = outputs
        .flat_map(|&output| &graph.value(output).consumers)
        .peekable();
    let is_output = |value: &ValueId| graph.value(*value).is_output;
    !graph.node(node).outputs.iter().flatten().any(is_output)
        && readers.peek().is_some()
        && readers.all(|&(reader, _)| {
            touched.changed.contains(&reader) || is_swept(graph, touched, reader)
        })
}

fn payloads<'a>(records: &[Record<'a>], field: u64) -> Vec<&'a [u8]> {
    let wanted = records.iter().filter(|record| record.number == field);
    wanted.map(|record| record.payload).collect()
}

fn by_name<'a>(records: &'a [Record<'a>], field: u64, name: u64) -> BTreeMap<String, &'a [u8]> {
    let wanted = records.iter().filter(|record| record.number == field);
    wanted
        .map(|record| (text(record.payload, name), record.whole))
        .collect()
}

/// Constants that some other node reads too keep their bytes.
fn initializers(
    graph: &Graph<'_>,
    touched: &Touched,
    before: &[Record<'_>],
    after: &[Record<'_>],
) -> Result<(), String> {
    let [before, after] = [before, after].map(|records| by_name(records, INITIALIZER, TENSOR_NAME));
    for value in &graph.values {
        let name = value.name.to_string();
        let Some(bytes) = before.get(&name).filter(|_| value.scope == ScopeId(0)) else {
            continue;
        };
        let is_free =
            |node: NodeId| !touched.changed.contains(&node) && !is_swept(graph, touched, node);
        let is_read = value.is_output || value.consumers.iter().any(|&(node, _)| is_free(node));
        if is_read && after.get(&name) != Some(bytes) {
            return Err(format!("initializer {name} differs"));
        }
    }
    Ok(())
}

/// What is said of values that are still there is what was said; nothing is said of others.
fn value_info(case: &Case<'_>, before: &[Record<'_>], after: &[Record<'_>]) -> Result<(), String> {
    let [before, after] = [before, after].map(|records| by_name(records, VALUE_INFO, INFO_NAME));
    let nodes = case.after.graph.iter().flat_map(|graph| &graph.node);
    let given: BTreeSet<&str> = nodes
        .flat_map(|node| &node.output)
        .map(String::as_str)
        .collect();
    for (name, bytes) in &before {
        if given.contains(name.as_str()) && after.get(name) != Some(bytes) {
            return Err(format!("value_info of {name} differs"));
        }
    }
    match after
        .keys()
        .find(|name| !given.contains(name.as_str()) || !before.contains_key(*name))
    {
        Some(name) => Err(format!("value_info of {name} is of nothing")),
        None => Ok(()),
    }
}
