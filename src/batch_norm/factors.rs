//! `(x − centre)·factor + offset` per channel, over memory in one pass.
//!
//! A contiguous value is walked in pieces that need not begin at a channel, so work can be cut
//! anywhere; others go channel by channel through ndarray.

use std::ops::RangeInclusive;

use fearless_simd::Simd;
use ndarray::{ArrayViewD, ArrayViewMutD, Axis};
use rayon::prelude::*;

use super::element::Element;
use super::gather::least_tasks;
use super::geometry::Geometry;
use super::lanes::{Across, Lanes, Within};
use super::real::Real;
use super::simd::{BLOCK, Work, vectorize};
use super::walk::{Part, Pattern, Walk, normalize};

/// Centre, factor and offset of each channel.
#[derive(Debug, Clone)]
pub(super) struct Factors<F> {
    pub(super) channels: Vec<[F; 3]>,
    /// Whether centres are other than zero.
    pub(super) centred: bool,
}

impl Factors<f64> {
    /// The same in f32: the centre rounded, what that loses carried by the offset.
    ///
    /// `None` where f32 cannot hold a factor to its full precision.
    pub(super) fn narrow(&self) -> Option<Factors<f32>> {
        vectorize(Narrowing {
            wide: self,
            centred: true,
        })
    }

    /// The same in f32 with all of the centre carried by the offset.
    ///
    /// `None` where f32 cannot hold a factor to its full precision.
    pub(super) fn merged(&self) -> Option<Factors<f32>> {
        vectorize(Narrowing {
            wide: self,
            centred: false,
        })
    }
}

/// Rounds factors to f32, the centres too or all of them carried by the offsets.
struct Narrowing<'a> {
    wide: &'a Factors<f64>,
    centred: bool,
}

impl Work for Narrowing<'_> {
    type Output = Option<Factors<f32>>;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Self::Output {
        let Self { wide, centred } = self;
        let mut channels = vec![[0.0; 3]; wide.channels.len()];
        let mut all_fit = true;
        for (narrow, &[mean, factor, b]) in channels.iter_mut().zip(&wide.channels) {
            let centre = if centred { mean as f32 } else { 0.0 };
            let offset = b - (mean - f64::from(centre)) * factor;
            *narrow = [centre, factor as f32, offset as f32];
            all_fit &= fits(centre, mean) | !centred;
            all_fit &= fits(narrow[1], factor) & fits(narrow[2], offset);
        }
        all_fit.then_some(Factors { channels, centred })
    }
}

/// Whether the f32 next to `value` is finite and off by no more than half a unit in the last place.
#[inline(always)]
fn fits(narrow: f32, value: f64) -> bool {
    let is_normal = narrow.abs() >= f32::MIN_POSITIVE;
    (narrow.abs() <= f32::MAX) & (is_normal | (f64::from(narrow) == value))
}

impl<F: Real> Factors<F> {
    /// Writes the results for `x` to `y`, which has the same shape.
    pub(super) fn run<T: Element>(
        &self,
        x: &ArrayViewD<'_, T>,
        mut y: ArrayViewMutD<'_, T>,
        spatial: bool,
    ) {
        if x.is_empty() {
            return;
        }
        if let Some((geometry, lanes)) = Across::of(x, &mut y, spatial) {
            return self.everywhere(geometry, lanes);
        }
        y.assign(x);
        self.run_in_place(y, spatial);
    }

    /// Replaces `x` by the results.
    pub(super) fn run_in_place<T: Element>(&self, mut x: ArrayViewMutD<'_, T>, spatial: bool) {
        if x.is_empty() {
            return;
        }
        if let Some((geometry, lanes)) = Within::of(&mut x, spatial) {
            return self.everywhere(geometry, lanes);
        }
        if spatial && x.ndim() > 1 {
            for (channel, mut x) in x.axis_iter_mut(Axis(1)).enumerate() {
                let factors = self.channels[channel];
                x.map_inplace(|x| *x = normalize(F::load(*x), factors).store());
            }
            return;
        }
        for mut sample in x.axis_iter_mut(Axis(0)) {
            for (activation, x) in sample.iter_mut().enumerate() {
                *x = normalize(F::load(*x), self.channels[activation]).store();
            }
        }
    }

    /// Walks through a contiguous value, in pieces for all threads if there are enough.
    fn everywhere<T: Element, L: Lanes<T>>(&self, geometry: Geometry, lanes: L) {
        let lead = lanes.lead();
        let (head, lanes) = lanes.split_at(lead);
        self.walk(geometry, vec![head]);
        let length = lanes.len();
        let pattern = Pattern::new::<T>(self, geometry, lead, length);
        let share = length / (SHARES * rayon::current_num_threads());
        let piece = share.clamp(*PIECE.start(), *PIECE.end()) / BLOCK * BLOCK;
        let (mut parts, together) = match pattern.strip() {
            None => (along(lanes, piece, pattern.period()), 1),
            Some(strip) => {
                let together = piece.div_ceil(strip);
                (
                    by_strips(lanes, pattern.period(), strip, together),
                    together,
                )
            }
        };
        parts
            .par_chunks_mut(together)
            .with_min_len(least_tasks::<T>(length))
            .for_each(|parts| self.walk_through(&pattern, parts));
    }

    /// Walks through parts that all begin with the first channel.
    pub(super) fn walk<T: Element, L: Lanes<T>>(&self, geometry: Geometry, parts: Vec<L>) {
        let longest = parts.iter().map(Lanes::len).max().unwrap_or(0);
        let pattern = Pattern::new::<T>(self, geometry, 0, longest);
        let parts = parts.into_iter().map(|lanes| Part { start: 0, lanes });
        let mut parts: Vec<Part<L>> = parts.collect();
        self.walk_through(&pattern, &mut parts);
    }

    fn walk_through<T: Element, L: Lanes<T>>(
        &self,
        pattern: &Pattern<'_, F>,
        parts: &mut [Part<L>],
    ) {
        if T::COARSE && !self.centred {
            vectorize(Walk::<F, T, L, false>::new(pattern, parts));
        } else {
            vectorize(Walk::<F, T, L, true>::new(pattern, parts));
        }
    }
}

/// Elements that one thread takes at a time, at least and at most: whole blocks.
const PIECE: RangeInclusive<usize> = 1 << 15..=1 << 18;

/// Pieces for each thread, so that none waits long for another.
const SHARES: usize = 4;

/// Pieces, one after the other.
fn along<T: Element, L: Lanes<T>>(lanes: L, piece: usize, period: usize) -> Vec<Part<L>> {
    let starts = (0..).step_by(piece).map(|place| place % period);
    let parts = starts.zip(lanes.chunks(piece));
    parts.map(|(start, lanes)| Part { start, lanes }).collect()
}

/// The first strip of as many samples as go together, then their next one, before the next samples.
fn by_strips<T: Element, L: Lanes<T>>(
    lanes: L,
    sample: usize,
    strip: usize,
    together: usize,
) -> Vec<Part<L>> {
    let mut parts = Vec::new();
    let mut samples = lanes.chunks(sample);
    loop {
        let mut group: Vec<L> = samples.by_ref().take(together).collect();
        if group.is_empty() {
            return parts;
        }
        for start in (0..sample).step_by(strip) {
            for rest in &mut group {
                let whole = rest.take();
                let length = strip.min(whole.len());
                let (lanes, others) = whole.split_at(length);
                parts.push(Part { start, lanes });
                *rest = others;
            }
        }
    }
}
