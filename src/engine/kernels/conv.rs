//! Conv: taps are unrolled into a matrix, tile by tile, and multiplied by the weight.
//!
//! Weight (M, C/g, k…), input (N, C, …); group g of the output is W[g] · columns(x[g]).
//! A tile is a run of output rows, so that the unrolled matrix stays in the cache.

use ndarray::{ArrayView2, ArrayViewMut2, Axis, Slice};
use num_traits::Zero;

use super::each::{Real, for_real};
use super::gather::advance;
use super::product::matrix_multiply;
use super::strided::strides;
use super::window::Window;
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::Tensor;

/// Elements of the unrolled matrix at a time.
const TILE: usize = 1 << 17;

/// Output positions that a tile has at least: a product of fewer columns is dominated by reading the weight.
const FEWEST: usize = 64;

/// What Conv and ConvTranspose have in common.
pub(super) struct Parts<'a> {
    pub(super) x: &'a Tensor,
    pub(super) w: &'a Tensor,
    pub(super) bias: Option<&'a Tensor>,
    pub(super) group: usize,
    pub(super) kernel: Vec<usize>,
}

impl<'a> Parts<'a> {
    pub(super) fn read(call: &'a Call<'_>) -> Result<Parts<'a>, Fault> {
        let (x, w) = (call.input(0)?, call.input(1)?);
        if x.rank() < 3 || w.rank() != x.rank() {
            let reason = format!(
                "input {:?} and weight {:?} do not fit",
                x.shape(),
                w.shape()
            );
            return Err(Fault::invalid(reason));
        }
        let kernel = w.shape()[2..].to_vec();
        if let Some(list) = call.ints("kernel_shape")?
            && !list.iter().copied().eq(kernel.iter().map(|&k| k as i64))
        {
            return Err(Fault::invalid("kernel_shape and the weight differ"));
        }
        let group = usize::try_from(call.int("group", 1)?)
            .ok()
            .filter(|&group| group > 0);
        let group = group.ok_or_else(|| Fault::invalid("group is not positive"))?;
        Ok(Parts {
            x,
            w,
            bias: call.optional(2),
            group,
            kernel,
        })
    }

    pub(super) fn check_bias(&self, channels: usize) -> Result<(), Fault> {
        match self.bias {
            Some(bias) if bias.shape() != [channels] => {
                let shape = bias.shape();
                Err(Fault::invalid(format!(
                    "a bias of shape {shape:?} for {channels} channels"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The node's windows and the output's extents, once its inputs and attributes are known to fit.
fn geometry(call: &Call<'_>, parts: &Parts<'_>) -> Result<(Window, Vec<usize>), Fault> {
    let (c, m) = (parts.x.shape()[1], parts.w.shape()[0]);
    let fits = parts.w.shape()[1].checked_mul(parts.group) == Some(c) && m % parts.group == 0;
    if !fits {
        let (x, w, group) = (parts.x.shape(), parts.w.shape(), parts.group);
        let reason = format!("input {x:?}, weight {w:?} and group {group} do not fit");
        return Err(Fault::invalid(reason));
    }
    parts.check_bias(m)?;
    let window = Window::read(call, &parts.x.shape()[2..], &parts.kernel)?;
    let shape = [&[parts.x.shape()[0], m], &window.output[..]].concat();
    call.size(&shape)?;
    Ok((window, shape))
}

/// The output's extents.
pub(super) fn output_shape(call: &Call<'_>) -> Result<Vec<usize>, Fault> {
    Ok(geometry(call, &Parts::read(call)?)?.1)
}

pub(super) fn conv(call: &mut Call<'_>) -> Outcome {
    let parts = Parts::read(call)?;
    let (window, shape) = geometry(call, &parts)?;
    let size = call.size(&shape)?;
    for_real!(parts.x, T => {
        let mut out = vec![T::zero(); size];
        run::<T>(call, &parts, &window, &mut out)?;
        Ok(vec![Tensor::new(shape, out)?])
    })
}

fn run<T: Real>(
    call: &Call<'_>,
    parts: &Parts<'_>,
    window: &Window,
    out: &mut [T],
) -> Result<(), Fault> {
    let (x, w) = (call.elements::<T>(0)?, call.elements::<T>(1)?);
    let m = parts.w.shape()[0] / parts.group;
    let c = parts.w.shape()[1];
    let taps: usize = window.kernel.iter().product();
    let places: usize = window.output.iter().product();
    let plane: usize = window.input.iter().product();
    if places == 0 || m == 0 {
        return Ok(());
    }
    if parts.bias.is_some() {
        let bias = call.elements::<T>(2)?;
        for (channel, row) in out.chunks_mut(places).enumerate() {
            row.fill(bias[channel % bias.len()]);
        }
    }
    if plane == 0 || c == 0 {
        return Ok(());
    }
    let is_pointwise =
        taps == 1 && window.input == window.output && window.pads_before.iter().all(|&p| p == 0);
    for (index, out) in out.chunks_mut(m * places).enumerate() {
        let group = index % parts.group;
        let x = &x[index * c * plane..(index + 1) * c * plane];
        let w = &w[group * m * c * taps..(group + 1) * m * c * taps];
        if is_pointwise {
            accumulate(w, x, out, [m, c, places], 0..places);
        } else if c * m <= 4 {
            shifted(w, x, out, window, [m, c]);
        } else {
            tiles(w, x, out, window, [m, c]);
        }
    }
    Ok(())
}

/// `out[:, range] += w · columns`.
fn accumulate<T: Real>(
    w: &[T],
    columns: &[T],
    out: &mut [T],
    [m, k, places]: [usize; 3],
    range: std::ops::Range<usize>,
) {
    let views = (
        ArrayView2::from_shape((m, k), w),
        ArrayView2::from_shape((k, range.len()), columns),
        ArrayViewMut2::from_shape((m, places), out),
    );
    if let (Ok(w), Ok(columns), Ok(mut out)) = views {
        let mut part = out.slice_axis_mut(Axis(1), Slice::from(range));
        matrix_multiply(&w, &columns, T::one(), &mut part);
    }
}

fn tiles<T: Real>(w: &[T], x: &[T], out: &mut [T], window: &Window, [m, c]: [usize; 2]) {
    let taps: usize = window.kernel.iter().product();
    let places: usize = window.output.iter().product();
    let width = window.output.last().copied().unwrap_or(1);
    let rows = places / width;
    let step = (TILE / (c * taps * width).max(1)).max(FEWEST / width);
    let step = step.clamp(1, rows.max(1));
    let mut columns: Vec<T> = Vec::new();
    let mut row = 0;
    while row < rows {
        let end = (row + step).min(rows);
        columns.clear();
        columns.resize(c * taps * (end - row) * width, T::zero());
        unroll(x, &mut columns, window, c, row..end);
        accumulate(
            w,
            &columns,
            out,
            [m, c * taps, places],
            row * width..end * width,
        );
        row = end;
    }
}

/// Fills (channel, tap) × output positions with what each tap reads; padding stays zero.
fn unroll<T: Real>(
    x: &[T],
    columns: &mut [T],
    window: &Window,
    c: usize,
    rows: std::ops::Range<usize>,
) {
    let plane: usize = window.input.iter().product();
    let mut line = 0;
    let length = rows.len() * window.output.last().copied().unwrap_or(1);
    for channel in 0..c {
        let x = &x[channel * plane..(channel + 1) * plane];
        let mut tap = vec![0usize; window.kernel.len()];
        for _ in 0..window.kernel.iter().product() {
            let out = &mut columns[line * length..(line + 1) * length];
            for_each_row(
                window,
                &tap,
                rows.clone(),
                |index, range, source, stride| {
                    let width = window.output.last().copied().unwrap_or(1);
                    let out = &mut out[index * width + range.start..index * width + range.end];
                    if stride == 1 {
                        out.copy_from_slice(&x[source..source + out.len()]);
                    } else {
                        for (place, value) in out.iter_mut().zip(x[source..].iter().step_by(stride))
                        {
                            *place = *value;
                        }
                    }
                },
            );
            line += 1;
            advance(&mut tap, &window.kernel);
        }
    }
}

/// For each output row that a tap reads inside the input: its index within `rows`, the valid outputs
/// along the last axis, the input position of the first of them, and the input stride.
fn for_each_row(
    window: &Window,
    tap: &[usize],
    rows: std::ops::Range<usize>,
    mut visit: impl FnMut(usize, std::ops::Range<usize>, usize, usize),
) {
    let Some((last, outer)) = window
        .output
        .len()
        .checked_sub(1)
        .map(|last| (last, 0..last))
    else {
        return;
    };
    let steps = strides(&window.input);
    let valid = window.valid_outputs(last, tap[last]);
    if valid.is_empty() {
        return;
    }
    let outer_shape = &window.output[outer.clone()];
    for (index, row) in rows.enumerate() {
        let mut rest = row;
        let mut base = 0isize;
        let mut is_inside = true;
        for at in outer.clone().rev() {
            let place = rest % outer_shape[at];
            rest /= outer_shape[at];
            let source = window.source(at, place, tap[at]);
            is_inside &= source >= 0 && source < window.input[at] as isize;
            base += source * steps[at];
        }
        if is_inside {
            let first = base + window.source(last, valid.start, tap[last]);
            visit(index, valid.clone(), first as usize, window.strides[last]);
        }
    }
}

/// Few channels per group: each tap is one scaled row added.
fn shifted<T: Real>(w: &[T], x: &[T], out: &mut [T], window: &Window, [m, c]: [usize; 2]) {
    let taps: usize = window.kernel.iter().product();
    let places: usize = window.output.iter().product();
    let plane: usize = window.input.iter().product();
    let width = window.output.last().copied().unwrap_or(1);
    for channel in 0..m {
        let out = &mut out[channel * places..(channel + 1) * places];
        for input in 0..c {
            let x = &x[input * plane..(input + 1) * plane];
            let mut tap = vec![0usize; window.kernel.len()];
            for flat in 0..taps {
                let weight = w[(channel * c + input) * taps + flat];
                for_each_row(
                    window,
                    &tap,
                    0..places / width,
                    |row, range, source, stride| {
                        let out = &mut out[row * width + range.start..row * width + range.end];
                        if stride == 1 {
                            for (place, value) in out.iter_mut().zip(&x[source..]) {
                                *place += weight * *value;
                            }
                            return;
                        }
                        for (place, value) in out.iter_mut().zip(x[source..].iter().step_by(stride))
                        {
                            *place += weight * *value;
                        }
                    },
                );
                advance(&mut tap, &window.kernel);
            }
        }
    }
}
