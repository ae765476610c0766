//! Changes of a model, collected as data and rendered into a rope.
//!
//! Verbs take views, so each change is tied to the span it concerns; nothing of the model is decoded and encoded again.
//! Renames and attributes of one node gather and the last of a kind holds; any other two edits that meet are a conflict.
//! The same verbs serve the main graph, nested graphs and function bodies; only graphs have initializers.

mod node;
mod tensor;

use std::collections::BTreeMap;

use prost::Message;

use super::error::EditError;
use super::load::Model;
use super::model::{
    AnnotationView, GraphView, Name, NodeView, SparseView, TensorView, ValueInfoView,
};
use super::proto;
use super::proto::attribute_proto::AttributeType;
use super::rope::Rope;
use super::splice::Splices;
use super::wire::{Position, Span, put_bytes_field};
use node::{NodeChange, set};
pub(crate) use tensor::{AddedTensor, ChangedTensor, Payload, place};
pub use tensor::{NewData, NewTensor};

/// Changes of one model.
#[derive(Debug)]
pub struct Edits<'m> {
    pub(crate) model: &'m Model,
    pub(crate) splices: Splices,
    nodes: BTreeMap<Span, NodeChange>,
    /// By the tensor's body.
    pub(crate) tensors: BTreeMap<Span, ChangedTensor>,
    pub(crate) added: Vec<AddedTensor>,
}

impl<'m> Edits<'m> {
    /// No changes yet.
    pub fn new(model: &'m Model) -> Edits<'m> {
        Edits {
            model,
            splices: Splices::default(),
            nodes: BTreeMap::new(),
            tensors: BTreeMap::new(),
            added: Vec::new(),
        }
    }

    /// The model that is changed.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.splices.is_empty()
            && self.nodes.is_empty()
            && self.tensors.is_empty()
            && self.added.is_empty()
    }

    /// Takes a node out.
    pub fn remove_node(&mut self, node: &NodeView) -> Result<(), EditError> {
        self.splices.remove(node.at.field)
    }

    /// Puts another node in the place of a node.
    pub fn replace_node(
        &mut self,
        node: &NodeView,
        new: &proto::NodeProto,
    ) -> Result<(), EditError> {
        let rope = self.sibling(node, new)?;
        self.splices.replace(node.at.field, rope)
    }

    /// Puts a node before another in the same scope.
    pub fn insert_node_before(
        &mut self,
        node: &NodeView,
        new: &proto::NodeProto,
    ) -> Result<(), EditError> {
        let rope = self.sibling(node, new)?;
        self.splices.insert_before(node.at.field, rope);
        Ok(())
    }

    /// Puts a node after another in the same scope, after those that were put there earlier.
    pub fn insert_node_after(
        &mut self,
        node: &NodeView,
        new: &proto::NodeProto,
    ) -> Result<(), EditError> {
        let rope = self.sibling(node, new)?;
        self.splices.insert_after(node.at.field, rope);
        Ok(())
    }

    /// Gives an input slot another name; slots that the node does not have yet are added, empty ones between them.
    pub fn rename_input(&mut self, node: &NodeView, slot: usize, name: &Name) {
        set(&mut self.change(node).inputs, slot, name.clone());
    }

    /// Gives an output slot another name; slots that the node does not have yet are added, empty ones between them.
    pub fn rename_output(&mut self, node: &NodeView, slot: usize, name: &Name) {
        set(&mut self.change(node).outputs, slot, name.clone());
    }

    /// Leaves the node no more than its first `count` outputs.
    pub fn truncate_outputs(&mut self, node: &NodeView, count: usize) {
        self.change(node).n_outputs = Some(count);
    }

    /// Sets a FLOAT attribute.
    pub fn set_node_attribute_float(&mut self, node: &NodeView, name: &str, value: f32) {
        let kind = Some(AttributeType::Float as i32);
        let new = proto::AttributeProto {
            name: Some(name.to_owned()),
            r#type: kind,
            f: Some(value),
            ..Default::default()
        };
        self.set_node_attribute(node, new);
    }

    /// Sets an INT attribute.
    pub fn set_node_attribute_int(&mut self, node: &NodeView, name: &str, value: i64) {
        let kind = Some(AttributeType::Int as i32);
        let new = proto::AttributeProto {
            name: Some(name.to_owned()),
            r#type: kind,
            i: Some(value),
            ..Default::default()
        };
        self.set_node_attribute(node, new);
    }

    /// Sets an attribute: it takes the place of the one of its name, or comes after the others.
    pub fn set_node_attribute(&mut self, node: &NodeView, attribute: proto::AttributeProto) {
        let name = attribute.name().to_owned();
        set(&mut self.change(node).attributes, name, Some(attribute));
    }

    /// Takes an attribute out, if the node has it.
    pub fn remove_node_attribute(&mut self, node: &NodeView, name: &str) {
        set(&mut self.change(node).attributes, name.to_owned(), None);
    }

    /// Takes an initializer out.
    pub fn remove_initializer(&mut self, tensor: &TensorView) -> Result<(), EditError> {
        self.splices.remove(tensor.at.field)
    }

    /// Takes a sparse initializer out.
    pub fn remove_sparse_initializer(&mut self, tensor: &SparseView) -> Result<(), EditError> {
        self.splices.remove(tensor.at.field)
    }

    /// Takes a graph input, graph output or type entry out.
    pub fn remove_value_info(&mut self, info: &ValueInfoView) -> Result<(), EditError> {
        self.splices.remove(info.at.field)
    }

    /// Takes a graph input out.
    pub fn remove_input(&mut self, input: &ValueInfoView) -> Result<(), EditError> {
        self.splices.remove(input.at.field)
    }

    /// Takes a quantization annotation out.
    pub fn remove_annotation(&mut self, annotation: &AnnotationView) -> Result<(), EditError> {
        self.splices.remove(annotation.at.field)
    }

    /// Adds a graph input after the others.
    pub fn add_input(&mut self, graph: &GraphView, input: &proto::ValueInfoProto) {
        self.splices
            .append(graph.at.body, encoded(11, &input.encode_to_vec()));
    }

    /// Adds a type entry for an inner value of a graph.
    pub fn add_value_info(&mut self, graph: &GraphView, info: &proto::ValueInfoProto) {
        self.splices
            .append(graph.at.body, encoded(13, &info.encode_to_vec()));
    }

    fn change(&mut self, node: &NodeView) -> &mut NodeChange {
        self.nodes.entry(node.at.body).or_default()
    }

    /// A node as a field of the number that `node` itself has, which differs between graphs and functions.
    fn sibling(&self, node: &NodeView, new: &proto::NodeProto) -> Result<Rope, EditError> {
        let (mut reader, mut position) =
            (self.model.reader(), Position::at_start_of(node.at.field));
        let field = reader
            .next_field(&mut position)
            .map_err(|error| self.model.wire_error(error))?;
        let number = field.map_or(1, |field| field.number);
        Ok(encoded(number, &new.encode_to_vec()))
    }

    /// Changed names and attributes as splices.
    pub(crate) fn node_splices(&self) -> Result<Splices, EditError> {
        let mut splices = Splices::default();
        for (&body, change) in &self.nodes {
            change.splice(self.model, body, &mut splices)?;
        }
        Ok(splices)
    }
}

fn encoded(number: u32, payload: &[u8]) -> Rope {
    let mut bytes = Vec::with_capacity(payload.len() + 8);
    put_bytes_field(&mut bytes, number, payload);
    Rope::from(bytes)
}
