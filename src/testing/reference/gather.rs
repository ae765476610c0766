//! Operators that pick elements by index.

use super::axes::{axis, lines, offset, position, positions};
use super::call::{Call, Operator, require};
use crate::testing::{DataType, Tensor};

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    Some(match op_type {
        "Gather" => gather,
        "GatherElements" => gather_elements,
        "ArgMax" => |call| extreme_index(call, |a, b| a > b),
        "ArgMin" => |call| extreme_index(call, |a, b| a < b),
        "NonZero" => non_zero,
        "CumSum" => cumulative_sum,
        _ => return None,
    })
}

/// An index counts from the end when negative.
fn index(value: f64, extent: usize) -> Result<usize, String> {
    axis(value as i64, extent).map_err(|_| format!("index {value} into {extent} elements"))
}

fn gather(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let axis = axis(call.int("axis", 0), x.rank())?;
    let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
    let mut data = Vec::new();
    for position in positions(&shape) {
        let (before, rest) = position.split_at(axis);
        let (chosen, after) = rest.split_at(indices.rank());
        let at = index(indices.data[offset(&indices.shape, chosen)], x.shape[axis])?;
        data.push(x.data[offset(&x.shape, &[before, &[at], after].concat())]);
    }
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape,
        data,
    }])
}

fn gather_elements(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let axis = axis(call.int("axis", 0), x.rank())?;
    require(x.rank() == indices.rank(), || {
        format!("indices {:?}", indices.shape)
    })?;
    let mut data = Vec::new();
    for (mut position, &chosen) in positions(&indices.shape).zip(&indices.data) {
        position[axis] = index(chosen, x.shape[axis])?;
        data.push(x.data[offset(&x.shape, &position)]);
    }
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape: indices.shape.clone(),
        data,
    }])
}

fn extreme_index(call: &Call<'_>, beats: fn(f64, f64) -> bool) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let axis = axis(call.int("axis", 0), x.rank())?;
    let last = call.flag("select_last_index", false);
    let mut data = Vec::new();
    for line in lines(&x.shape, axis) {
        let mut best = 0;
        for at in 1..line.len() {
            let (new, old) = (x.data[line[at]], x.data[line[best]]);
            if beats(new, old) || (last && new == old) {
                best = at;
            }
        }
        data.push(best as f64);
    }
    let mut shape = x.shape.clone();
    shape[axis] = 1;
    if !call.flag("keepdims", true) {
        shape.remove(axis);
    }
    Ok(vec![Tensor {
        dtype: DataType::Int64,
        shape,
        data,
    }])
}

fn non_zero(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let found: Vec<Vec<usize>> = (0..x.data.len())
        .filter(|&at| x.data[at] != 0.0)
        .map(|at| position(&x.shape, at))
        .collect();
    let along = |axis: usize| found.iter().map(move |position| position[axis] as i64);
    Ok(vec![Tensor::ints(
        &[x.rank(), found.len()],
        (0..x.rank()).flat_map(along),
    )])
}

fn cumulative_sum(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let axis = axis(super::call::single(call.input(1)?)? as i64, x.rank())?;
    let (exclusive, reverse) = (call.flag("exclusive", false), call.flag("reverse", false));
    let mut data = vec![0.0; x.data.len()];
    for mut line in lines(&x.shape, axis) {
        if reverse {
            line.reverse();
        }
        let mut sum = 0.0;
        for at in line {
            data[at] = if exclusive { sum } else { sum + x.data[at] };
            sum += x.data[at];
        }
    }
    Ok(vec![super::call::same_as(x, data)])
}
