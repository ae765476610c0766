//! `(x − centre)·factor + offset` per channel, over memory in one pass.
//!
//! A contiguous value is walked in pieces that need not begin at a channel, so work can be cut
//! anywhere; others go channel by channel through ndarray.

use std::ops::RangeInclusive;

use ndarray::{ArrayViewD, ArrayViewMutD, Axis};
use rayon::prelude::*;

use super::element::Element;
use super::gather::least_tasks;
use super::geometry::Geometry;
use super::lanes::{Across, Lanes, Within};
use super::real::Real;
use super::simd::{BLOCK, vectorize};
use super::walk::{Pattern, Walk, normalize};

/// Centre, factor and offset of each channel.
#[derive(Debug, Clone)]
pub(super) struct Factors<F>(pub(super) Vec<[F; 3]>);

impl Factors<f64> {
    /// The same in f32: the centre rounded, what that loses carried by the offset.
    ///
    /// `None` where f32 cannot hold a factor to its full precision.
    pub(super) fn narrow(&self) -> Option<Factors<f32>> {
        let narrow = self.0.iter().map(|&[mean, factor, b]| {
            let centre = mean as f32;
            let remainder = mean - f64::from(centre);
            let offset = b - remainder * factor;
            let fits = [mean, factor, offset].into_iter().all(fits_f32);
            fits.then_some([centre, factor as f32, offset as f32])
        });
        narrow.collect::<Option<_>>().map(Factors)
    }
}

/// Whether the nearest f32 is finite and off by no more than half a unit in the last place.
fn fits_f32(value: f64) -> bool {
    let narrow = value as f32;
    narrow.is_normal() || (narrow.is_finite() && f64::from(narrow) == value)
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
                let factors = self.0[channel];
                x.map_inplace(|x| *x = normalize(F::load(*x), factors).store());
            }
            return;
        }
        for mut sample in x.axis_iter_mut(Axis(0)) {
            for (activation, x) in sample.iter_mut().enumerate() {
                *x = normalize(F::load(*x), self.0[activation]).store();
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
        let tasks = tasks(&pattern, lanes);
        let tasks = tasks.into_par_iter();
        tasks
            .with_min_len(least_tasks::<T>(length))
            .for_each(|(start, parts)| {
                vectorize(Walk::new(&pattern, start, parts));
            });
    }

    /// Walks through parts that all begin with the first channel.
    pub(super) fn walk<T: Element, L: Lanes<T>>(&self, geometry: Geometry, parts: Vec<L>) {
        let longest = parts.iter().map(Lanes::len).max().unwrap_or(0);
        let pattern = Pattern::new::<T>(self, geometry, 0, longest);
        vectorize(Walk::new(&pattern, 0, parts));
    }
}

/// Elements that one thread takes at a time, at least and at most: whole blocks.
const PIECE: RangeInclusive<usize> = 1 << 15..=1 << 18;

/// Pieces for each thread, so that none waits long for another.
const SHARES: usize = 4;

/// What is walked at a time, and where in the pattern it begins.
fn tasks<F: Real, T: Element, L: Lanes<T>>(
    pattern: &Pattern<'_, F>,
    lanes: L,
) -> Vec<(usize, Vec<L>)> {
    let share = lanes.len() / (SHARES * rayon::current_num_threads());
    let piece = share.clamp(*PIECE.start(), *PIECE.end()) / BLOCK * BLOCK;
    let period = pattern.period();
    let Some(strip) = pattern.strip() else {
        let starts = (0..).step_by(piece).map(|place| place % period);
        let pieces = lanes.chunks(piece).map(|piece| vec![piece]);
        return starts.zip(pieces).collect();
    };
    let together = piece.div_ceil(strip);
    let mut tasks: Vec<(usize, Vec<L>)> = Vec::new();
    let mut first = 0;
    for (number, sample) in lanes.chunks(period).enumerate() {
        if number % together == 0 {
            first = tasks.len();
        }
        for (place, part) in sample.chunks(strip).enumerate() {
            if first + place == tasks.len() {
                tasks.push((place * strip, Vec::with_capacity(together)));
            }
            tasks[first + place].1.push(part);
        }
    }
    tasks
}
