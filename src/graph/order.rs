//! An order of nodes that the order in the file does not decide.
//!
//! A model may list its nodes in any topological order. Here each scope takes, of the nodes that can come next, the one
//! whose first output has the smallest name; bodies come right after the node that holds them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Graph, NodeId, Origin, ScopeId, ScopeKind};

/// Nodes by scope, with what each of them waits for there.
struct Waiting {
    /// Of each node, the nodes of its scope that read it, themselves or in a body.
    readers: Vec<Vec<NodeId>>,
    /// Of each node, how many such readings are open.
    open: Vec<usize>,
    /// Of each node, its place among all first outputs by name.
    names: Vec<u32>,
    /// Of each node, the scopes of its bodies.
    bodies: Vec<Vec<ScopeId>>,
}

impl Graph<'_> {
    /// Places as they would be in a file that lists the nodes in the order of names.
    pub(crate) fn set_canonical_order(&mut self) {
        let mut waiting = Waiting::new(self);
        let mut rank = vec![0u32; self.nodes.len()];
        let mut next = 0;
        for scope in 0..self.scopes.len() {
            if !matches!(self.scopes[scope].kind, ScopeKind::Nested { .. }) {
                waiting.place(self, ScopeId(scope as u32), &mut rank, &mut next);
            }
        }
        for (node, &rank) in self.nodes.iter_mut().zip(&rank) {
            node.position = (rank, 0);
        }
    }

    /// The node of a scope that is, or holds, another node.
    fn holder(&self, node: NodeId, scope: ScopeId) -> Option<NodeId> {
        let mut node = node;
        loop {
            let at = self.node(node).scope;
            match self.scopes[at.0 as usize].kind {
                _ if at == scope => return Some(node),
                ScopeKind::Nested { node: outer } => node = outer,
                ScopeKind::Main | ScopeKind::Function(_) => return None,
            }
        }
    }
}

impl Waiting {
    fn new(graph: &Graph<'_>) -> Waiting {
        let count = graph.nodes.len();
        let mut waiting = Waiting {
            readers: vec![Vec::new(); count],
            open: vec![0; count],
            names: names(graph),
            bodies: vec![Vec::new(); count],
        };
        for value in &graph.values {
            let Origin::Node(producer, _) = value.origin else {
                continue;
            };
            for &(reader, _) in &value.consumers {
                if let Some(reader) = graph.holder(reader, value.scope) {
                    waiting.readers[producer.0 as usize].push(reader);
                    waiting.open[reader.0 as usize] += 1;
                }
            }
        }
        for (scope, at) in graph.scopes.iter().enumerate() {
            if let ScopeKind::Nested { node } = at.kind {
                waiting.bodies[node.0 as usize].push(ScopeId(scope as u32));
            }
        }
        waiting
    }

    /// Ranks the nodes of a scope and of the bodies in it.
    fn place(&mut self, graph: &Graph<'_>, scope: ScopeId, rank: &mut [u32], next: &mut u32) {
        let key = |waiting: &Waiting, node: NodeId| Reverse((waiting.names[node.0 as usize], node));
        let nodes = &graph.scopes[scope.0 as usize].nodes;
        let free = nodes.iter().filter(|node| self.open[node.0 as usize] == 0);
        let mut ready: BinaryHeap<_> = free.map(|&node| key(self, node)).collect();
        while let Some(Reverse((_, node))) = ready.pop() {
            rank[node.0 as usize] = *next;
            *next += 1;
            for body in std::mem::take(&mut self.bodies[node.0 as usize]) {
                self.place(graph, body, rank, next);
            }
            for reader in std::mem::take(&mut self.readers[node.0 as usize]) {
                let open = &mut self.open[reader.0 as usize];
                *open -= 1;
                if *open == 0 {
                    ready.push(key(self, reader));
                }
            }
        }
    }
}

/// Of each node, the place of its first output's name among all of them.
fn names(graph: &Graph<'_>) -> Vec<u32> {
    let first = |node: &NodeId| {
        let output = graph.node(*node).outputs.iter().flatten().next();
        output.map(|&output| &graph.value(output).name)
    };
    let mut order: Vec<NodeId> = (0..graph.nodes.len() as u32).map(NodeId).collect();
    order.sort_by(|a, b| first(a).cmp(&first(b)));
    let mut names = vec![0; order.len()];
    for (place, node) in order.into_iter().enumerate() {
        names[node.0 as usize] = place as u32;
    }
    names
}
