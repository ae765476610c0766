//! Operators that walk along one axis: ArgMax, ArgMin, TopK and CumSum.

use super::binary::Arithmetic;
use super::each::for_number;
use crate::engine::call::{Call, Fault, Outcome, axis};
use crate::engine::tensor::Tensor;

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
