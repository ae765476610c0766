//! A tensor of f64 elements that remembers its ONNX element type.
//!
//! f64 holds every float type of the standard, every boolean and every integer below 2⁵³ exactly;
//! larger integers (`i64::MAX` as an open end of a Slice) become the nearest f64.
//! Elements are in row-major order.
//!
//! Leaves out strings, complex numbers and the types narrower than one byte.

use half::{bf16, f16};

use crate::onnx::proto::TensorProto;
pub use crate::onnx::proto::tensor_proto::DataType;

/// How the elements of a TensorProto are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// Little-endian bytes in `raw_data`.
    #[default]
    Raw,
    /// The typed field of the standard: `float_data`, `int32_data`, `int64_data`, `double_data`,
    /// `uint64_data`.
    Typed,
}

/// A dense tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The ONNX element type.
    pub dtype: DataType,
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements, row-major, as many as the extents' product.
    pub data: Vec<f64>,
}

impl Tensor {
    /// A tensor of any element type; each element is rounded to that type.
    ///
    /// # Panics
    ///
    /// If `data` does not have as many elements as `shape` says.
    pub fn new(dtype: DataType, shape: &[usize], data: Vec<f64>) -> Tensor {
        let count: usize = shape.iter().product();
        assert!(
            data.len() == count,
            "{} elements for shape {shape:?}",
            data.len()
        );
        let data = data
            .into_iter()
            .map(|element| round_to(dtype, element))
            .collect();
        Tensor {
            dtype,
            shape: shape.to_vec(),
            data,
        }
    }

    /// A `float` tensor.
    pub fn floats(shape: &[usize], data: impl IntoIterator<Item = f32>) -> Tensor {
        Tensor::new(
            DataType::Float,
            shape,
            data.into_iter().map(f64::from).collect(),
        )
    }

    /// A `double` tensor.
    pub fn doubles(shape: &[usize], data: impl IntoIterator<Item = f64>) -> Tensor {
        Tensor::new(DataType::Double, shape, data.into_iter().collect())
    }

    /// An `int64` tensor.
    pub fn ints(shape: &[usize], data: impl IntoIterator<Item = i64>) -> Tensor {
        let data = data.into_iter().map(|element| element as f64).collect();
        Tensor::new(DataType::Int64, shape, data)
    }

    /// A `bool` tensor.
    pub fn bools(shape: &[usize], data: impl IntoIterator<Item = bool>) -> Tensor {
        let data = data
            .into_iter()
            .map(|element| f64::from(u8::from(element)))
            .collect();
        Tensor::new(DataType::Bool, shape, data)
    }

    /// A tensor without axes.
    pub fn scalar(dtype: DataType, element: f64) -> Tensor {
        Tensor::new(dtype, &[], vec![element])
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The elements as integers, as shapes, axes and indices are given.
    pub fn to_ints(&self) -> Vec<i64> {
        self.data.iter().map(|&element| element as i64).collect()
    }

    /// Each element rounded to the element type.
    pub fn rounded(mut self) -> Tensor {
        for element in &mut self.data {
            *element = round_to(self.dtype, *element);
        }
        self
    }

    /// The greatest difference of two elements at one place; infinite if the shapes differ or only
    /// one of the two is NaN.
    pub fn max_difference(&self, other: &Tensor) -> f64 {
        if self.shape != other.shape {
            return f64::INFINITY;
        }
        let pairs = self.data.iter().zip(&other.data);
        pairs.map(|(&a, &b)| difference(a, b)).fold(0.0, f64::max)
    }

    /// The greatest magnitude of an element, 0 for an empty tensor.
    pub fn max_magnitude(&self) -> f64 {
        self.data
            .iter()
            .fold(0.0, |greatest, element| greatest.max(element.abs()))
    }

    /// Reads the elements of a TensorProto.
    ///
    /// # Errors
    ///
    /// If the element type is none of those served here, if the elements are in another file, or
    /// if their number does not match the extents.
    pub fn from_proto(proto: &TensorProto) -> Result<Tensor, String> {
        let dtype = data_type(proto.data_type())?;
        let shape: Option<Vec<usize>> = proto
            .dims
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect();
        let shape = shape.ok_or_else(|| format!("negative extent in {:?}", proto.dims))?;
        let count = shape
            .iter()
            .try_fold(1usize, |count, &extent| count.checked_mul(extent));
        if !proto.external_data.is_empty() {
            return Err("elements in another file are not read here".into());
        }
        let data = match &proto.raw_data {
            Some(bytes) => elements_of_bytes(dtype, bytes)?,
            None => elements_of_fields(dtype, proto),
        };
        if count != Some(data.len()) {
            return Err(format!("{} elements for shape {shape:?}", data.len()));
        }
        Ok(Tensor { dtype, shape, data })
    }

    /// Writes a TensorProto; an empty `name` is left out.
    pub fn to_proto(&self, name: &str, storage: Storage) -> TensorProto {
        let mut proto = TensorProto {
            name: (!name.is_empty()).then(|| name.to_string()),
            data_type: Some(self.dtype.into()),
            dims: self.shape.iter().map(|&extent| extent as i64).collect(),
            ..TensorProto::default()
        };
        match storage {
            Storage::Raw => proto.raw_data = Some(self.to_bytes()),
            Storage::Typed => self.write_fields(&mut proto),
        }
        proto
    }

    /// The elements as little-endian bytes of the element type.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.data
            .iter()
            .flat_map(|&element| element_bytes(self.dtype, element))
            .collect()
    }

    fn write_fields(&self, proto: &mut TensorProto) {
        let elements = self.data.iter();
        match self.dtype {
            DataType::Float => proto.float_data = elements.map(|&x| x as f32).collect(),
            DataType::Double => proto.double_data = self.data.clone(),
            DataType::Int64 => proto.int64_data = elements.map(|&x| x as i64).collect(),
            DataType::Uint64 | DataType::Uint32 => {
                proto.uint64_data = elements.map(|&x| x as u64).collect();
            }
            DataType::Float16 => {
                let bits =
                    elements.map(|&x| f16::from_f64(round_to(self.dtype, x)).to_bits().into());
                proto.int32_data = bits.collect();
            }
            DataType::Bfloat16 => {
                let bits =
                    elements.map(|&x| bf16::from_f64(round_to(self.dtype, x)).to_bits().into());
                proto.int32_data = bits.collect();
            }
            _ => proto.int32_data = elements.map(|&x| x as i32).collect(),
        }
    }
}

/// The element type of that number, if it is one of those served here.
pub(crate) fn data_type(number: impl TryInto<i32>) -> Result<DataType, String> {
    let dtype = number
        .try_into()
        .ok()
        .and_then(|number| DataType::try_from(number).ok());
    match dtype {
        Some(dtype) if width(dtype).is_some() => Ok(dtype),
        Some(dtype) => Err(format!(
            "element type {} is not served",
            dtype.as_str_name()
        )),
        None => Err("unknown element type".into()),
    }
}

/// Whether the type is a floating-point type.
pub(crate) fn is_float(dtype: DataType) -> bool {
    use DataType::{Bfloat16, Double, Float, Float16};
    matches!(dtype, Float | Double | Float16 | Bfloat16)
}

/// The value nearest to `element` in the type: to nearest, ties to even, for floats; the low bits
/// of the truncated value for integers; whether it differs from 0 for booleans.
pub(crate) fn round_to(dtype: DataType, element: f64) -> f64 {
    match dtype {
        DataType::Float => f64::from(element as f32),
        DataType::Float16 => round_binary(element, 11, -14, f16::MAX.to_f64()),
        DataType::Bfloat16 => round_binary(element, 8, -126, bf16::MAX.to_f64()),
        DataType::Bool => f64::from(u8::from(element != 0.0)),
        DataType::Int8 => f64::from(element as i64 as i8),
        DataType::Int16 => f64::from(element as i64 as i16),
        DataType::Int32 => f64::from(element as i64 as i32),
        DataType::Uint8 => f64::from(element as i64 as u8),
        DataType::Uint16 => f64::from(element as i64 as u16),
        DataType::Uint32 => f64::from(element as i64 as u32),
        DataType::Int64 | DataType::Uint64 => element.trunc(),
        _ => element,
    }
}

/// Rounds to `digits` significant binary digits; below 2^`min_exponent` the spacing stays constant.
///
/// Written out because half's conversion from f64 drops the low bits before it rounds.
fn round_binary(element: f64, digits: i32, min_exponent: i32, greatest: f64) -> f64 {
    if element == 0.0 || !element.is_finite() {
        return element;
    }
    let biased = (element.to_bits() >> 52) & 0x7ff;
    let exponent = (biased as i32 - 1023).max(min_exponent);
    let spacing = f64::powi(2.0, exponent - (digits - 1));
    let rounded = (element / spacing).round_ties_even() * spacing;
    if rounded.abs() > greatest {
        f64::INFINITY.copysign(rounded)
    } else {
        rounded
    }
}

fn difference(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        0.0
    } else if a.is_nan() || b.is_nan() {
        f64::INFINITY
    } else {
        (a - b).abs()
    }
}

fn width(dtype: DataType) -> Option<usize> {
    match dtype {
        DataType::Bool | DataType::Int8 | DataType::Uint8 => Some(1),
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => Some(2),
        DataType::Float | DataType::Int32 | DataType::Uint32 => Some(4),
        DataType::Double | DataType::Int64 | DataType::Uint64 => Some(8),
        _ => None,
    }
}

fn element_bytes(dtype: DataType, x: f64) -> Vec<u8> {
    match dtype {
        DataType::Float => (x as f32).to_le_bytes().to_vec(),
        DataType::Double => x.to_le_bytes().to_vec(),
        DataType::Float16 => f16::from_f64(round_to(dtype, x)).to_le_bytes().to_vec(),
        DataType::Bfloat16 => bf16::from_f64(round_to(dtype, x)).to_le_bytes().to_vec(),
        DataType::Uint64 => (x as u64).to_le_bytes().to_vec(),
        integer => {
            let bytes = (x as i64).to_le_bytes();
            bytes
                .into_iter()
                .take(width(integer).unwrap_or(8))
                .collect()
        }
    }
}

fn elements_of_bytes(dtype: DataType, bytes: &[u8]) -> Result<Vec<f64>, String> {
    let Some(width) = width(dtype) else {
        return Err(format!(
            "element type {} is not served",
            dtype.as_str_name()
        ));
    };
    if !bytes.len().is_multiple_of(width) {
        return Err(format!(
            "{} bytes of raw_data for elements of {width}",
            bytes.len()
        ));
    }
    Ok(bytes
        .chunks_exact(width)
        .map(|chunk| element_of_bytes(dtype, chunk))
        .collect())
}

fn element_of_bytes(dtype: DataType, chunk: &[u8]) -> f64 {
    let mut bytes = [0u8; 8];
    bytes[..chunk.len()].copy_from_slice(chunk);
    let bits = u64::from_le_bytes(bytes);
    match dtype {
        DataType::Float => f32::from_bits(bits as u32).into(),
        DataType::Double => f64::from_bits(bits),
        DataType::Float16 => f16::from_bits(bits as u16).to_f64(),
        DataType::Bfloat16 => bf16::from_bits(bits as u16).to_f64(),
        DataType::Uint64 => bits as f64,
        DataType::Int64 => bits as i64 as f64,
        _ => round_to(dtype, bits as f64),
    }
}

fn elements_of_fields(dtype: DataType, proto: &TensorProto) -> Vec<f64> {
    let int32 = proto.int32_data.iter();
    match dtype {
        DataType::Float => proto.float_data.iter().map(|&x| x.into()).collect(),
        DataType::Double => proto.double_data.clone(),
        DataType::Int64 => proto.int64_data.iter().map(|&x| x as f64).collect(),
        DataType::Uint64 | DataType::Uint32 => {
            proto.uint64_data.iter().map(|&x| x as f64).collect()
        }
        DataType::Float16 => int32.map(|&x| f16::from_bits(x as u16).to_f64()).collect(),
        DataType::Bfloat16 => int32.map(|&x| bf16::from_bits(x as u16).to_f64()).collect(),
        _ => int32.map(|&x| x.into()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVED: [DataType; 13] = [
        DataType::Float,
        DataType::Double,
        DataType::Float16,
        DataType::Bfloat16,
        DataType::Bool,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Uint8,
        DataType::Uint16,
        DataType::Uint32,
        DataType::Uint64,
    ];

    #[test]
    fn every_type_survives_both_storages() {
        for dtype in SERVED {
            let tensor = Tensor::new(dtype, &[2, 3], vec![0.0, 1.0, 2.5, -3.0, 100.0, 250.0]);
            let tensor = match dtype {
                DataType::Uint32 | DataType::Uint64 => {
                    Tensor::new(dtype, &[2, 3], vec![0.0, 1.0, 2.0, 3.0, 4e9, 5.0])
                }
                _ => tensor,
            };
            for storage in [Storage::Raw, Storage::Typed] {
                let proto = tensor.to_proto("t", storage);
                assert_eq!(
                    Tensor::from_proto(&proto).as_ref(),
                    Ok(&tensor),
                    "{dtype:?} {storage:?}"
                );
            }
        }
    }

    #[test]
    fn negative_integers_keep_their_sign() {
        let tensor = Tensor::new(DataType::Int8, &[2], vec![-1.0, 200.0]);
        assert_eq!(tensor.data, [-1.0, -56.0]);
        assert_eq!(tensor.to_bytes(), [0xff, 0xc8]);
    }

    #[test]
    fn half_types_round_once_to_nearest_even() {
        let just_above_a_tie = 1.0 + f64::powi(2.0, -11) + f64::powi(2.0, -50);
        assert_eq!(
            round_to(DataType::Float16, just_above_a_tie),
            1.0 + f64::powi(2.0, -10)
        );
        assert_eq!(round_to(DataType::Float16, 1.0 + f64::powi(2.0, -11)), 1.0);
        assert_eq!(round_to(DataType::Float16, 65519.0), 65504.0);
        assert_eq!(round_to(DataType::Float16, 65520.0), f64::INFINITY);
        assert_eq!(
            round_to(DataType::Float16, f64::powi(-2.0, -25) * 3.0),
            f64::powi(2.0, -23) * -1.0
        );
        assert_eq!(round_to(DataType::Bfloat16, 1.0 + f64::powi(2.0, -8)), 1.0);
        assert_eq!(round_to(DataType::Bfloat16, 3.0 + f64::powi(2.0, -7)), 3.0);
    }

    #[test]
    fn a_wrong_element_count_is_an_error() {
        let mut proto = Tensor::floats(&[3], [1.0, 2.0, 3.0]).to_proto("t", Storage::Raw);
        proto.dims = vec![4];
        assert!(Tensor::from_proto(&proto).is_err());
        proto.dims = vec![-3];
        assert!(Tensor::from_proto(&proto).is_err());
        proto.dims = vec![i64::MAX, 4];
        assert!(Tensor::from_proto(&proto).is_err());
    }
}
