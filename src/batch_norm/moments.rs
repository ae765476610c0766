//! Mean and variance per channel, of any number of values, merged exactly.
//!
//! Chan, Golub and LeVeque's parallel update in f64: with `δ = mean_b − mean_a` and `n = n_a + n_b`,
//! `mean = mean_a + δ·n_b/n` and `M2 = M2_a + M2_b + δ²·n_a·n_b/n`; the variance is `M2/n`, that of
//! the population. Nothing is squared before its mean is taken off.
//! The order of merging is fixed by the shape, so threads do not change the result.

use ndarray::{ArrayView, ArrayViewD, Dimension};

use super::element::Element;
use super::error::BatchNormError;
use super::gather;
use super::geometry::{self, Geometry};
use super::real::Real;

/// Count, mean and sum of squared deviations, per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    count: u64,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

impl Moments {
    /// Nothing seen yet.
    #[must_use]
    pub fn empty(channels: usize) -> Self {
        Self {
            count: 0,
            mean: vec![0.0; channels],
            m2: vec![0.0; channels],
        }
    }

    /// The moments of a value over all axes but axis 1 (over axis 0 alone unless `spatial`), in f64.
    ///
    /// # Errors
    /// A scalar.
    pub fn of<T: Element, D: Dimension>(
        view: &ArrayView<'_, T, D>,
        spatial: bool,
    ) -> Result<Self, BatchNormError> {
        Self::in_arithmetic::<T, f64>(&view.view().into_dyn(), spatial)
    }

    /// Like [`of`](Self::of), with the short sums in `F`.
    pub(super) fn in_arithmetic<T: Element, F: Real>(
        view: &ArrayViewD<'_, T>,
        spatial: bool,
    ) -> Result<Self, BatchNormError> {
        let channels = geometry::channels(view.shape(), spatial)?;
        if view.is_empty() {
            return Ok(Self::empty(channels));
        }
        if let Some(geometry) = Geometry::of(view, spatial)
            && let Some(values) = view.as_slice_memory_order()
        {
            return Ok(gather::moments::<T, F>(values, geometry));
        }
        let packed = view.as_standard_layout();
        let geometry = Geometry::standard(view.shape(), channels, spatial);
        let values = packed.as_slice().unwrap_or_default();
        Ok(gather::moments::<T, F>(values, geometry))
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn merge(&mut self, other: &Self) -> Result<(), BatchNormError> {
        if self.channels() != other.channels() {
            return Err(BatchNormError::MomentChannels {
                left: self.channels(),
                right: other.channels(),
            });
        }
        self.absorb(other);
        Ok(())
    }

    /// The number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// The number of elements seen per channel.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean per channel; zero while nothing is seen.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The population variance per channel; zero while nothing is seen.
    #[must_use]
    pub fn var(&self) -> Vec<f64> {
        let count = self.count.max(1) as f64;
        self.m2.iter().map(|m2| m2 / count).collect()
    }
}

impl Moments {
    /// From vectors of equal length.
    pub(super) fn from_parts(count: u64, mean: Vec<f64>, m2: Vec<f64>) -> Self {
        Self { count, mean, m2 }
    }

    /// One after the other, parts of different channels that have seen equally many values.
    pub(super) fn side_by_side(parts: Vec<Self>) -> Self {
        let mut all = Self::empty(0);
        for part in parts {
            all.count = part.count;
            all.mean.extend(part.mean);
            all.m2.extend(part.m2);
        }
        all
    }

    /// Merges channels that stand for the same ones again and again.
    pub(super) fn folded(self, channels: usize) -> Self {
        if self.channels() == channels {
            return self;
        }
        let mut folded = Self::empty(channels);
        for (mean, m2) in self.mean.chunks(channels).zip(self.m2.chunks(channels)) {
            folded.absorb(&Self::from_parts(self.count, mean.to_vec(), m2.to_vec()));
        }
        folded
    }

    /// [`merge`](Self::merge) for as many channels.
    pub(super) fn absorb(&mut self, other: &Self) {
        merge(
            self.count,
            [&mut self.mean, &mut self.m2],
            other.count,
            [&other.mean, &other.m2],
        );
        self.count += other.count;
    }
}

/// Merges means and M2 of `more` values per channel into those of `count` values.
#[inline(always)]
pub(super) fn merge(
    count: u64,
    [mean, m2]: [&mut [f64]; 2],
    more: u64,
    [more_mean, more_m2]: [&[f64]; 2],
) {
    if more == 0 {
        return;
    }
    if count == 0 {
        mean.copy_from_slice(more_mean);
        m2.copy_from_slice(more_m2);
        return;
    }
    let share = more as f64 / (count + more) as f64;
    let both = count as f64 * share;
    let others = more_mean.iter().zip(more_m2);
    for ((mean, m2), (&more_mean, &more_m2)) in mean.iter_mut().zip(m2).zip(others) {
        let difference = more_mean - *mean;
        // Infinite means have no difference, but still a sum.
        *mean += if difference.is_finite() {
            difference * share
        } else {
            more_mean
        };
        *m2 += more_m2 + difference * difference * both;
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use ndarray::{ArrayD, Axis, IxDyn, Slice, arr2};

    use super::super::testing::{naive_moments, normals};
    use super::*;

    fn assert_close(moments: &Moments, mean: &[f64], var: &[f64]) {
        for (c, (found, expected)) in moments.mean().iter().zip(mean).enumerate() {
            let deviation = var[c].sqrt();
            assert!(
                (found - expected).abs() <= 1e-14 * (deviation + expected.abs()),
                "{c}"
            );
        }
        for (found, expected) in moments.var().iter().zip(var) {
            assert!(
                (found / expected - 1.0).abs() <= 1e-13,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn merged_batches_are_the_whole() {
        for shape in [&[60, 3, 5, 5][..], &[60, 7], &[60, 2, 30, 30], &[60, 2, 3]] {
            let x = normals::<f32>(1, shape, 100.0, 0.5);
            let (mean, var) = naive_moments(&x.view(), shape[1], true);
            for batch in [1, 7, 16, 59, 60] {
                let mut merged = Moments::empty(shape[1]);
                for part in x.axis_chunks_iter(Axis(0), batch) {
                    merged.merge(&Moments::of(&part, true).unwrap()).unwrap();
                }
                assert_eq!(merged.count(), (x.len() / shape[1]) as u64);
                assert_close(&merged, &mean, &var);
            }
        }
    }

    #[test]
    fn merging_is_exact_where_the_numbers_are() {
        let mut moments = Moments::of(&arr2(&[[1.0f64, 10.0], [3.0, 10.0]]).view(), true).unwrap();
        moments.merge(&Moments::empty(2)).unwrap();
        moments
            .merge(&Moments::of(&arr2(&[[8.0f64, 13.0]]).view(), true).unwrap())
            .unwrap();
        assert_eq!(moments.count(), 3);
        assert_eq!(moments.mean(), [4.0, 11.0]);
        assert_eq!(moments.var(), [26.0 / 3.0, 2.0]);
        let mut other = Moments::empty(2);
        other.merge(&moments).unwrap();
        assert_eq!(other, moments);
    }

    #[test]
    fn far_apart_batches_do_not_cancel() {
        let near = normals::<f64>(1, &[500, 1], 1e9, 1e-3);
        let far = normals::<f64>(2, &[300, 1], 1e9 + 1.0, 1e-3);
        let mut moments = Moments::of(&near.view(), true).unwrap();
        moments
            .merge(&Moments::of(&far.view(), true).unwrap())
            .unwrap();
        // Between the batches alone: 500·300/800² of the squared distance.
        let between = 150_000.0 / 640_000.0;
        assert!((moments.var()[0] / between - 1.0).abs() < 1e-3);
    }

    #[test]
    fn memory_order_and_gaps_hardly_matter() {
        let x = normals::<f16>(5, &[6, 4, 9, 31], -3.0, 0.25);
        let channels_last = {
            let last = x.view().permuted_axes(vec![0, 2, 3, 1]);
            last.as_standard_layout()
                .into_owned()
                .permuted_axes(vec![0, 3, 1, 2])
        };
        let (mean, var) = naive_moments(&x.view(), 4, true);
        assert_close(
            &Moments::of(&channels_last.view(), true).unwrap(),
            &mean,
            &var,
        );
        let gaps = x.slice_axis(Axis(3), Slice::new(0, None, -2));
        let (mean, var) = naive_moments(&gaps, 4, true);
        assert_close(&Moments::of(&gaps, true).unwrap(), &mean, &var);
    }

    #[test]
    fn nothing_seen_is_nothing() {
        let x = ArrayD::<f32>::zeros(IxDyn(&[0, 3, 2]));
        let moments = Moments::of(&x.view(), true).unwrap();
        assert_eq!(moments, Moments::empty(3));
        assert_eq!((moments.count(), moments.var()), (0, vec![0.0; 3]));
    }

    #[test]
    fn different_channels_do_not_merge() {
        let error = Moments::empty(2).merge(&Moments::empty(3)).unwrap_err();
        assert_eq!(error, BatchNormError::MomentChannels { left: 2, right: 3 });
        let scalar = ArrayD::<f32>::zeros(IxDyn(&[]));
        assert_eq!(
            Moments::of(&scalar.view(), true),
            Err(BatchNormError::Scalar)
        );
    }
}
