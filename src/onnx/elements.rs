//! Element types: their widths, where typed storage keeps them, and their conversion to and from f64.
//!
//! Conversion to a narrow float rounds once, to nearest even, from the f64 itself.
//! Types narrower than a byte are packed, low bits first, and only their byte count is known here.

use super::proto::tensor_proto::DataType;

/// The standard's name of an element type, for messages.
pub fn type_name(data_type: i32) -> String {
    DataType::try_from(data_type).map_or_else(
        |_| format!("type {data_type}"),
        |known| known.as_str_name().to_owned(),
    )
}

/// Bits per element; `None` for strings and for types that this version does not know.
pub fn bits(data_type: i32) -> Option<u64> {
    use DataType as T;
    Some(match DataType::try_from(data_type).ok()? {
        T::Complex128 => 128,
        T::Int64 | T::Uint64 | T::Double | T::Complex64 => 64,
        T::Float | T::Int32 | T::Uint32 => 32,
        T::Float16 | T::Bfloat16 | T::Int16 | T::Uint16 => 16,
        T::Int8 | T::Uint8 | T::Bool => 8,
        T::Float8e4m3fn | T::Float8e4m3fnuz | T::Float8e5m2 | T::Float8e5m2fnuz | T::Float8e8m0 => {
            8
        }
        T::Uint4 | T::Int4 | T::Float4e2m1 => 4,
        T::Uint2 | T::Int2 => 2,
        T::Undefined | T::String | T::Float6e2m3 | T::Float6e3m2 => return None,
    })
}

/// How many bytes `count` elements take, `u64::MAX` if more than that; `None` where the width is not known.
pub fn byte_count(data_type: i32, count: usize) -> Option<u64> {
    let bits = count as u128 * u128::from(bits(data_type)?);
    Some(u64::try_from(bits.div_ceil(8)).unwrap_or(u64::MAX))
}

/// How a typed field of TensorProto stores an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypedField {
    /// The field's number in TensorProto.
    pub(crate) number: u32,
    /// Bytes that one entry stands for in dense form.
    pub(crate) width: usize,
    /// Whether entries are fixed-size little-endian rather than varints.
    pub(crate) fixed: bool,
}

/// The typed field that stores elements of this type; `None` for strings and unknown types.
pub(crate) fn typed_field(data_type: i32) -> Option<TypedField> {
    use DataType as T;
    let (number, width, fixed) = match DataType::try_from(data_type).ok()? {
        T::Float | T::Complex64 => (4, 4, true),
        T::Double | T::Complex128 => (10, 8, true),
        T::Int64 => (7, 8, false),
        T::Uint64 => (11, 8, false),
        T::Uint32 => (11, 4, false),
        T::Int32 => (5, 4, false),
        T::Int16 | T::Uint16 | T::Float16 | T::Bfloat16 => (5, 2, false),
        T::Undefined | T::String | T::Float6e2m3 | T::Float6e3m2 => return None,
        _ => (5, 1, false),
    };
    Some(TypedField {
        number,
        width,
        fixed,
    })
}

/// A float type of `N` bytes whose elements can be read as f64 and rounded back.
pub(crate) trait Element<const N: usize>: std::fmt::Debug {
    /// A magnitude's bits: as integers they are in the order of the magnitudes, infinity and NaN above all.
    type Magnitude: Copy + Default + Ord + std::fmt::Debug;
    /// The smallest normal number.
    const SMALLEST_NORMAL: f64;
    /// The element's value.
    fn widen(bytes: [u8; N]) -> f64;
    /// The element nearest to a value, ties to even.
    fn narrow(value: f64) -> [u8; N];
    /// The element's magnitude.
    fn magnitude(bytes: [u8; N]) -> Self::Magnitude;
    /// The magnitude's value.
    fn value_of(magnitude: Self::Magnitude) -> f64;
}

/// FLOAT.
#[derive(Debug)]
pub(crate) enum F32 {}
/// DOUBLE.
#[derive(Debug)]
pub(crate) enum F64 {}
/// FLOAT16.
#[derive(Debug)]
pub(crate) enum F16 {}
/// BFLOAT16.
#[derive(Debug)]
pub(crate) enum BF16 {}

impl Element<4> for F32 {
    type Magnitude = i32;
    const SMALLEST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
    #[inline(always)]
    fn widen(bytes: [u8; 4]) -> f64 {
        f64::from(f32::from_le_bytes(bytes))
    }
    #[inline(always)]
    fn narrow(value: f64) -> [u8; 4] {
        (value as f32).to_le_bytes()
    }
    #[inline(always)]
    fn magnitude(bytes: [u8; 4]) -> i32 {
        i32::from_le_bytes(bytes) & i32::MAX
    }
    fn value_of(magnitude: i32) -> f64 {
        Self::widen(magnitude.to_le_bytes())
    }
}

impl Element<8> for F64 {
    type Magnitude = i64;
    const SMALLEST_NORMAL: f64 = f64::MIN_POSITIVE;
    #[inline(always)]
    fn widen(bytes: [u8; 8]) -> f64 {
        f64::from_le_bytes(bytes)
    }
    #[inline(always)]
    fn narrow(value: f64) -> [u8; 8] {
        value.to_le_bytes()
    }
    #[inline(always)]
    fn magnitude(bytes: [u8; 8]) -> i64 {
        i64::from_le_bytes(bytes) & i64::MAX
    }
    fn value_of(magnitude: i64) -> f64 {
        Self::widen(magnitude.to_le_bytes())
    }
}

impl Element<2> for F16 {
    type Magnitude = i16;
    const SMALLEST_NORMAL: f64 = 1.0 / (1u64 << 14) as f64;
    #[inline(always)]
    fn widen(bytes: [u8; 2]) -> f64 {
        widen_16::<10>(u16::from_le_bytes(bytes))
    }
    #[inline(always)]
    fn narrow(value: f64) -> [u8; 2] {
        narrow_16::<10>(value).to_le_bytes()
    }
    #[inline(always)]
    fn magnitude(bytes: [u8; 2]) -> i16 {
        i16::from_le_bytes(bytes) & i16::MAX
    }
    fn value_of(magnitude: i16) -> f64 {
        Self::widen(magnitude.to_le_bytes())
    }
}

impl Element<2> for BF16 {
    type Magnitude = i16;
    const SMALLEST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
    #[inline(always)]
    fn widen(bytes: [u8; 2]) -> f64 {
        f64::from(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
    }
    #[inline(always)]
    fn narrow(value: f64) -> [u8; 2] {
        narrow_16::<7>(value).to_le_bytes()
    }
    #[inline(always)]
    fn magnitude(bytes: [u8; 2]) -> i16 {
        i16::from_le_bytes(bytes) & i16::MAX
    }
    fn value_of(magnitude: i16) -> f64 {
        Self::widen(magnitude.to_le_bytes())
    }
}

const F64_MANTISSA: u32 = 52;
const F64_BIAS: i64 = 1023;

/// Exponent bias of a 16-bit float with `MANTISSA` stored bits.
const fn bias(mantissa: u32) -> i64 {
    (1 << (14 - mantissa)) - 1
}

/// 2 to the power of `exponent`, which must be a normal f64's.
const fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + F64_BIAS) as u64) << F64_MANTISSA)
}

fn widen_16<const MANTISSA: u32>(bits: u16) -> f64 {
    let magnitude = u64::from(bits & 0x7fff);
    let exponent = magnitude >> MANTISSA;
    let largest = (1 << (15 - MANTISSA)) - 1;
    let value = if exponent == 0 {
        magnitude as f64 * power_of_two(1 - bias(MANTISSA) - MANTISSA as i64)
    } else if exponent == largest {
        f64::from_bits(f64::INFINITY.to_bits() | (magnitude << (F64_MANTISSA - MANTISSA)))
    } else {
        let rebias = (F64_BIAS - bias(MANTISSA)) as u64;
        f64::from_bits((magnitude << (F64_MANTISSA - MANTISSA)) + (rebias << F64_MANTISSA))
    };
    if bits >> 15 == 1 { -value } else { value }
}

fn narrow_16<const MANTISSA: u32>(value: f64) -> u16 {
    let sign = ((value.to_bits() >> 48) & 0x8000) as u16;
    let magnitude = value.abs();
    let infinity = 0x7fff & !((1u16 << MANTISSA) - 1);
    let shift = F64_MANTISSA - MANTISSA;
    let bits = if magnitude.is_nan() {
        infinity
            | (1 << (MANTISSA - 1))
            | (magnitude.to_bits() >> shift) as u16 & ((1 << MANTISSA) - 1)
    } else if magnitude < power_of_two(1 - bias(MANTISSA)) {
        // Adding a number whose last place is the smallest subnormal makes the f64 addition do the rounding.
        let unit = power_of_two(1 - bias(MANTISSA) - MANTISSA as i64 + F64_MANTISSA as i64);
        (magnitude + unit).to_bits() as u16
    } else {
        let bits = magnitude.to_bits();
        let rounded = (bits + ((1 << (shift - 1)) - 1) + ((bits >> shift) & 1)) >> shift;
        let rebias = ((F64_BIAS - bias(MANTISSA)) as u64) << MANTISSA;
        (rounded - rebias).min(u64::from(infinity)) as u16
    };
    sign | bits
}

/// The value of one element of any float type; `None` for other types.
pub(crate) fn widen_chunk(data_type: i32, bytes: &[u8], out: &mut Vec<f64>) -> Option<()> {
    match DataType::try_from(data_type).ok()? {
        DataType::Float => widen_all::<F32, 4>(bytes, out),
        DataType::Double => widen_all::<F64, 8>(bytes, out),
        DataType::Float16 => widen_all::<F16, 2>(bytes, out),
        DataType::Bfloat16 => widen_all::<BF16, 2>(bytes, out),
        _ => return None,
    }
    Some(())
}

fn widen_all<T: Element<N>, const N: usize>(bytes: &[u8], out: &mut Vec<f64>) {
    out.extend(
        bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|&chunk| T::widen(chunk)),
    );
}

/// The elements of a float type nearest to `values`; `None` for other types.
pub(crate) fn narrow_chunk(data_type: i32, values: &[f64]) -> Option<Vec<u8>> {
    Some(match DataType::try_from(data_type).ok()? {
        DataType::Float => narrow_all::<F32, 4>(values),
        DataType::Double => narrow_all::<F64, 8>(values),
        DataType::Float16 => narrow_all::<F16, 2>(values),
        DataType::Bfloat16 => narrow_all::<BF16, 2>(values),
        _ => return None,
    })
}

fn narrow_all<T: Element<N>, const N: usize>(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| T::narrow(value)).collect()
}

/// Whether elements of this type can be read as f64.
pub fn is_float(data_type: i32) -> bool {
    use DataType as T;
    matches!(
        DataType::try_from(data_type),
        Ok(T::Float | T::Double | T::Float16 | T::Bfloat16)
    )
}

/// Appends integers of one element type; `None` for other types and for values beyond i64.
pub(crate) fn integers(data_type: i32, bytes: &[u8], out: &mut Vec<i64>) -> Option<()> {
    fn each<const N: usize>(bytes: &[u8], out: &mut Vec<i64>, read: impl Fn([u8; N]) -> i64) {
        out.extend(bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)));
    }
    match DataType::try_from(data_type).ok()? {
        DataType::Int64 => each(bytes, out, i64::from_le_bytes),
        DataType::Int32 => each(bytes, out, |chunk| i32::from_le_bytes(chunk).into()),
        DataType::Int16 => each(bytes, out, |chunk| i16::from_le_bytes(chunk).into()),
        DataType::Int8 => each(bytes, out, |chunk| i8::from_le_bytes(chunk).into()),
        DataType::Uint32 => each(bytes, out, |chunk| u32::from_le_bytes(chunk).into()),
        DataType::Uint16 => each(bytes, out, |chunk| u16::from_le_bytes(chunk).into()),
        DataType::Uint8 => each(bytes, out, |[byte]: [u8; 1]| byte.into()),
        DataType::Bool => each(bytes, out, |[byte]: [u8; 1]| (byte != 0).into()),
        DataType::Uint64 => {
            for &chunk in bytes.as_chunks::<8>().0 {
                out.push(i64::try_from(u64::from_le_bytes(chunk)).ok()?);
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn every_16_bit_pattern_widens_as_half_does_and_narrows_back() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (
                F16::widen(bits.to_le_bytes()),
                f16::from_bits(bits).to_f64(),
            );
            assert!(
                ours == theirs || ours.is_nan() && theirs.is_nan(),
                "{bits:#x}"
            );
            if !ours.is_nan() {
                assert_eq!(F16::narrow(ours), bits.to_le_bytes());
            }
            let (ours, theirs) = (
                BF16::widen(bits.to_le_bytes()),
                bf16::from_bits(bits).to_f64(),
            );
            assert!(
                ours == theirs || ours.is_nan() && theirs.is_nan(),
                "{bits:#x}"
            );
            if !ours.is_nan() {
                assert_eq!(BF16::narrow(ours), bits.to_le_bytes());
            }
        }
        assert!(F16::widen(F16::narrow(f64::NAN)).is_nan());
        assert!(BF16::widen(BF16::narrow(-f64::NAN)).is_nan());
    }

    /// Between two neighbours the middle goes to the even one, and the least step beyond it to the nearer one.
    fn check_ties<T: Element<2>>(largest: u16) {
        for bits in 0..largest {
            let (low, high) = (
                T::widen(bits.to_le_bytes()),
                T::widen((bits + 1).to_le_bytes()),
            );
            let middle = low + (high - low) / 2.0;
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(T::narrow(middle), even.to_le_bytes(), "tie above {bits:#x}");
            assert_eq!(
                T::narrow(middle.next_down()),
                bits.to_le_bytes(),
                "below the tie above {bits:#x}"
            );
            assert_eq!(
                T::narrow(middle.next_up()),
                (bits + 1).to_le_bytes(),
                "above the tie above {bits:#x}"
            );
            assert_eq!(
                T::narrow(-middle.next_up()),
                ((bits + 1) | 0x8000).to_le_bytes()
            );
        }
    }

    #[test]
    fn narrowing_rounds_once_to_nearest_even() {
        check_ties::<F16>(0x7bff);
        check_ties::<BF16>(0x7f7f);
    }

    #[test]
    fn what_is_too_large_becomes_infinite() {
        assert_eq!(F16::widen(F16::narrow(65519.999)), 65504.0);
        assert_eq!(F16::widen(F16::narrow(65520.0)), f64::INFINITY);
        assert_eq!(F16::widen(F16::narrow(-1e300)), f64::NEG_INFINITY);
        assert_eq!(BF16::widen(BF16::narrow(1e39)), f64::INFINITY);
    }

    #[test]
    fn four_bit_elements_are_counted_in_whole_bytes() {
        assert_eq!(byte_count(DataType::Int4 as i32, 3), Some(2));
        assert_eq!(
            byte_count(DataType::Float as i32, usize::MAX),
            Some(u64::MAX)
        );
        assert_eq!(byte_count(DataType::String as i32, 1), None);
    }
}
