//! The engine's tensors ↔ ONNX Runtime's.

use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{
    DynValue, PrimitiveTensorElementType, Tensor as OrtTensor, TensorElementType, TensorRef,
};

use crate::engine::tensor::{Data, Element, Tensor};

/// A view of a tensor; strings are copied.
pub(super) fn to_ort(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    fn view<'t, T: Element + PrimitiveTensorElementType + std::fmt::Debug>(
        shape: &'t [usize],
        elements: &'t [T],
    ) -> ort::Result<SessionInputValue<'t>> {
        Ok(TensorRef::from_array_view((shape, elements))?.into())
    }
    let shape = tensor.shape();
    match tensor.data() {
        Data::F32(elements) => view(shape, elements),
        Data::F64(elements) => view(shape, elements),
        Data::F16(elements) => view(shape, elements),
        Data::BF16(elements) => view(shape, elements),
        Data::I8(elements) => view(shape, elements),
        Data::I16(elements) => view(shape, elements),
        Data::I32(elements) => view(shape, elements),
        Data::I64(elements) => view(shape, elements),
        Data::U8(elements) => view(shape, elements),
        Data::U16(elements) => view(shape, elements),
        Data::U32(elements) => view(shape, elements),
        Data::U64(elements) => view(shape, elements),
        Data::Bool(elements) => view(shape, elements),
        Data::String(elements) => {
            Ok(OrtTensor::from_string_array((shape, elements.as_slice()))?.into())
        }
    }
}

/// A copy; `None` for what is no tensor, and for element types that the engine does not know.
pub(super) fn from_ort(value: &DynValue) -> Option<Tensor> {
    fn copy<T: Element + PrimitiveTensorElementType>(value: &DynValue) -> Option<Tensor> {
        let (shape, elements) = value.try_extract_tensor::<T>().ok()?;
        Tensor::new(extents(shape)?, elements.to_vec()).ok()
    }
    match value.dtype().tensor_type()? {
        TensorElementType::Float32 => copy::<f32>(value),
        TensorElementType::Float64 => copy::<f64>(value),
        TensorElementType::Float16 => copy::<f16>(value),
        TensorElementType::Bfloat16 => copy::<bf16>(value),
        TensorElementType::Int8 => copy::<i8>(value),
        TensorElementType::Int16 => copy::<i16>(value),
        TensorElementType::Int32 => copy::<i32>(value),
        TensorElementType::Int64 => copy::<i64>(value),
        TensorElementType::Uint8 => copy::<u8>(value),
        TensorElementType::Uint16 => copy::<u16>(value),
        TensorElementType::Uint32 => copy::<u32>(value),
        TensorElementType::Uint64 => copy::<u64>(value),
        TensorElementType::Bool => copy::<bool>(value),
        TensorElementType::String => {
            let (shape, elements) = value.try_extract_strings().ok()?;
            Tensor::new(extents(shape)?, elements).ok()
        }
        _ => None,
    }
}

fn extents(shape: &[i64]) -> Option<Vec<usize>> {
    let extents = shape.iter().map(|&extent| usize::try_from(extent));
    extents.collect::<Result<_, _>>().ok()
}
