//! Moments of some channels in some samples, as one thread works on them.
//!
//! Channels of at least a block are summed one by one, shorter ones as columns.

use std::marker::PhantomData;

use fearless_simd::Simd;

use super::columns;
use super::element::Element;
use super::moments::Moments;
use super::real::Real;
use super::simd::{BLOCK, Work};
use super::sums::Rows;

/// What lies contiguously of each sample: `channels × inner` elements.
pub(super) struct Tile<'a, T, F> {
    samples: &'a [&'a [T]],
    channels: usize,
    arithmetic: PhantomData<F>,
}

impl<'a, T: Element, F: Real> Tile<'a, T, F> {
    pub(super) fn new(samples: &'a [&'a [T]], channels: usize) -> Self {
        Self {
            samples,
            channels,
            arithmetic: PhantomData,
        }
    }

    /// `SHORT` is whether rows have at most two blocks.
    #[inline(always)]
    fn by_channel<S: Simd, const SHORT: bool>(self, simd: S, inner: usize) -> Moments {
        let rows = |channel| Rows::new(self.samples, channel * inner, inner);
        // One loop for each step: within a channel every step waits for the one before.
        let mut pivots: Vec<F> = Vec::with_capacity(self.channels);
        for channel in 0..self.channels {
            pivots.push(rows(channel).pivot(simd));
        }
        let mut sums = Vec::with_capacity(self.channels);
        for (channel, &pivot) in pivots.iter().enumerate() {
            sums.push(rows(channel).sums::<S, F, SHORT>(simd, pivot));
        }
        let mut mean = Vec::with_capacity(self.channels);
        let mut m2 = Vec::with_capacity(self.channels);
        for (channel, (pivot, sums)) in pivots.into_iter().zip(sums).enumerate() {
            let spread = rows(channel).spread::<S, F, SHORT>(simd, pivot, sums);
            mean.push(spread.mean);
            m2.push(spread.m2);
        }
        Moments::from_parts((self.samples.len() * inner) as u64, mean, m2)
    }
}

impl<T: Element, F: Real> Work for Tile<'_, T, F> {
    type Output = Moments;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Moments {
        let inner = self.samples[0].len() / self.channels;
        if inner < BLOCK {
            return columns::moments::<S, T, F>(simd, self.samples, self.channels);
        }
        if inner > 2 * BLOCK {
            self.by_channel::<S, false>(simd, inner)
        } else {
            self.by_channel::<S, true>(simd, inner)
        }
    }
}
