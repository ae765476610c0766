//! QuantizeLinear and DequantizeLinear, by tensor, by axis and by block.
//!
//! `q = saturate(round(x/scale) + zero)`, halves to even; `x = (q − zero)·scale`.

use super::cast::converted;
use crate::engine::Precision;
use crate::engine::call::{Call, Fault, Outcome, axis};
use crate::engine::element::ElementType;
use crate::engine::tensor::Tensor;

pub(super) fn quantize_linear(call: &mut Call<'_>) -> Outcome {
    let element = match (call.optional(2), call.int("output_dtype", 0)?) {
        (Some(zero), _) => zero.element(),
        (None, 0) => ElementType::UInt8,
        (None, number) => i32::try_from(number)
            .ok()
            .and_then(ElementType::from_onnx)
            .ok_or_else(|| Fault::unsupported(format!("element type {number}")))?,
    };
    let (low, high) =
        limits(element).ok_or_else(|| Fault::unsupported(format!("quantizing to {element}")))?;
    let is_exact = call.precision == Precision::Double;
    let quantized = |x: f64, scale: f64, zero: f64| {
        let ratio = match is_exact {
            true => x / scale,
            false => f64::from(x as f32 / scale as f32),
        };
        (ratio.round_ties_even() + zero).clamp(low, high)
    };
    let numbers = scaled(call, quantized)?;
    Ok(vec![converted(&numbers, element, call.precision)?])
}

pub(super) fn dequantize_linear(call: &mut Call<'_>) -> Outcome {
    let element = match call.int("output_dtype", 0)? {
        0 => call.input(1)?.element(),
        number => i32::try_from(number)
            .ok()
            .and_then(ElementType::from_onnx)
            .ok_or_else(|| Fault::unsupported(format!("element type {number}")))?,
    };
    let numbers = scaled(call, |x, scale, zero| (x - zero) * scale)?;
    Ok(vec![converted(&numbers, element, call.precision)?])
}

/// The numbers that an integer type holds.
fn limits(element: ElementType) -> Option<(f64, f64)> {
    Some(match element {
        ElementType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        ElementType::UInt8 => (u8::MIN.into(), u8::MAX.into()),
        ElementType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        ElementType::UInt16 => (u16::MIN.into(), u16::MAX.into()),
        _ => return None,
    })
}

/// `work(x, scale, zero)` for every element, with its scale and zero point.
fn scaled(call: &Call<'_>, work: impl Fn(f64, f64, f64) -> f64) -> Result<Tensor, Fault> {
    let numbers = |index: usize| {
        let values = call.input(index)?.to_f64();
        values.ok_or_else(|| Fault::invalid(format!("input {index} holds no numbers")))
    };
    let (x, scales) = (numbers(0)?, numbers(1)?);
    let zeros = match call.optional(2) {
        Some(_) => numbers(2)?,
        None => vec![0.0; scales.len()],
    };
    let (shape, form) = (call.input(0)?.shape(), call.input(1)?.shape());
    if zeros.len() != scales.len() {
        return Err(Fault::invalid("its zero point and scale differ in shape"));
    }
    let misfit = || Fault::invalid(format!("a scale of shape {form:?} does not fit {shape:?}"));
    let (at, count) = match form {
        [] | [1] => (0, 1),
        _ => {
            let at = axis(call.int("axis", 1)?, shape.len())?;
            let along = if form.len() == 1 {
                form.first()
            } else {
                form.get(at)
            };
            (at, along.copied().unwrap_or(0))
        }
    };
    let extent = shape.get(at).copied().unwrap_or(1);
    let inner: usize = shape.iter().skip(at + 1).product();
    let block = match call.int("block_size", 0)? {
        0 => extent.checked_div(count).unwrap_or(0).max(1),
        size => usize::try_from(size).map_err(|_| misfit())?,
    };
    let is_blocked = form.len() > 1;
    let place = |flat: usize| {
        let (outer, along) = (
            flat / (extent * inner).max(1),
            flat / inner.max(1) % extent.max(1),
        );
        match (count, is_blocked) {
            (1, false) => 0,
            (_, false) => along,
            _ => (outer * count + along / block) * inner + flat % inner.max(1),
        }
    };
    let value = |(flat, &x): (usize, &f64)| {
        let at = place(flat);
        Some(work(x, *scales.get(at)?, *zeros.get(at)?))
    };
    let values: Option<Vec<f64>> = x.iter().enumerate().map(value).collect();
    Ok(Tensor::new(shape.to_vec(), values.ok_or_else(misfit)?)?)
}
