//! A node's four parameter vectors in f64, and the affine that they make in inference mode.
//!
//! `scale` and `B` may have another dtype than X, `mean` and `var` a third (opset 15); f64 holds all
//! of them exactly.

use thiserror::Error;

use super::element::Element;
use super::error::BatchNormError;

/// `scale`, `B`, `mean` and `var` of a node, per channel (per activation with `spatial = 0`).
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    pub(super) scale: Vec<f64>,
    pub(super) b: Vec<f64>,
    pub(super) mean: Vec<f64>,
    pub(super) var: Vec<f64>,
}

impl Parameters {
    /// Widens the four vectors to f64, which loses nothing.
    ///
    /// # Errors
    /// Vectors of different lengths.
    pub fn new<T1: Element, T2: Element>(
        scale: &[T1],
        b: &[T1],
        mean: &[T2],
        var: &[T2],
    ) -> Result<Self, BatchNormError> {
        check_lengths(scale.len(), b.len(), mean.len(), var.len())?;
        Ok(Self {
            scale: widen(scale),
            b: widen(b),
            mean: widen(mean),
            var: widen(var),
        })
    }

    /// The number of channels (of activations with `spatial = 0`).
    #[must_use]
    pub fn channels(&self) -> usize {
        self.scale.len()
    }

    pub(super) fn check(&self, expected: usize) -> Result<(), BatchNormError> {
        let found = self.channels();
        if found == expected {
            return Ok(());
        }
        Err(BatchNormError::ParameterLength {
            name: "scale",
            found,
            expected,
        })
    }
}

fn widen<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.to_f64()).collect()
}

fn check_lengths(scale: usize, b: usize, mean: usize, var: usize) -> Result<(), BatchNormError> {
    for (name, found) in [("B", b), ("mean", mean), ("var", var)] {
        if found != scale {
            return Err(BatchNormError::ParameterLength {
                name,
                found,
                expected: scale,
            });
        }
    }
    Ok(())
}

/// Why a node in inference mode is no finite affine.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ScaleShiftError {
    /// The vectors do not fit each other.
    #[error(transparent)]
    Parameters(#[from] BatchNormError),
    /// `var + ε ≤ 0`, which has no reciprocal root.
    #[error(
        "var + epsilon is {value:e} at channel {channel}, so scale/√(var + epsilon) is undefined; \
         re-estimate the variances"
    )]
    Variance {
        /// The first such channel.
        channel: usize,
        /// `var + ε` there.
        value: f64,
    },
    /// NaN or infinity in the parameters, or arising from them.
    #[error(
        "the affine at channel {channel} is {scale:e}·x + {shift:e}, which is not finite; \
         look for NaN or infinity in scale, B, mean and var"
    )]
    NotFinite {
        /// The first such channel.
        channel: usize,
        /// `s` there.
        scale: f64,
        /// `t` there.
        shift: f64,
    },
}

/// The affine `s·x + t` of a node in inference mode: `s = scale/√(var + ε)`, `t = B − mean·s`.
///
/// # Errors
/// Vectors of different lengths; a channel where `var + ε ≤ 0`; a channel whose `s` or `t` is not
/// finite.
pub fn scale_shift(
    scale: &[f64],
    b: &[f64],
    mean: &[f64],
    var: &[f64],
    epsilon: f64,
) -> Result<(Vec<f64>, Vec<f64>), ScaleShiftError> {
    check_lengths(scale.len(), b.len(), mean.len(), var.len())?;
    let mut scales = Vec::with_capacity(scale.len());
    let mut shifts = Vec::with_capacity(scale.len());
    let inputs = scale.iter().zip(b).zip(mean).zip(var);
    for (channel, (((&scale, &b), &mean), &var)) in inputs.enumerate() {
        let value = var + epsilon;
        if value <= 0.0 {
            return Err(ScaleShiftError::Variance { channel, value });
        }
        let scale = scale / value.sqrt();
        let shift = b - mean * scale;
        // An infinite variance makes a finite scale of 0 from a broken model.
        if !(scale.is_finite() && shift.is_finite() && value.is_finite()) {
            return Err(ScaleShiftError::NotFinite {
                channel,
                scale,
                shift,
            });
        }
        scales.push(scale);
        shifts.push(shift);
    }
    Ok((scales, shifts))
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn affine_is_exact_where_the_numbers_are() {
        let (s, t) = scale_shift(&[3.0, -1.0], &[1.0, 0.5], &[2.0, 4.0], &[3.0, 0.0], 1.0).unwrap();
        assert_eq!(s, [1.5, -1.0]);
        assert_eq!(t, [-2.0, 4.5]);
    }

    #[test]
    fn parameters_of_mixed_dtypes_keep_their_values() {
        let scale = [f16::from_f32(1.5), f16::from_f32(-0.25)];
        let b = [f16::from_f32(65504.0), f16::from_bits(1)];
        let mean = [bf16::from_f32(3.0e38), bf16::from_f32(0.5)];
        let var = [bf16::from_f32(2.0), bf16::from_bits(1)];
        let parameters = Parameters::new(&scale, &b, &mean, &var).unwrap();
        assert_eq!(parameters.channels(), 2);
        assert_eq!(parameters.scale, [1.5, -0.25]);
        assert_eq!(parameters.b, [65504.0, 2f64.powi(-24)]);
        assert_eq!(parameters.mean, [f64::from(mean[0].to_f32()), 0.5]);
        assert_eq!(parameters.var, [2.0, 2f64.powi(-133)]);
    }

    #[test]
    fn lengths_must_agree() {
        let two = [1.0f64, 2.0];
        let three = [1.0f64, 2.0, 3.0];
        for (name, result) in [
            ("B", Parameters::new(&two, &three, &two, &two)),
            ("mean", Parameters::new(&two, &two, &three, &two)),
            ("var", Parameters::new(&two, &two, &two, &three)),
        ] {
            let expected = BatchNormError::ParameterLength {
                name,
                found: 3,
                expected: 2,
            };
            assert_eq!(result, Err(expected));
        }
        let error = scale_shift(&two, &two, &two, &[1.0], 0.0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "var has 1 elements for 2 channels; make them equal"
        );
    }

    #[test]
    fn a_variance_that_has_no_root_is_reported() {
        let at = |var, epsilon| scale_shift(&[1.0], &[0.0], &[0.0], &[var], epsilon);
        for (var, epsilon) in [
            (0.0, 0.0),
            (-1.0, 1e-5),
            (-1.0, 1.0),
            (f64::NEG_INFINITY, 1.0),
        ] {
            assert_eq!(
                at(var, epsilon),
                Err(ScaleShiftError::Variance {
                    channel: 0,
                    value: var + epsilon
                })
            );
        }
        assert!(at(-1.0, 1.5).is_ok());
    }

    #[test]
    fn an_affine_that_is_not_finite_is_reported_with_its_channel() {
        let nan = f64::NAN;
        let inf = f64::INFINITY;
        for (scale, b, mean, var) in [
            (nan, 0.0, 0.0, 1.0),
            (inf, 0.0, 0.0, 1.0),
            (1.0, nan, 0.0, 1.0),
            (1.0, -inf, 0.0, 1.0),
            (1.0, 0.0, nan, 1.0),
            (1.0, 0.0, inf, 1.0),
            (1.0, 0.0, 0.0, nan),
            (1.0, 0.0, 0.0, inf),
            (1e300, 0.0, 1e300, 1.0),
        ] {
            let result = scale_shift(&[1.0, scale], &[0.0, b], &[0.0, mean], &[1.0, var], 0.0);
            assert!(
                matches!(result, Err(ScaleShiftError::NotFinite { channel: 1, .. })),
                "{scale} {b} {mean} {var}: {result:?}"
            );
        }
    }
}
