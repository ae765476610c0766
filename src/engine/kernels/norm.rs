//! Normalisations that are no BatchNormalization: over an instance, a group, a layer, neighbouring channels.
//!
//! `scale·(x − mean)/√(var + ε) + bias`, mean and population variance of each row.

use num_traits::Zero;

use super::binary::zip;
use super::each::{Real, for_real};
use super::reduce::total;
use super::strided::permuted;
use crate::engine::call::{Call, Fault, Outcome, axes, axis};
use crate::engine::tensor::Tensor;

fn moments<T: Real>(row: &[T]) -> (T, T) {
    let count = T::of(row.len() as f64);
    let mean = total(row) / count;
    let squares: Vec<T> = row.iter().map(|&x| (x - mean) * (x - mean)).collect();
    (mean, total(&squares) / count)
}

fn normalise<T: Real>(row: &mut [T], epsilon: T) -> (T, T) {
    let (mean, var) = moments(row);
    let inverse = (var + epsilon).sqrt().recip();
    for x in row {
        *x = (*x - mean) * inverse;
    }
    (mean, inverse)
}

pub(super) fn instance_normalization(call: &mut Call<'_>) -> Outcome {
    let epsilon = call.float("epsilon", 1e-5)?;
    let x = call.take(0)?;
    let shape = x.shape().to_vec();
    let [_, c, space @ ..] = &shape[..] else {
        return Err(Fault::invalid("the input has no channels"));
    };
    let (c, plane): (usize, usize) = (*c, space.iter().product());
    for_real!(x, T => {
        let (scale, bias) = (call.elements::<T>(1)?, call.elements::<T>(2)?);
        if scale.len() != c || bias.len() != c {
            return Err(Fault::invalid("scale and B do not have one element per channel"));
        }
        let mut out = x.into_elements::<T>().map_err(|_| Fault::unsupported("this type"))?;
        for (index, row) in out.chunks_mut(plane.max(1)).enumerate() {
            normalise(row, T::of(epsilon));
            let (scale, bias) = (scale[index % c], bias[index % c]);
            for x in row {
                *x = scale * *x + bias;
            }
        }
        Ok(vec![Tensor::new(shape, out)?])
    })
}

/// Scale and bias run per group in opset 18, per channel from opset 21.
pub(super) fn group_normalization(call: &mut Call<'_>) -> Outcome {
    let epsilon = call.float("epsilon", 1e-5)?;
    let groups = usize::try_from(call.int("num_groups", 0)?).unwrap_or(0);
    let x = call.take(0)?;
    let shape = x.shape().to_vec();
    let [_, c, space @ ..] = &shape[..] else {
        return Err(Fault::invalid("the input has no channels"));
    };
    let (c, plane): (usize, usize) = (*c, space.iter().product());
    if groups == 0 || c % groups != 0 {
        return Err(Fault::invalid("num_groups does not divide the channels"));
    }
    for_real!(x, T => {
        let (scale, bias) = (call.elements::<T>(1)?, call.elements::<T>(2)?);
        let per = |list: &[T], channel: usize| {
            let index = if list.len() == c { channel } else { channel / (c / groups) };
            list.get(index).copied().ok_or_else(|| Fault::invalid("scale or bias is too short"))
        };
        let mut out = x.into_elements::<T>().map_err(|_| Fault::unsupported("this type"))?;
        for row in out.chunks_mut((c / groups * plane).max(1)) {
            normalise(row, T::of(epsilon));
        }
        for (index, row) in out.chunks_mut(plane.max(1)).enumerate() {
            let (scale, bias) = (per(scale, index % c)?, per(bias, index % c)?);
            for x in row {
                *x = scale * *x + bias;
            }
        }
        Ok(vec![Tensor::new(shape, out)?])
    })
}

pub(super) fn layer_normalization(call: &mut Call<'_>) -> Outcome {
    let epsilon = call.float("epsilon", 1e-5)?;
    let x = call.input(0)?;
    let at = axis(call.int("axis", -1)?, x.rank())?;
    let length: usize = x.shape()[at..].iter().product();
    let mut stats_shape = x.shape().to_vec();
    stats_shape[at..].fill(1);
    for_real!(x, T => {
        let mut rows = call.elements::<T>(0)?.to_vec();
        let (mut means, mut inverses) = (Vec::new(), Vec::new());
        for row in rows.chunks_mut(length.max(1)) {
            let (mean, inverse) = normalise(row, T::of(epsilon));
            means.push(mean);
            inverses.push(inverse);
        }
        let rows = Tensor::new(x.shape().to_vec(), rows)?;
        let scaled = match call.optional(1) {
            Some(scale) => zip::<T, T, T>(call, &rows, scale, |x, scale| *x * *scale)?,
            None => rows,
        };
        let y = match call.optional(2) {
            Some(bias) => zip::<T, T, T>(call, &scaled, bias, |x, bias| *x + *bias)?,
            None => scaled,
        };
        let means = Tensor::new(stats_shape.clone(), means)?;
        Ok(vec![y, means, Tensor::new(stats_shape, inverses)?])
    })
}

pub(super) fn rms_normalization(call: &mut Call<'_>) -> Outcome {
    let epsilon = call.float("epsilon", 1e-5)?;
    let x = call.input(0)?;
    let at = axis(call.int("axis", -1)?, x.rank())?;
    let length: usize = x.shape()[at..].iter().product();
    for_real!(x, T => {
        let mut rows = call.elements::<T>(0)?.to_vec();
        for row in rows.chunks_mut(length.max(1)) {
            let squares: Vec<T> = row.iter().map(|&x| x * x).collect();
            let mean = total(&squares) / T::of(row.len() as f64);
            let inverse = (mean + T::of(epsilon)).sqrt().recip();
            for x in row {
                *x *= inverse;
            }
        }
        let rows = Tensor::new(x.shape().to_vec(), rows)?;
        Ok(vec![zip::<T, T, T>(call, &rows, call.input(1)?, |x, scale| *x * *scale)?])
    })
}

/// `x / (bias + α/size · Σ x²)^β` over neighbouring channels.
pub(super) fn lrn(call: &mut Call<'_>) -> Outcome {
    let (alpha, beta) = (call.float("alpha", 0.0001)?, call.float("beta", 0.75)?);
    let bias = call.float("bias", 1.0)?;
    let size = usize::try_from(call.int("size", 1)?)
        .ok()
        .filter(|&size| size > 0);
    let size = size.ok_or_else(|| Fault::invalid("size is not positive"))?;
    let x = call.input(0)?;
    let [_, c, space @ ..] = x.shape() else {
        return Err(Fault::invalid("the input has no channels"));
    };
    let (c, plane): (usize, usize) = (*c, space.iter().product());
    for_real!(x, T => {
        let source = call.elements::<T>(0)?;
        let mut out = source.to_vec();
        for (index, out) in out.chunks_mut(plane.max(1)).enumerate() {
            let (batch, channel) = (index / c, index % c);
            let low = channel.saturating_sub((size - 1) / 2);
            let high = (channel + size / 2).min(c - 1);
            for (place, x) in out.iter_mut().enumerate() {
                let value = |channel: usize| source[(batch * c + channel) * plane + place];
                let squares =
                    (low..=high).fold(T::zero(), |sum, i| sum + value(i) * value(i));
                let scale = T::of(bias) + T::of(alpha / size as f64) * squares;
                *x /= scale.powf(T::of(beta));
            }
        }
        Ok(vec![Tensor::new(x.shape().to_vec(), out)?])
    })
}

pub(super) fn lp_normalization(call: &mut Call<'_>) -> Outcome {
    let p = call.int("p", 2)?;
    let x = call.input(0)?;
    let at = axis(call.int("axis", -1)?, x.rank())?;
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.swap(at, x.rank() - 1);
    let moved = permuted(x, &order)?;
    let shape = moved.shape().to_vec();
    let length = x.shape()[at];
    for_real!(x, T => {
        let mut rows = moved.into_elements::<T>().map_err(|_| Fault::unsupported("this type"))?;
        for row in rows.chunks_mut(length.max(1)) {
            let powers: Vec<T> =
                row.iter().map(|&x| if p == 1 { x.abs() } else { x * x }).collect();
            let norm = if p == 1 { total(&powers) } else { total(&powers).sqrt() };
            for x in row {
                // A row of zeros stays zero (LpNormalization, opset 22).
                *x = if norm == T::zero() { T::zero() } else { *x / norm };
            }
        }
        Ok(vec![permuted(&Tensor::new(shape, rows)?, &order)?])
    })
}

/// `(x − mean) / √var` over the listed axes, as the standard's function body with ε = 1e-9.
pub(super) fn mean_variance_normalization(call: &mut Call<'_>) -> Outcome {
    let x = call.input(0)?;
    let reduced = axes(call.ints("axes")?.unwrap_or(&[0, 2, 3]), x.rank())?;
    let kept = (0..x.rank()).filter(|at| !reduced.contains(at));
    let order: Vec<usize> = kept.chain(reduced.iter().copied()).collect();
    let mut inverse = vec![0; order.len()];
    for (to, &from) in order.iter().enumerate() {
        inverse[from] = to;
    }
    let moved = permuted(x, &order)?;
    let shape = moved.shape().to_vec();
    let length: usize = reduced.iter().map(|&at| x.shape()[at]).product();
    for_real!(x, T => {
        let mut rows = moved.into_elements::<T>().map_err(|_| Fault::unsupported("this type"))?;
        for row in rows.chunks_mut(length.max(1)) {
            let (mean, var) = moments(row);
            for x in row {
                *x = (*x - mean) / (var.sqrt() + T::of(1e-9));
            }
        }
        Ok(vec![permuted(&Tensor::new(shape, rows)?, &inverse)?])
    })
}
