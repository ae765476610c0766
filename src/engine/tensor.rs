//! A tensor of the engine: extents, declared element type and shared row-major elements.
//!
//! Cloning shares the elements.
//! The engine computes float16 and bfloat16 tensors in a wider type; `element` keeps saying what the model declares.

use std::borrow::Cow;
use std::sync::Arc;

use half::{bf16, f16};

pub use super::data::{Data, Element};
use super::element::ElementType;

/// Extents, declared element type and elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    element: ElementType,
    data: Data,
}

/// Elements whose count is not the product of the extents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} elements do not fill the shape {shape:?}")]
pub struct ShapeError {
    /// How many elements were given.
    pub count: usize,
    /// The extents they were to fill.
    pub shape: Vec<usize>,
}

/// The product of extents, if it fits.
pub(crate) fn volume(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |product, &extent| product.checked_mul(extent))
}

impl Tensor {
    /// A tensor of these extents over these row-major elements.
    pub fn new<T: Element>(shape: Vec<usize>, elements: Vec<T>) -> Result<Tensor, ShapeError> {
        Tensor::from_data(shape, T::wrap(Arc::new(elements)))
    }

    /// A tensor of these extents over shared elements, declared as the type they are held in.
    pub fn from_data(shape: Vec<usize>, data: Data) -> Result<Tensor, ShapeError> {
        if volume(&shape) != Some(data.len()) {
            return Err(ShapeError {
                count: data.len(),
                shape,
            });
        }
        Ok(Tensor {
            shape,
            element: data.element(),
            data,
        })
    }

    /// A tensor of rank 0.
    pub fn scalar<T: Element>(element: T) -> Tensor {
        Tensor {
            shape: Vec::new(),
            element: T::TYPE,
            data: T::wrap(Arc::new(vec![element])),
        }
    }

    /// A tensor of rank 1.
    pub fn vector<T: Element>(elements: Vec<T>) -> Tensor {
        Tensor {
            shape: vec![elements.len()],
            element: T::TYPE,
            data: T::wrap(Arc::new(elements)),
        }
    }

    /// The extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The element type that the model declares.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, if they are held in this type.
    pub fn elements<T: Element>(&self) -> Option<&[T]> {
        T::peek(&self.data).map(|elements| elements.as_slice())
    }

    /// The elements, owned and copied only if shared; `Err` gives the tensor back.
    pub fn into_elements<T: Element>(self) -> Result<Vec<T>, Tensor> {
        self.exclusive().or_else(|shared: Tensor| {
            let copied = shared.elements::<T>().map(<[T]>::to_vec);
            copied.ok_or(shared)
        })
    }

    /// The elements, owned, if nobody else holds them; `Err` gives the tensor back.
    pub(crate) fn exclusive<T: Element>(self) -> Result<Vec<T>, Tensor> {
        let Tensor {
            shape,
            element,
            data,
        } = self;
        let given_back = |data: Data| Tensor {
            shape,
            element,
            data,
        };
        match T::unwrap(data).map(Arc::try_unwrap) {
            Ok(Ok(elements)) => Ok(elements),
            Ok(Err(shared)) => Err(given_back(T::wrap(shared))),
            Err(data) => Err(given_back(data)),
        }
    }

    /// The same elements under other extents.
    pub fn reshaped(mut self, shape: Vec<usize>) -> Result<Tensor, ShapeError> {
        if volume(&shape) != Some(self.len()) {
            return Err(ShapeError {
                count: self.len(),
                shape,
            });
        }
        self.shape = shape;
        Ok(self)
    }

    /// Parts of elements that fill these extents, of the same type.
    pub(super) fn like(&self, shape: Vec<usize>, data: Data) -> Tensor {
        Tensor {
            shape,
            element: self.element,
            data,
        }
    }

    /// The same elements declared as another type; the elements stay as they are held.
    #[must_use]
    pub(crate) fn declared(mut self, element: ElementType) -> Tensor {
        self.element = element;
        self
    }

    /// Floating-point elements rounded once to `element`, and declared as it; other tensors as they are.
    #[must_use]
    pub fn rounded_to(self, element: ElementType) -> Tensor {
        if self.element.is_float() && element.is_float() {
            self.with_floats_as(element).declared(element)
        } else {
            self
        }
    }

    /// Bytes of the elements as held.
    pub fn byte_len(&self) -> usize {
        self.len().saturating_mul(self.data.element().size())
    }

    /// Like [`Tensor::to_f64`], without a copy where the elements are held in float64.
    pub fn as_f64(&self) -> Option<Cow<'_, [f64]>> {
        match &self.data {
            Data::F64(elements) => Some(Cow::Borrowed(elements)),
            _ => self.to_f64().map(Cow::Owned),
        }
    }

    /// Numeric and boolean elements as f64; `None` for strings.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        Some(match &self.data {
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::F64(v) => v.to_vec(),
            Data::F16(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::BF16(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I8(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I16(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
            Data::U8(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::U16(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::U32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::U64(v) => v.iter().map(|&x| x as f64).collect(),
            Data::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
            Data::String(_) => return None,
        })
    }

    /// Integer and boolean elements as i64; `None` for floats, strings and numbers out of range.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        Some(match &self.data {
            Data::I8(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::I16(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::I32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::I64(v) => v.to_vec(),
            Data::U8(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::U16(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::U32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::U64(v) => v
                .iter()
                .map(|&x| i64::try_from(x).ok())
                .collect::<Option<_>>()?,
            Data::Bool(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Data::F32(_) | Data::F64(_) | Data::F16(_) | Data::BF16(_) | Data::String(_) => {
                return None;
            }
        })
    }

    /// Floating-point elements held as `element`; other tensors as they are.
    ///
    /// One rounding, to nearest even (`f64` to float16 and bfloat16 in one step, not through float32).
    #[must_use]
    pub fn with_floats_as(self, element: ElementType) -> Tensor {
        if !self.data.element().is_float() || self.data.element() == element {
            return self;
        }
        let Some(wide) = self.to_f64() else {
            return self;
        };
        let data = match element {
            ElementType::Float32 => f32::wrap(Arc::new(wide.iter().map(|&x| x as f32).collect())),
            ElementType::Float64 => f64::wrap(Arc::new(wide)),
            ElementType::Float16 => f16::wrap(Arc::new(wide.iter().map(|&x| rounded(x)).collect())),
            ElementType::BFloat16 => {
                bf16::wrap(Arc::new(wide.iter().map(|&x| rounded(x)).collect()))
            }
            _ => return self,
        };
        Tensor {
            shape: self.shape,
            element: self.element,
            data,
        }
    }
}

/// A number rounded once; `half`'s own conversion from f64 drops low bits before it rounds.
pub(super) fn rounded<T: crate::batch_norm::Element>(number: f64) -> T {
    T::from_f64(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_just_above_a_tie_rounds_up() {
        // 1 + 2⁻¹¹ is the tie between 1 and the next float16, 1 + 2⁻⁸ the one of bfloat16 above it.
        let above = |tie: f64| Tensor::scalar(tie + 2f64.powi(-45));
        let f16s = above(1.0 + 2f64.powi(-11)).with_floats_as(ElementType::Float16);
        assert_eq!(f16s.to_f64(), Some(vec![1.0 + 2f64.powi(-10)]));
        let bf16s = above(1.0 + 2f64.powi(-8)).with_floats_as(ElementType::BFloat16);
        assert_eq!(bf16s.to_f64(), Some(vec![1.0 + 2f64.powi(-7)]));
    }

    #[test]
    fn elements_must_fill_the_shape() {
        assert!(Tensor::new(vec![2, 3], vec![0f32; 5]).is_err());
        assert!(Tensor::new(vec![usize::MAX, 2], vec![0f32; 5]).is_err());
        assert!(Tensor::new(vec![0, 7], Vec::<f32>::new()).is_ok());
    }

    #[test]
    fn widening_and_narrowing_halves_is_lossless_and_keeps_the_declared_type() {
        let halves: Vec<f16> = (0..64).map(|i| f16::from_f32(i as f32 / 7.0)).collect();
        let tensor = Tensor::vector(halves);
        let wide = tensor.clone().with_floats_as(ElementType::Float64);
        assert_eq!(wide.element(), ElementType::Float16);
        assert_eq!(wide.data().element(), ElementType::Float64);
        assert_eq!(wide.with_floats_as(ElementType::Float16), tensor);
    }
}
