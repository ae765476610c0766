//! Softmax, LogSoftmax and Hardmax, a row at a time.

use super::each::Real;
use super::reduce::{highest, summed, total};
use super::strided::permuted;
use crate::engine::call::{Call, Fault, Outcome, axis};
use crate::engine::element::ElementType;
use crate::engine::tensor::Tensor;

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
