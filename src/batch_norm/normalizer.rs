//! `Y = (X − mean) · s + B` with `s = scale/√(var + ε)`, on views of any rank and layout.
//!
//! The factors are computed in f64. f64 data runs in f64; the other dtypes run in f32, rounded once
//! to the dtype, unless f32 cannot hold the factors.
//! With `u = 2⁻²⁴` the f32 error is at most `2u·|s·(x − mean)| + u·|B| + u·|y|` plus terms in `u²`:
//! a large mean does not cancel as it does in `s·x + t`.
//! 16-bit dtypes take that form, a fifth faster, where no mean is further from zero than eight
//! deviations `√(var + ε)`: the error grows by `2u·|s·mean|`, at most `2⁻²⁰·|scale|`, while they round
//! to `2⁻¹²` at best.
//!
//! NaN and infinity follow the formula. The result does not depend on layout or threads.

use std::sync::OnceLock;

use bytemuck::zeroed_vec;
use fearless_simd::Simd;
use ndarray::{Array, ArrayView, ArrayViewD, ArrayViewMut, ArrayViewMutD, Dimension};

use super::element::Element;
use super::error::BatchNormError;
use super::factors::Factors;
use super::geometry::{self, Geometry};
use super::lanes::Lanes;
use super::parameters::Parameters;
use super::simd::{Work, vectorize};

/// The formula with a node's factors in it, ready to be applied any number of times.
#[derive(Debug, Clone)]
pub struct Normalizer {
    wide: Factors<f64>,
    /// `None` where f32 cannot hold the factors.
    narrow: OnceLock<Option<Factors<f32>>>,
    /// For coarse dtypes; `None` also where a mean is far from zero.
    merged: OnceLock<Option<Factors<f32>>>,
    means_are_near: bool,
    spatial: bool,
}

impl Normalizer {
    /// The formula with these parameters; per activation unless `spatial`.
    ///
    /// Never fails: where `var + ε ≤ 0` the formula gives NaN or infinity, as IEEE 754 has it.
    #[must_use]
    pub fn new(parameters: &Parameters, epsilon: f64, spatial: bool) -> Self {
        let Parameters {
            scale,
            b,
            mean,
            var,
        } = parameters;
        Self::of([scale, b, mean, var], epsilon, spatial)
    }

    /// Like [`new`](Self::new), of `scale`, `B`, `mean` and `var`.
    pub(super) fn of([scale, b, mean, var]: [&[f64]; 4], epsilon: f64, spatial: bool) -> Self {
        let (channels, means_are_near) = vectorize(Dividing {
            scale,
            b,
            mean,
            var,
            epsilon,
        });
        Self {
            wide: Factors {
                channels,
                centred: true,
            },
            narrow: OnceLock::new(),
            merged: OnceLock::new(),
            means_are_near,
            spatial,
        }
    }

    /// The normalised value, in the memory order of `x` where `x` is contiguous.
    ///
    /// # Errors
    /// A scalar, or a value whose channels are not those of the parameters.
    pub fn apply<T: Element, D: Dimension>(
        &self,
        x: ArrayView<'_, T, D>,
    ) -> Result<Array<T, D>, BatchNormError> {
        self.check(x.shape())?;
        if x.is_standard_layout()
            && let Ok(mut y) = Array::from_shape_vec(x.raw_dim(), zeroed_vec(x.len()))
        {
            self.run(x.into_dyn(), y.view_mut().into_dyn());
            return Ok(y);
        }
        let mut y = x.to_owned();
        self.run_in_place(y.view_mut().into_dyn());
        Ok(y)
    }

    /// Writes the normalised value to `y`.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and a target of another shape.
    pub fn apply_into<T: Element, D: Dimension>(
        &self,
        x: ArrayView<'_, T, D>,
        y: ArrayViewMut<'_, T, D>,
    ) -> Result<(), BatchNormError> {
        self.check(x.shape())?;
        if x.shape() != y.shape() {
            return Err(BatchNormError::TargetShape {
                x: x.shape().to_vec(),
                target: y.shape().to_vec(),
            });
        }
        self.run(x.into_dyn(), y.into_dyn());
        Ok(())
    }

    /// Replaces `x` by the normalised value.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_in_place<T: Element, D: Dimension>(
        &self,
        x: ArrayViewMut<'_, T, D>,
    ) -> Result<(), BatchNormError> {
        self.check(x.shape())?;
        self.run_in_place(x.into_dyn());
        Ok(())
    }

    fn check(&self, shape: &[usize]) -> Result<(), BatchNormError> {
        let expected = geometry::channels(shape, self.spatial)?;
        let found = self.wide.channels.len();
        if found != expected {
            return Err(BatchNormError::ParameterLength {
                name: "scale",
                found,
                expected,
            });
        }
        Ok(())
    }

    /// Replaces or writes parts of a value that all begin with the first channel.
    pub(super) fn walk<T: Element, L: Lanes<T>>(&self, geometry: Geometry, parts: Vec<L>) {
        match self.in_f32::<T>() {
            Some(factors) => factors.walk(geometry, parts),
            None => self.wide.walk(geometry, parts),
        }
    }

    fn run<T: Element>(&self, x: ArrayViewD<'_, T>, y: ArrayViewMutD<'_, T>) {
        match self.in_f32::<T>() {
            Some(factors) => factors.run(&x, y, self.spatial),
            None => self.wide.run(&x, y, self.spatial),
        }
    }

    fn run_in_place<T: Element>(&self, x: ArrayViewMutD<'_, T>) {
        match self.in_f32::<T>() {
            Some(factors) => factors.run_in_place(x, self.spatial),
            None => self.wide.run_in_place(x, self.spatial),
        }
    }

    /// The factors for arithmetic in f32, where that is fine enough.
    fn in_f32<T: Element>(&self) -> Option<&Factors<f32>> {
        if T::NEEDS_F64 {
            return None;
        }
        if T::COARSE && self.means_are_near {
            let merged = self.merged.get_or_init(|| self.wide.merged());
            if merged.is_some() {
                return merged.as_ref();
            }
        }
        self.narrow.get_or_init(|| self.wide.narrow()).as_ref()
    }
}

/// Standard deviations that a mean may be away from zero to be carried by the offset.
const NEAR: f64 = 8.0;

/// Mean, `scale/√(var + ε)` and `B` of each channel, and whether all means are near zero.
struct Dividing<'a> {
    scale: &'a [f64],
    b: &'a [f64],
    mean: &'a [f64],
    var: &'a [f64],
    epsilon: f64,
}

impl Work for Dividing<'_> {
    type Output = (Vec<[f64; 3]>, bool);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Self::Output {
        let mut channels = vec![[0.0; 3]; self.scale.len()];
        let mut are_near = true;
        let affine = self.scale.iter().zip(self.b);
        let parameters = affine.zip(self.mean.iter().zip(self.var));
        for (channel, ((scale, b), (mean, var))) in channels.iter_mut().zip(parameters) {
            let deviation = (var + self.epsilon).sqrt();
            are_near &= mean.abs() <= NEAR * deviation;
            *channel = [*mean, scale / deviation, *b];
        }
        (channels, are_near)
    }
}

#[cfg(test)]
mod tests;
