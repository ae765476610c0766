//! Attributes of a node, with references of a function body replaced by what its caller gives.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Compiler, Scope};
use crate::engine::error::EngineError;
use crate::engine::graph::Attribute;
use crate::engine::tensor::Tensor;
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, NodeProto};

impl<'a> Compiler<'a> {
    pub(super) fn attributes(
        &mut self,
        node: &'a NodeProto,
        scope: Scope<'_>,
    ) -> Result<HashMap<String, Attribute>, EngineError> {
        let mut attributes = HashMap::with_capacity(node.attribute.len());
        for proto in &node.attribute {
            if let Some(value) = self.attribute(proto, scope)? {
                attributes.insert(proto.name().to_owned(), value);
            }
        }
        Ok(attributes)
    }

    /// `None` for a reference to an attribute that the caller does not give.
    pub(super) fn attribute(
        &mut self,
        proto: &'a AttributeProto,
        scope: Scope<'_>,
    ) -> Result<Option<Attribute>, EngineError> {
        if !proto.ref_attr_name().is_empty() {
            let given = scope
                .arguments
                .and_then(|given| given.get(proto.ref_attr_name()));
            return Ok(given.cloned());
        }
        let invalid = |reason: &str| EngineError::Decode {
            reason: format!("attribute {:?} {reason}", proto.name()),
        };
        Ok(Some(match kind(proto) {
            AttributeType::Float => Attribute::Float(proto.f()),
            AttributeType::Int => Attribute::Int(proto.i()),
            AttributeType::String => Attribute::String(proto.s().to_vec()),
            AttributeType::Floats => Attribute::Floats(proto.floats.clone()),
            AttributeType::Ints => Attribute::Ints(proto.ints.clone()),
            AttributeType::Strings => Attribute::Strings(proto.strings.clone()),
            AttributeType::Tensor => {
                let tensor = proto.t.as_ref().ok_or_else(|| invalid("holds no tensor"))?;
                Attribute::Tensor(self.tensors.dense(tensor, None)?)
            }
            AttributeType::SparseTensor => {
                let tensor = proto.sparse_tensor.as_ref();
                let tensor = tensor.ok_or_else(|| invalid("holds no sparse tensor"))?;
                Attribute::Tensor(self.tensors.sparse(tensor)?)
            }
            AttributeType::Graph => {
                let graph = proto.g.as_ref().ok_or_else(|| invalid("holds no graph"))?;
                Attribute::Graph(Arc::new(self.graph(graph, &[], scope)?))
            }
            AttributeType::TypeProto => Attribute::Type,
            AttributeType::Undefined
            | AttributeType::Tensors
            | AttributeType::Graphs
            | AttributeType::SparseTensors
            | AttributeType::TypeProtos => {
                return Err(invalid("is of a kind that no standard operator has"));
            }
        }))
    }
}

/// Files of IR versions 1 and 2 may leave the kind out; the field in use then says it.
fn kind(proto: &AttributeProto) -> AttributeType {
    match proto.r#type() {
        AttributeType::Undefined => {}
        known => return known,
    }
    if proto.f.is_some() {
        AttributeType::Float
    } else if proto.i.is_some() {
        AttributeType::Int
    } else if proto.s.is_some() {
        AttributeType::String
    } else if proto.t.is_some() {
        AttributeType::Tensor
    } else if proto.g.is_some() {
        AttributeType::Graph
    } else if !proto.floats.is_empty() {
        AttributeType::Floats
    } else if !proto.strings.is_empty() {
        AttributeType::Strings
    } else {
        AttributeType::Ints
    }
}

/// The value that an attribute of a Constant node stands for.
pub(super) fn constant(name: &str, attribute: &Attribute) -> Option<Tensor> {
    Some(match (name, attribute) {
        ("value" | "sparse_value", Attribute::Tensor(tensor)) => tensor.clone(),
        ("value_float", Attribute::Float(value)) => Tensor::scalar(*value),
        ("value_floats", Attribute::Floats(values)) => Tensor::vector(values.clone()),
        ("value_int", Attribute::Int(value)) => Tensor::scalar(*value),
        ("value_ints", Attribute::Ints(values)) => Tensor::vector(values.clone()),
        ("value_string", Attribute::String(bytes)) => {
            Tensor::scalar(String::from_utf8(bytes.clone()).ok()?)
        }
        ("value_strings", Attribute::Strings(list)) => {
            let texts = list.iter().map(|bytes| String::from_utf8(bytes.clone()));
            Tensor::vector(texts.collect::<Result<Vec<_>, _>>().ok()?)
        }
        _ => return None,
    })
}
