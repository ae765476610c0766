//! Graph inputs and outputs as the model declares them.

use crate::engine::element::ElementType;
use crate::engine::graph::{Dim, Port};
use crate::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use crate::onnx::proto::{TypeProto, ValueInfoProto, type_proto};

pub(super) fn port(info: &ValueInfoProto) -> Port {
    let tensor = info.r#type.as_ref().and_then(tensor_type);
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let dim = |dim: &Dimension| match &dim.value {
        Some(dimension::Value::DimValue(extent)) => {
            usize::try_from(*extent).map_or(Dim::Unknown, Dim::Fixed)
        }
        Some(dimension::Value::DimParam(symbol)) if !symbol.is_empty() => {
            Dim::Symbol(symbol.clone())
        }
        _ => Dim::Unknown,
    };
    Port {
        name: info.name().to_owned(),
        element: tensor.and_then(|tensor| ElementType::from_onnx(tensor.elem_type())),
        dims: shape.map(|shape| shape.dim.iter().map(dim).collect()),
    }
}

fn tensor_type(ty: &TypeProto) -> Option<&type_proto::Tensor> {
    match &ty.value {
        Some(type_proto::Value::TensorType(tensor)) => Some(tensor),
        _ => None,
    }
}
