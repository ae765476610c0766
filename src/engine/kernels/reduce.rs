//! Reductions over axes, the softmax family, and what else walks along an axis.
//!
//! Reduced axes are moved to the end, so that each result is a function of one contiguous row.

use super::binary::Arithmetic;
use super::each::{Real, for_number, for_real};
use super::strided::permuted;
use crate::engine::call::{Call, Fault, Outcome, axes};
use crate::engine::tensor::{Element, Tensor};

/// The sum of a row, in eight interleaved partial sums: it rounds less than one running sum.
pub(super) fn total<T: Real>(row: &[T]) -> T {
    let mut lanes = [<T as num_traits::Zero>::zero(); 8];
    let (chunks, rest) = row.as_chunks::<8>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

struct Rows {
    tensor: Tensor,
    length: usize,
    shape: Vec<usize>,
}

/// The axes to reduce: an attribute up to opset 17 (12 for ReduceSum), then an input.
fn rows(call: &mut Call<'_>) -> Result<Option<Rows>, Fault> {
    let listed = match call.integers(1)? {
        Some(list) => Some(list),
        None => call.ints("axes")?.map(<[i64]>::to_vec),
    };
    let keeps = call.int("keepdims", 1)? != 0;
    let is_noop = call.flag("noop_with_empty_axes")?;
    let tensor = call.input(0)?.clone();
    let rank = tensor.rank();
    let reduced = match listed.filter(|list| !list.is_empty()) {
        Some(list) => axes(&list, rank)?,
        None if is_noop => return Ok(None),
        None => (0..rank).collect(),
    };
    let kept: Vec<usize> = (0..rank).filter(|at| !reduced.contains(at)).collect();
    let length = reduced.iter().map(|&at| tensor.shape()[at]).product();
    let order: Vec<usize> = kept.iter().chain(&reduced).copied().collect();
    let shape = if keeps {
        (0..rank)
            .map(|at| {
                if reduced.contains(&at) {
                    1
                } else {
                    tensor.shape()[at]
                }
            })
            .collect()
    } else {
        kept.iter().map(|&at| tensor.shape()[at]).collect()
    };
    let is_sorted = order.windows(2).all(|pair| pair[0] < pair[1]);
    let tensor = if is_sorted {
        tensor
    } else {
        permuted(&tensor, &order)?
    };
    Ok(Some(Rows {
        tensor,
        length,
        shape,
    }))
}

fn by_row<T: Element, U: Element>(rows: &Rows, f: impl Fn(&[T]) -> U) -> Outcome {
    let elements = rows.tensor.elements::<T>();
    let elements = elements.ok_or_else(|| Fault::unsupported("this element type"))?;
    let results = if rows.length == 0 {
        let count = rows.shape.iter().product();
        (0..count).map(|_| f(&[])).collect()
    } else {
        elements.chunks(rows.length).map(f).collect()
    };
    Ok(vec![Tensor::new(rows.shape.clone(), results)?])
}

macro_rules! real_reductions {
    ($($name:ident($row:ident) = $body:expr;)*) => {
        $(pub(super) fn $name(call: &mut Call<'_>) -> Outcome {
            let Some(rows) = rows(call)? else { return Ok(vec![call.take(0)?]) };
            for_real!(rows.tensor, T => by_row::<T, T>(&rows, |$row: &[T]| $body))
        })*
    };
}

/// The sum of a function of each element.
pub(super) fn summed<T: Real>(row: &[T], f: impl Fn(T) -> T) -> T {
    let mapped: Vec<T> = row.iter().map(|&x| f(x)).collect();
    total(&mapped)
}

/// The largest element; NaN if one is.
pub(super) fn highest<T: Real>(row: &[T]) -> T {
    row.iter().fold(T::neg_infinity(), |top, &x| {
        if x > top || x.is_nan() { x } else { top }
    })
}

fn log_sum_exp<T: Real>(row: &[T]) -> T {
    let top = row.iter().fold(T::neg_infinity(), |top, &x| {
        if x > top || x.is_nan() { x } else { top }
    });
    if top.is_infinite() || top.is_nan() {
        return top;
    }
    summed(row, |x| (x - top).exp()).ln() + top
}

real_reductions! {
    reduce_l1(row) = summed(row, |x| x.abs());
    reduce_l2(row) = summed(row, |x| x * x).sqrt();
    reduce_log_sum(row) = total(row).ln();
    reduce_log_sum_exp(row) = log_sum_exp(row);
}

macro_rules! number_reductions {
    ($($name:ident = $start:expr, $step:expr;)*) => {
        $(pub(super) fn $name(call: &mut Call<'_>) -> Outcome {
            let Some(rows) = rows(call)? else { return Ok(vec![call.take(0)?]) };
            for_number!(rows.tensor, T => by_row::<T, T>(&rows, |row| {
                let start: fn(&[T]) -> T = $start;
                let step: fn(T, T) -> T = $step;
                row.iter().fold(start(row), |state, &x| step(state, x))
            }))
        })*
    };
}

fn first<T: Arithmetic>(row: &[T]) -> T {
    row.first().copied().unwrap_or_default()
}

#[expect(
    clippy::eq_op,
    reason = "only NaN differs from itself, and T need not be a float"
)]
fn higher<T: Arithmetic>(top: T, x: T) -> T {
    if x > top || x != x { x } else { top }
}

#[expect(
    clippy::eq_op,
    reason = "only NaN differs from itself, and T need not be a float"
)]
fn lower<T: Arithmetic>(low: T, x: T) -> T {
    if x < low || x != x { x } else { low }
}

number_reductions! {
    reduce_max = first, higher;
    reduce_min = first, lower;
    reduce_prod = |_| Arithmetic::from_f64(1.0), Arithmetic::times;
}

fn is_real(call: &Call<'_>) -> bool {
    call.optional(0)
        .is_some_and(|tensor| tensor.data().element().is_float())
}

pub(super) fn reduce_sum(call: &mut Call<'_>) -> Outcome {
    let Some(rows) = rows(call)? else {
        return Ok(vec![call.take(0)?]);
    };
    if is_real(call) {
        return for_real!(rows.tensor, T => by_row::<T, T>(&rows, total));
    }
    for_number!(rows.tensor, T => by_row::<T, T>(&rows, |row| {
        row.iter().fold(T::default(), |sum, &x| sum.plus(x))
    }))
}

pub(super) fn reduce_sum_square(call: &mut Call<'_>) -> Outcome {
    let Some(rows) = rows(call)? else {
        return Ok(vec![call.take(0)?]);
    };
    if is_real(call) {
        return for_real!(rows.tensor, T => by_row::<T, T>(&rows, |row| summed(row, |x| x * x)));
    }
    for_number!(rows.tensor, T => by_row::<T, T>(&rows, |row| {
        row.iter().fold(T::default(), |sum, &x| sum.plus(x.times(x)))
    }))
}

pub(super) fn reduce_mean(call: &mut Call<'_>) -> Outcome {
    let Some(rows) = rows(call)? else {
        return Ok(vec![call.take(0)?]);
    };
    if is_real(call) {
        return for_real!(rows.tensor, T => {
            by_row::<T, T>(&rows, |row| total(row) / T::of(row.len() as f64))
        });
    }
    for_number!(rows.tensor, T => by_row::<T, T>(&rows, |row| {
        let sum = row.iter().fold(T::default(), |sum, &x| sum.plus(x));
        sum.over(T::from_f64(row.len() as f64)).unwrap_or_default()
    }))
}

fn spatial_rows(call: &mut Call<'_>) -> Result<Rows, Fault> {
    let tensor = call.take(0)?;
    if tensor.rank() < 2 {
        return Err(Fault::invalid("the input has no spatial axes"));
    }
    let mut shape = vec![1; tensor.rank()];
    shape[..2].copy_from_slice(&tensor.shape()[..2]);
    let length = tensor.shape()[2..].iter().product();
    Ok(Rows {
        tensor,
        length,
        shape,
    })
}

pub(super) fn global_average_pool(call: &mut Call<'_>) -> Outcome {
    let rows = spatial_rows(call)?;
    for_real!(rows.tensor, T => {
        by_row::<T, T>(&rows, |row| total(row) / T::of(row.len() as f64))
    })
}

pub(super) fn global_max_pool(call: &mut Call<'_>) -> Outcome {
    let rows = spatial_rows(call)?;
    for_real!(rows.tensor, T => by_row::<T, T>(&rows, highest))
}

pub(super) fn global_lp_pool(call: &mut Call<'_>) -> Outcome {
    let p = call
        .float("p", 2.0)
        .or_else(|_| call.int("p", 2).map(|p| p as f64))?;
    let rows = spatial_rows(call)?;
    for_real!(rows.tensor, T => by_row::<T, T>(&rows, |row| {
        summed(row, |x| x.abs().powf(T::of(p))).powf(T::of(1.0 / p))
    }))
}
