//! Where new tensors and nodes go.

use super::update::Update;
use super::{ApplyError, Copied, Elements, NewData, Rewrite, blamed};
use crate::graph::{Constant, NodeId, Origin, ScopeKind, ValueId};
use crate::onnx::model::{AttributeValue, GraphView, Name, TensorView};
use crate::onnx::{EditError, NewTensor, elements, proto};

impl<'m> Rewrite<'_, 'm> {
    /// The tensor that a constant is itself: its initializer's, or its Constant node's.
    pub(super) fn own_tensor(&self, value: ValueId) -> Option<&'m TensorView> {
        match self.original.value(value).origin {
            Origin::Initializer { tensor, .. } => Some(tensor),
            Origin::Node(node, 0) => self.original.constant_tensor(node),
            _ => None,
        }
    }

    /// The graph whose initializers serve a node, if new ones may be added there.
    pub(super) fn initializer_scope(&self, node: NodeId) -> Option<&'m GraphView> {
        let scope = &self.graph.scopes[self.graph.node(node).scope.0 as usize];
        let model = self.original.model;
        match scope.kind {
            // Below IR version 4 an initializer has to be an input of its graph.
            _ if model.ir_version < 4 => None,
            ScopeKind::Main => Some(&model.graph),
            ScopeKind::Function(_) => None,
            ScopeKind::Nested { node } => {
                let first = scope
                    .nodes
                    .first()
                    .and_then(|&inner| self.graph.node(inner).view)?;
                let attributes = &self.graph.node(node).view?.attributes;
                let graphs = attributes
                    .iter()
                    .flat_map(|attribute| match &attribute.value {
                        AttributeValue::Graph(graph) => std::slice::from_ref(&**graph),
                        AttributeValue::Graphs(graphs) => graphs,
                        _ => &[],
                    });
                graphs.into_iter().find(|graph| {
                    graph.at.body.start <= first.at.field.start
                        && first.at.field.end <= graph.at.body.end
                })
            }
        }
    }

    /// Adds a tensor for a group of equal updates.
    pub(super) fn create(
        &mut self,
        source: Option<ValueId>,
        group: &[Update],
    ) -> Result<(), ApplyError> {
        let first = &group[0];
        let (stem, suffix) = self.stem(source, first);
        let name = self.names.fresh(&stem, suffix);
        let data_type = self.data_type(source, first);
        let data = match (source, &first.elements) {
            (Some(source), elements) => self.data(source, elements)?,
            (None, Elements::Full(array)) => NewData::Values(array.iter().copied().collect()),
            (None, Elements::Scaled { .. }) => {
                unreachable!("only what stands in a slot can be scaled")
            }
        };
        let dims = match (&first.elements, source) {
            (Elements::Full(array), _) => array.shape().to_vec(),
            (Elements::Scaled { dims, .. }, Some(source)) => self
                .graph
                .constant_shape(source)
                .unwrap_or_else(|_| dims.clone()),
            (Elements::Scaled { dims, .. }, None) => dims.clone(),
        };
        for update in group {
            self.renamed
                .insert((update.node, update.slot), name.clone());
        }
        self.serve(&name, group);
        let nodes: Vec<NodeId> = group.iter().map(|update| update.node).collect();
        let tensor = NewTensor {
            name: name.clone(),
            dims,
            data_type,
            data,
        };
        self.add(source, tensor, first.node)
            .map_err(|error| blamed(error, nodes))
    }

    fn stem(&self, source: Option<ValueId>, update: &Update) -> (Name, &'static str) {
        if let Some(source) = source {
            return (self.graph.value(source).name.clone(), "folded");
        }
        let made = self
            .graph
            .input(update.node, update.slot)
            .map(|input| &self.graph.value(input).origin);
        if let Some(Origin::Made(made)) = made {
            return (made.stem.clone(), "shift");
        }
        let weight = self
            .graph
            .input(update.node, 1)
            .map(|weight| self.graph.value(weight).name.clone());
        (weight.unwrap_or_else(|| Name::from("bnfold")), "bias")
    }

    fn data_type(&self, source: Option<ValueId>, update: &Update) -> i32 {
        let of = |value: ValueId| self.graph.value(value).data_type;
        let slot = self.graph.input(update.node, update.slot);
        let known = source.or(slot).map(of).filter(|&data_type| data_type != 0);
        // The weight of a product may stand in either slot, and the other operand's type may be unknown.
        let weight = || {
            let operands = [1, 0].map(|slot| self.graph.input(update.node, slot));
            let mut types = operands.into_iter().flatten().map(of);
            types.find(|&data_type| data_type != 0)
        };
        known.or_else(weight).unwrap_or(1)
    }

    fn add(
        &mut self,
        source: Option<ValueId>,
        tensor: NewTensor,
        node: NodeId,
    ) -> Result<(), EditError> {
        let Some(graph) = self.initializer_scope(node) else {
            let constant = constant_node(self.edits.tensor_message(tensor)?);
            self.before.entry(node).or_default().push(constant);
            return Ok(());
        };
        let old = source.and_then(|source| match self.original.constant(source) {
            Ok(Constant::Stored(tensor)) => Some(tensor),
            _ => None,
        });
        if let Some(source) = source {
            let count = tensor.dims.iter().product();
            let served = self.serves.get(&tensor.name.to_string());
            let copy = Copied {
                bytes: elements::byte_count(tensor.data_type, count).unwrap_or(0),
                nodes: served.cloned().unwrap_or_default(),
            };
            self.copies
                .push((self.original.behind_identities(source), copy));
        }
        match old.filter(|old| old.dims == tensor.dims && old.data_type == tensor.data_type) {
            Some(old) => self.edits.add_clone(graph, old, &tensor.name, tensor.data),
            None => self.edits.add_initializer(graph, tensor),
        }
    }

    /// Removed, inserted and rewired nodes.
    pub(super) fn nodes(&mut self) -> Result<(), ApplyError> {
        for index in 0..self.graph.nodes.len() {
            let node = NodeId(index as u32);
            let at = self.graph.node(node);
            match (at.view, at.alive) {
                (Some(view), false) => self.edits.remove_node(view).map_err(ApplyError::Edit)?,
                (Some(_), true) => self.rewire(node)?,
                (None, true) => self.insert(node)?,
                (None, false) => {}
            }
        }
        Ok(())
    }

    fn rewire(&mut self, node: NodeId) -> Result<(), ApplyError> {
        let (old, new) = (self.original.node(node), self.graph.node(node).clone());
        let Some(view) = new.view else {
            unreachable!("only nodes of the file are rewired");
        };
        for constant in self.before.remove(&node).unwrap_or_default() {
            self.edits
                .insert_node_before(view, &constant)
                .map_err(ApplyError::Edit)?;
        }
        if old.op != new.op
            || new.inputs.iter().flatten().count() < old.inputs.iter().flatten().count()
        {
            let changed = self.changed_operator(node)?;
            return self
                .edits
                .replace_node(view, &changed)
                .map_err(ApplyError::Edit);
        }
        for (slot, input) in new.inputs.iter().enumerate() {
            let Some(input) = *input else { continue };
            let renamed = self.renamed.get(&(node, slot)).cloned();
            let name = renamed.unwrap_or_else(|| self.name(input));
            if view.inputs.get(slot) != Some(&name) {
                self.edits.rename_input(view, slot, &name);
            }
        }
        // A new bias stands in a slot that the graph does not know of.
        for (&(_, slot), name) in self
            .renamed
            .range((node, new.inputs.len())..=(node, usize::MAX))
        {
            self.edits.rename_input(view, slot, name);
        }
        for (&(_, slot), name) in self.renamed.range((node, 0)..(node, new.inputs.len())) {
            if new.inputs[slot].is_none() {
                self.edits.rename_input(view, slot, name);
            }
        }
        for (slot, output) in new.outputs.iter().enumerate() {
            let Some(output) = *output else { continue };
            let name = self.name(output);
            if view.outputs.get(slot) != Some(&name) {
                self.edits.rename_output(view, slot, &name);
            }
        }
        Ok(())
    }

    /// A node that another operator takes the place of, or that lost operands; its name and notes stay.
    fn changed_operator(&mut self, node: NodeId) -> Result<proto::NodeProto, ApplyError> {
        let new = self.graph.node(node).clone();
        let same_op = self.original.node(node).op == new.op;
        let Some(view) = new.view else {
            unreachable!("only nodes of the file are changed");
        };
        let mut changed = self.original.model.node_proto(view)?;
        changed.op_type = Some(new.op.to_string());
        if !same_op {
            changed.attribute.clear();
        }
        changed.input = self.input_names(node);
        changed.output = new
            .outputs
            .iter()
            .flatten()
            .map(|&output| self.name(output).to_string())
            .collect();
        Ok(changed)
    }

    fn insert(&mut self, node: NodeId) -> Result<(), ApplyError> {
        let at = self.graph.node(node).clone();
        let anchor = self.graph.node(NodeId(at.position.0)).view;
        let Some(anchor) = anchor else {
            unreachable!("an inserted node follows a node of the file");
        };
        let stem = anchor.name.clone();
        let name = self.names.fresh(&stem, "shift");
        let inserted = proto::NodeProto {
            name: Some(name.to_string()),
            op_type: Some(at.op.to_string()),
            input: self.input_names(node),
            output: at
                .outputs
                .iter()
                .flatten()
                .map(|&output| self.name(output).to_string())
                .collect(),
            ..Default::default()
        };
        for constant in self.before.remove(&node).unwrap_or_default() {
            self.edits
                .insert_node_after(anchor, &constant)
                .map_err(ApplyError::Edit)?;
        }
        self.edits
            .insert_node_after(anchor, &inserted)
            .map_err(ApplyError::Edit)
    }

    /// What a node reads, new slots at the end included; an operand that was taken out leaves no gap.
    fn input_names(&mut self, node: NodeId) -> Vec<String> {
        let inputs = self.graph.node(node).inputs.clone();
        let last = self
            .renamed
            .range((node, 0)..=(node, usize::MAX))
            .next_back()
            .map_or(0, |((_, slot), _)| slot + 1);
        let slots = 0..inputs.len().max(last);
        let named = slots.filter_map(|slot| {
            let renamed = self.renamed.get(&(node, slot)).cloned();
            renamed.or_else(|| {
                inputs
                    .get(slot)
                    .copied()
                    .flatten()
                    .map(|input| self.name(input))
            })
        });
        named.map(|name| name.to_string()).collect()
    }

    /// A value's name; values that folds made get one when it is first asked for.
    fn name(&mut self, value: ValueId) -> Name {
        if (value.0 as usize) < self.original.values.len() {
            return self.graph.value(value).name.clone();
        }
        if let Some(name) = self.created.get(&value) {
            return name.clone();
        }
        let name = self
            .names
            .fresh(&self.graph.value(value).name.clone(), "unshifted");
        self.created.insert(value, name.clone());
        name
    }
}

fn constant_node(tensor: proto::TensorProto) -> proto::NodeProto {
    let name = tensor.name().to_owned();
    proto::NodeProto {
        name: Some(name.clone()),
        op_type: Some("Constant".to_owned()),
        output: vec![name],
        attribute: vec![proto::AttributeProto {
            name: Some("value".to_owned()),
            r#type: Some(proto::attribute_proto::AttributeType::Tensor as i32),
            t: Some(tensor),
            ..Default::default()
        }],
        ..Default::default()
    }
}
