//! What nothing reads any more goes: constants, the nodes that computed them, and what the file says about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Rewrite;
use crate::graph::{Graph, NodeId, Origin, ScopeKind, ValueId};
use crate::onnx::EditError;
use crate::onnx::model::{AnnotationView, AttributeValue, GraphView, Name, ValueInfoView};

/// Takes out nodes whose results the folds left unread, so that no parameters are worked out for them; a constant may
/// yet be read again, with new elements.
pub(super) fn discard(original: &Graph<'_>, graph: &mut Graph<'_>) {
    let mut open: Vec<ValueId> = (0..graph.values.len() as u32).map(ValueId).collect();
    while let Some(value) = open.pop() {
        let old = original.values.get(value.0 as usize);
        if old.is_some_and(|old| old.consumers.is_empty()) || graph.is_constant(value) {
            continue;
        }
        if let Origin::Node(node, _) = graph.value(value).origin
            && is_dead_end(graph, node)
        {
            open.extend(graph.node(node).inputs.iter().flatten());
            graph.detach(node);
        }
    }
}

fn is_dead_end(graph: &Graph<'_>, node: NodeId) -> bool {
    let at = graph.node(node);
    let unread = |&output: &ValueId| {
        let at = graph.value(output);
        at.consumers.is_empty() && !at.is_output && !at.is_reserved
    };
    at.alive && !has_body(graph, node) && at.outputs.iter().flatten().all(unread)
}

fn has_body(graph: &Graph<'_>, node: NodeId) -> bool {
    let attributes = graph
        .node(node)
        .view
        .iter()
        .flat_map(|view| &view.attributes);
    attributes
        .map(|attribute| &attribute.value)
        .any(|value| matches!(value, AttributeValue::Graph(_) | AttributeValue::Graphs(_)))
}

impl Rewrite<'_, '_> {
    /// Removes constants that the folds left unread, and takes out the nodes that gave them.
    pub(super) fn sweep(&mut self) -> Result<(), EditError> {
        let mut uses = self.uses();
        let inputs = &self.original.model.graph.inputs;
        let inputs: HashMap<&Name, &ValueInfoView> =
            inputs.iter().map(|input| (&input.name, input)).collect();
        let mut open: Vec<ValueId> = (0..self.original.values.len() as u32)
            .map(ValueId)
            .collect();
        open.retain(|value| self.lost_its_readers(*value, &uses));
        while let Some(value) = open.pop() {
            match self.graph.value(value).origin.clone() {
                Origin::Initializer {
                    tensor,
                    overridable: false,
                } => {
                    self.edits.remove_initializer(tensor)?;
                    self.forget_input(value, &inputs)?;
                }
                Origin::Node(node, _) if self.is_unread(node, &uses) => {
                    self.graph.node_mut(node).alive = false;
                    for input in self.read(node) {
                        if let Some(count) = uses.get_mut(&input) {
                            *count -= 1;
                        }
                        if self.lost_its_readers(input, &uses) {
                            open.push(input);
                        }
                    }
                }
                _ => {}
            }
        }
        self.discount(&uses);
        self.forget_vanished()
    }

    /// The first new constant in place of one that nothing reads any more is no copy.
    fn discount(&mut self, uses: &BTreeMap<ValueId, usize>) {
        let mut gone = BTreeSet::new();
        let is_left = |source: ValueId| {
            let at = self.graph.value(source);
            uses.get(&source).is_some_and(|&count| count > 0) || at.is_output || at.is_reserved
        };
        self.copies
            .retain(|&(source, _)| is_left(source) || !gone.insert(source));
    }

    /// How many nodes fewer there are.
    pub(super) fn removed(&self) -> i64 {
        let count = |alive: bool, in_file: bool| {
            let nodes = self.graph.nodes.iter();
            nodes
                .filter(|node| node.alive == alive && node.view.is_some() == in_file)
                .count()
        };
        count(false, true) as i64 - count(true, false) as i64
    }

    /// How many slots read each value once the new constants are in place.
    fn uses(&self) -> BTreeMap<ValueId, usize> {
        let mut uses = BTreeMap::new();
        for value in self.graph.node_ids().flat_map(|node| self.read(node)) {
            *uses.entry(value).or_default() += 1;
        }
        uses
    }

    /// What the slots of a node read once the new constants are in place; a slot that reads a new one is left out.
    fn read(&self, node: NodeId) -> Vec<ValueId> {
        let inputs = self.graph.node(node).inputs.iter().enumerate();
        let read = inputs.filter_map(|(slot, input)| {
            let input = (*input)?;
            let renamed = self.renamed.get(&(node, slot));
            // An update in place keeps the original constant's name, and with it the original constant.
            let source = self.in_place(node, slot, renamed).unwrap_or(input);
            let is_old = renamed.is_none()
                || source != input
                || renamed == Some(&self.graph.value(input).name);
            is_old.then_some(source)
        });
        read.collect()
    }

    fn in_place(&self, node: NodeId, slot: usize, renamed: Option<&Name>) -> Option<ValueId> {
        let source = self
            .original
            .nodes
            .get(node.0 as usize)?
            .inputs
            .get(slot)
            .copied()
            .flatten()?;
        (renamed == Some(&self.original.value(source).name)).then_some(source)
    }

    fn lost_its_readers(&self, value: ValueId, uses: &BTreeMap<ValueId, usize>) -> bool {
        if value.0 as usize >= self.original.values.len() {
            return false;
        }
        let at = self.graph.value(value);
        let had_readers = !self.original.value(value).consumers.is_empty();
        had_readers
            && uses.get(&value).is_none_or(|&count| count == 0)
            && !at.is_output
            && !at.is_reserved
    }

    fn is_unread(&self, node: NodeId, uses: &BTreeMap<ValueId, usize>) -> bool {
        let at = self.graph.node(node);
        let unread = |&output: &ValueId| {
            let at = self.graph.value(output);
            uses.get(&output).is_none_or(|&count| count == 0) && !at.is_output && !at.is_reserved
        };
        at.alive
            && !has_body(&self.graph, node)
            && at.view.is_some()
            && at.outputs.iter().flatten().all(unread)
    }

    /// Below IR version 4 an initializer is a graph input as well.
    fn forget_input(
        &mut self,
        value: ValueId,
        inputs: &HashMap<&Name, &ValueInfoView>,
    ) -> Result<(), EditError> {
        let at = self.graph.value(value);
        let is_main = self.graph.scopes[at.scope.0 as usize].kind == ScopeKind::Main;
        match inputs.get(&at.name).filter(|_| is_main) {
            Some(input) => self.edits.remove_input(input),
            None => Ok(()),
        }
    }

    /// Type entries of values that no longer exist.
    fn forget_vanished(&mut self) -> Result<(), EditError> {
        let mut vanished: BTreeMap<u32, BTreeSet<Name>> = BTreeMap::new();
        for (index, value) in self.original.values.iter().enumerate() {
            let now = self.graph.value(ValueId(index as u32));
            let is_gone = match now.origin {
                Origin::Node(node, _) => !self.graph.node(node).alive,
                Origin::Undefined => true,
                _ => false,
            };
            if is_gone && matches!(value.origin, Origin::Node(..)) {
                vanished
                    .entry(value.scope.0)
                    .or_default()
                    .insert(value.name.clone());
            }
        }
        for (scope, names) in vanished {
            let (infos, annotations) = self.entries(scope);
            for info in infos.iter().filter(|info| names.contains(&info.name)) {
                self.edits.remove_value_info(info)?;
            }
            for annotation in annotations
                .iter()
                .filter(|annotation| names.contains(&annotation.tensor_name))
            {
                self.edits.remove_annotation(annotation)?;
            }
        }
        Ok(())
    }

    fn entries(&self, scope: u32) -> (Vec<ValueInfoView>, Vec<AnnotationView>) {
        let model = self.original.model;
        let of = |graph: &GraphView| (graph.value_info.clone(), graph.annotations.clone());
        match self.original.scopes[scope as usize].kind {
            ScopeKind::Main => of(&model.graph),
            ScopeKind::Function(index) => (model.functions[index].value_info.clone(), Vec::new()),
            ScopeKind::Nested { .. } => {
                let inner = self.original.scopes[scope as usize].nodes.first();
                let graph = inner.and_then(|&node| self.initializer_scope(node));
                graph.map(of).unwrap_or_default()
            }
        }
    }
}
