//! The engine's tensors, types and nodes ↔ tract's.

use std::sync::Arc;

use prost::Message;
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::{Datum, DatumType, TDim, Tensor as TractTensor};

use crate::engine::delegate::proto;
use crate::engine::element::ElementType;
use crate::engine::graph::Node;
use crate::engine::tensor::{Data, Element, Tensor};

pub(super) fn datum_type(element: ElementType) -> Option<DatumType> {
    Some(match element {
        ElementType::Float32 => DatumType::F32,
        ElementType::Float64 => DatumType::F64,
        ElementType::Int8 => DatumType::I8,
        ElementType::Int16 => DatumType::I16,
        ElementType::Int32 => DatumType::I32,
        ElementType::Int64 => DatumType::I64,
        ElementType::UInt8 => DatumType::U8,
        ElementType::UInt16 => DatumType::U16,
        ElementType::UInt32 => DatumType::U32,
        ElementType::UInt64 => DatumType::U64,
        ElementType::Bool => DatumType::Bool,
        _ => return None,
    })
}

pub(super) fn to_tract(tensor: &Tensor) -> Option<TractTensor> {
    fn copied<T: Datum + Copy>(shape: &[usize], elements: &Arc<Vec<T>>) -> Option<TractTensor> {
        TractTensor::from_shape(shape, elements).ok()
    }
    let shape = tensor.shape();
    match tensor.data() {
        Data::F32(elements) => copied(shape, elements),
        Data::F64(elements) => copied(shape, elements),
        Data::I8(elements) => copied(shape, elements),
        Data::I16(elements) => copied(shape, elements),
        Data::I32(elements) => copied(shape, elements),
        Data::I64(elements) => copied(shape, elements),
        Data::U8(elements) => copied(shape, elements),
        Data::U16(elements) => copied(shape, elements),
        Data::U32(elements) => copied(shape, elements),
        Data::U64(elements) => copied(shape, elements),
        Data::Bool(elements) => copied(shape, elements),
        Data::F16(_) | Data::BF16(_) | Data::String(_) => None,
    }
}

pub(super) fn from_tract(tensor: &TractTensor) -> Option<Tensor> {
    fn copied<T: Datum + Element>(tensor: &TractTensor) -> Option<Tensor> {
        let view = tensor.to_plain_array_view::<T>().ok()?;
        Tensor::new(tensor.shape().to_vec(), view.iter().cloned().collect()).ok()
    }
    fn contiguous<T: Datum + Element + Copy>(tensor: &TractTensor) -> Option<Tensor> {
        let view = tensor.to_plain_array_view::<T>().ok()?;
        let elements = view
            .as_slice()
            .map_or_else(|| view.iter().copied().collect(), <[T]>::to_vec);
        Tensor::new(tensor.shape().to_vec(), elements).ok()
    }
    match tensor.datum_type() {
        DatumType::F32 => contiguous::<f32>(tensor),
        DatumType::F64 => contiguous::<f64>(tensor),
        DatumType::I8 => copied::<i8>(tensor),
        DatumType::I16 => copied::<i16>(tensor),
        DatumType::I32 => copied::<i32>(tensor),
        DatumType::I64 => copied::<i64>(tensor),
        DatumType::U8 => copied::<u8>(tensor),
        DatumType::U16 => copied::<u16>(tensor),
        DatumType::U32 => copied::<u32>(tensor),
        DatumType::U64 => copied::<u64>(tensor),
        DatumType::Bool => copied::<bool>(tensor),
        DatumType::TDim => {
            let view = tensor.to_plain_array_view::<TDim>().ok()?;
            let numbers = view
                .iter()
                .map(|dim| dim.to_i64().ok())
                .collect::<Option<Vec<i64>>>()?;
            Tensor::new(tensor.shape().to_vec(), numbers).ok()
        }
        _ => None,
    }
}

/// The node in tract's schema, its values renamed by position; `None` for attributes that it cannot hold.
pub(super) fn node(node: &Node, is_present: &[bool]) -> Option<pb::NodeProto> {
    let proto = proto::node(node, is_present)?;
    pb::NodeProto::decode(proto.encode_to_vec().as_slice()).ok()
}
