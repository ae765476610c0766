//! QuantizeLinear and DequantizeLinear: per tensor, per axis, and in blocks (opset 21).

use super::Round;
use super::axes::{axis, extent, offset, positions};
use super::call::{Call, Operator, require, single};
use crate::testing::element::{is_float, round_to};
use crate::testing::{DataType, Tensor};

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    match op_type {
        "QuantizeLinear" => Some(quantize),
        "DequantizeLinear" => Some(dequantize),
        _ => None,
    }
}

/// saturate(round(x / y_scale) + y_zero_point), ties to even.
fn quantize(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, zero) = (call.input(0)?, call.optional(2));
    let stated = call.dtype("output_dtype")?;
    let dtype = zero
        .map(|zero| zero.dtype)
        .or(stated)
        .unwrap_or(DataType::Uint8);
    let (least, greatest) = range(dtype)?;
    let scale_type = call.input(1)?.dtype;
    let quotient = |x: f64, scale: f64| match call.round {
        Round::Nothing => x / scale,
        Round::Storage => round_to(scale_type, x / scale),
    };
    let quantized = |(x, scale, zero): (f64, f64, f64)| {
        (quotient(x, scale).round_ties_even() + zero).clamp(least, greatest)
    };
    let data = parameters(call)?.into_iter().map(quantized).collect();
    Ok(vec![Tensor {
        dtype,
        shape: x.shape.clone(),
        data,
    }])
}

/// (x − x_zero_point)·x_scale.
fn dequantize(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, scale) = (call.input(0)?, call.input(1)?);
    let dtype = call.dtype("output_dtype")?.unwrap_or(scale.dtype);
    require(is_float(dtype), || "the scale is no float".into())?;
    let parameters = parameters(call)?.into_iter();
    let data = parameters
        .map(|(x, scale, zero)| (x - zero) * scale)
        .collect();
    Ok(vec![Tensor {
        dtype,
        shape: x.shape.clone(),
        data,
    }])
}

/// For each element of X: the element, its scale, its zero point.
fn parameters(call: &Call<'_>) -> Result<Vec<(f64, f64, f64)>, String> {
    let (x, scale, zero) = (call.input(0)?, call.input(1)?, call.optional(2));
    require(zero.is_none_or(|zero| zero.shape == scale.shape), || {
        "zero point and scale".into()
    })?;
    let zero_at = |at: usize| zero.map_or(0.0, |zero| zero.data[at]);
    if scale.data.len() == 1 && scale.rank() < 2 {
        let (scale, zero) = (single(scale)?, zero_at(0));
        return Ok(x.data.iter().map(|&x| (x, scale, zero)).collect());
    }
    let axis = axis(call.int("axis", 1), x.rank())?;
    let block = extent(call.int("block_size", 0))?;
    let fits = match block {
        0 => scale.shape == [x.shape[axis]],
        _ => scale.rank() == x.rank() && scale.shape[axis] == x.shape[axis].div_ceil(block),
    };
    require(fits, || {
        format!("scale {:?} for {:?}", scale.shape, x.shape)
    })?;
    let found = positions(&x.shape).zip(&x.data).map(|(mut position, &x)| {
        let at = match block {
            0 => position[axis],
            _ => {
                position[axis] /= block;
                offset(&scale.shape, &position)
            }
        };
        (x, scale.data[at], zero_at(at))
    });
    Ok(found.collect())
}

fn range(dtype: DataType) -> Result<(f64, f64), String> {
    match dtype {
        DataType::Uint8 => Ok((0.0, 255.0)),
        DataType::Int8 => Ok((-128.0, 127.0)),
        DataType::Uint16 => Ok((0.0, 65535.0)),
        DataType::Int16 => Ok((-32768.0, 32767.0)),
        DataType::Int32 => Ok((f64::from(i32::MIN), f64::from(i32::MAX))),
        other => Err(format!(
            "quantizing to {} is not served",
            other.as_str_name()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;

    #[test]
    fn quantizing_rounds_to_even_and_saturates() {
        let x = Tensor::floats(&[4], [0.5, 1.5, -300.0, 300.0]);
        let scale = Tensor::floats(&[], [1.0]);
        let zero = Tensor::new(DataType::Int8, &[], vec![1.0]);
        let y = evaluate(
            "QuantizeLinear",
            13,
            &[x, scale.clone(), zero.clone()],
            |node| node,
        )
        .unwrap();
        assert_eq!(
            (y[0].dtype, &*y[0].data),
            (DataType::Int8, &[1.0, 3.0, -128.0, 127.0][..])
        );
        let back = evaluate(
            "DequantizeLinear",
            13,
            &[y[0].clone(), scale, zero],
            |node| node,
        )
        .unwrap();
        assert_eq!(
            (back[0].dtype, &*back[0].data),
            (DataType::Float, &[0.0, 2.0, -129.0, 126.0][..])
        );
    }
}
