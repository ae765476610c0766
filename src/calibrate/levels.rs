//! Which BatchNormalizations can be measured in one pass: those none of which is upstream of another.
//!
//! A BN's level is the largest number of chosen BNs on a way from the model's inputs to it; a level is a pass, and
//! there are as many passes as the longest such way has BNs, which no order can better.
//! Whatever a nested graph gives depends on all of it, and its inputs on all that its node reads.
//! Left out: a BN that feeds itself, in a Loop's body or in a function called in sequence, is measured with itself in
//! the mode that it had.

use std::collections::HashMap;

use super::select::Site;
use crate::graph::{Graph, NodeId, Origin, ScopeId, ScopeKind, ValueId};

/// Indices of the sites, level by level.
pub(super) fn groups(graph: &Graph<'_>, sites: &[Site]) -> Vec<Vec<usize>> {
    let mut levels = Levels {
        graph,
        sites: sites.iter().map(|site| site.node).zip(0..).collect(),
        found: vec![0; sites.len()],
        values: HashMap::new(),
        floors: HashMap::new(),
        calls: HashMap::new(),
    };
    levels.scope(ScopeId(0), 0);
    let deepest = levels.found.iter().copied().max().unwrap_or(0);
    let of = |level: usize| {
        let found = levels.found.iter().enumerate();
        found
            .filter(move |(_, found)| **found == level)
            .map(|(site, _)| site)
            .collect()
    };
    let groups = (0..=deepest).map(of);
    groups
        .filter(|group: &Vec<usize>| !group.is_empty())
        .collect()
}

/// Nodes of the main graph that a node stands in, by nesting or by calls; the node itself where it is one.
pub(super) fn holders(graph: &Graph<'_>, node: NodeId) -> Vec<NodeId> {
    let (mut open, mut found, mut seen) = (vec![node], Vec::new(), Vec::new());
    while let Some(node) = open.pop() {
        match graph.scopes[graph.node(node).scope.0 as usize].kind {
            ScopeKind::Main => found.push(node),
            ScopeKind::Nested { node } => open.push(node),
            ScopeKind::Function(index) if !seen.contains(&index) => {
                seen.push(index);
                let calls = graph.node_ids();
                open.extend(calls.filter(|&call| callee(graph, call) == Some(index)));
            }
            ScopeKind::Function(_) => {}
        }
    }
    found
}

/// The model-local function that a node calls.
fn callee(graph: &Graph<'_>, node: NodeId) -> Option<usize> {
    let view = graph
        .node(node)
        .view
        .filter(|_| graph.node(node).op.is_empty())?;
    let calls = |function: &crate::onnx::model::FunctionView| {
        function.domain == view.domain
            && function.name == view.op_type
            && function.overload == view.overload
    };
    graph.model.functions.iter().position(calls)
}

struct Levels<'g, 'm> {
    graph: &'g Graph<'m>,
    sites: HashMap<NodeId, usize>,
    found: Vec<usize>,
    values: HashMap<ValueId, usize>,
    /// Levels of the inputs of nested graphs and functions.
    floors: HashMap<ScopeId, usize>,
    /// Levels of what functions give, by function and level of what they are given.
    calls: HashMap<(usize, usize), usize>,
}

impl Levels<'_, '_> {
    /// Walks a scope whose inputs have a level; gives the highest level in it.
    fn scope(&mut self, scope: ScopeId, floor: usize) -> usize {
        self.floors.insert(scope, floor);
        let graph = self.graph;
        let nodes = graph.scopes[scope.0 as usize].nodes.iter();
        nodes.fold(floor, |highest, &node| highest.max(self.node(node)))
    }

    fn node(&mut self, node: NodeId) -> usize {
        let graph = self.graph;
        let inputs = graph.node(node).inputs.iter().flatten();
        let level = inputs.map(|&input| self.value(input)).max().unwrap_or(0);
        let mut given = level;
        if let Some(&site) = self.sites.get(&node) {
            self.found[site] = self.found[site].max(level);
            given = level + 1;
        }
        for (index, scope) in graph.scopes.iter().enumerate() {
            if scope.kind == (ScopeKind::Nested { node }) {
                given = given.max(self.scope(ScopeId(index as u32), level));
            }
        }
        if let Some(function) = callee(graph, node) {
            given = given.max(self.call(function, level));
        }
        let outputs = graph.node(node).outputs.iter().flatten();
        self.values.extend(outputs.map(|&output| (output, given)));
        given
    }

    fn call(&mut self, function: usize, level: usize) -> usize {
        if let Some(&known) = self.calls.get(&(function, level)) {
            return known;
        }
        // A function that calls itself, which the engine refuses, ends here.
        self.calls.insert((function, level), level);
        let scopes = self.graph.scopes.iter();
        let body = scopes
            .zip(0..)
            .find(|(scope, _)| scope.kind == ScopeKind::Function(function));
        let given = body.map_or(level, |(_, index)| self.scope(ScopeId(index), level));
        self.calls.insert((function, level), given);
        given
    }

    fn value(&self, value: ValueId) -> usize {
        let at = self.graph.value(value);
        let floor = || match at.origin {
            Origin::Input => self.floors.get(&at.scope).copied().unwrap_or(0),
            _ => 0,
        };
        self.values.get(&value).copied().unwrap_or_else(floor)
    }
}
