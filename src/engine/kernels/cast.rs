//! Cast and CastLike.
//!
//! In the truth a cast between floating-point types does not round.
//! Where float16 and bfloat16 are held wider, a cast to them still rounds to their numbers.

use half::{bf16, f16};
use num_traits::AsPrimitive;

use super::each::for_number;
use crate::engine::Precision;
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::element::ElementType;
use crate::engine::tensor::{Element, Tensor, rounded};

pub(super) fn cast(call: &mut Call<'_>) -> Outcome {
    let number = call.int("to", 0)?;
    let element = i32::try_from(number).ok().and_then(ElementType::from_onnx);
    let element = element.ok_or_else(|| Fault::unsupported(format!("element type {number}")))?;
    let tensor = call.take(0)?;
    Ok(vec![converted(&tensor, element, call.precision)?])
}

pub(super) fn cast_like(call: &mut Call<'_>) -> Outcome {
    let element = call.input(1)?.element();
    let tensor = call.take(0)?;
    Ok(vec![converted(&tensor, element, call.precision)?])
}

/// The tensor as `element`, held as `precision` says.
pub(super) fn converted(
    tensor: &Tensor,
    element: ElementType,
    precision: Precision,
) -> Result<Tensor, Fault> {
    let is_float = tensor.data().element().is_float();
    if is_float && element.is_float() {
        let rounded = match precision {
            Precision::Double => tensor.clone(),
            Precision::Declared => tensor.clone().with_floats_as(element),
        };
        let held = precision.compute_type(element);
        return Ok(rounded.with_floats_as(held).declared(element));
    }
    let shape = tensor.shape().to_vec();
    let converted = match tensor.data().element() {
        ElementType::Bool => {
            let numbers = tensor.elements::<bool>().unwrap_or_default();
            let numbers: Vec<u8> = numbers.iter().map(|&x| u8::from(x)).collect();
            numbers_as(&Tensor::new(shape, numbers)?, element, precision)?
        }
        ElementType::String => parsed(tensor, element, precision)?,
        _ => numbers_as(tensor, element, precision)?,
    };
    Ok(converted.declared(element))
}

fn numbers_as(
    tensor: &Tensor,
    element: ElementType,
    precision: Precision,
) -> Result<Tensor, Fault> {
    let converted = for_number!(tensor, T => {
        let source = tensor.elements::<T>().unwrap_or_default();
        numbers_to(tensor.shape().to_vec(), source, element)
    })?;
    let held = precision.compute_type(converted.element());
    Ok(converted.with_floats_as(held))
}

/// Every numeric type converts to these as `as` does.
trait Castable:
    Copy
    + PartialEq
    + Default
    + ToString
    + AsPrimitive<f32>
    + AsPrimitive<f64>
    + AsPrimitive<i32>
    + AsPrimitive<i64>
    + AsPrimitive<u32>
    + AsPrimitive<u64>
{
}

impl<T> Castable for T where
    T: Copy
        + PartialEq
        + Default
        + ToString
        + AsPrimitive<f32>
        + AsPrimitive<f64>
        + AsPrimitive<i32>
        + AsPrimitive<i64>
        + AsPrimitive<u32>
        + AsPrimitive<u64>
{
}

/// Floats to integers truncate; out of range is undefined in the standard and saturates here.
fn numbers_to<T: Castable>(
    shape: Vec<usize>,
    source: &[T],
    element: ElementType,
) -> Result<Tensor, Fault> {
    let wide = |x: T| -> f64 { x.as_() };
    let whole = |x: T| -> i64 { x.as_() };
    match element {
        ElementType::Float32 => plain::<T, f32>(shape, source, |x| x.as_()),
        ElementType::Float64 => plain(shape, source, wide),
        ElementType::Float16 => plain(shape, source, |x| rounded::<f16>(wide(x))),
        ElementType::BFloat16 => plain(shape, source, |x| rounded::<bf16>(wide(x))),
        ElementType::Int8 => plain(shape, source, |x| whole(x) as i8),
        ElementType::Int16 => plain(shape, source, |x| whole(x) as i16),
        ElementType::Int32 => plain::<T, i32>(shape, source, |x| x.as_()),
        ElementType::Int64 => plain(shape, source, whole),
        ElementType::UInt8 => plain(shape, source, |x| whole(x) as u8),
        ElementType::UInt16 => plain(shape, source, |x| whole(x) as u16),
        ElementType::UInt32 => plain::<T, u32>(shape, source, |x| x.as_()),
        ElementType::UInt64 => plain::<T, u64>(shape, source, |x| x.as_()),
        ElementType::Bool => plain(shape, source, |x| x != T::default()),
        ElementType::String => plain(shape, source, |x| x.to_string()),
    }
}

fn plain<T: Copy, U: Element>(
    shape: Vec<usize>,
    source: &[T],
    f: impl Fn(T) -> U,
) -> Result<Tensor, Fault> {
    Ok(Tensor::new(shape, source.iter().map(|&x| f(x)).collect())?)
}

fn parsed(tensor: &Tensor, element: ElementType, precision: Precision) -> Result<Tensor, Fault> {
    let texts = tensor.elements::<String>().unwrap_or_default();
    if element == ElementType::String {
        return Ok(tensor.clone());
    }
    let numbers = texts.iter().map(|text| text.trim().parse::<f64>());
    let numbers: Result<Vec<f64>, _> = numbers.collect();
    let numbers = numbers.map_err(|_| Fault::invalid("a string is no number"))?;
    numbers_as(
        &Tensor::new(tensor.shape().to_vec(), numbers)?,
        element,
        precision,
    )
}
