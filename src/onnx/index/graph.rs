//! GraphProto, NodeProto and FunctionProto → views.

use super::{Indexer, message};
use crate::onnx::error::ReadError;
use crate::onnx::model::{FunctionView, GraphView, MessageSpan, Name, NodeView};
use crate::onnx::wire::{Position, Value};

impl Indexer<'_> {
    pub(super) fn graph(&mut self, at: MessageSpan, depth: usize) -> Result<GraphView, ReadError> {
        self.check_depth(at, depth)?;
        let mut graph = GraphView {
            at,
            name: Name::from(""),
            nodes: Vec::new(),
            initializers: Vec::new(),
            sparse_initializers: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            value_info: Vec::new(),
            annotations: Vec::new(),
        };
        let mut position = Position::at_start_of(at.body);
        while let Some(field) = self.next(&mut position)? {
            let Value::Bytes(body) = field.value else {
                continue;
            };
            let at = message(field, body);
            match field.number {
                1 => graph.nodes.push(self.node(at, depth + 1)?),
                2 => graph.name = self.name(body)?,
                5 => graph.initializers.push(self.tensor(at)?),
                11 => graph.inputs.push(self.value_info(at)?),
                12 => graph.outputs.push(self.value_info(at)?),
                13 => graph.value_info.push(self.value_info(at)?),
                14 => graph.annotations.push(self.annotation(at)?),
                15 => graph.sparse_initializers.push(self.sparse(at)?),
                _ => {}
            }
        }
        Ok(graph)
    }

    pub(super) fn node(&mut self, at: MessageSpan, depth: usize) -> Result<NodeView, ReadError> {
        let empty = self.intern(b"");
        let mut node = NodeView {
            at,
            name: empty.clone(),
            op_type: empty.clone(),
            domain: empty.clone(),
            overload: empty,
            inputs: Vec::new(),
            outputs: Vec::new(),
            attributes: Vec::new(),
        };
        let mut attributes = Vec::new();
        let mut position = Position::at_start_of(at.body);
        while let Some(field) = self.next(&mut position)? {
            let Value::Bytes(body) = field.value else {
                continue;
            };
            match field.number {
                1 => node.inputs.push(self.name(body)?),
                2 => node.outputs.push(self.name(body)?),
                3 => node.name = self.name(body)?,
                4 => node.op_type = self.name(body)?,
                5 => attributes.push(message(field, body)),
                7 => node.domain = self.domain(body)?,
                8 => node.overload = self.name(body)?,
                _ => {}
            }
        }
        let outer = self.node.replace(if node.name.is_empty() {
            node.op_type.clone()
        } else {
            node.name.clone()
        });
        node.attributes.reserve_exact(attributes.len());
        for at in attributes {
            node.attributes.push(self.attribute(at, depth + 1)?);
        }
        self.node = outer;
        node.inputs.shrink_to_fit();
        node.outputs.shrink_to_fit();
        Ok(node)
    }

    pub(super) fn function(&mut self, at: MessageSpan) -> Result<FunctionView, ReadError> {
        let mut function = FunctionView {
            at,
            domain: Name::from(""),
            name: Name::from(""),
            overload: Name::from(""),
            inputs: Vec::new(),
            outputs: Vec::new(),
            nodes: Vec::new(),
            value_info: Vec::new(),
            opset_imports: Vec::new(),
        };
        let mut position = Position::at_start_of(at.body);
        while let Some(field) = self.next(&mut position)? {
            let Value::Bytes(body) = field.value else {
                continue;
            };
            let at = message(field, body);
            match field.number {
                1 => function.name = self.name(body)?,
                4 => function.inputs.push(self.name(body)?),
                5 => function.outputs.push(self.name(body)?),
                7 => function.nodes.push(self.node(at, 2)?),
                9 => function.opset_imports.push(self.operator_set(body)?),
                10 => function.domain = self.domain(body)?,
                // Default values: no view shows them, but their tensors may be external.
                11 => drop(self.attribute(at, 2)?),
                12 => function.value_info.push(self.value_info(at)?),
                13 => function.overload = self.name(body)?,
                _ => {}
            }
        }
        Ok(function)
    }
}
