//! Operators that make or reinterpret values without moving elements.

use super::axes::{axes, count, cut, extents};
use super::call::{Call, Operator, require, single};
use super::elementwise::{broadcast_shape, stretch};
use crate::testing::element::{data_type, is_float, round_to};
use crate::testing::{DataType, Tensor};

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    Some(match op_type {
        "Shape" => shape_of,
        "Size" => |call| {
            Ok(vec![Tensor::scalar(
                DataType::Int64,
                call.input(0)?.data.len() as f64,
            )])
        },
        "Constant" => constant,
        "ConstantOfShape" => constant_of_shape,
        "Range" => range,
        "Cast" => cast,
        "CastLike" => |call| Ok(vec![casted(call.input(0)?, call.input(1)?.dtype)]),
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Squeeze" => squeeze,
        "Unsqueeze" => unsqueeze,
        "Expand" => expand,
        _ => return None,
    })
}

fn reshaped(x: &Tensor, shape: Vec<usize>) -> Result<Vec<Tensor>, String> {
    require(count(&shape) == x.data.len(), || {
        format!("{:?} as {shape:?}", x.shape)
    })?;
    Ok(vec![Tensor { shape, ..x.clone() }])
}

/// Since opset 15 `start` and `end` choose axes; they are clamped to the rank.
fn shape_of(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let rank = x.rank() as i64;
    let clamped = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let (start, end) = (
        clamped(call.int("start", 0)),
        clamped(call.int("end", rank)),
    );
    let chosen = x.shape.get(start..end.max(start)).unwrap_or_default();
    let extents = chosen.iter().map(|&extent| extent as i64);
    Ok(vec![Tensor::ints(&[chosen.len()], extents)])
}

fn constant(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let [attribute] = call.node.attribute.as_slice() else {
        return Err("a Constant has one attribute".into());
    };
    let tensor = match attribute.name() {
        "value" => Tensor::from_proto(attribute.t.as_ref().ok_or("value is no tensor")?)?,
        "value_float" => Tensor::scalar(DataType::Float, attribute.f().into()),
        "value_int" => Tensor::scalar(DataType::Int64, attribute.i() as f64),
        "value_floats" => {
            Tensor::floats(&[attribute.floats.len()], attribute.floats.iter().copied())
        }
        "value_ints" => Tensor::ints(&[attribute.ints.len()], attribute.ints.iter().copied()),
        other => return Err(format!("attribute {other} is not served")),
    };
    Ok(vec![tensor])
}

fn constant_of_shape(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let shape = extents(&call.input(0)?.to_ints())?;
    let value = match call
        .attribute("value")
        .and_then(|attribute| attribute.t.as_ref())
    {
        Some(value) => Tensor::from_proto(value)?,
        None => Tensor::scalar(DataType::Float, 0.0),
    };
    let data = vec![single(&value)?; count(&shape)];
    Ok(vec![Tensor {
        dtype: value.dtype,
        shape,
        data,
    }])
}

fn range(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let start = call.input(0)?;
    let (first, limit) = (single(start)?, single(call.input(1)?)?);
    let delta = single(call.input(2)?)?;
    let length = ((limit - first) / delta).ceil().max(0.0);
    require(length < 1e9, || format!("{length} elements"))?;
    let data: Vec<f64> = (0..length as usize)
        .map(|at| first + at as f64 * delta)
        .collect();
    Ok(vec![Tensor {
        dtype: start.dtype,
        shape: vec![data.len()],
        data,
    }])
}

fn cast(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let dtype = match call.attribute("to") {
        // `to` is the name of a type in opset 1 and its number since.
        Some(attribute) if attribute.s.is_some() => {
            let name = call.string("to", "")?;
            let known = DataType::from_str_name(&name);
            data_type(known.ok_or_else(|| format!("element type `{name}`"))?)?
        }
        _ => call.dtype("to")?.ok_or("attribute to is missing")?,
    };
    Ok(vec![casted(call.input(0)?, dtype)])
}

/// Floats become integers by truncation; whether floats are rounded is the caller's choice.
fn casted(x: &Tensor, dtype: DataType) -> Tensor {
    let convert = |&x: &f64| {
        if is_float(dtype) {
            x
        } else {
            round_to(dtype, x)
        }
    };
    Tensor {
        dtype,
        shape: x.shape.clone(),
        data: x.data.iter().map(convert).collect(),
    }
}

/// 0 copies the input's extent (unless `allowzero`), −1 takes what is left.
fn reshape(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let wanted = call.ints_at("shape", 1).ok_or("the shape is missing")?;
    let zero_is_zero = call.flag("allowzero", false);
    let mut shape = Vec::new();
    for (at, &extent) in wanted.iter().enumerate() {
        shape.push(match extent {
            0 if !zero_is_zero => *x
                .shape
                .get(at)
                .ok_or_else(|| format!("0 at {at} for {:?}", x.shape))?,
            -1 => 1,
            extent => super::axes::extent(extent)?,
        });
    }
    if let Some(free) = wanted.iter().position(|&extent| extent == -1) {
        let known = count(&shape);
        require(known > 0 && x.data.len().is_multiple_of(known), || {
            format!("{:?} as {wanted:?}", x.shape)
        })?;
        shape[free] = x.data.len() / known;
    }
    require(
        wanted.iter().filter(|&&extent| extent == -1).count() < 2,
        || format!("{wanted:?}"),
    )?;
    reshaped(x, shape)
}

fn flatten(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let at = cut(call.int("axis", 1), x.rank())?;
    reshaped(x, vec![count(&x.shape[..at]), count(&x.shape[at..])])
}

fn squeeze(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let gone = match call.ints_at("axes", 1) {
        Some(given) => axes(&given, x.rank())?,
        None => (0..x.rank()).filter(|&at| x.shape[at] == 1).collect(),
    };
    require(gone.iter().all(|&at| x.shape[at] == 1), || {
        format!("axes {gone:?} of {:?}", x.shape)
    })?;
    let kept = (0..x.rank()).filter(|at| !gone.contains(at));
    reshaped(x, kept.map(|at| x.shape[at]).collect())
}

fn unsqueeze(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let given = call.ints_at("axes", 1).ok_or("the axes are missing")?;
    let new = axes(&given, x.rank() + given.len())?;
    let mut shape = x.shape.clone();
    for at in new {
        shape.insert(at, 1);
    }
    reshaped(x, shape)
}

fn expand(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let wanted = extents(&call.input(1)?.to_ints())?;
    Ok(vec![stretch(x, &broadcast_shape(&[&x.shape, &wanted])?)?])
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use crate::testing::Tensor;

    fn shaped(shape: &[usize]) -> Tensor {
        Tensor::floats(shape, vec![1.0; shape.iter().product()])
    }

    #[test]
    fn reshape_copies_at_zero_and_fills_at_minus_one() {
        let wanted = |shape: &[i64]| {
            let shape = Tensor::ints(&[shape.len()], shape.iter().copied());
            let y = evaluate("Reshape", 14, &[shaped(&[2, 3, 4]), shape], |node| node)?;
            Ok::<_, String>(y[0].shape.clone())
        };
        assert_eq!(wanted(&[0, -1]), Ok(vec![2, 12]));
        assert_eq!(wanted(&[-1, 0, 2]), Ok(vec![4, 3, 2]));
        assert!(wanted(&[-1, -1]).is_err() && wanted(&[5, -1]).is_err());
        assert!(wanted(&[2, 3, 4, 0]).is_err());
    }

    #[test]
    fn flatten_cuts_anywhere() {
        for (axis, expected) in [(0, [1, 24]), (1, [2, 12]), (3, [24, 1]), (-1, [6, 4])] {
            let y = evaluate("Flatten", 13, &[shaped(&[2, 3, 4])], |node| node.axis(axis)).unwrap();
            assert_eq!(y[0].shape, expected);
        }
    }

    #[test]
    fn shape_takes_a_range_of_axes() {
        let node = |node: crate::testing::Value| node.attr("start", -2).attr("end", 9);
        let y = evaluate("Shape", 15, &[shaped(&[2, 3, 4])], node).unwrap();
        assert_eq!(y[0].data, [3.0, 4.0]);
    }
}
