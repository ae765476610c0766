//! Mean and sum of squared deviations of one channel, without cancellation.
//!
//! With `d = x − pivot`: `mean = pivot + Σd/n` and `M2 = Σd² − (Σd)²/n`.
//! The subtraction is harmless while the pivot lies within a standard deviation of the mean. Zero often
//! does, and saves taking it off; a pivot from a sample nearly always does; else the mean that it leads
//! to is the next one, and where that fails too the values are summed in f64.
//! Sums run in the kernel's arithmetic over at most 32 terms per lane, of which a few are added up, then
//! in f64: with u = 2⁻²⁴ the relative error of M2 in f32 is at most `200·u`, and in practice near u.
//! The lanes are the same on every machine.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, f64x8};

use super::block::Block;
use super::element::Element;
use super::real::Real;
use super::simd::BLOCK;

/// Mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) m2: f64,
}

/// Terms that a lane adds before it hands over to f64.
pub(super) const CHAIN: usize = 32;

/// Blocks that a pivot is the mean of.
const SAMPLE: usize = 4;

/// The same columns of equally long samples: a channel's values, a row of at least a block in each.
///
/// `SHORT` is whether rows have at most two blocks.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T> {
    samples: &'a [&'a [T]],
    start: usize,
    length: usize,
}

impl<'a, T: Element> Rows<'a, T> {
    /// The `length` columns from `start` on.
    #[inline(always)]
    pub(super) fn new(samples: &'a [&'a [T]], start: usize, length: usize) -> Self {
        Self {
            samples,
            start,
            length,
        }
    }

    #[inline(always)]
    fn of(self, samples: &'a [&'a [T]]) -> impl Iterator<Item = &'a [T]> + Clone {
        samples
            .iter()
            .map(move |sample| &sample[self.start..self.start + self.length])
    }

    fn count(self) -> f64 {
        (self.samples.len() * self.length) as f64
    }

    /// The spread that sums around a pivot lead to.
    #[inline(always)]
    pub(super) fn spread<S: Simd, F: Real, const SHORT: bool>(
        self,
        simd: S,
        mut pivot: F,
        [mut first, mut second]: [f64; 2],
    ) -> Spread {
        let count = self.count();
        if !is_sound::<F>(first, second, count) {
            pivot = finite(pivot.into() + first / count);
            [first, second] = self.sums::<S, F, SHORT, true>(simd, pivot);
        }
        if is_sound::<F>(first, second, count) {
            return combine(pivot.into(), first, second, count);
        }
        if let Some(value) = self.common_value::<S, F>(simd) {
            return constant(value);
        }
        careful(self.of(self.samples).flatten().map(|value| value.to_f64()))
    }

    /// Whether the mean of a few blocks is nearer to zero than most of their values.
    #[inline(always)]
    pub(super) fn is_around_zero<S: Simd, F: Real>(self, simd: S) -> bool {
        let sums = self.sample::<S, F>(simd);
        let (first, second) = (F::total(sums.first), F::total(sums.second));
        is_sound::<F>(first, second, (SAMPLE * BLOCK) as f64)
    }

    /// The mean of a few blocks, or zero where it is not finite.
    #[inline(always)]
    pub(super) fn pivot<S: Simd, F: Real>(self, simd: S) -> F {
        let sums = self.sample::<S, F>(simd);
        finite(F::total(sums.first) * const { 1.0 / (SAMPLE * BLOCK) as f64 })
    }

    /// The sums of a few blocks, evenly spaced.
    #[inline(always)]
    fn sample<S: Simd, F: Real>(self, simd: S) -> Sums<F::Block<S>> {
        let zero = <F::Block<S>>::splat(simd, F::zeroed());
        let mut sums = Sums::new(zero);
        for place in 0..SAMPLE {
            let sample = self.samples[place * self.samples.len() / SAMPLE];
            let start = (2 * place + 1) * self.length / (2 * SAMPLE);
            let start = self.start + start.min(self.length - BLOCK);
            let block = sample[start..].first_chunk();
            sums.add_block::<S, T, F, false>(simd, block, zero);
        }
        sums
    }

    /// `Σd` and `Σd²` with `d = x − pivot`, or `d = x` unless `PIVOTED`.
    #[inline(always)]
    pub(super) fn sums<S: Simd, F: Real, const SHORT: bool, const PIVOTED: bool>(
        self,
        simd: S,
        pivot: F,
    ) -> [f64; 2] {
        let pivots = <F::Block<S>>::splat(simd, pivot);
        // The last block overlaps the one before by so many elements, and is summed apart.
        let before = if SHORT { 1 } else { (self.length - 1) / BLOCK };
        let overlap = F::nearest(((before + 1) * BLOCK - self.length) as f64);
        let overlap = <F::Block<S>>::splat(simd, overlap);
        let numbers = lane_numbers::<S, T, F>(simd);
        let none = Sums::new(<F::Block<S>>::splat(simd, F::zeroed()));
        if SHORT {
            let mut totals = [0.0; 2];
            for samples in self.samples.chunks(CHAIN) {
                let (mut sums, mut last) = (none, none);
                for row in self.of(samples) {
                    sums.add_block::<S, T, F, PIVOTED>(simd, row.first_chunk(), pivots);
                    last.add_block::<S, T, F, PIVOTED>(simd, row.last_chunk(), pivots);
                }
                let Sums { first, second } = sums.and_last(last, overlap, numbers);
                totals[0] += F::total(first);
                totals[1] += F::total(second);
            }
            return totals;
        }
        let mut wide = [[f64x8::simd_from(simd, 0.0); 2]; 2];
        for samples in self.samples.chunks((CHAIN / before).max(1)) {
            let mut last = none;
            for start in (0..before).step_by(CHAIN) {
                let end = before.min(start + CHAIN);
                let mut sums = none;
                for row in self.of(samples) {
                    for block in &row.as_chunks().0[start..end] {
                        sums.add_block::<S, T, F, PIVOTED>(simd, Some(block), pivots);
                    }
                    if end == before {
                        last.add_block::<S, T, F, PIVOTED>(simd, row.last_chunk(), pivots);
                    }
                }
                if end == before {
                    sums = sums.and_last(last, overlap, numbers);
                }
                hand_over::<S, F>(&mut wide[0], sums.first);
                hand_over::<S, F>(&mut wide[1], sums.second);
            }
        }
        wide.map(total)
    }

    /// The value of all elements, if they are equal.
    #[inline(always)]
    fn common_value<S: Simd, F: Real>(self, simd: S) -> Option<f64> {
        let value = F::load(self.samples[0][self.start]);
        let values = <F::Block<S>>::splat(simd, value);
        for row in self.of(self.samples) {
            for block in row.as_chunks().0.iter().chain(row.last_chunk()) {
                if !F::read(simd, block).equals(values) {
                    return None;
                }
            }
        }
        Some(value.into())
    }
}

/// `M2` and mean from the sums around `pivot`.
#[inline(always)]
pub(super) fn combine(pivot: f64, first: f64, second: f64, count: f64) -> Spread {
    let offset = first / count;
    Spread {
        mean: pivot + offset,
        m2: second - first * offset,
    }
}

/// Whether the sums lost nothing to cancellation, overflow or underflow.
#[inline(always)]
pub(super) fn is_sound<F: Real>(first: f64, second: f64, count: f64) -> bool {
    let near = 2.0 * first * first <= second * count;
    near & (second >= F::SMALLEST_SQUARE * count) & (second < f64::INFINITY)
}

/// The spread in f64, exact if all are equal; NaN and infinity follow the definition.
#[cold]
#[inline(never)]
pub(super) fn careful(mut values: impl Iterator<Item = f64> + Clone) -> Spread {
    let all = values.clone();
    let first = values.next().unwrap_or(f64::NAN);
    if values.all(|value| value == first) {
        return constant(first);
    }
    two_passes(all)
}

fn constant(value: f64) -> Spread {
    Spread {
        mean: value,
        m2: if value.is_finite() { 0.0 } else { f64::NAN },
    }
}

fn two_passes(values: impl Iterator<Item = f64> + Clone) -> Spread {
    let mut count = 0.0;
    let mut sum = 0.0;
    for value in values.clone() {
        count += 1.0;
        sum += value;
    }
    let mean = sum / count;
    let mut first = 0.0;
    let mut second = 0.0;
    for value in values {
        let deviation = value - mean;
        first += deviation;
        second += deviation * deviation;
    }
    if mean.is_finite() {
        combine(mean, first, second, count)
    } else {
        Spread { mean, m2: f64::NAN }
    }
}

#[inline(always)]
pub(super) fn finite<F: Real>(value: f64) -> F {
    let nearest = F::nearest(value);
    if nearest.into().is_finite() {
        nearest
    } else {
        F::zeroed()
    }
}

/// The number of the element in each lane.
#[inline(always)]
fn lane_numbers<S: Simd, T: Element, F: Real>(simd: S) -> F::Block<S> {
    let mut numbers = [F::zeroed(); BLOCK];
    for (number, lane) in F::lanes::<T>().into_iter().enumerate() {
        numbers[lane] = F::nearest(number as f64);
    }
    <F::Block<S>>::load(simd, &numbers)
}

/// `Σd` and `Σd²`, lane by lane.
#[derive(Clone, Copy)]
pub(super) struct Sums<B> {
    pub(super) first: B,
    pub(super) second: B,
}

impl<B: Copy> Sums<B> {
    #[inline(always)]
    pub(super) fn new(zero: B) -> Self {
        Self {
            first: zero,
            second: zero,
        }
    }

    #[inline(always)]
    pub(super) fn add<S: Simd>(&mut self, deviations: B)
    where
        B: Block<S>,
    {
        self.first = self.first.plus(deviations);
        self.second = deviations.times_plus(deviations, self.second);
    }

    /// With those of rows' last blocks, from the element on that the blocks before end with.
    #[inline(always)]
    fn and_last<S: Simd>(self, last: Self, overlap: B, numbers: B) -> Self
    where
        B: Block<S>,
    {
        Self {
            first: self.first.plus(last.first.kept_from(overlap, numbers)),
            second: self.second.plus(last.second.kept_from(overlap, numbers)),
        }
    }

    /// Adds the deviations of a block, which is there wherever a row has as many elements.
    #[inline(always)]
    fn add_block<S: Simd, T: Element, F: Real<Block<S> = B>, const PIVOTED: bool>(
        &mut self,
        simd: S,
        block: Option<&[T; BLOCK]>,
        pivots: B,
    ) where
        B: Block<S>,
    {
        if let Some(block) = block {
            let values = F::read(simd, block);
            self.add(if PIVOTED {
                values.minus(pivots)
            } else {
                values
            });
        }
    }
}

#[inline(always)]
fn hand_over<S: Simd, F: Real>(wide: &mut [f64x8<S>; 2], values: F::Block<S>) {
    for (wide, values) in wide.iter_mut().zip(F::halved(values)) {
        *wide += values;
    }
}

/// The sum of the lanes, in pairs.
#[inline(always)]
fn total<S: Simd>([a, b]: [f64x8<S>; 2]) -> f64 {
    let [a, b, c, d, e, f, g, h] = (a + b).to_array();
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

#[cfg(test)]
mod tests;
