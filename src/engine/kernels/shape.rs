//! Operators about shapes, and those that make tensors from nothing.

use super::each::for_any;
use crate::engine::call::{Call, Fault, Outcome, axis};
use crate::engine::element::ElementType;
use crate::engine::tensor::{Element, Tensor, volume};

/// Integers as extents.
pub(super) fn extents(list: Option<Vec<i64>>, what: &str) -> Result<Vec<usize>, Fault> {
    let list = list.ok_or_else(|| Fault::invalid(format!("{what} is missing")))?;
    let extents = list
        .iter()
        .map(|&x| usize::try_from(x))
        .collect::<Result<_, _>>();
    extents.map_err(|_| Fault::invalid(format!("{what} {list:?} is negative")))
}

/// 0 copies the input's extent (unless `allowzero`, opset 14), −1 is what is left.
pub(super) fn reshape(call: &mut Call<'_>) -> Outcome {
    let listed = match call.integers(1)? {
        Some(list) => list,
        None => call.ints("shape")?.map(<[i64]>::to_vec).unwrap_or_default(),
    };
    let keeps_zero = call.flag("allowzero")?;
    let tensor = call.take(0)?;
    let mut shape = Vec::with_capacity(listed.len());
    let mut open = None;
    for (index, &extent) in listed.iter().enumerate() {
        shape.push(match extent {
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            0 if !keeps_zero => tensor.shape().get(index).copied().unwrap_or(0),
            _ => usize::try_from(extent)
                .map_err(|_| Fault::invalid(format!("shape {listed:?} is invalid")))?,
        });
    }
    if let Some(index) = open {
        let rest = volume(&shape).filter(|&rest| rest > 0);
        shape[index] = rest.map_or(0, |rest| tensor.len() / rest);
    }
    Ok(vec![tensor.reshaped(shape)?])
}

pub(super) fn flatten(call: &mut Call<'_>) -> Outcome {
    let at = call.int("axis", 1)?;
    let tensor = call.take(0)?;
    let rank = tensor.rank();
    let at = if at == rank as i64 {
        rank
    } else {
        axis(at, rank.max(1))?
    };
    let (outer, inner) = tensor.shape().split_at(at.min(rank));
    let shape = vec![outer.iter().product(), inner.iter().product()];
    Ok(vec![tensor.reshaped(shape)?])
}

pub(super) fn identity(call: &mut Call<'_>) -> Outcome {
    Ok(vec![call.take(0)?])
}

/// Inference mode passes the input on; training mode would draw random numbers.
pub(super) fn dropout(call: &mut Call<'_>) -> Outcome {
    let trains = match call.optional(2) {
        Some(flag) => flag.elements::<bool>() == Some(&[true]),
        None => call.version() < 7 && call.int("is_test", 0)? == 0 && call.has("is_test"),
    };
    if trains {
        return Err(Fault::unsupported(
            "training mode, which draws random numbers,",
        ));
    }
    let wants_mask = call.wants(1);
    let tensor = call.take(0)?;
    if !wants_mask {
        return Ok(vec![tensor]);
    }
    let mask = Tensor::new(tensor.shape().to_vec(), vec![true; tensor.len()])?;
    Ok(vec![tensor, mask])
}

/// `start` and `end` cut the list of extents (opset 15).
pub(super) fn shape(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let rank = tensor.rank() as i64;
    let bound = |x: i64| (if x < 0 { x.saturating_add(rank) } else { x }).clamp(0, rank) as usize;
    let (start, end) = (bound(call.int("start", 0)?), bound(call.int("end", rank)?));
    let part = tensor
        .shape()
        .get(start..end.max(start))
        .unwrap_or_default();
    Ok(vec![Tensor::vector(
        part.iter().map(|&extent| extent as i64).collect(),
    )])
}

pub(super) fn size(call: &mut Call<'_>) -> Outcome {
    Ok(vec![Tensor::scalar(call.input(0)?.len() as i64)])
}

pub(super) fn constant_of_shape(call: &mut Call<'_>) -> Outcome {
    let shape = extents(call.integers(0)?, "the shape")?;
    let size = call.size(&shape)?;
    let held = call.precision.compute_type(ElementType::Float32);
    let zero = Tensor::scalar(0f32).with_floats_as(held);
    let value = match call.tensor("value")? {
        Some(value) => {
            let held = call.precision.compute_type(value.element());
            value.clone().with_floats_as(held)
        }
        None => zero,
    };
    for_any!(value, T => {
        let Some([element]) = value.elements::<T>() else {
            return Err(Fault::invalid("value is no single element"));
        };
        Ok(vec![Tensor::new(shape, vec![T::clone(element); size])?.declared(value.element())])
    })
}

pub(super) fn range(call: &mut Call<'_>) -> Outcome {
    fn steps<T: Element + Copy>(
        call: &Call<'_>,
        count: impl Fn(T, T, T) -> f64,
        element: impl Fn(T, T, usize) -> T,
    ) -> Outcome {
        let one = |index| match call.elements::<T>(index)? {
            [value] => Ok(*value),
            _ => Err(Fault::invalid("start, limit and delta are no scalars")),
        };
        let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
        let count = count(start, limit, delta).ceil().max(0.0);
        let count = call.size(&[if count.is_finite() {
            count as usize
        } else {
            usize::MAX
        }])?;
        Ok(vec![Tensor::vector(
            (0..count)
                .map(|index| element(start, delta, index))
                .collect(),
        )])
    }
    let declared = call.input(0)?.element();
    let result = match call.input(0)?.data().element() {
        ElementType::Float32 => steps::<f32>(
            call,
            |start, limit, delta| f64::from((limit - start) / delta),
            |start, delta, index| start + delta * index as f32,
        ),
        ElementType::Float64 => steps::<f64>(
            call,
            |start, limit, delta| (limit - start) / delta,
            |start, delta, index| start + delta * index as f64,
        ),
        ElementType::Int16 => integer_range::<i16>(call),
        ElementType::Int32 => integer_range::<i32>(call),
        ElementType::Int64 => steps::<i64>(
            call,
            |start, limit, delta| (limit as f64 - start as f64) / delta as f64,
            |start, delta, index| start.wrapping_add(delta.wrapping_mul(index as i64)),
        ),
        other => Err(Fault::unsupported(format!("element type {other}"))),
    };
    Ok(result?
        .into_iter()
        .map(|tensor| tensor.declared(declared))
        .collect())
}

fn integer_range<T: Element + Copy + TryFrom<i64>>(call: &Call<'_>) -> Outcome
where
    i64: From<T>,
{
    let one = |index| match call.elements::<T>(index)? {
        [value] => Ok(i64::from(*value)),
        _ => Err(Fault::invalid("start, limit and delta are no scalars")),
    };
    let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
    let count = ((limit - start) as f64 / delta as f64).ceil().max(0.0);
    let count = call.size(&[if count.is_finite() {
        count as usize
    } else {
        usize::MAX
    }])?;
    let values = (0..count).map(|index| T::try_from(start + delta * index as i64).ok());
    let values: Option<Vec<T>> = values.collect();
    Ok(vec![Tensor::vector(
        values.ok_or_else(|| Fault::invalid("the range overflows"))?,
    )])
}

pub(super) fn eye_like(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let [rows, columns] = *tensor.shape() else {
        return Err(Fault::invalid("the input is not of rank 2"));
    };
    let diagonal = call.int("k", 0)?;
    let element = match ElementType::from_onnx(call.int("dtype", 0)? as i32) {
        Some(element) => element,
        None => tensor.element(),
    };
    let mut elements = vec![0f64; rows * columns];
    for row in 0..rows {
        let column = usize::try_from(row as i64 + diagonal)
            .ok()
            .filter(|&c| c < columns);
        if let Some(column) = column {
            elements[row * columns + column] = 1.0;
        }
    }
    let eye = Tensor::new(vec![rows, columns], elements)?;
    Ok(vec![super::cast::converted(&eye, element, call.precision)?])
}
