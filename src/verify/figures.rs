//! How far numbers are from the truth, gathered element by element over all samples.
//!
//! ULPs count steps of the output's own type at the truth's magnitude.
//! Elements where the truth is not finite count only as agreeing or not in kind.

use serde::{Deserialize, Serialize};

use super::number;
use crate::engine::ElementType;

/// Distances from a reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Figures {
    /// Largest absolute difference.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub max_abs: f64,
    /// Largest relative difference, where the reference is not zero.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub max_rel: f64,
    /// Root mean square of the differences.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub rms: f64,
    /// Largest difference in units in the last place.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub max_ulp: f64,
    /// Cosine of the angle between the two; 1 if both are zero.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub cosine: f64,
}

/// The element that is furthest from the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Worst {
    pub(super) position: usize,
    pub(super) sample: usize,
    pub(super) reference: f64,
    pub(super) value: f64,
}

/// Gathers [`Figures`].
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge {
    pub(super) count: usize,
    pub(super) max_abs: f64,
    max_rel: f64,
    max_ulp: f64,
    sum_squares: f64,
    dot: f64,
    norm: f64,
    pub(super) reference_norm: f64,
    pub(super) reference_max: f64,
    pub(super) worst: Option<Worst>,
}

/// The distance between neighbouring numbers of a type at a magnitude.
pub(super) fn ulp(element: ElementType, magnitude: f64) -> f64 {
    let Some(roundoff) = element.unit_roundoff() else {
        return 1.0;
    };
    let smallest = match element {
        ElementType::Float16 => 2f64.powi(-24),
        ElementType::Float32 => f64::from(f32::from_bits(1)),
        ElementType::BFloat16 => 2f64.powi(-133),
        _ => f64::from_bits(1),
    };
    if !magnitude.is_finite() || magnitude < f64::MIN_POSITIVE {
        return smallest;
    }
    // The exponent's own bits: a logarithm would round near powers of two.
    let exponent = ((magnitude.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    (2f64.powi(exponent) * 2.0 * roundoff).max(smallest)
}

impl Gauge {
    /// Adds one sample; NaN against NaN and an infinity against the same one agree.
    pub(super) fn add(
        &mut self,
        reference: &[f64],
        values: &[f64],
        element: ElementType,
        sample: usize,
    ) {
        self.add_where(reference, values, element, sample, |_| true);
    }

    /// The same for the positions that are asked for.
    pub(super) fn add_where(
        &mut self,
        reference: &[f64],
        values: &[f64],
        element: ElementType,
        sample: usize,
        is_wanted: impl Fn(usize) -> bool,
    ) {
        let pairs = reference.iter().zip(values).enumerate();
        for (position, (&reference, &value)) in pairs.filter(|&(position, _)| is_wanted(position)) {
            self.count += 1;
            let difference = difference(reference, value);
            let is_worst = difference > self.max_abs || self.worst.is_none();
            if is_worst {
                self.max_abs = difference;
                self.worst = Some(Worst {
                    position,
                    sample,
                    reference,
                    value,
                });
            }
            self.sum_squares += difference * difference;
            if !reference.is_finite() {
                continue;
            }
            let magnitude = reference.abs();
            if magnitude > 0.0 {
                self.max_rel = self.max_rel.max(difference / magnitude);
            }
            self.max_ulp = self.max_ulp.max(difference / ulp(element, magnitude));
            self.reference_max = self.reference_max.max(magnitude);
            self.reference_norm += reference * reference;
            self.norm += value * value;
            self.dot += reference * value;
        }
    }

    pub(super) fn rms(&self) -> f64 {
        (self.sum_squares / self.count.max(1) as f64).sqrt()
    }

    pub(super) fn reference_rms(&self) -> f64 {
        (self.reference_norm / self.count.max(1) as f64).sqrt()
    }

    pub(super) fn figures(&self) -> Figures {
        let norms = (self.norm * self.reference_norm).sqrt();
        Figures {
            max_abs: self.max_abs,
            max_rel: self.max_rel,
            rms: self.rms(),
            max_ulp: self.max_ulp,
            cosine: if norms > 0.0 {
                (self.dot / norms).clamp(-1.0, 1.0)
            } else {
                1.0
            },
        }
    }
}

/// Infinite where one number is finite and the other is not, or both are not and differ.
pub(crate) fn difference(reference: f64, value: f64) -> f64 {
    if reference == value || (reference.is_nan() && value.is_nan()) {
        return 0.0;
    }
    let difference = (reference - value).abs();
    if difference.is_nan() {
        f64::INFINITY
    } else {
        difference
    }
}

/// The multi-index of a row-major position.
pub(crate) fn unravel(position: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = position;
    let mut index = vec![0; shape.len()];
    for (place, &extent) in index.iter_mut().zip(shape).rev() {
        *place = rest % extent.max(1);
        rest /= extent.max(1);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulps_count_steps_of_the_type() {
        let element = ElementType::Float32;
        for number in [1.0f32, 1.5, 3.999_999_8, 1e-3, 6.1e5, 2.0f32.powi(-130)] {
            let next = f64::from(f32::from_bits(number.to_bits() + 1));
            let step = next - f64::from(number);
            assert_eq!(ulp(element, f64::from(number)), step, "at {number}");
        }
        assert_eq!(ulp(ElementType::Float16, 1.0), 2f64.powi(-10));
        assert_eq!(ulp(ElementType::BFloat16, 1.0), 2f64.powi(-7));
    }

    #[test]
    fn a_gauge_measures_every_figure() {
        let mut gauge = Gauge::default();
        gauge.add(
            &[1.0, -2.0, 0.0],
            &[1.0, -2.5, 0.25],
            ElementType::Float64,
            0,
        );
        let figures = gauge.figures();
        assert_eq!((figures.max_abs, figures.max_rel), (0.5, 0.25));
        assert!((figures.rms - (0.3125f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((figures.cosine - 6.0 / (5.0f64 * 7.3125).sqrt()).abs() < 1e-15);
        assert_eq!(gauge.worst.map(|worst| worst.position), Some(1));
    }

    #[test]
    fn non_finite_numbers_agree_only_with_their_like() {
        assert_eq!(difference(f64::NAN, f64::NAN), 0.0);
        assert_eq!(difference(f64::INFINITY, f64::INFINITY), 0.0);
        assert_eq!(difference(f64::INFINITY, f64::NEG_INFINITY), f64::INFINITY);
        assert_eq!(difference(f64::NAN, 1.0), f64::INFINITY);
        assert_eq!(difference(1.0, f64::NAN), f64::INFINITY);
    }

    #[test]
    fn positions_unravel_row_major() {
        assert_eq!(unravel(23, &[2, 3, 4]), [1, 2, 3]);
        assert_eq!(unravel(0, &[]), Vec::<usize>::new());
    }
}
