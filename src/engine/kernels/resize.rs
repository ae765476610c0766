//! Resize and Upsample, as one small matrix per axis.
//!
//! Every mode is a weighted sum of input elements along each axis in turn; `weights` lists them per output index.

use super::each::{Real, for_real};
use crate::engine::call::{Call, Fault, Outcome, axis};
use crate::engine::tensor::Tensor;

/// For one output index: (input index, weight) pairs, or the extrapolation value.
enum Sample {
    Sum(Vec<(usize, f64)>),
    Outside,
}

struct Options<'a> {
    mode: &'a str,
    coordinates: &'a str,
    nearest: &'a str,
    cubic: f64,
    excludes_outside: bool,
    antialiases: bool,
}

/// One resized axis.
#[derive(Clone, Copy)]
struct Along {
    axis: usize,
    input: usize,
    output: usize,
    scale: f64,
    /// Region of interest of tf_crop_and_resize.
    region: (f64, f64),
}

pub(super) fn upsample(call: &mut Call<'_>) -> Outcome {
    let scales = match call.floats("scales")? {
        Some(list) => list.iter().map(|&x| f64::from(x)).collect(),
        None => numbers(call, 1)?.ok_or_else(|| Fault::invalid("scales is missing"))?,
    };
    let mode = call.text("mode", "nearest")?.to_owned();
    let x = call.take(0)?;
    let along = scaled(&x, &(0..x.rank()).collect::<Vec<_>>(), &scales)?;
    let options = Options {
        mode: if mode == "bilinear" { "linear" } else { &mode },
        coordinates: "asymmetric",
        nearest: "floor",
        cubic: -0.75,
        excludes_outside: false,
        antialiases: false,
    };
    resized(call, x, &along, &options, 0.0)
}

pub(super) fn resize(call: &mut Call<'_>) -> Outcome {
    // Opset 10: scales is input 1; from opset 11 roi, scales and sizes are inputs 1 to 3.
    let is_legacy = call.version() < 11;
    let options = Options {
        mode: call.text("mode", "nearest")?,
        coordinates: if is_legacy {
            "asymmetric"
        } else {
            call.text("coordinate_transformation_mode", "half_pixel")?
        },
        nearest: if is_legacy {
            "floor"
        } else {
            call.text("nearest_mode", "round_prefer_floor")?
        },
        cubic: call.float("cubic_coeff_a", -0.75)?,
        excludes_outside: call.flag("exclude_outside")?,
        antialiases: call.flag("antialias")?,
    };
    let x = call.input(0)?.clone();
    let listed = match call.ints("axes")? {
        Some(list) => list
            .iter()
            .map(|&a| axis(a, x.rank()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..x.rank()).collect(),
    };
    let scales = numbers(call, if is_legacy { 1 } else { 2 })?.filter(|list| !list.is_empty());
    let sizes = call.integers(3)?.filter(|list| !list.is_empty());
    let mut along = match (scales, sizes) {
        (Some(scales), _) => scaled(&x, &listed, &scales)?,
        (None, Some(sizes)) => sized(
            &x,
            &listed,
            &sizes,
            call.text("keep_aspect_ratio_policy", "stretch")?,
        )?,
        (None, None) => return Err(Fault::invalid("neither scales nor sizes are given")),
    };
    if options.coordinates == "tf_crop_and_resize" {
        let roi = numbers(call, 1)?.filter(|roi| roi.len() == 2 * along.len());
        let roi = roi.ok_or_else(|| Fault::invalid("roi does not fit the axes"))?;
        let count = along.len();
        for (index, along) in along.iter_mut().enumerate() {
            along.region = (roi[index], roi[count + index]);
        }
    }
    let outside = call.float("extrapolation_value", 0.0)?;
    resized(call, x, &along, &options, outside)
}

fn numbers(call: &Call<'_>, index: usize) -> Result<Option<Vec<f64>>, Fault> {
    let Some(tensor) = call.optional(index) else {
        return Ok(None);
    };
    tensor
        .to_f64()
        .map(Some)
        .ok_or_else(|| Fault::invalid(format!("input {index} is no numbers")))
}

fn scaled(x: &Tensor, axes: &[usize], scales: &[f64]) -> Result<Vec<Along>, Fault> {
    if scales.len() != axes.len() || scales.iter().any(|&s| !s.is_finite() || s <= 0.0) {
        return Err(Fault::invalid(format!("scales are {scales:?}")));
    }
    let along = |(&axis, &scale): (&usize, &f64)| {
        let input = x.shape()[axis];
        let output = (input as f64 * scale).floor() as usize;
        Along {
            axis,
            input,
            output,
            scale,
            region: (0.0, 1.0),
        }
    };
    Ok(axes.iter().zip(scales).map(along).collect())
}

fn sized(x: &Tensor, axes: &[usize], sizes: &[i64], policy: &str) -> Result<Vec<Along>, Fault> {
    let sizes: Option<Vec<usize>> = sizes.iter().map(|&x| usize::try_from(x).ok()).collect();
    let mut sizes = sizes
        .filter(|sizes| sizes.len() == axes.len())
        .ok_or_else(|| Fault::invalid("sizes do not fit the axes"))?;
    let ratios = axes
        .iter()
        .zip(&sizes)
        .map(|(&a, &size)| size as f64 / x.shape()[a] as f64);
    let common = match policy {
        "stretch" => None,
        "not_larger" => Some(ratios.fold(f64::INFINITY, f64::min)),
        "not_smaller" => Some(ratios.fold(0.0, f64::max)),
        other => {
            return Err(Fault::invalid(format!(
                "keep_aspect_ratio_policy is {other:?}"
            )));
        }
    };
    if let Some(scale) = common {
        for (size, &axis) in sizes.iter_mut().zip(axes) {
            *size = (scale * x.shape()[axis] as f64 + 0.5).floor() as usize;
        }
    }
    let along = |(&axis, &output): (&usize, &usize)| {
        let input = x.shape()[axis];
        let scale = common.unwrap_or(output as f64 / input as f64);
        Along {
            axis,
            input,
            output,
            scale,
            region: (0.0, 1.0),
        }
    };
    Ok(axes.iter().zip(&sizes).map(along).collect())
}

fn resized(
    call: &Call<'_>,
    x: Tensor,
    along: &[Along],
    options: &Options<'_>,
    outside: f64,
) -> Outcome {
    let mut result = x;
    for along in along {
        let is_identity = along.input == along.output
            && along.scale == 1.0
            && options.coordinates != "tf_crop_and_resize";
        if is_identity {
            continue;
        }
        let samples = (0..along.output)
            .map(|index| sample(along, options, index))
            .collect::<Result<Vec<_>, _>>()?;
        result =
            for_real!(result, T => apply::<T>(call, &result, along, &samples, T::of(outside)))?;
    }
    Ok(vec![result])
}

fn apply<T: Real>(
    call: &Call<'_>,
    x: &Tensor,
    along: &Along,
    samples: &[Sample],
    outside: T,
) -> Result<Tensor, Fault> {
    let mut shape = x.shape().to_vec();
    shape[along.axis] = along.output;
    let size = call.size(&shape)?;
    let inner: usize = shape[along.axis + 1..].iter().product();
    let source = x.elements::<T>().unwrap_or_default();
    let mut out = Vec::with_capacity(size);
    for block in source.chunks((along.input * inner).max(1)) {
        for sample in samples {
            match sample {
                Sample::Outside => out.extend(std::iter::repeat_n(outside, inner)),
                Sample::Sum(pairs) => {
                    for rest in 0..inner {
                        let read = |&(index, weight): &(usize, f64)| match weight {
                            1.0 => block[index * inner + rest],
                            weight => block[index * inner + rest] * T::of(weight),
                        };
                        out.push(pairs.iter().map(read).fold(T::zero(), |sum, x| sum + x));
                    }
                }
            }
        }
    }
    Ok(Tensor::new(shape, out)?)
}

/// Where output index `index` falls on the input.
fn position(along: &Along, coordinates: &str, index: usize) -> Result<f64, Fault> {
    let (x, scale) = (index as f64, along.scale);
    let (input, output) = (along.input as f64, along.output as f64);
    // The output extent before rounding down, which half_pixel_symmetric and align_corners refer to.
    let exact = input * scale;
    Ok(match coordinates {
        "half_pixel" => (x + 0.5) / scale - 0.5,
        "half_pixel_symmetric" => {
            let adjustment = output / exact;
            let offset = input / 2.0 * (1.0 - adjustment);
            offset + (x + 0.5) / scale - 0.5
        }
        "pytorch_half_pixel" if output <= 1.0 => 0.0,
        "pytorch_half_pixel" => (x + 0.5) / scale - 0.5,
        "align_corners" if output <= 1.0 => 0.0,
        "align_corners" => x * (input - 1.0) / (exact - 1.0),
        "asymmetric" => x / scale,
        "tf_half_pixel_for_nn" => (x + 0.5) / scale,
        "tf_crop_and_resize" => {
            let (start, end) = along.region;
            if output > 1.0 {
                start * (input - 1.0) + x * (end - start) * (input - 1.0) / (output - 1.0)
            } else {
                0.5 * (start + end) * (input - 1.0)
            }
        }
        other => return Err(Fault::unsupported(format!("coordinate mode {other:?}"))),
    })
}

fn sample(along: &Along, options: &Options<'_>, index: usize) -> Result<Sample, Fault> {
    let x = position(along, options.coordinates, index)?;
    let last = along.input as f64 - 1.0;
    if options.coordinates == "tf_crop_and_resize" && !(0.0..=last).contains(&x) {
        return Ok(Sample::Outside);
    }
    let clamped = |at: f64| at.clamp(0.0, last.max(0.0)) as usize;
    let antialias = options.antialiases && along.scale < 1.0;
    let stretch = if antialias { along.scale } else { 1.0 };
    Ok(Sample::Sum(match options.mode {
        "nearest" => vec![(clamped(nearest(x, options.nearest)?), 1.0)],
        "linear" if antialias => kernel_sum(along, options, x, 1.0 / stretch, |d| {
            (1.0 - (d * stretch).abs()).max(0.0)
        }),
        "linear" => {
            let low = x.floor();
            let part = x - low;
            vec![(clamped(low), 1.0 - part), (clamped(low + 1.0), part)]
        }
        "cubic" => {
            let a = options.cubic;
            kernel_sum(along, options, x, 2.0 / stretch, |d| {
                cubic((d * stretch).abs(), a)
            })
        }
        other => return Err(Fault::unsupported(format!("mode {other:?}"))),
    }))
}

fn nearest(x: f64, mode: &str) -> Result<f64, Fault> {
    Ok(match mode {
        "round_prefer_floor" => (x - 0.5).ceil(),
        "round_prefer_ceil" => (x + 0.5).floor(),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        other => return Err(Fault::invalid(format!("nearest_mode is {other:?}"))),
    })
}

/// Weights of a kernel of this radius around `x`, normalised where some fall outside or it is stretched.
fn kernel_sum(
    along: &Along,
    options: &Options<'_>,
    x: f64,
    radius: f64,
    kernel: impl Fn(f64) -> f64,
) -> Vec<(usize, f64)> {
    let last = along.input as f64 - 1.0;
    let mut pairs = Vec::new();
    let mut at = (x - radius).floor() + 1.0;
    // A kernel with an integral radius reads 2·radius elements even where its last weight is zero.
    while at <= x + radius {
        let is_outside = at < 0.0 || at > last;
        let is_excluded = is_outside && options.excludes_outside;
        let weight = if is_excluded { 0.0 } else { kernel(x - at) };
        pairs.push((at.clamp(0.0, last.max(0.0)) as usize, weight));
        at += 1.0;
    }
    if options.excludes_outside || options.antialiases {
        let sum: f64 = pairs.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &mut pairs {
            *weight /= sum;
        }
    }
    pairs
}

fn cubic(d: f64, a: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}
