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
mod tests {
    use half::{bf16, f16};
    use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, Slice};

    use super::super::testing::{
        EPSILON, assert_same, channel, layouts, naive, normals, parameters, smallest, unit,
    };
    use super::*;

    const SHAPES: &[&[usize]] = &[
        &[7],
        &[1],
        &[5, 3],
        &[64, 48],
        &[5, 301],
        &[2, 3, 11],
        &[2, 5, 7, 9],
        &[1, 1, 4, 4],
        &[3, 4, 2, 3, 5],
        &[2, 3, 2, 2, 2, 3],
        &[2, 1, 1],
        &[2, 3, 1, 1],
        &[9000, 3],
        &[90, 301],
        // Rows of one block, two, some, and so many that they are aligned; pieces that end within a row.
        &[2, 3, 4, 8],
        &[3, 2, 8, 8],
        &[2, 3, 10, 10],
        &[2, 2, 30, 31],
        &[2, 401, 7, 7],
        // A pattern of factors that is walked strip by strip.
        &[5, 150, 5, 5],
    ];

    /// Asserts the bound that the module states, with the dtype's own rounding on top.
    fn assert_close<T: Element>(
        y: &ArrayViewD<'_, T>,
        x: &ArrayViewD<'_, T>,
        parameters: &Parameters,
        spatial: bool,
    ) {
        let expected = naive(x, parameters, EPSILON, spatial);
        for (index, &expected) in expected.indexed_iter() {
            let c = channel(index.slice(), x.shape(), spatial);
            let (b, mean) = (parameters.b[c].abs(), parameters.mean[c].abs());
            let product = (expected - parameters.b[c]).abs();
            let s = (parameters.scale[c] / (parameters.var[c] + EPSILON).sqrt()).abs();
            let arithmetic = if T::NEEDS_F64 {
                // The reference computes in f64 too.
                unit::<f64>() * (8.0 * product + 2.0 * expected.abs())
            } else {
                let u = unit::<f32>();
                let merged = if T::COARSE && is_near(parameters, EPSILON) {
                    2.0 * s * mean
                } else {
                    0.0
                };
                let first_order = 2.0 * product + b + expected.abs() + merged;
                1.001 * u * first_order + 4.0 * u * u * s * mean
            };
            let rounding = unit::<T>() * (expected.abs() + arithmetic) + smallest::<T>() / 2.0;
            let error = (y[&index].to_f64() - expected).abs();
            assert!(
                error <= arithmetic + rounding,
                "{index:?}: {:?} for {expected}, off by {error:e}",
                y[&index]
            );
        }
    }

    fn check_all_forms<T: Element, T1: Element, T2: Element>(shape: &[usize], spatial: bool) {
        let channels = geometry::channels(shape, spatial).unwrap();
        let parameters = parameters::<T1, T2>(11, channels);
        let normalizer = Normalizer::new(&parameters, EPSILON, spatial);
        let x = normals::<T>(5, shape, 0.5, 2.0);
        let y = normalizer.apply(x.view()).unwrap();
        assert_close(&y.view(), &x.view(), &parameters, spatial);
        let mut into = ArrayD::from_elem(x.raw_dim(), T::from_f64(f64::NAN));
        normalizer.apply_into(x.view(), into.view_mut()).unwrap();
        assert_same(&into, &y);
        let mut within = x.clone();
        normalizer.apply_in_place(within.view_mut()).unwrap();
        assert_same(&within, &y);
    }

    #[test]
    fn every_rank_and_dtype_stays_within_the_bound() {
        for shape in SHAPES {
            for spatial in [true, false] {
                check_all_forms::<f64, f64, f64>(shape, spatial);
                check_all_forms::<f32, f32, f32>(shape, spatial);
                check_all_forms::<f16, f16, f16>(shape, spatial);
                check_all_forms::<bf16, bf16, bf16>(shape, spatial);
            }
        }
    }

    #[test]
    fn mixed_dtypes_of_opset_15_stay_within_the_bound() {
        for shape in [[2, 3, 5, 7].as_slice(), &[9, 4], &[6]] {
            check_all_forms::<f16, f32, f32>(shape, true);
            check_all_forms::<f16, f16, f64>(shape, true);
            check_all_forms::<bf16, f32, bf16>(shape, true);
            check_all_forms::<f32, f64, f64>(shape, true);
            check_all_forms::<f32, f16, bf16>(shape, true);
            check_all_forms::<f64, f32, f16>(shape, true);
        }
    }

    #[test]
    fn memory_order_does_not_change_the_result() {
        for shape in SHAPES.iter().filter(|shape| shape.len() > 1) {
            for spatial in [true, false] {
                let channels = geometry::channels(shape, spatial).unwrap();
                let normalizer =
                    Normalizer::new(&parameters::<f32, f32>(3, channels), EPSILON, spatial);
                let x = normals::<f32>(9, shape, 0.0, 1.0);
                let expected = normalizer.apply(x.view()).unwrap();
                for other in layouts(&x) {
                    assert_same(&normalizer.apply(other.view()).unwrap(), &expected);
                    let mut into = ArrayD::from_elem(IxDyn(shape), f32::NAN);
                    normalizer
                        .apply_into(other.view(), into.view_mut())
                        .unwrap();
                    assert_same(&into, &expected);
                    let mut within = other;
                    normalizer.apply_in_place(within.view_mut()).unwrap();
                    assert_same(&within, &expected);
                }
            }
        }
    }

    #[test]
    fn views_with_gaps_and_reversed_axes_are_correct() {
        let x = normals::<f32>(21, &[4, 6, 8, 10], 0.0, 1.0);
        for spatial in [true, false] {
            for axis in 0..4 {
                for step in [-2, -1, 2] {
                    let view = x.slice_axis(Axis(axis), Slice::new(0, None, step));
                    let channels = geometry::channels(view.shape(), spatial).unwrap();
                    let parameters = parameters::<f32, f32>(3, channels);
                    let normalizer = Normalizer::new(&parameters, EPSILON, spatial);
                    let packed = view.as_standard_layout().into_owned();
                    let expected = normalizer.apply(packed.view()).unwrap();
                    assert_same(&normalizer.apply(view).unwrap(), &expected);
                    let mut within = x.clone();
                    let target = within.slice_axis_mut(Axis(axis), Slice::new(0, None, step));
                    normalizer.apply_in_place(target).unwrap();
                    let target = within.slice_axis(Axis(axis), Slice::new(0, None, step));
                    assert_same(&target.into_owned(), &expected);
                }
            }
        }
    }

    #[test]
    fn elements_outside_a_view_are_left_alone() {
        let x = normals::<f32>(21, &[4, 3, 8], 0.0, 1.0);
        let mut within = x.clone();
        let normalizer = Normalizer::new(&parameters::<f32, f32>(3, 3), EPSILON, true);
        normalizer
            .apply_in_place(within.slice_axis_mut(Axis(2), Slice::new(0, None, 2)))
            .unwrap();
        for (index, value) in within.indexed_iter() {
            assert_eq!(*value == x[&index], index[2] % 2 == 1, "{index:?}");
        }
    }

    fn is_near(parameters: &Parameters, epsilon: f64) -> bool {
        let mut moments = parameters.mean.iter().zip(&parameters.var);
        moments.all(|(mean, var)| mean.abs() <= 8.0 * (var + epsilon).sqrt())
    }

    fn check_mean_of_16_bits<T: Element>(mean: f64) {
        let parameters = Parameters::new(&[1.0f64], &[0.0], &[mean], &[1.0]).unwrap();
        let x: ArrayD<T> = normals(3, &[1, 1, 4000], mean, 1.0);
        let normalizer = Normalizer::new(&parameters, EPSILON, true);
        let y = normalizer.apply(x.view()).unwrap();
        assert_close(&y.view(), &x.view(), &parameters, true);
        // Nothing but the centre makes this zero.
        let x = ndarray::arr1(&[T::from_f64(mean)]).into_dyn();
        let y = normalizer.apply(x.view()).unwrap();
        assert!(y[0].to_f64().abs() <= 2f64.powi(-20) * f64::from(mean <= 8.0));
    }

    #[test]
    fn a_mean_of_some_deviations_costs_16_bits_hardly_anything_and_a_large_one_nothing() {
        for mean in [0.75, 4.0, 7.5, 8.0, 11.0, 1000.0] {
            check_mean_of_16_bits::<f16>(mean);
            check_mean_of_16_bits::<bf16>(mean);
        }
    }

    #[test]
    fn a_large_mean_does_not_cancel() {
        let parameters =
            Parameters::new(&[1.0f32, 1.0], &[0.0, 0.25], &[1e4, -3e6], &[1e-4, 1.0]).unwrap();
        let x =
            ndarray::arr2(&[[1e4f32 + 0.016, -3e6 + 1.25], [1e4 - 0.008, -3e6 - 7.5]]).into_dyn();
        let y = Normalizer::new(&parameters, EPSILON, true)
            .apply(x.view())
            .unwrap();
        assert_close(&y.view(), &x.view(), &parameters, true);
    }

    #[test]
    fn a_mean_that_f32_cannot_hold_loses_nothing() {
        let mean = [1e4 + 1.0 / 3072.0];
        let parameters = Parameters::new(&[1.0f32], &[0.0], &mean, &[1e-4]).unwrap();
        let x = ndarray::arr1(&[1e4f32, 1e4 + 0.001, 9990.0, 0.0]).into_dyn();
        let y = Normalizer::new(&parameters, EPSILON, true)
            .apply(x.view())
            .unwrap();
        assert_close(&y.view(), &x.view(), &parameters, true);
    }

    #[test]
    fn factors_beyond_f32_run_in_f64() {
        // s = 1e44 overflows f32, yet x = mean must give B; s = 1e-46 is below every f32.
        let big = Parameters::new(&[1e38f32], &[2.0], &[5.0], &[0.0]).unwrap();
        let y = Normalizer::new(&big, 1e-12, true)
            .apply(ndarray::arr1(&[5.0f32]).view())
            .unwrap();
        assert_eq!(y[0], 2.0);
        let small = Parameters::new(&[1e-36f32], &[0.0], &[0.0], &[1e20]).unwrap();
        let y = Normalizer::new(&small, 0.0, true)
            .apply(ndarray::arr1(&[1e30f32]).view())
            .unwrap();
        assert!((f64::from(y[0]) - 1e-16).abs() < 1e-23, "{y}");
    }

    #[test]
    fn nan_and_infinity_follow_the_formula() {
        let inf = f32::INFINITY;
        let apply = |x: &[f32], scale: f32, b: f32, mean: f32, var: f32, epsilon: f64| {
            let parameters = Parameters::new(&[scale], &[b], &[mean], &[var]).unwrap();
            let x = ndarray::arr1(x);
            let y = Normalizer::new(&parameters, epsilon, true)
                .apply(x.view())
                .unwrap();
            y.to_vec()
        };
        let y = apply(&[f32::NAN, inf, -inf, 1.0], -2.0, 1.0, 0.0, 1.0, 0.0);
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [-inf, inf, -1.0]);
        let zero_variance = apply(&[2.0, 3.0, 1.0], 1.0, 0.0, 2.0, 0.0, 0.0);
        assert!(zero_variance[0].is_nan());
        assert_eq!(zero_variance[1..], [inf, -inf]);
        assert!(apply(&[2.0], 1.0, 0.0, 0.0, -1.0, 0.5)[0].is_nan());
        assert!(apply(&[2.0], 1.0, 0.0, f32::NAN, 1.0, 0.0)[0].is_nan());
        assert_eq!(apply(&[2.0], 1.0, 0.0, inf, 1.0, 0.0), [-inf]);
        assert_eq!(apply(&[2.0], 1.0, 7.0, 0.0, inf, 0.0), [7.0]);
        let overflow = apply(&[3e38], 1e10, 0.0, 0.0, 1.0, 0.0);
        assert_eq!(overflow, [inf]);
    }

    #[test]
    fn values_without_elements_give_values_without_elements() {
        for shape in [[0, 3, 4], [2, 3, 0]] {
            let x = ArrayD::<f32>::zeros(IxDyn(&shape));
            let normalizer = Normalizer::new(&parameters::<f32, f32>(3, 3), EPSILON, true);
            assert_eq!(normalizer.apply(x.view()).unwrap().shape(), shape);
        }
        for shape in [&[0][..], &[0, 1, 4], &[0, 1], &[3, 1, 0]] {
            let mut x = ArrayD::<f32>::zeros(IxDyn(shape));
            let normalizer = Normalizer::new(&parameters::<f32, f32>(3, 1), EPSILON, true);
            assert_eq!(normalizer.apply(x.view()).unwrap().shape(), shape);
            normalizer.apply_in_place(x.view_mut()).unwrap();
        }
        let none = Parameters::new::<f32, f32>(&[], &[], &[], &[]).unwrap();
        let x = ArrayD::<f32>::zeros(IxDyn(&[2, 0, 4]));
        let y = Normalizer::new(&none, EPSILON, true)
            .apply(x.view())
            .unwrap();
        assert_eq!(y.shape(), [2, 0, 4]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let normalizer = Normalizer::new(&parameters::<f32, f32>(3, 3), EPSILON, true);
        let x = ArrayD::<f32>::zeros(IxDyn(&[2, 4]));
        let expected = BatchNormError::ParameterLength {
            name: "scale",
            found: 3,
            expected: 4,
        };
        assert_eq!(normalizer.apply(x.view()), Err(expected));
        let scalar = ArrayD::<f32>::zeros(IxDyn(&[]));
        assert_eq!(normalizer.apply(scalar.view()), Err(BatchNormError::Scalar));
        let x = ArrayD::<f32>::zeros(IxDyn(&[2, 3]));
        let mut y = ArrayD::<f32>::zeros(IxDyn(&[3, 2]));
        let expected = BatchNormError::TargetShape {
            x: vec![2, 3],
            target: vec![3, 2],
        };
        assert_eq!(normalizer.apply_into(x.view(), y.view_mut()), Err(expected));
    }
}
