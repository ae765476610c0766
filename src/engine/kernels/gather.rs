//! Operators that read or write at indices: Gather, GatherElements, GatherND and their kin.
//!
//! Negative indices count from the end; an index outside is a fault.

use super::binary::{Arithmetic, view};
use super::each::{for_any, for_number};
use super::strided::strides;
use crate::engine::call::{Call, Fault, Outcome, axis};
use crate::engine::tensor::{Tensor, volume};

fn indices(call: &Call<'_>, index: usize) -> Result<Vec<i64>, Fault> {
    call.integers(index)?
        .ok_or_else(|| Fault::invalid("indices are missing"))
}

fn place(index: i64, extent: usize) -> Result<usize, Fault> {
    let counted = if index < 0 {
        index.saturating_add(extent as i64)
    } else {
        index
    };
    let place = usize::try_from(counted)
        .ok()
        .filter(|&place| place < extent);
    place.ok_or_else(|| Fault::invalid(format!("index {index} is outside extent {extent}")))
}

pub(super) fn gather(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let at = axis(call.int("axis", 0)?, tensor.rank())?;
    let list = indices(call, 1)?;
    let extent = tensor.shape()[at];
    let places = list
        .iter()
        .map(|&i| place(i, extent))
        .collect::<Result<Vec<_>, _>>()?;
    let (outer, inner) = (&tensor.shape()[..at], &tensor.shape()[at + 1..]);
    let shape = [outer, call.input(1)?.shape(), inner].concat();
    let size = call.size(&shape)?;
    let (outer, inner): (usize, usize) = (outer.iter().product(), inner.iter().product());
    for_any!(tensor, T => {
        let source = call.elements::<T>(0)?;
        let mut out: Vec<T> = Vec::with_capacity(size);
        for block in 0..outer {
            for &place in &places {
                let from = (block * extent + place) * inner;
                out.extend_from_slice(&source[from..from + inner]);
            }
        }
        Ok(vec![Tensor::new(shape, out)?.declared(tensor.element())])
    })
}

/// Linear positions that an index tensor of the data's rank names along `at`.
fn element_positions(
    data: &[usize],
    index_shape: &[usize],
    list: &[i64],
    at: usize,
) -> Result<Vec<usize>, Fault> {
    let fits = |(axis, (&index, &extent)): (usize, (&usize, &usize))| axis == at || index <= extent;
    if data.len() != index_shape.len() || !index_shape.iter().zip(data).enumerate().all(fits) {
        return Err(Fault::invalid("the indices do not fit the data"));
    }
    let steps = strides(data);
    let mut counter = vec![0usize; data.len()];
    let mut positions = Vec::with_capacity(list.len());
    for &index in list {
        let mut position = 0usize;
        for (axis, &count) in counter.iter().enumerate() {
            let along = if axis == at {
                place(index, data[at])?
            } else {
                count
            };
            position += along * steps[axis] as usize;
        }
        positions.push(position);
        advance(&mut counter, index_shape);
    }
    Ok(positions)
}

/// The next multi-index in row-major order.
pub(super) fn advance(counter: &mut [usize], shape: &[usize]) {
    for (count, &extent) in counter.iter_mut().zip(shape).rev() {
        *count += 1;
        if *count < extent {
            return;
        }
        *count = 0;
    }
}

pub(super) fn gather_elements(call: &mut Call<'_>) -> Outcome {
    let (tensor, index) = (call.input(0)?, call.input(1)?);
    let at = axis(call.int("axis", 0)?, tensor.rank())?;
    let positions = element_positions(tensor.shape(), index.shape(), &indices(call, 1)?, at)?;
    for_any!(tensor, T => {
        let source = call.elements::<T>(0)?;
        let out: Vec<T> = positions.iter().map(|&position| T::clone(&source[position])).collect();
        Ok(vec![Tensor::new(index.shape().to_vec(), out)?])
    })
}

/// Starts of the slices that rows of an index tensor name, and how long each slice is.
fn slice_starts(
    data: &[usize],
    index_shape: &[usize],
    list: &[i64],
    batch: usize,
) -> Result<(Vec<usize>, usize), Fault> {
    let misfit = || Fault::invalid("the indices do not fit the data");
    let depth = *index_shape.last().ok_or_else(misfit)?;
    let inner = data.get(batch + depth..).ok_or_else(misfit)?;
    if batch >= index_shape.len() || data.get(..batch) != index_shape.get(..batch) {
        return Err(misfit());
    }
    let length: usize = inner.iter().product();
    let steps = strides(data);
    let n_rows = volume(&index_shape[..index_shape.len() - 1]).ok_or_else(misfit)?;
    let n_batches: usize = data[..batch].iter().product();
    let per_batch = n_rows.checked_div(n_batches).unwrap_or(0);
    let batch_length: usize = data[batch..].iter().product();
    let mut starts = Vec::with_capacity(n_rows);
    for row in 0..n_rows {
        let mut start = (row / per_batch.max(1)) * batch_length;
        for column in 0..depth {
            let along = place(list[row * depth + column], data[batch + column])?;
            start += along * steps[batch + column] as usize;
        }
        starts.push(start);
    }
    Ok((starts, length))
}

pub(super) fn gather_nd(call: &mut Call<'_>) -> Outcome {
    let (tensor, index) = (call.input(0)?, call.input(1)?);
    let batch = usize::try_from(call.int("batch_dims", 0)?).unwrap_or(0);
    let (starts, length) = slice_starts(tensor.shape(), index.shape(), &indices(call, 1)?, batch)?;
    let depth = index.shape().last().copied().unwrap_or(0);
    let rows = &index.shape()[..index.rank() - 1];
    let shape = [rows, &tensor.shape()[batch + depth..]].concat();
    let size = call.size(&shape)?;
    for_any!(tensor, T => {
        let source = call.elements::<T>(0)?;
        let mut out: Vec<T> = Vec::with_capacity(size);
        for &start in &starts {
            out.extend_from_slice(&source[start..start + length]);
        }
        Ok(vec![Tensor::new(shape, out)?])
    })
}

/// How an update meets the element it falls on.
#[derive(Clone, Copy)]
enum Reduction {
    Replace,
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    fn read(call: &Call<'_>) -> Result<Reduction, Fault> {
        Ok(match call.text("reduction", "none")? {
            "none" => Reduction::Replace,
            "add" => Reduction::Add,
            "mul" => Reduction::Mul,
            "max" => Reduction::Max,
            "min" => Reduction::Min,
            other => return Err(Fault::unsupported(format!("reduction {other:?}"))),
        })
    }

    fn apply<T: Arithmetic>(self, old: T, new: T) -> T {
        match self {
            Reduction::Replace => new,
            Reduction::Add => old.plus(new),
            Reduction::Mul => old.times(new),
            Reduction::Max => {
                if new > old {
                    new
                } else {
                    old
                }
            }
            Reduction::Min => {
                if new < old {
                    new
                } else {
                    old
                }
            }
        }
    }
}

fn scatter(call: &mut Call<'_>, positions: &[usize], updates: &Tensor) -> Outcome {
    let reduction = Reduction::read(call)?;
    let tensor = call.take(0)?;
    let shape = tensor.shape().to_vec();
    let misfit = || Fault::invalid("the updates do not fit the data");
    if updates.len() != positions.len() {
        return Err(misfit());
    }
    if let Reduction::Replace = reduction {
        return for_any!(tensor, T => {
            let values = updates.elements::<T>().ok_or_else(misfit)?;
            let mut out = tensor.into_elements::<T>().map_err(|_| misfit())?;
            for (&position, value) in positions.iter().zip(values) {
                out[position] = T::clone(value);
            }
            Ok(vec![Tensor::new(shape, out)?])
        });
    }
    for_number!(tensor, T => {
        let values = updates.elements::<T>().ok_or_else(misfit)?;
        let mut out = tensor.into_elements::<T>().map_err(|_| misfit())?;
        for (&position, value) in positions.iter().zip(values) {
            out[position] = reduction.apply(out[position], *value);
        }
        Ok(vec![Tensor::new(shape, out)?])
    })
}

pub(super) fn scatter_elements(call: &mut Call<'_>) -> Outcome {
    let (tensor, index) = (call.input(0)?, call.input(1)?);
    let at = axis(call.int("axis", 0)?, tensor.rank())?;
    let positions = element_positions(tensor.shape(), index.shape(), &indices(call, 1)?, at)?;
    let updates = call.input(2)?.clone();
    scatter(call, &positions, &updates)
}

pub(super) fn scatter_nd(call: &mut Call<'_>) -> Outcome {
    let (tensor, index) = (call.input(0)?, call.input(1)?);
    let (starts, length) = slice_starts(tensor.shape(), index.shape(), &indices(call, 1)?, 0)?;
    let positions: Vec<usize> = starts
        .iter()
        .flat_map(|&start| start..start + length)
        .collect();
    let updates = call.input(2)?.clone();
    scatter(call, &positions, &updates)
}

pub(super) fn one_hot(call: &mut Call<'_>) -> Outcome {
    let index = call.input(0)?;
    let depth = call
        .input(1)?
        .to_f64()
        .and_then(|list| list.first().copied())
        .unwrap_or(0.0);
    let depth = depth.max(0.0) as usize;
    let at = axis(call.int("axis", -1)?, index.rank() + 1)?;
    let list = index
        .to_f64()
        .ok_or_else(|| Fault::invalid("indices are no numbers"))?;
    let mut shape = index.shape().to_vec();
    shape.insert(at, depth);
    let size = call.size(&shape)?;
    let inner: usize = index.shape()[at..].iter().product();
    let values = call.input(2)?;
    for_any!(values, T => {
        let [off, on] = call.elements::<T>(2)? else {
            return Err(Fault::invalid("values are no pair"));
        };
        let mut out = vec![T::clone(off); size];
        for (position, &index) in list.iter().enumerate() {
            let index = if index < 0.0 { index + depth as f64 } else { index };
            if index >= 0.0 && (index as usize) < depth {
                let (block, rest) = (position / inner, position % inner);
                out[(block * depth + index as usize) * inner + rest] = T::clone(on);
            }
        }
        Ok(vec![Tensor::new(shape, out)?.declared(values.element())])
    })
}

pub(super) fn non_zero(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let numbers = tensor
        .to_f64()
        .ok_or_else(|| Fault::unsupported("strings"))?;
    let mut rows: Vec<Vec<i64>> = vec![Vec::new(); tensor.rank()];
    let mut counter = vec![0usize; tensor.rank()];
    for number in numbers {
        if number != 0.0 {
            for (row, &count) in rows.iter_mut().zip(&counter) {
                row.push(count as i64);
            }
        }
        advance(&mut counter, tensor.shape());
    }
    let count = rows.first().map_or(0, Vec::len);
    Ok(vec![Tensor::new(
        vec![tensor.rank(), count],
        rows.concat(),
    )?])
}

pub(super) fn compress(call: &mut Call<'_>) -> Outcome {
    let kept: Vec<usize> = {
        let flags = call.elements::<bool>(1)?;
        (0..flags.len()).filter(|&index| flags[index]).collect()
    };
    let tensor = call.input(0)?;
    let (tensor, at) = if call.has("axis") {
        (tensor.clone(), axis(call.int("axis", 0)?, tensor.rank())?)
    } else {
        (tensor.clone().reshaped(vec![tensor.len()])?, 0)
    };
    let extent = tensor.shape()[at];
    if kept.iter().any(|&index| index >= extent) {
        return Err(Fault::invalid("the condition is longer than the axis"));
    }
    for_any!(tensor, T => {
        let selected = view::<T>(&tensor)?.select(ndarray::Axis(at), &kept);
        let shape = selected.shape().to_vec();
        Ok(vec![Tensor::new(shape, selected.iter().cloned().collect())?])
    })
}
