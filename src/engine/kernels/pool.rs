//! MaxPool, AveragePool and LpPool.
//!
//! A maximum keeps NaN; padding is outside the maximum and, unless `count_include_pad`, outside the mean.

use num_traits::{Float, Zero};

use super::each::{Real, for_real};
use super::gather::advance;
use super::strided::strides;
use super::window::Window;
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::Tensor;

fn window(call: &Call<'_>) -> Result<Window, Fault> {
    let x = call.input(0)?;
    let kernel = call
        .ints("kernel_shape")?
        .ok_or_else(|| Fault::invalid("kernel_shape is missing"))?;
    let kernel: Option<Vec<usize>> = kernel.iter().map(|&k| usize::try_from(k).ok()).collect();
    let kernel = kernel.ok_or_else(|| Fault::invalid("kernel_shape is negative"))?;
    if x.rank() < 3 {
        return Err(Fault::invalid("the input has no spatial axes"));
    }
    Window::read(call, &x.shape()[2..], &kernel)
}

/// For each output position, the input positions inside its window and how many taps lie in the padded input.
struct Reads {
    positions: Vec<usize>,
    ends: Vec<usize>,
    padded: Vec<usize>,
}

impl Reads {
    fn new(window: &Window) -> Reads {
        let steps = strides(&window.input);
        let rank = window.output.len();
        let mut place = vec![0usize; rank];
        let taps: usize = window.kernel.iter().product();
        let places = window.output.iter().product();
        let mut reads = Reads {
            positions: Vec::new(),
            ends: Vec::with_capacity(places),
            padded: Vec::with_capacity(places),
        };
        for _ in 0..places {
            let mut padded = 0;
            let mut tap = vec![0usize; rank];
            for _ in 0..taps {
                let (mut position, mut is_inside, mut is_padded) = (0isize, true, true);
                for at in 0..rank {
                    let source = window.source(at, place[at], tap[at]);
                    let extent = window.input[at] as isize;
                    is_inside &= source >= 0 && source < extent;
                    is_padded &= source < extent + window.pads_after[at];
                    position += source * steps[at];
                }
                if is_inside {
                    reads.positions.push(position as usize);
                }
                padded += usize::from(is_padded);
                advance(&mut tap, &window.kernel);
            }
            reads.ends.push(reads.positions.len());
            reads.padded.push(padded);
            advance(&mut place, &window.output);
        }
        reads
    }

    /// (input positions, taps in the padded input) of each output position.
    fn iter(&self) -> impl Iterator<Item = (&[usize], usize)> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let ranges = starts.zip(&self.ends).map(|(&start, &end)| start..end);
        ranges
            .zip(&self.padded)
            .map(|(range, &padded)| (&self.positions[range], padded))
    }
}

fn pooled<T: Real>(
    call: &Call<'_>,
    window: &Window,
    f: impl Fn(&mut dyn Iterator<Item = T>, usize, usize) -> T,
) -> Result<Tensor, Fault> {
    let x = call.input(0)?;
    let shape = [&x.shape()[..2], &window.output[..]].concat();
    let size = call.size(&shape)?;
    let source = call.elements::<T>(0)?;
    let plane: usize = window.input.iter().product();
    let reads = Reads::new(window);
    let mut out = Vec::with_capacity(size);
    for values in source.chunks(plane.max(1)) {
        for (inside, padded) in reads.iter() {
            let mut read = inside.iter().map(|&at| values[at]);
            out.push(f(&mut read, inside.len(), padded));
        }
    }
    Ok(Tensor::new(shape, out)?)
}

pub(super) fn average_pool(call: &mut Call<'_>) -> Outcome {
    let window = window(call)?;
    let includes_pads = call.flag("count_include_pad")?;
    for_real!(call.input(0)?, T => Ok(vec![pooled::<T>(call, &window, |values, inside, padded| {
        let count = if includes_pads { padded } else { inside };
        values.fold(T::zero(), |sum, x| sum + x) / T::of(count as f64)
    })?]))
}

pub(super) fn lp_pool(call: &mut Call<'_>) -> Outcome {
    let window = window(call)?;
    let p = call.int("p", 2)? as f64;
    for_real!(call.input(0)?, T => Ok(vec![pooled::<T>(call, &window, |values, _, _| {
        values.fold(T::zero(), |sum, x| sum + x.abs().powf(T::of(p))).powf(T::of(1.0 / p))
    })?]))
}

pub(super) fn max_pool(call: &mut Call<'_>) -> Outcome {
    let window = window(call)?;
    let wants_indices = call.wants(1);
    for_real!(call.input(0)?, T => {
        let best = pooled::<T>(call, &window, |values, _, _| {
            values.fold(T::neg_infinity(), |top, x| if x > top || x.is_nan() { x } else { top })
        })?;
        if !wants_indices {
            return Ok(vec![best]);
        }
        let indices = indices::<T>(call, &window, best.shape())?;
        Ok(vec![best, indices])
    })
}

/// Flat positions in the whole input; column-major within a plane where `storage_order` is 1.
fn indices<T: Real>(call: &Call<'_>, window: &Window, shape: &[usize]) -> Result<Tensor, Fault> {
    let source = call.elements::<T>(0)?;
    let is_column_major = call.flag("storage_order")?;
    let plane: usize = window.input.iter().product();
    let mut out = Vec::with_capacity(source.len());
    let reads = Reads::new(window);
    for (index, values) in source.chunks(plane.max(1)).enumerate() {
        for (inside, _) in reads.iter() {
            let better =
                |best: usize, &at: &usize| if values[at] > values[best] { at } else { best };
            let first = inside.first().copied().unwrap_or(0);
            let best = inside.iter().fold(first, better);
            let best = if is_column_major {
                transposed(best, &window.input)
            } else {
                best
            };
            out.push((index * plane + best) as i64);
        }
    }
    Ok(Tensor::new(shape.to_vec(), out)?)
}

/// A row-major position as the column-major one of the same element.
fn transposed(position: usize, shape: &[usize]) -> usize {
    let mut rest = position;
    let mut multi = vec![0; shape.len()];
    for (index, &extent) in multi.iter_mut().zip(shape).rev() {
        *index = rest % extent;
        rest /= extent;
    }
    let (mut result, mut step) = (0, 1);
    for (index, &extent) in multi.iter().zip(shape) {
        result += index * step;
        step *= extent;
    }
    result
}
