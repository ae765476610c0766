//! Moments of a tile of columns, sample by sample, so that every step runs along memory.
//!
//! Sixteen samples at a time: their sum gives each column's pivot `k`, a second reading from the
//! cache gives `Σ(x − k)` and `Σ(x − k)²`. Columns of one channel are merged at the end.

use std::marker::PhantomData;

use super::element::Element;
use super::moments::{Moments, merge};
use super::real::Real;
use super::simd::{Vector, Work};
use super::sums::{careful, combine, is_sound};

/// Columns that are worked on at a time, about.
pub(super) const TILE: usize = 512;

/// Samples that are summed in the kernel's arithmetic.
const BLOCK: usize = 16;

/// A tile of columns in some neighbouring samples.
pub(super) struct Columns<'a, T, F> {
    pub(super) samples: &'a [T],
    /// Length of a sample.
    pub(super) width: usize,
    /// Columns of a channel that lie side by side.
    pub(super) inner: usize,
    /// The tile's first column.
    pub(super) start: usize,
    /// Channels of the tile.
    pub(super) channels: usize,
    /// How often the tile's channels follow each other in a sample.
    pub(super) side_by_side: usize,
    pub(super) arithmetic: PhantomData<F>,
}

/// What a block of samples needs, per column of the tile.
struct Scratch<F> {
    wide: Vec<F>,
    pivot: Vec<F>,
    first: Vec<F>,
    second: Vec<F>,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

impl<T: Element, F: Real> Work for Columns<'_, T, F> {
    type Output = Moments;

    #[inline(always)]
    fn run(self, vector: impl Vector) -> Moments {
        let columns = self.channels * self.inner * self.side_by_side;
        let mut scratch = Scratch {
            wide: vec![F::zeroed(); BLOCK * columns],
            pivot: vec![F::zeroed(); columns],
            first: vec![F::zeroed(); columns],
            second: vec![F::zeroed(); columns],
            mean: vec![0.0; columns],
            m2: vec![0.0; columns],
        };
        let mut mean = vec![0.0; columns];
        let mut m2 = vec![0.0; columns];
        let mut count = 0;
        for block in self.samples.chunks(BLOCK * self.width) {
            let more = (block.len() / self.width) as u64;
            self.sum(vector, block, &mut scratch);
            scratch.combine(more);
            self.repair(block, &mut scratch);
            let theirs = [scratch.mean.as_slice(), &scratch.m2];
            merge(count, [&mut mean, &mut m2], more, theirs);
            count += more;
        }
        self.by_channel(count, mean, m2)
    }
}

impl<T: Element, F: Real> Columns<'_, T, F> {
    /// The tile's part of each sample of `block`.
    #[inline(always)]
    fn parts<'b>(
        &self,
        block: &'b [T],
        columns: usize,
    ) -> impl Iterator<Item = &'b [T]> + use<'b, T, F> {
        let start = self.start;
        block
            .chunks(self.width)
            .map(move |sample| &sample[start..start + columns])
    }

    #[inline(always)]
    fn sum(&self, vector: impl Vector, block: &[T], scratch: &mut Scratch<F>) {
        let columns = scratch.pivot.len();
        scratch.pivot.fill(F::zeroed());
        for (part, buffer) in self
            .parts(block, columns)
            .zip(scratch.wide.chunks_mut(columns))
        {
            for (sum, &value) in scratch.pivot.iter_mut().zip(F::wide(vector, part, buffer)) {
                *sum = *sum + value;
            }
        }
        let share = F::nearest(self.width as f64 / block.len() as f64);
        for sum in &mut scratch.pivot {
            *sum = *sum * share;
        }
        scratch.first.fill(F::zeroed());
        scratch.second.fill(F::zeroed());
        for (part, buffer) in self.parts(block, columns).zip(scratch.wide.chunks(columns)) {
            let values = F::cast(part).unwrap_or(buffer);
            let sums = scratch.first.iter_mut().zip(&mut scratch.second);
            for ((first, second), (&value, &pivot)) in sums.zip(values.iter().zip(&scratch.pivot)) {
                let deviation = value - pivot;
                *first = *first + deviation;
                *second = *second + deviation * deviation;
            }
        }
    }

    /// Sums again what the kernel's arithmetic could not hold.
    #[inline(always)]
    fn repair(&self, block: &[T], scratch: &mut Scratch<F>) {
        let count = (block.len() / self.width) as f64;
        for column in 0..scratch.pivot.len() {
            let (first, second) = (scratch.first[column].into(), scratch.second[column].into());
            if !is_sound::<F>(first, second, count) {
                let values = block[self.start + column..].iter().step_by(self.width);
                let spread = careful(values.map(|value| value.to_f64()));
                scratch.mean[column] = spread.mean;
                scratch.m2[column] = spread.m2;
            }
        }
    }

    /// Merges the columns of each channel, which stand for `count` values each.
    #[inline(always)]
    fn by_channel(&self, count: u64, mean: Vec<f64>, m2: Vec<f64>) -> Moments {
        if self.inner == 1 && self.side_by_side == 1 {
            return Moments::from_parts(count, mean, m2);
        }
        let mut moments = Moments::empty(self.channels);
        let width = self.channels * self.inner;
        for (mean, m2) in mean.chunks(width).zip(m2.chunks(width)) {
            let channels = mean.chunks(self.inner).zip(m2.chunks(self.inner));
            let (mean, m2) = channels
                .map(|(mean, m2)| merge_equal(count, mean, m2))
                .unzip();
            moments.absorb(&Moments::from_parts(count * self.inner as u64, mean, m2));
        }
        moments
    }
}

impl<F: Real> Scratch<F> {
    #[inline(always)]
    fn combine(&mut self, count: u64) {
        let count = count as f64;
        let sums = self.pivot.iter().zip(self.first.iter().zip(&self.second));
        let results = self.mean.iter_mut().zip(&mut self.m2);
        for ((mean, m2), (&pivot, (&first, &second))) in results.zip(sums) {
            let spread = combine(pivot.into(), first.into(), second.into(), count);
            *mean = spread.mean;
            *m2 = spread.m2;
        }
    }
}

/// Mean and M2 of neighbours that stand for `count` values each.
#[inline(always)]
fn merge_equal(count: u64, mean: &[f64], m2: &[f64]) -> (f64, f64) {
    let columns = mean.len() as f64;
    let pivot = mean[0];
    let first = eight_sums(mean, |mean| mean - pivot);
    let centre = pivot + first / columns;
    if !centre.is_finite() {
        return (mean.iter().sum(), f64::NAN);
    }
    let rest = eight_sums(mean, |mean| mean - centre);
    let between = eight_sums(mean, |mean| (mean - centre) * (mean - centre));
    let within = eight_sums(m2, |m2| m2);
    let between = between - rest * rest / columns;
    (centre + rest / columns, within + count as f64 * between)
}

/// The sum over `values`, eight at a time.
#[inline(always)]
fn eight_sums(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let (blocks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for block in blocks {
        for (sum, &value) in sums.iter_mut().zip(block) {
            *sum += f(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += f(value);
    }
    let [a, b, c, d, e, g, h, i] = sums;
    ((a + b) + (c + d)) + ((e + g) + (h + i))
}
