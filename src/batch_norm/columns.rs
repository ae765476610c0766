//! Moments of columns, sample by sample, so that every step runs along memory.
//!
//! A few samples at a time: their sums give each channel's pivot `k`, a second reading from the
//! cache gives `Σ(x − k)` and `Σ(x − k)²`, first per column, then per channel in f64.

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Pod;

use super::element::Element;
use super::moments::{Moments, merge};
use super::real::Real;
use super::simd::{Vector, Work};
use super::sums::{LANES, add_block, careful, combine, is_sound};

/// Columns that are worked on at a time.
const WINDOW: usize = 512;

/// Samples that are summed in the kernel's arithmetic.
const BLOCK: usize = 16;

/// Some neighbouring columns in some neighbouring samples.
pub(super) struct Columns<'a, T, F> {
    pub(super) samples: &'a [T],
    /// Length of a sample.
    pub(super) width: usize,
    /// Columns of a channel that lie side by side.
    pub(super) inner: usize,
    /// The first column.
    pub(super) start: usize,
    /// Channels.
    pub(super) channels: usize,
    /// How often the channels follow each other in a sample.
    pub(super) side_by_side: usize,
    pub(super) arithmetic: PhantomData<F>,
}

/// What a block of samples needs, per column of the window, then per channel.
struct Scratch<F> {
    pivot: [F; WINDOW],
    first: [F; WINDOW],
    second: [F; WINDOW],
    totals: [[f64; WINDOW]; 2],
    mean: [f64; WINDOW],
    m2: [f64; WINDOW],
}

impl<T: Element, F: Real> Work for Columns<'_, T, F> {
    type Output = Moments;

    #[inline(always)]
    fn run(self, vector: impl Vector) -> Moments {
        let channels = self.channels * self.side_by_side;
        let per_window = (WINDOW / self.inner).max(1);
        let mut scratch = Scratch::<F>::new();
        let mut mean = vec![0.0; channels];
        let mut m2 = vec![0.0; channels];
        let mut count = 0;
        for block in self.samples.chunks(BLOCK * self.width) {
            let more = (block.len() / self.width * self.inner) as u64;
            let windows = mean.chunks_mut(per_window).zip(m2.chunks_mut(per_window));
            for (window, (mean, m2)) in windows.enumerate() {
                let start = self.start + window * per_window * self.inner;
                let columns = start..start + mean.len() * self.inner;
                self.add(vector, block, columns, &mut scratch);
                let theirs = [&scratch.mean[..mean.len()], &scratch.m2[..mean.len()]];
                merge(count, [mean, m2], more, theirs);
            }
            count += more;
        }
        let mut moments = Moments::empty(self.channels);
        for (mean, m2) in mean.chunks(self.channels).zip(m2.chunks(self.channels)) {
            moments.absorb(&Moments::from_parts(count, mean.to_vec(), m2.to_vec()));
        }
        moments
    }
}

impl<T: Element, F: Real> Columns<'_, T, F> {
    /// Leaves the spreads of the channels of a window of `block` in `scratch`.
    #[inline(always)]
    fn add(
        &self,
        vector: impl Vector,
        block: &[T],
        window: Range<usize>,
        scratch: &mut Scratch<F>,
    ) {
        let parts = block
            .chunks(self.width)
            .map(|sample| &sample[window.clone()]);
        let count = (parts.len() * self.inner) as f64;
        let columns = window.len();
        scratch.pivot[..columns].fill(F::zeroed());
        scratch.add_up(vector, parts.clone(), columns);
        scratch.find_pivots(columns, self.inner, count);
        scratch.add_up(vector, parts.clone(), columns);
        if scratch.combine(columns, self.inner, count) {
            return;
        }
        for channel in 0..columns / self.inner {
            let [first, second] = scratch.totals.map(|totals| totals[channel]);
            if !is_sound::<F>(first, second, count) {
                let columns = channel * self.inner..(channel + 1) * self.inner;
                let values = parts.clone().flat_map(|part| &part[columns.clone()]);
                let spread = careful(values.map(|value| value.to_f64()));
                scratch.mean[channel] = spread.mean;
                scratch.m2[channel] = spread.m2;
            }
        }
    }
}

impl<F: Real> Scratch<F> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            pivot: [F::zeroed(); WINDOW],
            first: [F::zeroed(); WINDOW],
            second: [F::zeroed(); WINDOW],
            mean: [0.0; WINDOW],
            m2: [0.0; WINDOW],
            totals: [[0.0; WINDOW]; 2],
        }
    }

    /// `Σ(x − pivot)` and `Σ(x − pivot)²` of the columns.
    #[inline(always)]
    fn add_up<'a, T: Element>(
        &mut self,
        vector: impl Vector,
        parts: impl Iterator<Item = &'a [T]> + Clone,
        columns: usize,
    ) {
        let Some(last) = columns.checked_sub(LANES) else {
            return self.add_up_few(parts, columns);
        };
        // The last lanes may overlap those before, which changes nothing.
        for start in (0..last).step_by(LANES).chain([last]) {
            let lanes = start..start + LANES;
            let pivots = lanes_of(&self.pivot[lanes.clone()]);
            let mut sums = [[F::zeroed(); LANES]; 2];
            for part in parts.clone() {
                let block = F::block(vector, &lanes_of(&part[lanes.clone()]));
                add_block(&mut sums, &block, &pivots);
            }
            self.first[lanes.clone()].copy_from_slice(&sums[0]);
            self.second[lanes].copy_from_slice(&sums[1]);
        }
    }

    #[inline(always)]
    fn add_up_few<'a, T: Element>(&mut self, parts: impl Iterator<Item = &'a [T]>, columns: usize) {
        let sums = &mut [&mut self.first, &mut self.second].map(|sums| &mut sums[..columns]);
        sums.iter_mut().for_each(|sums| sums.fill(F::zeroed()));
        for part in parts {
            for (column, &value) in part.iter().enumerate() {
                let deviation = F::load(value) - self.pivot[column];
                sums[0][column] = sums[0][column] + deviation;
                sums[1][column] = sums[1][column] + deviation * deviation;
            }
        }
    }

    /// Means of the channels, good enough for pivots.
    #[inline(always)]
    fn find_pivots(&mut self, columns: usize, inner: usize, count: f64) {
        let (sums, pivots) = (&self.first[..columns], &mut self.pivot[..columns]);
        if inner == 1 {
            let share = F::nearest(1.0 / count);
            for (pivot, &sum) in pivots.iter_mut().zip(sums) {
                *pivot = sum * share;
            }
            return;
        }
        for (pivots, sums) in pivots.chunks_mut(inner).zip(sums.chunks(inner)) {
            pivots.fill(F::nearest(total(sums) / count));
        }
    }

    /// The spreads of the channels; whether all are sound.
    #[inline(always)]
    fn combine(&mut self, columns: usize, inner: usize, count: f64) -> bool {
        let channels = columns / inner;
        let mut pivots = [0.0; WINDOW];
        let [firsts, seconds] = &mut self.totals;
        if inner == 1 {
            widen(&self.pivot[..columns], &mut pivots);
            widen(&self.first[..columns], firsts);
            widen(&self.second[..columns], seconds);
        } else {
            for channel in 0..channels {
                let columns = channel * inner..(channel + 1) * inner;
                pivots[channel] = self.pivot[columns.start].into();
                firsts[channel] = total(&self.first[columns.clone()]);
                seconds[channel] = total(&self.second[columns]);
            }
        }
        let sums = firsts.iter().zip(&*seconds).take(channels);
        let results = self.mean.iter_mut().zip(&mut self.m2);
        for ((mean, m2), ((&first, &second), &pivot)) in results.zip(sums.clone().zip(&pivots)) {
            let spread = combine(pivot, first, second, count);
            *mean = spread.mean;
            *m2 = spread.m2;
        }
        sums.fold(true, |all, (&first, &second)| {
            all & is_sound::<F>(first, second, count)
        })
    }
}

#[inline(always)]
fn widen<F: Real>(from: &[F], to: &mut [f64]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from.into();
    }
}

#[inline(always)]
fn lanes_of<V: Pod>(values: &[V]) -> [V; LANES] {
    let mut lanes = [V::zeroed(); LANES];
    lanes.copy_from_slice(values);
    lanes
}

/// The sum of some neighbours in f64.
#[inline(always)]
fn total<F: Real>(values: &[F]) -> f64 {
    let (blocks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for block in blocks {
        for (sum, &value) in sums.iter_mut().zip(block) {
            *sum += value.into();
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += value.into();
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}
