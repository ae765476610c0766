//! Attributes, written as the Rust values they hold.

use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, GraphProto};
use crate::testing::{Storage, Tensor};

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// INT.
    Int(i64),
    /// FLOAT.
    Float(f32),
    /// STRING.
    String(String),
    /// INTS.
    Ints(Vec<i64>),
    /// FLOATS.
    Floats(Vec<f32>),
    /// STRINGS.
    Strings(Vec<String>),
    /// TENSOR.
    Tensor(Tensor),
    /// GRAPH, from [`Graph::body`](super::Graph::body).
    Body(Body),
    /// In a function: the calling node's attribute of that name and type.
    Reference(AttributeType, String),
}

/// A nested graph, to be given to one attribute.
#[derive(Clone, Copy, Debug)]
pub struct Body(pub(super) usize);

impl Attribute {
    /// The attribute as a message; `graph` writes nested graphs.
    pub(super) fn to_proto(
        &self,
        name: &str,
        storage: Storage,
        graph: impl Fn(Body) -> GraphProto,
    ) -> AttributeProto {
        let mut proto = AttributeProto {
            name: Some(name.to_string()),
            ..Default::default()
        };
        let kind = match self {
            Attribute::Int(value) => {
                proto.i = Some(*value);
                AttributeType::Int
            }
            Attribute::Float(value) => {
                proto.f = Some(*value);
                AttributeType::Float
            }
            Attribute::String(text) => {
                proto.s = Some(text.clone().into_bytes());
                AttributeType::String
            }
            Attribute::Ints(values) => {
                proto.ints.clone_from(values);
                AttributeType::Ints
            }
            Attribute::Floats(values) => {
                proto.floats.clone_from(values);
                AttributeType::Floats
            }
            Attribute::Strings(texts) => {
                proto.strings = texts.iter().map(|text| text.clone().into_bytes()).collect();
                AttributeType::Strings
            }
            Attribute::Tensor(tensor) => {
                proto.t = Some(tensor.to_proto("", storage));
                AttributeType::Tensor
            }
            Attribute::Body(body) => {
                proto.g = Some(graph(*body));
                AttributeType::Graph
            }
            Attribute::Reference(kind, wanted) => {
                proto.ref_attr_name = Some(wanted.clone());
                *kind
            }
        };
        proto.r#type = Some(kind.into());
        proto
    }
}

impl From<i64> for Attribute {
    fn from(value: i64) -> Attribute {
        Attribute::Int(value)
    }
}

impl From<f32> for Attribute {
    fn from(value: f32) -> Attribute {
        Attribute::Float(value)
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Attribute {
        Attribute::String(text.to_string())
    }
}

impl<const N: usize> From<[i64; N]> for Attribute {
    fn from(values: [i64; N]) -> Attribute {
        Attribute::Ints(values.to_vec())
    }
}

impl<const N: usize> From<[f32; N]> for Attribute {
    fn from(values: [f32; N]) -> Attribute {
        Attribute::Floats(values.to_vec())
    }
}

impl<const N: usize> From<[&str; N]> for Attribute {
    fn from(texts: [&str; N]) -> Attribute {
        Attribute::Strings(texts.map(str::to_string).to_vec())
    }
}

impl From<&[i64]> for Attribute {
    fn from(values: &[i64]) -> Attribute {
        Attribute::Ints(values.to_vec())
    }
}

impl From<Vec<i64>> for Attribute {
    fn from(values: Vec<i64>) -> Attribute {
        Attribute::Ints(values)
    }
}

impl From<Vec<f32>> for Attribute {
    fn from(values: Vec<f32>) -> Attribute {
        Attribute::Floats(values)
    }
}

impl From<Tensor> for Attribute {
    fn from(tensor: Tensor) -> Attribute {
        Attribute::Tensor(tensor)
    }
}

impl From<Body> for Attribute {
    fn from(body: Body) -> Attribute {
        Attribute::Body(body)
    }
}
