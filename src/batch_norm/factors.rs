//! `(x − centre)·factor + offset` per channel, over memory in one pass.
//!
//! A contiguous value is walked in pieces that need not begin at a channel, so work can be cut
//! anywhere; others go channel by channel through ndarray.

use ndarray::{ArrayViewD, ArrayViewMutD, Axis};
use rayon::prelude::*;

use super::element::Element;
use super::gather::least_tasks;
use super::geometry::Geometry;
use super::lanes::{Across, Lanes, Within};
use super::real::Real;
use super::simd::vectorize;
use super::walk::{Pattern, Walk, normalize};

/// The three numbers per channel.
#[derive(Debug, Clone)]
pub(super) struct Factors<F> {
    pub(super) centre: Vec<F>,
    pub(super) factor: Vec<F>,
    pub(super) offset: Vec<F>,
}

impl Factors<f64> {
    /// The same in f32: `centre` rounded, what that loses carried by `offset`.
    ///
    /// `None` where f32 cannot hold a factor to its full precision.
    pub(super) fn narrow(&self) -> Option<Factors<f32>> {
        let length = self.centre.len();
        let mut narrow = Factors {
            centre: Vec::with_capacity(length),
            factor: Vec::with_capacity(length),
            offset: Vec::with_capacity(length),
        };
        for ((&mean, &factor), &b) in self.centre.iter().zip(&self.factor).zip(&self.offset) {
            let centre = mean as f32;
            let remainder = mean - f64::from(centre);
            let offset = b - remainder * factor;
            if ![mean, factor, offset].into_iter().all(fits_f32) {
                return None;
            }
            narrow.centre.push(centre);
            narrow.factor.push(factor as f32);
            narrow.offset.push(offset as f32);
        }
        Some(narrow)
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
                let factors = self.at(channel);
                x.map_inplace(|x| *x = normalize(F::load(*x), factors).store());
            }
            return;
        }
        for mut sample in x.axis_iter_mut(Axis(0)) {
            for (activation, x) in sample.iter_mut().enumerate() {
                *x = normalize(F::load(*x), self.at(activation)).store();
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

    #[inline(always)]
    pub(super) fn at(&self, channel: usize) -> [F; 3] {
        [
            self.centre[channel],
            self.factor[channel],
            self.offset[channel],
        ]
    }
}

/// Elements that one thread takes at a time, at most: whole blocks.
const PIECE: usize = 1 << 15;

/// What is walked at a time, and where in the pattern it begins.
fn tasks<F: Real, T: Element, L: Lanes<T>>(pattern: &Pattern<F>, lanes: L) -> Vec<(usize, Vec<L>)> {
    let together = pattern.together();
    if together == 1 {
        let starts = (0..).step_by(PIECE).map(|place| place % pattern.period());
        let pieces = lanes.chunks(PIECE).map(|piece| vec![piece]);
        return starts.zip(pieces).collect();
    }
    let mut tasks: Vec<(usize, Vec<L>)> = Vec::new();
    let width = PIECE / together;
    let part = pattern.part::<T>(width);
    let mut parts = lanes.chunks(part).peekable();
    while parts.peek().is_some() {
        let first = tasks.len();
        for part in parts.by_ref().take(together) {
            for (place, piece) in part.chunks(width).enumerate() {
                if first + place == tasks.len() {
                    tasks.push((place * width, Vec::with_capacity(together)));
                }
                tasks[first + place].1.push(piece);
            }
        }
    }
    tasks
}
