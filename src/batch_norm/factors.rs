//! `(x − centre)·factor + offset` per channel, over memory in one pass.
//!
//! A contiguous value is walked in pieces that need not begin at a channel, so work can be cut
//! anywhere; others go channel by channel through ndarray.

use ndarray::{ArrayViewD, ArrayViewMutD, Axis};

use super::element::{Element, Real};
use super::geometry::Geometry;
use super::lanes::{Across, Lanes, Within};

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
        if x.strides() == y.strides()
            && let Some(geometry) = Geometry::of(x, spatial)
            && let Some(from) = x.as_slice_memory_order()
            && let Some(to) = y.as_slice_memory_order_mut()
        {
            return self.walk(geometry, 0, Across { from, to });
        }
        y.assign(x);
        self.run_in_place(y, spatial);
    }

    /// Replaces `x` by the results.
    pub(super) fn run_in_place<T: Element>(&self, mut x: ArrayViewMutD<'_, T>, spatial: bool) {
        if let Some(geometry) = Geometry::of(&x.view(), spatial)
            && let Some(values) = x.as_slice_memory_order_mut()
        {
            return self.walk(geometry, 0, Within(values));
        }
        if spatial && x.ndim() > 1 {
            for (channel, mut x) in x.axis_iter_mut(Axis(1)).enumerate() {
                let factors = self.at(channel);
                x.map_inplace(|x| *x = normalize(*x, factors));
            }
            return;
        }
        for mut sample in x.axis_iter_mut(Axis(0)) {
            for (activation, x) in sample.iter_mut().enumerate() {
                *x = normalize(*x, self.at(activation));
            }
        }
    }

    /// Walks `lanes`, whose first element is number `start` of the value.
    fn walk<T: Element>(&self, geometry: Geometry, start: usize, lanes: impl Lanes<T>) {
        if geometry.inner == 1 {
            self.walk_columns(start % geometry.channels, lanes);
        } else {
            self.walk_rows(geometry, start, lanes);
        }
    }

    fn walk_rows<T: Element>(&self, geometry: Geometry, start: usize, mut lanes: impl Lanes<T>) {
        let mut channel = start / geometry.inner % geometry.channels;
        let mut length = geometry.inner - start % geometry.inner;
        while lanes.len() > 0 {
            let whole = length.min(lanes.len());
            let (row, rest) = lanes.split_at(whole);
            let factors = self.at(channel);
            row.map(|x| normalize(x, factors));
            lanes = rest;
            length = geometry.inner;
            channel = if channel + 1 == geometry.channels {
                0
            } else {
                channel + 1
            };
        }
    }

    fn walk_columns<T: Element>(&self, mut channel: usize, mut lanes: impl Lanes<T>) {
        while lanes.len() > 0 {
            let length = (self.centre.len() - channel).min(lanes.len());
            let (row, rest) = lanes.split_at(length);
            let columns = channel..channel + length;
            let factors = [
                &self.centre[columns.clone()],
                &self.factor[columns.clone()],
                &self.offset[columns],
            ];
            row.map_with(factors, normalize);
            lanes = rest;
            channel = 0;
        }
    }

    fn at(&self, channel: usize) -> [F; 3] {
        [
            self.centre[channel],
            self.factor[channel],
            self.offset[channel],
        ]
    }
}

#[inline(always)]
fn normalize<T: Element, F: Real>(x: T, [centre, factor, offset]: [F; 3]) -> T {
    ((F::load(x) - centre) * factor + offset).store()
}
