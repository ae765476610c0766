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
    let x = ndarray::arr2(&[[1e4f32 + 0.016, -3e6 + 1.25], [1e4 - 0.008, -3e6 - 7.5]]).into_dyn();
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
