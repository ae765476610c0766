//! Reductions over axes, the softmax family, and what else walks along an axis.
//!
//! Reduced axes are moved to the end, so that each result is a function of one contiguous row.

use super::binary::Arithmetic;
use super::each::{Real, for_number, for_real};
use super::movement::permuted;
use crate::engine::call::{Call, Fault, Outcome, axes, axis};
use crate::engine::element::ElementType;
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

fn summed<T: Real>(row: &[T], f: impl Fn(T) -> T) -> T {
    let mapped: Vec<T> = row.iter().map(|&x| f(x)).collect();
    total(&mapped)
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

/// Up to opset 12 the input is a matrix cut at `axis`; from 13 on it runs along `axis`.
fn softmax_rows(
    call: &mut Call<'_>,
    f32_row: impl Fn(&[f32], &mut Vec<f32>),
    f64_row: impl Fn(&[f64], &mut Vec<f64>),
) -> Outcome {
    fn apply<T: Real>(tensor: &Tensor, length: usize, f: impl Fn(&[T], &mut Vec<T>)) -> Outcome {
        let source = tensor.elements::<T>().unwrap_or_default();
        let mut out = Vec::with_capacity(source.len());
        for row in source.chunks(length.max(1)) {
            f(row, &mut out);
        }
        Ok(vec![Tensor::new(tensor.shape().to_vec(), out)?])
    }
    let is_legacy = call.version() < 13;
    let rank = call.input(0)?.rank();
    let at = axis(
        call.int("axis", if is_legacy { 1 } else { -1 })?,
        rank.max(1),
    )?;
    let tensor = call.take(0)?;
    let (moved, length, order) = if is_legacy || at + 1 == rank {
        (tensor.clone(), tensor.shape()[at..].iter().product(), None)
    } else {
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(at, rank - 1);
        (permuted(&tensor, &order)?, tensor.shape()[at], Some(order))
    };
    let result = match moved.data().element() {
        ElementType::Float32 => apply::<f32>(&moved, length, f32_row),
        ElementType::Float64 => apply::<f64>(&moved, length, f64_row),
        other => Err(Fault::unsupported(format!("element type {other}"))),
    }?;
    match order {
        None => Ok(result),
        // A swap of two axes is its own inverse.
        Some(order) => result
            .iter()
            .map(|tensor| permuted(tensor, &order))
            .collect(),
    }
}

fn highest<T: Real>(row: &[T]) -> T {
    row.iter().fold(T::neg_infinity(), |top, &x| {
        if x > top || x.is_nan() { x } else { top }
    })
}

fn softmax_row<T: Real>(row: &[T], out: &mut Vec<T>) {
    let top = highest(row);
    let start = out.len();
    out.extend(row.iter().map(|&x| (x - top).exp()));
    let sum = total(&out[start..]);
    for x in &mut out[start..] {
        *x = *x / sum;
    }
}

fn log_softmax_row<T: Real>(row: &[T], out: &mut Vec<T>) {
    let top = highest(row);
    let sum = summed(row, |x| (x - top).exp()).ln();
    out.extend(row.iter().map(|&x| x - top - sum));
}

fn hardmax_row<T: Real>(row: &[T], out: &mut Vec<T>) {
    let mut best = 0;
    for (index, x) in row.iter().enumerate() {
        if *x > row[best] {
            best = index;
        }
    }
    out.extend((0..row.len()).map(|i| T::of(if i == best { 1.0 } else { 0.0 })));
}

pub(super) fn softmax(call: &mut Call<'_>) -> Outcome {
    softmax_rows(call, softmax_row::<f32>, softmax_row::<f64>)
}

pub(super) fn log_softmax(call: &mut Call<'_>) -> Outcome {
    softmax_rows(call, log_softmax_row::<f32>, log_softmax_row::<f64>)
}

pub(super) fn hardmax(call: &mut Call<'_>) -> Outcome {
    softmax_rows(call, hardmax_row::<f32>, hardmax_row::<f64>)
}

/// The tensor as (outer, extent, inner) around an axis.
fn around(shape: &[usize], at: usize) -> (usize, usize, usize) {
    (
        shape[..at].iter().product(),
        shape[at],
        shape[at + 1..].iter().product(),
    )
}

fn arg_best(call: &mut Call<'_>, wins: fn(f64, f64) -> bool) -> Outcome {
    let tensor = call.input(0)?;
    let at = axis(call.int("axis", 0)?, tensor.rank())?;
    let takes_last = call.flag("select_last_index")?;
    let (outer, extent, inner) = around(tensor.shape(), at);
    let numbers = tensor
        .to_f64()
        .ok_or_else(|| Fault::unsupported("strings"))?;
    let mut out = Vec::with_capacity(outer * inner);
    for block in 0..outer {
        for rest in 0..inner {
            let value = |index: usize| numbers[(block * extent + index) * inner + rest];
            let mut best = 0;
            for index in 1..extent {
                let ties = takes_last && value(index) == value(best);
                if wins(value(index), value(best)) || ties {
                    best = index;
                }
            }
            out.push(best as i64);
        }
    }
    let mut shape = tensor.shape().to_vec();
    if call.int("keepdims", 1)? != 0 {
        shape[at] = 1;
    } else {
        shape.remove(at);
    }
    Ok(vec![Tensor::new(shape, out)?])
}

pub(super) fn arg_max(call: &mut Call<'_>) -> Outcome {
    arg_best(call, |x, best| x > best)
}

pub(super) fn arg_min(call: &mut Call<'_>) -> Outcome {
    arg_best(call, |x, best| x < best)
}

pub(super) fn cum_sum(call: &mut Call<'_>) -> Outcome {
    let at = call.integers(1)?.and_then(|list| list.first().copied());
    let at = at.ok_or_else(|| Fault::invalid("axis is missing"))?;
    let (exclusive, reverse) = (call.flag("exclusive")?, call.flag("reverse")?);
    let tensor = call.take(0)?;
    let (outer, extent, inner) = around(tensor.shape(), axis(at, tensor.rank())?);
    for_number!(tensor, T => {
        let shape = tensor.shape().to_vec();
        let mut out = tensor.into_elements::<T>().map_err(|_| Fault::unsupported("this type"))?;
        for block in 0..outer {
            for rest in 0..inner {
                let mut sum = T::default();
                for step in 0..extent {
                    let index = if reverse { extent - 1 - step } else { step };
                    let place = &mut out[(block * extent + index) * inner + rest];
                    let next = sum.plus(*place);
                    *place = if exclusive { sum } else { next };
                    sum = next;
                }
            }
        }
        Ok(vec![Tensor::new(shape, out)?])
    })
}

/// Values and indices of the k largest or smallest along an axis, equal ones in index order.
pub(super) fn top_k(call: &mut Call<'_>) -> Outcome {
    let k = match call.integers(1)? {
        Some(list) => list.first().copied(),
        None => Some(call.int("k", 0)?),
    };
    let k = k
        .and_then(|k| usize::try_from(k).ok())
        .ok_or_else(|| Fault::invalid("k is invalid"))?;
    let is_largest = call.int("largest", 1)? != 0;
    let tensor = call.input(0)?;
    let at = axis(call.int("axis", -1)?, tensor.rank())?;
    let (outer, extent, inner) = around(tensor.shape(), at);
    if k > extent {
        return Err(Fault::invalid(format!(
            "k is {k}, the axis has {extent} elements"
        )));
    }
    let mut shape = tensor.shape().to_vec();
    shape[at] = k;
    for_number!(tensor, T => {
        let source = call.elements::<T>(0)?;
        let mut values = vec![T::default(); outer * k * inner];
        let mut places = vec![0i64; values.len()];
        for block in 0..outer {
            for rest in 0..inner {
                let value = |index: usize| source[(block * extent + index) * inner + rest];
                let mut order: Vec<usize> = (0..extent).collect();
                order.sort_by(|&a, &b| {
                    let order = value(a).partial_cmp(&value(b)).unwrap_or(std::cmp::Ordering::Equal);
                    if is_largest { order.reverse() } else { order }
                });
                for (rank, &index) in order.iter().take(k).enumerate() {
                    let to = (block * k + rank) * inner + rest;
                    values[to] = value(index);
                    places[to] = index as i64;
                }
            }
        }
        Ok(vec![Tensor::new(shape.clone(), values)?, Tensor::new(shape, places)?])
    })
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
