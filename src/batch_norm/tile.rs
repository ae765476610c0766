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
use super::sums::{Rows, combine, is_sound};

/// What lies contiguously of each sample: `channels × inner` elements.
pub(super) struct Tile<'a, T, F> {
    samples: &'a [&'a [T]],
    channels: usize,
    arithmetic: PhantomData<F>,
}

/// Channels of a tile that stand for the others.
const FEW: usize = 8;

impl<'a, T: Element, F: Real> Tile<'a, T, F> {
    pub(super) fn new(samples: &'a [&'a [T]], channels: usize) -> Self {
        Self {
            samples,
            channels,
            arithmetic: PhantomData,
        }
    }

    /// Whether the means of most channels, as a few of them tell, are so near zero that sums need no
    /// pivot.
    #[inline(always)]
    fn is_around_zero<S: Simd>(&self, simd: S, inner: usize) -> bool {
        let (mut near, mut far) = (0, 0);
        for channel in (0..self.channels).step_by(self.channels.div_ceil(FEW)) {
            if Rows::new(self.samples, channel * inner, inner).is_around_zero::<S, F>(simd) {
                near += 1;
            } else {
                far += 1;
            }
        }
        near > far
    }

    /// `SHORT` is whether rows have at most two blocks.
    #[inline(always)]
    fn by_channel<S: Simd, const SHORT: bool>(self, simd: S, inner: usize) -> Moments {
        let rows = |channel| Rows::new(self.samples, channel * inner, inner);
        // One loop for each step: within a channel every step waits for the one before.
        let mut pivots: Vec<F> = vec![F::zeroed(); self.channels];
        let mut sums = Vec::with_capacity(self.channels);
        if self.is_around_zero(simd, inner) {
            for channel in 0..self.channels {
                sums.push(rows(channel).sums::<S, F, SHORT, false>(simd, F::zeroed()));
            }
        } else {
            for (channel, pivot) in pivots.iter_mut().enumerate() {
                *pivot = rows(channel).pivot(simd);
            }
            for (channel, &pivot) in pivots.iter().enumerate() {
                sums.push(rows(channel).sums::<S, F, SHORT, true>(simd, pivot));
            }
        }
        let count = (self.samples.len() * inner) as f64;
        let mut mean = vec![0.0; self.channels];
        let mut m2 = vec![0.0; self.channels];
        let mut all_sound = true;
        let moments = mean.iter_mut().zip(&mut m2);
        for ((&pivot, &[first, second]), (mean, m2)) in pivots.iter().zip(&sums).zip(moments) {
            let spread = combine(pivot.into(), first, second, count);
            (*mean, *m2) = (spread.mean, spread.m2);
            all_sound &= is_sound::<F>(first, second, count);
        }
        if !all_sound {
            for (channel, (pivot, sums)) in pivots.into_iter().zip(sums).enumerate() {
                let spread = rows(channel).spread::<S, F, SHORT>(simd, pivot, sums);
                (mean[channel], m2[channel]) = (spread.mean, spread.m2);
            }
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
