//! Spreads of rows whose elements lie side by side, each from pieces that fit the nearest cache.

use std::marker::PhantomData;

use super::element::Element;
use super::gather::TASK;
use super::moments::merge;
use super::real::Real;
use super::simd::{Vector, Work};
use super::sums::{Spread, spread};

/// Elements that are summed at a time.
const PIECE: usize = 2048;

/// Some neighbouring units: rows, or the segments of a row that is longer than a task.
pub(super) struct Rows<'a, T, F> {
    pub(super) values: &'a [T],
    /// Length of a row.
    pub(super) inner: usize,
    /// Number of the first unit.
    pub(super) first: usize,
    /// Where the means of the units go.
    pub(super) mean: &'a mut [f64],
    /// Where their M2 go.
    pub(super) m2: &'a mut [f64],
    pub(super) arithmetic: PhantomData<F>,
}

impl<T: Element, F: Real> Work for Rows<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: impl Vector) {
        let segments = self.inner.div_ceil(TASK);
        let results = self.mean.iter_mut().zip(self.m2);
        for (unit, (mean, m2)) in (self.first..).zip(results) {
            let (row, segment) = (unit / segments, unit % segments);
            let start = row * self.inner + segment * TASK;
            let end = (start + TASK).min((row + 1) * self.inner);
            let spread = unit_spread::<T, F>(vector, &self.values[start..end]);
            *mean = spread.mean;
            *m2 = spread.m2;
        }
    }
}

#[inline(always)]
fn unit_spread<T: Element, F: Real>(vector: impl Vector, values: &[T]) -> Spread {
    let mut whole = Spread { mean: 0.0, m2: 0.0 };
    let mut count = 0;
    for piece in values.chunks(PIECE) {
        let part = spread::<T, F>(vector, piece);
        let ours = [&mut whole.mean, &mut whole.m2].map(std::slice::from_mut);
        let theirs = [&part.mean, &part.m2].map(std::slice::from_ref);
        merge(count, ours, piece.len() as u64, theirs);
        count += piece.len() as u64;
    }
    whole
}
