//! Tensors as serde data: element type by its number in the standard, extents, little-endian bytes.

use half::{bf16, f16};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::element::ElementType;
use super::tensor::{Data, Element, Tensor};

#[derive(Serialize, Deserialize)]
struct Wire {
    element: i32,
    held: i32,
    shape: Vec<usize>,
    bytes: Vec<u8>,
    strings: Vec<String>,
}

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        macro_rules! bytes {
            ($elements:expr) => {
                $elements.iter().flat_map(|x| x.to_le_bytes()).collect()
            };
        }
        let mut strings = Vec::new();
        let bytes: Vec<u8> = match self.data() {
            Data::F32(v) => bytes!(v),
            Data::F64(v) => bytes!(v),
            Data::F16(v) => bytes!(v),
            Data::BF16(v) => bytes!(v),
            Data::I8(v) => bytes!(v),
            Data::I16(v) => bytes!(v),
            Data::I32(v) => bytes!(v),
            Data::I64(v) => bytes!(v),
            Data::U8(v) => v.to_vec(),
            Data::U16(v) => bytes!(v),
            Data::U32(v) => bytes!(v),
            Data::U64(v) => bytes!(v),
            Data::Bool(v) => v.iter().map(|&flag| u8::from(flag)).collect(),
            Data::String(v) => {
                strings = v.to_vec();
                Vec::new()
            }
        };
        let (element, held) = (self.element().to_onnx(), self.data().element().to_onnx());
        let wire = Wire {
            element,
            held,
            shape: self.shape().to_vec(),
            bytes,
            strings,
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tensor, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let types = [wire.element, wire.held].map(ElementType::from_onnx);
        let [Some(element), Some(held)] = types else {
            return Err(D::Error::custom("an unknown element type"));
        };
        let tensor = assemble(held, wire).ok_or_else(|| D::Error::custom("a broken tensor"))?;
        Ok(tensor.declared(element))
    }
}

fn assemble(held: ElementType, wire: Wire) -> Option<Tensor> {
    fn typed<T: Element, const WIDTH: usize>(
        wire: &Wire,
        element: impl Fn([u8; WIDTH]) -> T,
    ) -> Option<Tensor> {
        let (chunks, rest) = wire.bytes.as_chunks::<WIDTH>();
        let elements = chunks.iter().map(|chunk| element(*chunk)).collect();
        rest.is_empty()
            .then(|| Tensor::new(wire.shape.clone(), elements).ok())?
    }
    match held {
        ElementType::Float32 => typed(&wire, f32::from_le_bytes),
        ElementType::Float64 => typed(&wire, f64::from_le_bytes),
        ElementType::Float16 => typed(&wire, f16::from_le_bytes),
        ElementType::BFloat16 => typed(&wire, bf16::from_le_bytes),
        ElementType::Int8 => typed(&wire, i8::from_le_bytes),
        ElementType::Int16 => typed(&wire, i16::from_le_bytes),
        ElementType::Int32 => typed(&wire, i32::from_le_bytes),
        ElementType::Int64 => typed(&wire, i64::from_le_bytes),
        ElementType::UInt8 => typed(&wire, u8::from_le_bytes),
        ElementType::UInt16 => typed(&wire, u16::from_le_bytes),
        ElementType::UInt32 => typed(&wire, u32::from_le_bytes),
        ElementType::UInt64 => typed(&wire, u64::from_le_bytes),
        ElementType::Bool => typed(&wire, |raw: [u8; 1]| raw != [0]),
        ElementType::String => Tensor::new(wire.shape, wire.strings).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_of_every_type_survive() {
        let numbers = Tensor::new(vec![2, 2], vec![1.5f64, -0.0, 3.25, f64::INFINITY]).unwrap();
        let tensors = [
            numbers.clone(),
            numbers.clone().rounded_to(ElementType::Float32),
            numbers.clone().rounded_to(ElementType::Float16),
            numbers.clone().rounded_to(ElementType::BFloat16),
            numbers.declared(ElementType::Float16),
            Tensor::vector(vec![-1i8, 2]),
            Tensor::vector(vec![-1i16, 2]),
            Tensor::vector(vec![-1i32, 2]),
            Tensor::vector(vec![i64::MIN, 2]),
            Tensor::vector(vec![255u8, 2]),
            Tensor::vector(vec![1u16, 2]),
            Tensor::vector(vec![1u32, 2]),
            Tensor::vector(vec![u64::MAX, 2]),
            Tensor::vector(vec![true, false]),
            Tensor::vector(vec!["a".to_owned(), String::new()]),
            Tensor::scalar(7f32),
        ];
        for tensor in tensors {
            let mut bytes = Vec::new();
            ciborium::into_writer(&tensor, &mut bytes).unwrap();
            let back: Tensor = ciborium::from_reader(bytes.as_slice()).unwrap();
            assert_eq!(back, tensor);
        }
    }
}
