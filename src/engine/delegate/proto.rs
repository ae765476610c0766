//! A node of the engine's form as a message of its own.

use crate::engine::graph::{Attribute, Node};
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, NodeProto};

/// The node with its values renamed by position: `input0`, `output0` and so on.
///
/// `None` for attributes that hold tensors, graphs or types.
pub(in crate::engine) fn node(node: &Node, is_present: &[bool]) -> Option<NodeProto> {
    let name = |prefix: &str, index: usize, present: bool| {
        if present {
            format!("{prefix}{index}")
        } else {
            String::new()
        }
    };
    // Trailing absent inputs are dropped: tract counts inputs to see which are there.
    let n_inputs = is_present
        .iter()
        .rposition(|&present| present)
        .map_or(0, |last| last + 1);
    let inputs = is_present.iter().take(n_inputs).enumerate();
    let outputs = node.outputs.iter().enumerate();
    Some(NodeProto {
        input: inputs
            .map(|(index, &present)| name("input", index, present))
            .collect(),
        output: outputs
            .map(|(index, slot)| name("output", index, slot.is_some()))
            .collect(),
        name: Some("node".to_owned()),
        op_type: Some(node.op_type.clone()),
        domain: Some(node.domain.clone()),
        attribute: node
            .attributes
            .iter()
            .map(|(name, value)| attribute(name, value))
            .collect::<Option<Vec<_>>>()?,
        ..NodeProto::default()
    })
}

fn attribute(name: &str, value: &Attribute) -> Option<AttributeProto> {
    let mut proto = AttributeProto {
        name: Some(name.to_owned()),
        ..AttributeProto::default()
    };
    let kind = match value {
        Attribute::Float(value) => {
            proto.f = Some(*value);
            AttributeType::Float
        }
        Attribute::Int(value) => {
            proto.i = Some(*value);
            AttributeType::Int
        }
        Attribute::String(bytes) => {
            proto.s = Some(bytes.clone());
            AttributeType::String
        }
        Attribute::Floats(values) => {
            proto.floats = values.clone();
            AttributeType::Floats
        }
        Attribute::Ints(values) => {
            proto.ints = values.clone();
            AttributeType::Ints
        }
        Attribute::Strings(list) => {
            proto.strings = list.clone();
            AttributeType::Strings
        }
        Attribute::Tensor(_) | Attribute::Graph(_) | Attribute::Type => return None,
    };
    proto.r#type = Some(kind as i32);
    Some(proto)
}
