//! Resize and Upsample: each axis is interpolated by itself.
//!
//! An output place x comes from the input coordinate that `coordinate_transformation_mode` gives;
//! the element is Σ w(i − coordinate)·X[i] over the neighbours, X continued by its edges.

use super::axes::{axis, extent, offset, positions};
use super::call::{Call, Operator, require};
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    match op_type {
        "Resize" => Some(resize),
        "Upsample" => Some(upsample),
        _ => None,
    }
}

struct Settings {
    mode: String,
    coordinates: String,
    rounding: String,
    cubic: f64,
    exclude_outside: bool,
    antialias: bool,
    extrapolation: f64,
}

/// Elements along one axis, with their weights.
type Taps = Vec<(usize, f64)>;

/// One axis: its extents, its scale, and the region of interest.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    scale: f64,
    roi: (f64, f64),
}

/// Scales only, input coordinates x / scale, the element below for `nearest`.
fn upsample(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let scales = match (call.floats("scales"), call.optional(1)) {
        (Some(scales), _) => scales,
        (None, Some(scales)) => scales.data.clone(),
        (None, None) => {
            let (height, width) = (
                call.float("height_scale", 1.0),
                call.float("width_scale", 1.0),
            );
            vec![1.0, 1.0, height, width]
        }
    };
    let settings = asymmetric(&call.string("mode", "nearest")?);
    interpolate(
        call.input(0)?,
        &scaled_axes(call.input(0)?, &scales)?,
        &settings,
    )
}

fn asymmetric(mode: &str) -> Settings {
    Settings {
        mode: mode.replace("bilinear", "linear"),
        coordinates: "asymmetric".into(),
        rounding: "floor".into(),
        cubic: -0.75,
        exclude_outside: false,
        antialias: false,
        extrapolation: 0.0,
    }
}

fn resize(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    if call.opset < 11 {
        let settings = asymmetric(&call.string("mode", "nearest")?);
        return interpolate(x, &scaled_axes(x, &call.input(1)?.data)?, &settings);
    }
    let settings = Settings {
        mode: call.string("mode", "nearest")?,
        coordinates: call.string("coordinate_transformation_mode", "half_pixel")?,
        rounding: call.string("nearest_mode", "round_prefer_floor")?,
        cubic: call.float("cubic_coeff_a", -0.75),
        exclude_outside: call.flag("exclude_outside", false),
        antialias: call.flag("antialias", false),
        extrapolation: call.float("extrapolation_value", 0.0),
    };
    interpolate(x, &axes_of(call, x)?, &settings)
}

fn scaled(input: usize, scale: f64) -> Axis {
    // The product is taken in float, as the scale is one: 0.9·10 is 9.
    let output = (input as f32 * scale as f32).floor().max(0.0) as usize;
    Axis {
        input,
        output,
        scale,
        roi: (0.0, 1.0),
    }
}

fn scaled_axes(x: &Tensor, scales: &[f64]) -> Result<Vec<Axis>, String> {
    require(scales.len() == x.rank(), || {
        format!("scales {scales:?} for {:?}", x.shape)
    })?;
    require(scales.iter().all(|&scale| scale > 0.0), || {
        format!("scales {scales:?}")
    })?;
    Ok(x.shape
        .iter()
        .zip(scales)
        .map(|(&input, &scale)| scaled(input, scale))
        .collect())
}

/// Since opset 11: inputs roi, scales and sizes; `axes` (opset 18) chooses what they speak of.
fn axes_of(call: &Call<'_>, x: &Tensor) -> Result<Vec<Axis>, String> {
    let all = || (0..x.rank() as i64).collect();
    let chosen = call.ints("axes").unwrap_or_else(all);
    let chosen = chosen
        .iter()
        .map(|&at| axis(at, x.rank()))
        .collect::<Result<Vec<_>, _>>()?;
    let present = |index: usize| {
        call.optional(index)
            .filter(|tensor| !tensor.data.is_empty())
    };
    let mut result: Vec<Axis> = x.shape.iter().map(|&input| scaled(input, 1.0)).collect();
    if let Some(scales) = present(2) {
        require(scales.data.len() == chosen.len(), || {
            format!("scales {:?}", scales.data)
        })?;
        require(scales.data.iter().all(|&scale| scale > 0.0), || {
            format!("{:?}", scales.data)
        })?;
        for (&at, &scale) in chosen.iter().zip(&scales.data) {
            result[at] = scaled(x.shape[at], scale);
        }
    } else {
        let sizes = present(3).ok_or("neither scales nor sizes")?.to_ints();
        require(sizes.len() == chosen.len(), || format!("sizes {sizes:?}"))?;
        let policy = call.string("keep_aspect_ratio_policy", "stretch")?;
        resize_to(&mut result, &chosen, &sizes, &policy)?;
    }
    if let Some(roi) = present(1) {
        require(roi.data.len() == 2 * chosen.len(), || {
            format!("roi {:?}", roi.data)
        })?;
        for (number, &at) in chosen.iter().enumerate() {
            result[at].roi = (roi.data[number], roi.data[chosen.len() + number]);
        }
    }
    Ok(result)
}

fn resize_to(
    axes: &mut [Axis],
    chosen: &[usize],
    sizes: &[i64],
    policy: &str,
) -> Result<(), String> {
    let ratio = |(&at, &size): (&usize, &i64)| size as f64 / axes[at].input as f64;
    let ratios: Vec<f64> = chosen.iter().zip(sizes).map(ratio).collect();
    let common = match policy {
        "stretch" => None,
        "not_larger" => ratios.iter().copied().reduce(f64::min),
        "not_smaller" => ratios.iter().copied().reduce(f64::max),
        _ => return Err(format!("keep_aspect_ratio_policy is `{policy}`")),
    };
    for (number, &at) in chosen.iter().enumerate() {
        let axis = &mut axes[at];
        axis.scale = common.unwrap_or(ratios[number]);
        axis.output = match common {
            Some(scale) => (scale * axis.input as f64 + 0.5).floor() as usize,
            None => extent(sizes[number])?,
        };
    }
    Ok(())
}

impl Axis {
    /// The input coordinate of an output place.
    fn coordinate(&self, mode: &str, x: usize) -> Result<f64, String> {
        let (x, scale) = (x as f64, self.scale);
        let (input, output) = (self.input as f64, self.output as f64);
        let half_pixel = (x + 0.5) / scale - 0.5;
        Ok(match mode {
            "half_pixel" => half_pixel,
            "half_pixel_symmetric" => {
                let adjustment = output / (scale * input);
                input / 2.0 * (1.0 - adjustment) + half_pixel
            }
            "pytorch_half_pixel" => {
                if output > 1.0 {
                    half_pixel
                } else {
                    0.0
                }
            }
            // The resized length is scale·input, not rounded down (the standard's own cases).
            "align_corners" if output > 1.0 => x * (input - 1.0) / (scale * input - 1.0),
            "align_corners" => 0.0,
            "asymmetric" => x / scale,
            "tf_half_pixel_for_nn" => (x + 0.5) / scale,
            "tf_crop_and_resize" if output > 1.0 => {
                let (start, end) = self.roi;
                start * (input - 1.0) + x * (end - start) * (input - 1.0) / (output - 1.0)
            }
            "tf_crop_and_resize" => 0.5 * (self.roi.0 + self.roi.1) * (input - 1.0),
            _ => return Err(format!("coordinate_transformation_mode is `{mode}`")),
        })
    }

    /// Which elements make up the output place, with their weights; none outside of the input.
    fn taps(&self, settings: &Settings, x: usize) -> Result<Option<Taps>, String> {
        if self.scale == 1.0 && self.input == self.output && self.roi == (0.0, 1.0) {
            return Ok(Some(vec![(x, 1.0)]));
        }
        let at = self.coordinate(&settings.coordinates, x)?;
        let last = self.input as i64 - 1;
        if settings.coordinates == "tf_crop_and_resize" && !(0.0..=last as f64).contains(&at) {
            return Ok(None);
        }
        if settings.mode == "nearest" {
            return Ok(Some(vec![(
                (nearest(at, &settings.rounding)? as i64).clamp(0, last) as usize,
                1.0,
            )]));
        }
        let (radius, kernel): (f64, fn(f64, f64) -> f64) = match settings.mode.as_str() {
            "linear" => (1.0, |distance, _| (1.0 - distance.abs()).max(0.0)),
            "cubic" => (2.0, cubic),
            other => return Err(format!("mode is `{other}`")),
        };
        let squeeze = if settings.antialias {
            self.scale.min(1.0)
        } else {
            1.0
        };
        let reach = (radius / squeeze).ceil() as i64;
        let middle = at.floor() as i64;
        let mut taps = Vec::new();
        for index in middle - reach..=middle + reach + 1 {
            let weight = kernel((index as f64 - at) * squeeze, settings.cubic);
            if !settings.exclude_outside || (0..=last).contains(&index) {
                taps.push((index.clamp(0, last) as usize, weight));
            }
        }
        let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
        Ok(Some(
            taps.into_iter()
                .map(|(index, weight)| (index, weight / sum))
                .collect(),
        ))
    }
}

fn nearest(at: f64, rounding: &str) -> Result<f64, String> {
    match rounding {
        "round_prefer_floor" => Ok((at - 0.5).ceil()),
        "round_prefer_ceil" => Ok((at + 0.5).floor()),
        "floor" => Ok(at.floor()),
        "ceil" => Ok(at.ceil()),
        _ => Err(format!("nearest_mode is `{rounding}`")),
    }
}

/// Keys' cubic convolution kernel.
fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

fn interpolate(x: &Tensor, axes: &[Axis], settings: &Settings) -> Result<Vec<Tensor>, String> {
    let shape: Vec<usize> = axes.iter().map(|axis| axis.output).collect();
    require(axes.iter().all(|axis| axis.input > 0), || {
        "an empty value".into()
    })?;
    let taps_along = |axis: &Axis| (0..axis.output).map(|at| axis.taps(settings, at)).collect();
    let taps: Vec<Vec<Option<Taps>>> =
        axes.iter().map(taps_along).collect::<Result<_, String>>()?;
    let mut data = Vec::new();
    for position in positions(&shape) {
        let here: Option<Vec<&Taps>> = position
            .iter()
            .zip(&taps)
            .map(|(&at, taps)| taps[at].as_ref())
            .collect();
        let Some(here) = here else {
            data.push(settings.extrapolation);
            continue;
        };
        let counts: Vec<usize> = here.iter().map(|taps| taps.len()).collect();
        let mut sum = 0.0;
        for choice in positions(&counts) {
            let chosen = || choice.iter().zip(&here).map(|(&number, taps)| taps[number]);
            let source: Vec<usize> = chosen().map(|(index, _)| index).collect();
            let weight: f64 = chosen().map(|(_, weight)| weight).product();
            sum += weight * x.data[offset(&x.shape, &source)];
        }
        data.push(sum);
    }
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape,
        data,
    }])
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;

    fn x() -> Tensor {
        Tensor::floats(&[1, 1, 2], [0.0, 4.0])
    }

    fn doubled(mode: &str, coordinates: &str) -> Vec<f64> {
        let node = |node: crate::testing::Value| {
            node.attr("mode", mode)
                .attr("coordinate_transformation_mode", coordinates)
        };
        let scales = Tensor::floats(&[3], [1.0, 1.0, 2.0]);
        let inputs = [x(), Tensor::floats(&[0], []), scales];
        evaluate("Resize", 13, &inputs, node).unwrap()[0]
            .data
            .clone()
    }

    #[test]
    fn coordinates_follow_their_mode() {
        assert_eq!(doubled("linear", "half_pixel"), [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(doubled("linear", "asymmetric"), [0.0, 2.0, 4.0, 4.0]);
        let corners = [0.0, 4.0 / 3.0, 8.0 / 3.0, 4.0];
        for (found, expected) in doubled("linear", "align_corners").into_iter().zip(corners) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert_eq!(doubled("nearest", "half_pixel"), [0.0, 0.0, 4.0, 4.0]);
    }

    #[test]
    fn interpolation_weights_sum_to_one() {
        for mode in ["nearest", "linear", "cubic"] {
            let node = |node: crate::testing::Value| node.attr("mode", mode).attr("antialias", 1);
            let ones = Tensor::floats(&[1, 1, 7], [1.0; 7]);
            let sizes = Tensor::ints(&[3], [1, 1, 3]);
            let absent = Tensor::floats(&[0], []);
            let inputs = [ones, absent.clone(), absent, sizes];
            let y = evaluate("Resize", 18, &inputs, node).unwrap();
            assert!(
                y[0].data.iter().all(|y| (y - 1.0).abs() < 1e-12),
                "{mode}: {:?}",
                y[0]
            );
        }
    }

    #[test]
    fn upsample_repeats_or_interpolates() {
        let run = |opset: i64, mode: &str| {
            let node = |node: crate::testing::Value| {
                let node = node.attr("mode", mode);
                if opset < 9 {
                    node.attr("scales", [1.0, 1.0, 2.0])
                } else {
                    node
                }
            };
            let scales = Tensor::floats(&[3], [1.0, 1.0, 2.0]);
            let inputs = if opset < 9 {
                vec![x()]
            } else {
                vec![x(), scales]
            };
            evaluate("Upsample", opset, &inputs, node).unwrap()[0]
                .data
                .clone()
        };
        assert_eq!(run(7, "nearest"), [0.0, 0.0, 4.0, 4.0]);
        assert_eq!(run(9, "linear"), [0.0, 2.0, 4.0, 4.0]);
    }
}
