//! The graph around a node, before and after the folds, as what a picture of a fold shows.
//!
//! An excerpt holds the nodes within [`HOPS`] edges of the node and of its fold's sites, and those that the affine
//! passes; inputs and outputs of the graph stand in it as vertices of their own.
//! The excerpt after the folds holds those of the same nodes that are left, and the nodes that folds insert beside them.
//! Constants and what computes them are left out.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::fold::Folded;
use crate::graph::{Graph, NodeId, Origin, ValueId};
use crate::plan::Entry;

/// How far an excerpt reaches, in edges.
const HOPS: usize = 2;
/// How many nodes an excerpt of one node has at most.
const MOST: usize = 24;

/// The graph around a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Neighbourhood {
    /// As it is in the model.
    pub before: Excerpt,
    /// As the folds leave it; absent if the node stays.
    pub after: Option<Excerpt>,
}

/// Part of a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Excerpt {
    /// Nodes, inputs and outputs.
    pub vertices: Vec<Vertex>,
    /// Which vertex passes a value to which, as positions in `vertices`.
    pub edges: Vec<(usize, usize)>,
    /// Nodes that are near enough and left out because there are too many.
    pub left_out: usize,
}

/// A node, input or output of a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Vertex {
    /// Its name, or its operator and output.
    pub name: String,
    /// Its operator; empty for inputs and outputs.
    pub op_type: String,
    /// Why it is in the excerpt.
    pub role: Role,
    /// Whether it reads values of nodes outside the excerpt.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reads_outside: bool,
    /// Whether nodes outside the excerpt read it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_outside: bool,
}

/// Why something is in an excerpt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It is the node that the excerpt is about.
    Subject,
    /// It takes the affine.
    Site,
    /// The affine passes it.
    Passed,
    /// It is near.
    Near,
    /// It is an input of the graph.
    Input,
    /// It is an output of the graph.
    Output,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Both graphs of a model whose folds are planned.
pub(super) struct Survey<'f, 'm> {
    before: &'f Graph<'m>,
    after: Graph<'m>,
}

/// The nodes of an excerpt, each once, with the reason for it.
pub(super) struct Members {
    pub(super) nodes: Vec<(NodeId, Role)>,
    left_out: usize,
}

impl<'f, 'm> Survey<'f, 'm> {
    pub(super) fn of(folded: &'f Folded<'m>) -> Survey<'f, 'm> {
        let mut after = folded.graph.clone();
        for (_, fold) in folded.plan.folds() {
            fold.effects.iter().for_each(|effect| after.perform(effect));
        }
        let before = &folded.graph;
        Survey { before, after }
    }

    pub(super) fn around(&self, entry: &Entry) -> Neighbourhood {
        let members = Members::around(self.before, &[entry], MOST);
        Neighbourhood {
            before: excerpt(self.before, &members),
            after: (!entry.folds().is_empty())
                .then(|| excerpt(&self.after, &self.survivors(&members))),
        }
    }

    /// What is left of these nodes after the folds, and what folds insert beside them.
    fn survivors(&self, members: &Members) -> Members {
        let left = members.nodes.iter().copied();
        let mut nodes: Vec<(NodeId, Role)> = left
            .filter(|&(node, _)| self.after.node(node).alive)
            .collect();
        let inserted = |&node: &NodeId| node.0 as usize >= self.before.nodes.len();
        let beside: Vec<NodeId> = nodes
            .iter()
            .flat_map(|&(node, _)| neighbours(&self.after, node))
            .filter(inserted)
            .collect();
        for node in beside {
            if !nodes.iter().any(|&(known, _)| known == node) {
                nodes.push((node, Role::Site));
            }
        }
        let left_out = members.left_out;
        Members { nodes, left_out }
    }
}

impl Members {
    /// The nodes around some of a plan's, at most so many.
    pub(super) fn around(graph: &Graph<'_>, entries: &[&Entry], most: usize) -> Members {
        let mut nodes: Vec<(NodeId, Role)> = entries
            .iter()
            .map(|entry| (entry.node, Role::Subject))
            .collect();
        let mut known: HashSet<NodeId> = nodes.iter().map(|&(node, _)| node).collect();
        // What other folds insert is not in the graph yet.
        let is_there = |node: &NodeId| (node.0 as usize) < graph.nodes.len();
        let sites = entries.iter().flat_map(|entry| entry.sites());
        let sites = sites.map(|site| site.node).filter(is_there);
        nodes.extend(new(sites, &mut known).map(|node| (node, Role::Site)));
        let mut frontier: Vec<NodeId> = nodes.iter().map(|&(node, _)| node).collect();
        let folds = entries.iter().flat_map(|entry| entry.folds());
        let changed = folds.flat_map(|fold| fold.changed.iter());
        let passed = changed.filter_map(|&value| producer(graph, value));
        nodes.extend(new(passed, &mut known).map(|node| (node, Role::Passed)));
        for _ in 0..HOPS {
            let near = frontier.iter().flat_map(|&node| neighbours(graph, node));
            let near: Vec<NodeId> = new(near, &mut known).collect();
            nodes.extend(near.iter().map(|&node| (node, Role::Near)));
            frontier = near;
        }
        let left_out = nodes.len().saturating_sub(most);
        nodes.truncate(most);
        Members { nodes, left_out }
    }
}

/// The node that gives a value, if both are in the graph.
fn producer(graph: &Graph<'_>, value: ValueId) -> Option<NodeId> {
    let at = graph.values.get(value.0 as usize)?;
    match at.origin {
        Origin::Node(node, _) => Some(node),
        _ => None,
    }
}

fn new(
    nodes: impl Iterator<Item = NodeId>,
    known: &mut HashSet<NodeId>,
) -> impl Iterator<Item = NodeId> {
    nodes.filter(|&node| known.insert(node))
}

/// The values that a node reads and that are not constant.
fn variables<'g>(graph: &'g Graph<'_>, node: NodeId) -> impl Iterator<Item = ValueId> + 'g {
    let inputs = graph.node(node).inputs.iter().flatten().copied();
    inputs.filter(|&input| {
        let origin = &graph.value(input).origin;
        matches!(origin, Origin::Node(..) | Origin::Input) && !graph.is_constant(input)
    })
}

/// The nodes that a node reads from, then those that read it.
fn neighbours<'g>(graph: &'g Graph<'_>, node: NodeId) -> impl Iterator<Item = NodeId> + 'g {
    let producers = variables(graph, node).filter_map(|value| Some(graph.producer(value)?.0));
    producers.chain(readers(graph, node))
}

fn readers<'g>(graph: &'g Graph<'_>, node: NodeId) -> impl Iterator<Item = NodeId> + 'g {
    let outputs = graph.node(node).outputs.iter().flatten();
    let consumers = outputs.flat_map(|&output| graph.value(output).consumers.iter());
    let readers = consumers.map(|&(reader, _)| reader);
    readers.filter(|&reader| {
        let mut outputs = graph.node(reader).outputs.iter().flatten();
        !outputs.all(|&output| graph.is_constant(output))
    })
}

/// The vertices of an excerpt begin with its members, in their order.
pub(super) fn excerpt(graph: &Graph<'_>, members: &Members) -> Excerpt {
    let place: BTreeMap<NodeId, usize> = members
        .nodes
        .iter()
        .enumerate()
        .map(|(at, &(node, _))| (node, at))
        .collect();
    let vertex = |&(node, role): &(NodeId, Role)| Vertex {
        name: graph.label(node),
        op_type: graph.node(node).op_type(),
        role,
        reads_outside: variables(graph, node)
            .filter_map(|value| graph.producer(value))
            .any(|(producer, _)| !place.contains_key(&producer)),
        read_outside: readers(graph, node).any(|reader| !place.contains_key(&reader)),
    };
    let mut excerpt = Excerpt {
        vertices: members.nodes.iter().map(vertex).collect(),
        edges: Vec::new(),
        left_out: members.left_out,
    };
    let mut inputs: BTreeMap<ValueId, usize> = BTreeMap::new();
    for (at, &(node, _)) in members.nodes.iter().enumerate() {
        for value in variables(graph, node) {
            let from = match graph.producer(value) {
                Some((producer, _)) => place.get(&producer).copied(),
                None => Some(*inputs.entry(value).or_insert_with(|| {
                    let name = graph.value(value).name.to_string();
                    excerpt.boundary(name, Role::Input)
                })),
            };
            excerpt.edges.extend(from.map(|from| (from, at)));
        }
        let outputs = graph.node(node).outputs.iter().flatten();
        for output in outputs.map(|&output| graph.value(output)) {
            if output.is_output {
                let to = excerpt.boundary(output.name.to_string(), Role::Output);
                excerpt.edges.push((at, to));
            }
        }
    }
    excerpt.edges.sort_unstable();
    excerpt.edges.dedup();
    excerpt
}

impl Excerpt {
    fn boundary(&mut self, name: String, role: Role) -> usize {
        self.vertices.push(Vertex {
            name,
            op_type: String::new(),
            role,
            reads_outside: false,
            read_outside: false,
        });
        self.vertices.len() - 1
    }
}

#[cfg(test)]
mod tests;
