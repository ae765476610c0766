//! Stored tensors → the engine's tensors, from every storage form that the standard has.
//!
//! Counts and lengths are checked against the extents before anything is allocated.

use std::path::Path;

use half::{bf16, f16};

use super::external;
use crate::engine::element::ElementType;
use crate::engine::error::EngineError;
use crate::engine::tensor::{Element, Tensor, volume};
use crate::engine::{Budget, Precision};
use crate::onnx::proto::tensor_proto::DataLocation;
use crate::onnx::proto::{SparseTensorProto, TensorProto};

/// Reads the tensors of one model.
pub(super) struct Reader<'a> {
    directory: Option<&'a Path>,
    precision: Precision,
    budget: Budget,
    bytes: u64,
    widened: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(directory: Option<&'a Path>, precision: Precision, budget: Budget) -> Self {
        Reader {
            directory,
            precision,
            budget,
            bytes: 0,
            widened: false,
        }
    }

    /// Whether a tensor was held in a wider type than it is stored in.
    pub(super) fn widened(&self) -> bool {
        self.widened
    }

    /// A tensor in the type it is computed in; `raw` are its raw bytes if it does not hold them itself.
    pub(super) fn dense(
        &mut self,
        proto: &TensorProto,
        raw: Option<&[u8]>,
    ) -> Result<Tensor, EngineError> {
        let stored = self.stored(proto, raw)?;
        Ok(self.widen(stored))
    }

    /// A sparse tensor as the dense one it stands for; indices are linear or one row per element.
    pub(super) fn sparse(&mut self, proto: &SparseTensorProto) -> Result<Tensor, EngineError> {
        let (Some(values), Some(indices)) = (&proto.values, &proto.indices) else {
            return Err(invalid(
                "",
                "a sparse tensor lacks its values or its indices",
            ));
        };
        let fail = |reason: &str| invalid(values.name(), reason);
        let shape = extents(&proto.dims).ok_or_else(|| fail("its extents are invalid"))?;
        let (stored, positions) = (self.stored(values, None)?, self.stored(indices, None)?);
        self.count(values, volume(&shape), stored.element())?;
        let rows = positions
            .to_i64()
            .ok_or_else(|| fail("its indices are no integers"))?;
        let targets = linear_indices(&rows, positions.shape(), &shape)
            .filter(|targets| targets.len() == stored.len())
            .ok_or_else(|| fail("its indices do not fit its extents"))?;
        let dense = scatter(&stored, &targets, shape).ok_or_else(|| fail("it does not densify"))?;
        Ok(self.widen(dense))
    }

    /// A tensor in the type it is computed in.
    pub(super) fn held(&self, tensor: Tensor) -> Tensor {
        let element = self.precision.compute_type(tensor.element());
        tensor.with_floats_as(element)
    }

    fn widen(&mut self, tensor: Tensor) -> Tensor {
        self.widened |= self.precision.compute_type(tensor.element()) != tensor.element();
        self.held(tensor)
    }

    fn count(
        &mut self,
        proto: &TensorProto,
        volume: Option<usize>,
        element: ElementType,
    ) -> Result<usize, EngineError> {
        let count = volume.ok_or_else(|| invalid(proto.name(), "its extents overflow"))?;
        let width = self.precision.compute_type(element).size();
        self.bytes = self
            .bytes
            .saturating_add((count as u64).saturating_mul(width as u64));
        if self.bytes > self.budget.bytes {
            return Err(EngineError::Budget {
                what: "the bytes of stored tensors".to_owned(),
                found: self.bytes,
                limit: self.budget.bytes,
            });
        }
        Ok(count)
    }

    /// A tensor in the type that it is stored in; `raw` are its raw bytes if it does not hold them itself.
    pub(super) fn stored(
        &mut self,
        proto: &TensorProto,
        raw: Option<&[u8]>,
    ) -> Result<Tensor, EngineError> {
        let fail = |reason: String| EngineError::Tensor {
            tensor: proto.name().to_owned(),
            reason,
        };
        let element = ElementType::from_onnx(proto.data_type()).ok_or_else(|| {
            fail(format!(
                "the engine lacks element type {}",
                proto.data_type()
            ))
        })?;
        let shape = extents(&proto.dims).ok_or_else(|| fail("its extents are invalid".into()))?;
        let in_memory = proto.data_location() != DataLocation::External;
        if !in_memory {
            let count = self.count(proto, volume(&shape), element)?;
            let raw = external::read(proto, self.directory, count.saturating_mul(element.size()))?;
            return from_raw(element, shape, &raw)
                .ok_or_else(|| fail("its external bytes do not match its extents".into()));
        }
        // The stored bytes bound the count, so nothing is allocated for extents that only claim.
        let tensor = match raw.or(proto.raw_data.as_deref()) {
            Some(raw) if !raw.is_empty() => from_raw(element, shape, raw),
            _ => from_typed(element, shape, proto),
        };
        let tensor = tensor.ok_or_else(|| fail("its elements do not match its extents".into()))?;
        self.count(proto, Some(tensor.len()), element)?;
        Ok(tensor)
    }
}

fn invalid(tensor: &str, reason: &str) -> EngineError {
    EngineError::Tensor {
        tensor: tensor.to_owned(),
        reason: reason.to_owned(),
    }
}

fn extents(dims: &[i64]) -> Option<Vec<usize>> {
    dims.iter()
        .map(|&extent| usize::try_from(extent).ok())
        .collect()
}

macro_rules! little_endian {
    ($raw:expr, $rust:ty) => {{
        let (chunks, rest) = $raw.as_chunks::<{ size_of::<$rust>() }>();
        rest.is_empty()
            .then(|| chunks.iter().map(|c| <$rust>::from_le_bytes(*c)).collect())?
    }};
}

fn from_raw(element: ElementType, shape: Vec<usize>, raw: &[u8]) -> Option<Tensor> {
    fn tensor<T: Element>(shape: Vec<usize>, elements: Vec<T>) -> Option<Tensor> {
        Tensor::new(shape, elements).ok()
    }
    match element {
        ElementType::Float32 => tensor::<f32>(shape, little_endian!(raw, f32)),
        ElementType::Float64 => tensor::<f64>(shape, little_endian!(raw, f64)),
        ElementType::Float16 => tensor::<f16>(shape, little_endian!(raw, f16)),
        ElementType::BFloat16 => tensor::<bf16>(shape, little_endian!(raw, bf16)),
        ElementType::Int8 => tensor::<i8>(shape, little_endian!(raw, i8)),
        ElementType::Int16 => tensor::<i16>(shape, little_endian!(raw, i16)),
        ElementType::Int32 => tensor::<i32>(shape, little_endian!(raw, i32)),
        ElementType::Int64 => tensor::<i64>(shape, little_endian!(raw, i64)),
        ElementType::UInt8 => tensor::<u8>(shape, raw.to_vec()),
        ElementType::UInt16 => tensor::<u16>(shape, little_endian!(raw, u16)),
        ElementType::UInt32 => tensor::<u32>(shape, little_endian!(raw, u32)),
        ElementType::UInt64 => tensor::<u64>(shape, little_endian!(raw, u64)),
        ElementType::Bool => tensor::<bool>(shape, raw.iter().map(|&byte| byte != 0).collect()),
        ElementType::String => None,
    }
}

/// Narrow types stand in `int32_data`, halves as their bits.
fn from_typed(element: ElementType, shape: Vec<usize>, proto: &TensorProto) -> Option<Tensor> {
    let narrow = &proto.int32_data;
    match element {
        ElementType::Float32 => Tensor::new(shape, proto.float_data.clone()).ok(),
        ElementType::Float64 => Tensor::new(shape, proto.double_data.clone()).ok(),
        ElementType::Float16 => {
            let bits = narrow.iter().map(|&x| f16::from_bits(x as u16)).collect();
            Tensor::new::<f16>(shape, bits).ok()
        }
        ElementType::BFloat16 => {
            let bits = narrow.iter().map(|&x| bf16::from_bits(x as u16)).collect();
            Tensor::new::<bf16>(shape, bits).ok()
        }
        ElementType::Int8 => Tensor::new(shape, narrow.iter().map(|&x| x as i8).collect()).ok(),
        ElementType::Int16 => Tensor::new(shape, narrow.iter().map(|&x| x as i16).collect()).ok(),
        ElementType::Int32 => Tensor::new(shape, narrow.clone()).ok(),
        ElementType::Int64 => Tensor::new(shape, proto.int64_data.clone()).ok(),
        ElementType::UInt8 => Tensor::new(shape, narrow.iter().map(|&x| x as u8).collect()).ok(),
        ElementType::UInt16 => Tensor::new(shape, narrow.iter().map(|&x| x as u16).collect()).ok(),
        ElementType::Bool => Tensor::new(shape, narrow.iter().map(|&x| x != 0).collect()).ok(),
        ElementType::UInt32 => {
            Tensor::new(shape, proto.uint64_data.iter().map(|&x| x as u32).collect()).ok()
        }
        ElementType::UInt64 => Tensor::new(shape, proto.uint64_data.clone()).ok(),
        ElementType::String => {
            let strings = proto
                .string_data
                .iter()
                .map(|bytes| String::from_utf8(bytes.clone()));
            Tensor::new(shape, strings.collect::<Result<Vec<_>, _>>().ok()?).ok()
        }
    }
}

fn linear_indices(rows: &[i64], rows_shape: &[usize], shape: &[usize]) -> Option<Vec<usize>> {
    let total = volume(shape)?;
    let linear = |row: &[i64]| {
        let mut index = 0usize;
        for (&position, &extent) in row.iter().zip(shape) {
            let position = usize::try_from(position).ok().filter(|&p| p < extent)?;
            index = index * extent + position;
        }
        Some(index)
    };
    match rows_shape {
        [_] => rows
            .iter()
            .map(|&i| usize::try_from(i).ok().filter(|&i| i < total))
            .collect(),
        [_, rank] if *rank == shape.len() && *rank > 0 => rows.chunks(*rank).map(linear).collect(),
        _ => None,
    }
}

fn scatter(stored: &Tensor, targets: &[usize], shape: Vec<usize>) -> Option<Tensor> {
    fn fill<T: Element + Default>(
        stored: &Tensor,
        targets: &[usize],
        shape: Vec<usize>,
    ) -> Option<Tensor> {
        let mut dense = vec![T::default(); volume(&shape)?];
        for (element, &target) in stored.elements::<T>()?.iter().zip(targets) {
            *dense.get_mut(target)? = element.clone();
        }
        Tensor::new(shape, dense).ok()
    }
    match stored.element() {
        ElementType::Float32 => fill::<f32>(stored, targets, shape),
        ElementType::Float64 => fill::<f64>(stored, targets, shape),
        ElementType::Float16 => fill::<f16>(stored, targets, shape),
        ElementType::BFloat16 => fill::<bf16>(stored, targets, shape),
        ElementType::Int32 => fill::<i32>(stored, targets, shape),
        ElementType::Int64 => fill::<i64>(stored, targets, shape),
        ElementType::Int8 => fill::<i8>(stored, targets, shape),
        ElementType::UInt8 => fill::<u8>(stored, targets, shape),
        ElementType::Bool => fill::<bool>(stored, targets, shape),
        _ => None,
    }
}
