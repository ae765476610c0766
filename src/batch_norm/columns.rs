//! Moments of short channels: columns that lie side by side, summed sample by sample.
//!
//! The sums are those of one channel's rows, with a lane for each column: `Σd` and `Σd²` with
//! `d = x − pivot`, first per column, then per channel in f64.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, f64x8};

use super::block::Block;
use super::element::Element;
use super::moments::Moments;
use super::real::Real;
use super::simd::BLOCK;
use super::sums::{CHAIN, Sums, careful, combine, finite, is_sound};

/// Samples whose mean is the pivot.
const SAMPLE: usize = 16;

/// Blocks that are added up together, so that memory is read along.
const TOGETHER: usize = 4;

/// What is summed of every column, block by block and lane by lane; the last block overlaps the one
/// before where the columns end within it.
struct Columns<F> {
    width: usize,
    pivot: Vec<F>,
    first: Vec<f64>,
    second: Vec<f64>,
}

/// The moments of channels, equally wide, in all samples.
#[inline(always)]
pub(super) fn moments<S: Simd, T: Element, F: Real>(
    simd: S,
    samples: &[&[T]],
    channels: usize,
) -> Moments {
    let width = samples[0].len();
    let inner = width / channels;
    let count = (samples.len() * inner) as f64;
    let mut columns = Columns::around::<T>(&vec![F::zeroed(); width]);
    let few: Vec<&[T]> = samples
        .iter()
        .step_by(samples.len().div_ceil(SAMPLE))
        .copied()
        .collect();
    columns.add::<S, T, false>(simd, &few);
    let few = (few.len() * inner) as f64;
    let [first, second] = columns.totals::<T>(inner);
    // Zero does for pivot where it would do for all of these samples.
    let all_around_zero = first
        .iter()
        .zip(&second)
        .all(|(&first, &second)| is_sound::<F>(first, second, few));
    let pivots = first.iter().flat_map(|first| {
        let pivot: F = if all_around_zero {
            F::zeroed()
        } else {
            finite(first / few)
        };
        std::iter::repeat_n(pivot, inner)
    });
    let pivots: Vec<F> = pivots.collect();
    let mut columns = Columns::around::<T>(&pivots);
    if all_around_zero {
        columns.add::<S, T, false>(simd, samples);
    } else {
        columns.add::<S, T, true>(simd, samples);
    }
    let [first, second] = columns.totals::<T>(inner);
    let mut mean = vec![0.0; channels];
    let mut m2 = vec![0.0; channels];
    for channel in 0..channels {
        let place = channel * inner..(channel + 1) * inner;
        let (first, second) = (first[channel], second[channel]);
        let spread = if is_sound::<F>(first, second, count) {
            combine(pivots[place.start].into(), first, second, count)
        } else {
            let values = samples.iter().flat_map(|sample| &sample[place.clone()]);
            careful(values.map(|value| value.to_f64()))
        };
        mean[channel] = spread.mean;
        m2[channel] = spread.m2;
    }
    Moments::from_parts(count as u64, mean, m2)
}

impl<F: Real> Columns<F> {
    fn around<T: Element>(pivots: &[F]) -> Self {
        let width = pivots.len();
        let mut columns = Self {
            width,
            pivot: pivots.to_vec(),
            first: vec![0.0; width],
            second: vec![0.0; width],
        };
        if width >= BLOCK {
            let length = width.next_multiple_of(BLOCK);
            columns.pivot = vec![F::zeroed(); length];
            columns.first = vec![0.0; length];
            columns.second = vec![0.0; length];
        }
        for (block, pivot) in columns
            .pivot
            .as_chunks_mut::<BLOCK>()
            .0
            .iter_mut()
            .enumerate()
        {
            let start = (block * BLOCK).min(width - BLOCK);
            for (column, lane) in F::lanes::<T>().into_iter().enumerate() {
                pivot[lane] = pivots[start + column];
            }
        }
        columns
    }

    /// Both sums of each channel, which has `inner` columns.
    fn totals<T: Element>(&self, inner: usize) -> [Vec<f64>; 2] {
        [&self.first, &self.second].map(|sums| {
            let sums = self.in_order::<T>(sums);
            sums.chunks(inner).map(total).collect()
        })
    }

    /// Sums of the columns, as these lie in a sample.
    fn in_order<T: Element>(&self, sums: &[f64]) -> Vec<f64> {
        let mut ordered = sums.to_vec();
        ordered.truncate(self.width);
        for (block, sums) in sums.as_chunks::<BLOCK>().0.iter().enumerate() {
            let start = (block * BLOCK).min(self.width - BLOCK);
            for (column, lane) in F::lanes::<T>().into_iter().enumerate() {
                ordered[start + column] = sums[lane];
            }
        }
        ordered
    }

    /// Adds the samples up, column by column; pivots are zero unless `PIVOTED`.
    #[inline(always)]
    fn add<S: Simd, T: Element, const PIVOTED: bool>(&mut self, simd: S, samples: &[&[T]]) {
        if self.width < BLOCK {
            return self.add_few(samples);
        }
        let blocks = self.width / BLOCK;
        let together = blocks / TOGETHER * TOGETHER;
        for samples in samples.chunks(CHAIN) {
            for block in (0..together).step_by(TOGETHER) {
                self.add_blocks::<S, T, TOGETHER, PIVOTED>(simd, samples, block, block * BLOCK);
            }
            for block in together..blocks {
                self.add_blocks::<S, T, 1, PIVOTED>(simd, samples, block, block * BLOCK);
            }
            if !self.width.is_multiple_of(BLOCK) {
                self.add_blocks::<S, T, 1, PIVOTED>(simd, samples, blocks, self.width - BLOCK);
            }
        }
    }

    /// Adds the samples up, which are shorter than a block.
    fn add_few<T: Element>(&mut self, samples: &[&[T]]) {
        for sample in samples {
            for (column, value) in sample.iter().enumerate() {
                let deviation = value.to_f64() - self.pivot[column].into();
                self.first[column] += deviation;
                self.second[column] += deviation * deviation;
            }
        }
    }

    /// Adds `N` blocks up from number `block` on, which begin with column `start`.
    #[inline(always)]
    fn add_blocks<S: Simd, T: Element, const N: usize, const PIVOTED: bool>(
        &mut self,
        simd: S,
        samples: &[&[T]],
        block: usize,
        start: usize,
    ) {
        let mut sums = [Sums::new(<F::Block<S>>::splat(simd, F::zeroed())); N];
        let pivots = &self.pivot[block * BLOCK..(block + N) * BLOCK];
        for sample in samples {
            let blocks = sample[start..start + N * BLOCK].as_chunks().0;
            let pivots = pivots.chunks_exact(BLOCK);
            for (sums, (block, pivots)) in sums.iter_mut().zip(blocks.iter().zip(pivots)) {
                let mut values = F::read(simd, block);
                if PIVOTED {
                    values = values.minus(<F::Block<S>>::load(simd, pivots));
                }
                sums.add(values);
            }
        }
        for (block, sums) in (block..).zip(sums) {
            let places = block * BLOCK..(block + 1) * BLOCK;
            hand_over::<S, F>(simd, &mut self.first[places.clone()], sums.first);
            hand_over::<S, F>(simd, &mut self.second[places], sums.second);
        }
    }
}

#[inline(always)]
fn hand_over<S: Simd, F: Real>(simd: S, sums: &mut [f64], values: F::Block<S>) {
    for (sums, values) in sums.as_chunks_mut::<8>().0.iter_mut().zip(F::widen(values)) {
        let total = f64x8::load_array(simd, *sums) + values;
        *sums = total.to_array();
    }
}

/// The sum of neighbours.
#[inline(always)]
fn total(values: &[f64]) -> f64 {
    match values {
        [value] => *value,
        values => values.iter().sum(),
    }
}
