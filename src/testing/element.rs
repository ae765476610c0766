//! Single elements: which f64 values a type has, and how its bytes spell them.

use half::{bf16, f16};

use super::tensor::DataType;
use crate::onnx::proto::TensorProto;

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

pub(super) fn width(dtype: DataType) -> Option<usize> {
    match dtype {
        DataType::Bool | DataType::Int8 | DataType::Uint8 => Some(1),
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => Some(2),
        DataType::Float | DataType::Int32 | DataType::Uint32 => Some(4),
        DataType::Double | DataType::Int64 | DataType::Uint64 => Some(8),
        _ => None,
    }
}

pub(super) fn element_bytes(dtype: DataType, x: f64) -> Vec<u8> {
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

pub(super) fn elements_of_bytes(dtype: DataType, bytes: &[u8]) -> Result<Vec<f64>, String> {
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

pub(super) fn elements_of_fields(dtype: DataType, proto: &TensorProto) -> Vec<f64> {
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
            -f64::powi(2.0, -23)
        );
        assert_eq!(round_to(DataType::Bfloat16, 1.0 + f64::powi(2.0, -8)), 1.0);
        assert_eq!(round_to(DataType::Bfloat16, 3.0 + f64::powi(2.0, -7)), 3.0);
    }
}
