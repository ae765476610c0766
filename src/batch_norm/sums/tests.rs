use half::{bf16, f16};

use super::super::simd::{Work, vectorize};
use super::super::testing::{naive_moments, normals, unit};
use super::*;

struct Spreads<'a, T, F, const PIVOTED: bool>(&'a [T], std::marker::PhantomData<F>);

impl<T: Element, F: Real, const PIVOTED: bool> Work for Spreads<'_, T, F, PIVOTED> {
    type Output = Spread;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Spread {
        let samples = [self.0];
        let rows = Rows::new(&samples, 0, self.0.len());
        let pivot: F = if PIVOTED {
            rows.pivot(simd)
        } else {
            F::zeroed()
        };
        if self.0.len() > 2 * BLOCK {
            let sums = rows.sums::<S, F, false, PIVOTED>(simd, pivot);
            rows.spread::<S, F, false>(simd, pivot, sums)
        } else {
            let sums = rows.sums::<S, F, true, PIVOTED>(simd, pivot);
            rows.spread::<S, F, true>(simd, pivot, sums)
        }
    }
}

/// What the sums lead to, around a pivot and around zero.
fn spreads_of<T: Element, F: Real>(values: &[T]) -> [Spread; 2] {
    [
        vectorize(Spreads::<T, F, true>(values, std::marker::PhantomData)),
        vectorize(Spreads::<T, F, false>(values, std::marker::PhantomData)),
    ]
}

fn check<T: Element, F: Real>(values: &[T], u: f64) {
    let count = values.len() as f64;
    let (mean, var) = naive_moments(&ndarray::aview1(values).into_dyn(), 1, true);
    let deviation = var[0].sqrt();
    for found in spreads_of::<T, F>(values) {
        let error = (found.mean - mean[0]).abs();
        assert!(
            error <= 50.0 * u * deviation + 1e-15 * mean[0].abs(),
            "mean off by {error:e}"
        );
        let error = (found.m2 / count - var[0]).abs();
        assert!(
            error <= 50.0 * u * var[0],
            "variance {:e} off by {error:e}",
            var[0]
        );
    }
}

const LENGTHS: [usize; 7] = [32, 33, 49, 511, 513, 2048, 70_000];

#[test]
fn spreads_stay_within_the_bound_at_any_offset() {
    let u = unit::<f32>();
    for length in LENGTHS {
        for (mean, deviation) in [(0.0, 1.0), (1e4, 1e-2), (-3e-5, 7.0), (1e6, 0.5)] {
            let normals = normals::<f32>(length as u64, &[length], mean, deviation);
            check::<f32, f32>(normals.as_slice().unwrap(), u);
            check::<f32, f64>(normals.as_slice().unwrap(), unit::<f64>());
        }
        let normals = normals::<f64>(7, &[length], 1e9, 1e-3);
        check::<f64, f64>(normals.as_slice().unwrap(), unit::<f64>());
        let halves = normals.mapv(|value| f16::from_f64((value - 1e9) * 1e5));
        check::<f16, f32>(halves.as_slice().unwrap(), u);
        let halves = normals.mapv(|value| bf16::from_f64(value - 1e9));
        check::<bf16, f32>(halves.as_slice().unwrap(), u);
    }
}

#[test]
fn an_outlier_anywhere_does_not_cancel() {
    for position in [0, 1, 31, 77, 1999] {
        for outlier in [1e7, -3e12, 1e30] {
            let mut values = normals::<f32>(4, &[2000], 0.0, 1.0);
            values[position] = outlier;
            check::<f32, f32>(values.as_slice().unwrap(), unit::<f32>());
        }
    }
}

#[test]
fn a_pivot_far_from_the_mean_is_replaced() {
    let mut values = normals::<f32>(4, &[4096], 1.0, 1e-3);
    for place in [1, 3, 5, 7] {
        let start = place * values.len() / 8;
        values.as_slice_mut().unwrap()[start..start + BLOCK].fill(1.05);
    }
    check::<f32, f32>(values.as_slice().unwrap(), unit::<f32>());
}

#[test]
fn squares_beyond_f32_neither_overflow_nor_vanish() {
    for (mean, deviation) in [(0.0, 1e30), (1e-30, 1e-30), (1e25, 1e20), (0.0, 1e-38)] {
        for length in [32, 49, 2048] {
            let values = normals::<f32>(4, &[length], mean, deviation);
            check::<f32, f32>(values.as_slice().unwrap(), unit::<f32>());
        }
    }
}

#[test]
fn equal_values_have_no_deviation_at_all() {
    for value in [0.1f32, 1e4 + 0.1, -3e38, 1e-40, 0.0] {
        for length in LENGTHS {
            let found = spreads_of::<f32, f32>(&vec![value; length]);
            let mean = f64::from(value);
            assert_eq!(found, [Spread { mean, m2: 0.0 }; 2], "{value} {length}");
        }
    }
}

#[test]
fn infinity_stays_in_the_mean_and_nan_everywhere() {
    for length in LENGTHS {
        let mut values = vec![1.0f32; length];
        values[length / 2] = f32::INFINITY;
        for found in spreads_of::<f32, f32>(&values) {
            assert_eq!(found.mean, f64::INFINITY);
            assert!(found.m2.is_nan());
        }
        values[0] = f32::NAN;
        for found in spreads_of::<f32, f32>(&values) {
            assert!(found.mean.is_nan() && found.m2.is_nan());
        }
    }
}
