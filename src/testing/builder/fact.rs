//! What the builder knows of a value: its element type, its extents and, for small constants, its
//! elements.

use crate::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use crate::onnx::proto::type_proto;
use crate::onnx::proto::{TensorShapeProto, TypeProto, ValueInfoProto};
use crate::testing::{DataType, Tensor};

/// One extent of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A known extent.
    Size(usize),
    /// A named extent.
    Symbol(String),
    /// An extent nobody states.
    Unknown,
}

impl Dim {
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Dim::Size(size) => Some(*size),
            Dim::Symbol(_) | Dim::Unknown => None,
        }
    }
}

impl From<usize> for Dim {
    fn from(size: usize) -> Dim {
        Dim::Size(size)
    }
}

/// A shape as it is written in a test: `[1, 4, 8, 8]`, or `"N,4,?,8"` with names and unknowns.
pub trait IntoShape {
    /// The extents.
    fn into_shape(self) -> Vec<Dim>;
}

impl<const N: usize> IntoShape for [usize; N] {
    fn into_shape(self) -> Vec<Dim> {
        self.map(Dim::Size).to_vec()
    }
}

impl IntoShape for &[usize] {
    fn into_shape(self) -> Vec<Dim> {
        self.iter().copied().map(Dim::Size).collect()
    }
}

impl IntoShape for &Vec<usize> {
    fn into_shape(self) -> Vec<Dim> {
        self.as_slice().into_shape()
    }
}

impl IntoShape for Vec<Dim> {
    fn into_shape(self) -> Vec<Dim> {
        self
    }
}

impl IntoShape for &str {
    fn into_shape(self) -> Vec<Dim> {
        let parts = self
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let dim = |part: &str| match (part, part.parse()) {
            ("?", _) => Dim::Unknown,
            (_, Ok(size)) => Dim::Size(size),
            (name, Err(_)) => Dim::Symbol(name.to_string()),
        };
        parts.map(dim).collect()
    }
}

/// What is known of a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Fact {
    pub(super) dtype: Option<DataType>,
    pub(super) shape: Option<Vec<Dim>>,
    /// The elements, for constants of at most 64 elements.
    pub(super) elements: Option<Tensor>,
}

impl Fact {
    pub(super) fn new(dtype: DataType, shape: Vec<Dim>) -> Fact {
        Fact {
            dtype: Some(dtype),
            shape: Some(shape),
            elements: None,
        }
    }

    pub(super) fn of(tensor: &Tensor) -> Fact {
        let elements = (tensor.data.len() <= 64).then(|| tensor.clone());
        Fact {
            elements,
            ..Fact::new(tensor.dtype, (*tensor.shape).into_shape())
        }
    }

    pub(super) fn sizes(&self) -> Option<Vec<usize>> {
        self.shape.as_ref()?.iter().map(Dim::size).collect()
    }

    pub(super) fn to_value_info(&self, name: &str) -> ValueInfoProto {
        let dimension = |dim: &Dim| Dimension {
            denotation: None,
            value: match dim {
                Dim::Size(size) => Some(dimension::Value::DimValue(*size as i64)),
                Dim::Symbol(name) => Some(dimension::Value::DimParam(name.clone())),
                Dim::Unknown => None,
            },
        };
        let shape = self.shape.as_ref();
        let tensor = type_proto::Tensor {
            elem_type: self.dtype.map(i32::from),
            shape: shape.map(|dims| TensorShapeProto {
                dim: dims.iter().map(dimension).collect(),
            }),
        };
        let value = Some(type_proto::Value::TensorType(tensor));
        ValueInfoProto {
            name: Some(name.to_string()),
            r#type: Some(TypeProto {
                denotation: None,
                value,
            }),
            ..ValueInfoProto::default()
        }
    }
}
