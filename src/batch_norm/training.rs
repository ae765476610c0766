//! Training mode: X normalised by the mean and the population variance of the batch itself.
//!
//! `running_mean = mean·momentum + batch mean·(1 − momentum)`, and so the variance: population
//! variance in every opset (14 and 15 say so, 1 to 13 leave it open).
//! Statistics are gathered over all axes but axis 1, in f64 for f64 data and otherwise as
//! [`Moments`] says, with short sums in f32.

use std::ops::Range;

use bytemuck::zeroed_vec;
use ndarray::{Array, ArrayView, ArrayViewD, ArrayViewMut, Dimension};

use super::attributes::{BatchNorm, Output};
use super::element::Element;
use super::error::BatchNormError;
use super::fused;
use super::geometry;
use super::lanes::{Across, Within};
use super::moments::Moments;
use super::normalizer::Normalizer;
use super::parameters::Parameters;

/// What training mode finds beside Y, per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Mean of the batch.
    pub mean: Vec<f64>,
    /// Population variance of the batch.
    pub var: Vec<f64>,
    /// The input mean, moved towards that of the batch.
    pub running_mean: Vec<f64>,
    /// The input variance, moved towards that of the batch.
    pub running_var: Vec<f64>,
}

impl Statistics {
    /// The values of an output, to be rounded to its dtype; `None` for Y.
    #[must_use]
    pub fn output(&self, output: Output) -> Option<&[f64]> {
        match output {
            Output::Y => None,
            Output::RunningMean => Some(&self.running_mean),
            Output::RunningVar => Some(&self.running_var),
            Output::SavedMean => Some(&self.mean),
            Output::SavedVar => Some(&self.var),
        }
    }
}

impl BatchNorm {
    /// Normalises `x` by its own statistics.
    ///
    /// # Errors
    /// A scalar, an empty value, or one whose channels are not those of the parameters.
    pub fn train<T: Element, D: Dimension>(
        &self,
        x: ArrayView<'_, T, D>,
        parameters: &Parameters,
    ) -> Result<(Array<T, D>, Statistics), BatchNormError> {
        if x.is_standard_layout()
            && let Ok(mut y) = Array::from_shape_vec(x.raw_dim(), zeroed_vec(x.len()))
        {
            let statistics = self.train_into(x, parameters, y.view_mut())?;
            return Ok((y, statistics));
        }
        let mut y = x.to_owned();
        let statistics = self.train_in_place(y.view_mut(), parameters)?;
        Ok((y, statistics))
    }

    /// Like [`train`](Self::train), with Y written to `y`.
    ///
    /// # Errors
    /// As [`train`](Self::train), and a target of another shape.
    pub fn train_into<T: Element, D: Dimension>(
        &self,
        x: ArrayView<'_, T, D>,
        parameters: &Parameters,
        y: ArrayViewMut<'_, T, D>,
    ) -> Result<Statistics, BatchNormError> {
        self.check(x.shape(), parameters)?;
        let (x, mut y) = (x.into_dyn(), y.into_dyn());
        if let Some((geometry, lanes)) = Across::of(&x, &mut y, self.spatial)
            && let Some(moments) = fused::train(self, parameters, geometry, lanes)
        {
            return Ok(self.statistics(&moments, parameters));
        }
        let moments = self.moments(&x)?;
        let channels = 0..parameters.channels();
        self.of_batch(parameters, channels, &moments)
            .apply_into(x, y)?;
        Ok(self.statistics(&moments, parameters))
    }

    /// Like [`train`](Self::train), with `x` replaced by Y.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn train_in_place<T: Element, D: Dimension>(
        &self,
        x: ArrayViewMut<'_, T, D>,
        parameters: &Parameters,
    ) -> Result<Statistics, BatchNormError> {
        self.check(x.shape(), parameters)?;
        let mut x = x.into_dyn();
        if let Some((geometry, lanes)) = Within::of(&mut x, self.spatial)
            && let Some(moments) = fused::train(self, parameters, geometry, lanes)
        {
            return Ok(self.statistics(&moments, parameters));
        }
        let moments = self.moments(&x.view())?;
        let channels = 0..parameters.channels();
        self.of_batch(parameters, channels, &moments)
            .apply_in_place(x)?;
        Ok(self.statistics(&moments, parameters))
    }

    fn check(&self, shape: &[usize], parameters: &Parameters) -> Result<(), BatchNormError> {
        parameters.check(geometry::channels(shape, self.spatial)?)?;
        if shape.contains(&0) {
            return Err(BatchNormError::EmptyBatch(shape.to_vec()));
        }
        Ok(())
    }

    fn moments<T: Element>(&self, x: &ArrayViewD<'_, T>) -> Result<Moments, BatchNormError> {
        if T::NEEDS_F64 {
            Moments::in_arithmetic::<T, f64>(x, self.spatial)
        } else {
            Moments::in_arithmetic::<T, f32>(x, self.spatial)
        }
    }

    /// The formula for some channels, with the statistics of a batch of these channels.
    pub(super) fn of_batch(
        &self,
        parameters: &Parameters,
        channels: Range<usize>,
        moments: &Moments,
    ) -> Normalizer {
        let (scale, b) = (&parameters.scale[channels.clone()], &parameters.b[channels]);
        let var = moments.var();
        Normalizer::of([scale, b, moments.mean(), &var], self.epsilon, self.spatial)
    }

    fn statistics(&self, moments: &Moments, parameters: &Parameters) -> Statistics {
        let (mean, var) = (moments.mean().to_vec(), moments.var());
        let running = |old: &[f64], new: &[f64]| {
            let pairs = old.iter().zip(new);
            pairs
                .map(|(old, new)| old * self.momentum + new * (1.0 - self.momentum))
                .collect()
        };
        Statistics {
            running_mean: running(&parameters.mean, &mean),
            running_var: running(&parameters.var, &var),
            mean,
            var,
        }
    }
}

#[cfg(test)]
mod tests;
