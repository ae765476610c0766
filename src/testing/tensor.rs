//! A tensor of f64 elements that remembers its ONNX element type.
//!
//! f64 holds every float type of the standard, every boolean and every integer below 2⁵³ exactly;
//! larger integers (`i64::MAX` as an open end of a Slice) become the nearest f64.
//! Elements are in row-major order.
//!
//! Leaves out strings, complex numbers and the types narrower than one byte.

use half::{bf16, f16};

use super::element::{data_type, element_bytes, elements_of_bytes, elements_of_fields, round_to};
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

fn difference(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        0.0
    } else if a.is_nan() || b.is_nan() {
        f64::INFINITY
    } else {
        (a - b).abs()
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
