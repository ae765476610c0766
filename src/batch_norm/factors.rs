//! `(x − centre)·factor + offset` per channel, over memory in one pass.
//!
//! A contiguous value is walked in pieces that need not begin at a channel, so work can be cut
//! anywhere; others go channel by channel through ndarray.

use std::marker::PhantomData;

use ndarray::{ArrayViewD, ArrayViewMutD, Axis};
use rayon::prelude::*;

use super::element::Element;
use super::geometry::Geometry;
use super::lanes::{Across, Lanes, Within};
use super::real::Real;
use super::simd::{BLOCK, Vector, Work, vectorize};

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
        if x.strides() == y.strides()
            && let Some(geometry) = Geometry::of(x, spatial)
            && let Some(from) = x.as_slice_memory_order()
            && let Some(to) = y.as_slice_memory_order_mut()
        {
            return match self.along(geometry, from.len()) {
                Some((factors, geometry)) => factors.across(geometry, from, to),
                None => self.across(geometry, from, to),
            };
        }
        y.assign(x);
        self.run_in_place(y, spatial);
    }

    /// Replaces `x` by the results.
    pub(super) fn run_in_place<T: Element>(&self, mut x: ArrayViewMutD<'_, T>, spatial: bool) {
        if x.is_empty() {
            return;
        }
        if let Some(geometry) = Geometry::of(&x.view(), spatial)
            && let Some(values) = x.as_slice_memory_order_mut()
        {
            return match self.along(geometry, values.len()) {
                Some((factors, geometry)) => factors.within(geometry, values),
                None => self.within(geometry, values),
            };
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

    /// The factors laid out as the elements are, where channels are too short to walk by rows and
    /// `length` elements are worth it.
    fn along(&self, geometry: Geometry, length: usize) -> Option<(Self, Geometry)> {
        let Geometry { channels, inner } = geometry;
        let sample = channels * inner;
        let is_wide = inner == 1 && channels >= NARROW;
        if is_wide || inner >= BLOCK || channels == 1 || length / 4 < sample.max(NARROW) {
            return None;
        }
        let repeats = NARROW.div_ceil(sample);
        let lay_out = |values: &[F]| -> Vec<F> {
            let sample = values
                .iter()
                .flat_map(|value| std::iter::repeat_n(*value, inner));
            let sample: Vec<F> = sample.collect();
            sample.repeat(repeats)
        };
        let factors = Self {
            centre: lay_out(&self.centre),
            factor: lay_out(&self.factor),
            offset: lay_out(&self.offset),
        };
        let geometry = Geometry {
            channels: sample * repeats,
            inner: 1,
        };
        Some((factors, geometry))
    }

    /// Cuts a contiguous value into pieces, for all threads if there are enough.
    fn across<T: Element>(&self, geometry: Geometry, from: &[T], to: &mut [T]) {
        if is_small::<T>(from.len()) {
            return vectorize(self.walk(geometry, 0, Across { from, to }));
        }
        let pieces = from.par_chunks(PIECE).zip(to.par_chunks_mut(PIECE));
        pieces.enumerate().for_each(|(piece, (from, to))| {
            vectorize(self.walk(geometry, piece * PIECE, Across { from, to }));
        });
    }

    fn within<T: Element>(&self, geometry: Geometry, values: &mut [T]) {
        if is_small::<T>(values.len()) {
            return vectorize(self.walk(geometry, 0, Within(values)));
        }
        let pieces = values.par_chunks_mut(PIECE).enumerate();
        pieces.for_each(|(piece, values)| {
            vectorize(self.walk(geometry, piece * PIECE, Within(values)));
        });
    }

    /// The walk over `lanes`, whose first element is number `start` of the value.
    fn walk<T, L>(&self, geometry: Geometry, start: usize, lanes: L) -> Walk<'_, F, T, L> {
        Walk {
            factors: self,
            geometry,
            start,
            lanes,
            element: PhantomData,
        }
    }

    #[inline(always)]
    fn at(&self, channel: usize) -> [F; 3] {
        [
            self.centre[channel],
            self.factor[channel],
            self.offset[channel],
        ]
    }
}

struct Walk<'a, F, T, L> {
    factors: &'a Factors<F>,
    geometry: Geometry,
    start: usize,
    lanes: L,
    element: PhantomData<T>,
}

impl<F: Real, T: Element, L: Lanes<T>> Work for Walk<'_, F, T, L> {
    type Output = ();

    #[inline(always)]
    fn run(self, vector: impl Vector) {
        if self.geometry.inner == 1 {
            self.columns(vector);
        } else {
            self.rows(vector);
        }
    }
}

impl<F: Real, T: Element, L: Lanes<T>> Walk<'_, F, T, L> {
    #[inline(always)]
    fn rows(self, vector: impl Vector) {
        let Geometry { channels, inner } = self.geometry;
        let mut lanes = self.lanes;
        let mut channel = self.start / inner % channels;
        let mut length = inner - self.start % inner;
        while lanes.len() > 0 {
            let whole = length.min(lanes.len());
            let (row, rest) = lanes.split_at(whole);
            let factors = self.factors.at(channel);
            F::map(vector, row, |x| normalize(x, factors));
            lanes = rest;
            length = inner;
            channel = if channel + 1 == channels {
                0
            } else {
                channel + 1
            };
        }
    }

    #[inline(always)]
    fn columns(self, vector: impl Vector) {
        let channels = self.geometry.channels;
        let mut lanes = self.lanes;
        let mut channel = self.start % channels;
        while lanes.len() > 0 {
            let length = (channels - channel).min(lanes.len());
            let (row, rest) = lanes.split_at(length);
            let columns = channel..channel + length;
            let factors = [
                &self.factors.centre[columns.clone()],
                &self.factors.factor[columns.clone()],
                &self.factors.offset[columns],
            ];
            F::map_with(vector, row, factors, normalize);
            lanes = rest;
            channel = 0;
        }
    }
}

#[inline(always)]
fn normalize<F: Real>(x: F, [centre, factor, offset]: [F; 3]) -> F {
    (x - centre) * factor + offset
}

/// Rows of factors below this are repeated.
const NARROW: usize = 512;

/// Elements that one thread takes at a time.
const PIECE: usize = 1 << 15;

/// Whether waking other threads would cost more than it saves.
fn is_small<T>(length: usize) -> bool {
    length * size_of::<T>() < 1 << 19 || rayon::current_num_threads() == 1
}
