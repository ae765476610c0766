//! Mean and sum of squared deviations of a few thousand neighbours, in one pass and without
//! cancellation.
//!
//! With `d = x − pivot`: `mean = pivot + Σd/n` and `M2 = Σd² − (Σd)²/n`.
//! The subtraction is harmless while the pivot lies within a standard deviation of the mean; a pivot
//! from a sample nearly always does, else the values are summed again in f64 around their mean.
//! Sums run in the kernel's arithmetic over at most 16 terms per lane, then in f64: with u = 2⁻²⁴
//! the relative error of M2 in f32 is at most `50·u`, and in practice near u.
//! The lanes are the same on every machine.

use super::element::Element;
use super::real::Real;
use super::simd::{BLOCK, Vector};

/// Mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) m2: f64,
}

pub(super) const LANES: usize = BLOCK;
/// Terms that a lane adds before it hands over to f64.
const CHAIN: usize = 16;
/// Blocks of lanes that make a sample.
const SAMPLE: usize = 16;

/// The spread of `values`, which are at least one and at most some thousand.
#[inline(always)]
pub(super) fn spread<T: Element, F: Real>(vector: impl Vector, values: &[T]) -> Spread {
    let count = values.len() as f64;
    let pivot: F = sample_mean(vector, values);
    let [first, second] = sums(vector, values, pivot);
    if is_sound::<F>(first, second, count) {
        return combine(pivot.into(), first, second, count);
    }
    careful(values.iter().map(|value| value.to_f64()))
}

/// `M2` and mean from the sums around `pivot`.
#[inline(always)]
pub(super) fn combine(pivot: f64, first: f64, second: f64, count: f64) -> Spread {
    let offset = first / count;
    Spread {
        mean: pivot + offset,
        m2: second - first * offset,
    }
}

/// Whether the sums lost nothing to cancellation, overflow or underflow.
#[inline(always)]
pub(super) fn is_sound<F: Real>(first: f64, second: f64, count: f64) -> bool {
    let near = 2.0 * first * first <= second * count;
    near & (second >= F::SMALLEST_SQUARE * count) & (second < f64::INFINITY)
}

/// The spread in f64, exact if all are equal; NaN and infinity follow the definition.
#[cold]
#[inline(never)]
pub(super) fn careful(mut values: impl Iterator<Item = f64> + Clone) -> Spread {
    let all = values.clone();
    let first = values.next().unwrap_or(f64::NAN);
    if values.all(|value| value == first) {
        return Spread {
            mean: first,
            m2: if first.is_finite() { 0.0 } else { f64::NAN },
        };
    }
    two_passes(all)
}

fn two_passes(values: impl Iterator<Item = f64> + Clone) -> Spread {
    let mut count = 0.0;
    let mut sum = 0.0;
    for value in values.clone() {
        count += 1.0;
        sum += value;
    }
    let mean = sum / count;
    let mut first = 0.0;
    let mut second = 0.0;
    for value in values {
        let deviation = value - mean;
        first += deviation;
        second += deviation * deviation;
    }
    if mean.is_finite() {
        combine(mean, first, second, count)
    } else {
        Spread { mean, m2: f64::NAN }
    }
}

/// The mean of evenly spaced blocks, or zero where it is not finite.
#[inline(always)]
fn sample_mean<T: Element, F: Real>(vector: impl Vector, values: &[T]) -> F {
    let (blocks, rest) = values.as_chunks::<LANES>();
    if blocks.is_empty() {
        let sum: f64 = rest.iter().map(|value| value.to_f64()).sum();
        return finite(sum / rest.len() as f64);
    }
    let mut lanes = [F::zeroed(); LANES];
    let step = blocks.len().div_ceil(SAMPLE);
    for block in blocks.iter().step_by(step) {
        let block = F::block(vector, block);
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = *lane + value;
        }
    }
    let mut wide = [0.0; LANES];
    for (wide, lane) in wide.iter_mut().zip(lanes) {
        *wide = lane.into();
    }
    let count = blocks.len().div_ceil(step) * LANES;
    finite(total(&wide) / count as f64)
}

#[inline(always)]
fn finite<F: Real>(value: f64) -> F {
    let nearest = F::nearest(value);
    if nearest.into().is_finite() {
        nearest
    } else {
        F::zeroed()
    }
}

/// `Σd` and `Σd²` with `d = x − pivot`.
#[inline(always)]
fn sums<T: Element, F: Real>(vector: impl Vector, values: &[T], pivot: F) -> [f64; 2] {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut wide = [[0.0; LANES]; 2];
    let pivots = [pivot; LANES];
    for chain in blocks.chunks(CHAIN) {
        let mut sums = [[F::zeroed(); LANES]; 2];
        for block in chain {
            add_block(&mut sums, &F::block(vector, block), &pivots);
        }
        hand_over(&mut wide, &sums);
    }
    if !rest.is_empty() {
        // The pivot itself deviates by nothing.
        let mut block = [pivot; LANES];
        for (lane, &value) in block.iter_mut().zip(rest) {
            *lane = F::load(value);
        }
        let mut sums = [[F::zeroed(); LANES]; 2];
        add_block(&mut sums, &block, &pivots);
        hand_over(&mut wide, &sums);
    }
    [total(&wide[0]), total(&wide[1])]
}

/// Adds `d` and `d²` with `d = x − pivot`, lane by lane.
#[inline(always)]
pub(super) fn add_block<F: Real>(
    [first, second]: &mut [[F; LANES]; 2],
    block: &[F; LANES],
    pivot: &[F; LANES],
) {
    for lane in 0..LANES {
        let deviation = block[lane] - pivot[lane];
        first[lane] = first[lane] + deviation;
        second[lane] = second[lane] + deviation * deviation;
    }
}

#[inline(always)]
fn hand_over<F: Real>(wide: &mut [[f64; LANES]; 2], sums: &[[F; LANES]; 2]) {
    for (wide, sums) in wide.iter_mut().zip(sums) {
        for lane in 0..LANES {
            wide[lane] += sums[lane].into();
        }
    }
}

/// The sum of the lanes, in pairs. Not inlined, so that the lanes above stay in vector registers.
#[inline(never)]
fn total(lanes: &[f64; LANES]) -> f64 {
    let mut sums = *lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::super::simd::{Work, vectorize};
    use super::super::testing::{naive_moments, normals, unit};
    use super::*;

    struct Spreads<'a, T, F>(&'a [T], std::marker::PhantomData<F>);

    impl<T: Element, F: Real> Work for Spreads<'_, T, F> {
        type Output = Spread;

        fn run(self, vector: impl Vector) -> Spread {
            spread::<T, F>(vector, self.0)
        }
    }

    fn spread_of<T: Element, F: Real>(values: &[T]) -> Spread {
        vectorize(Spreads::<T, F>(values, std::marker::PhantomData))
    }

    fn check<T: Element, F: Real>(values: &[T], u: f64) {
        let count = values.len() as f64;
        let (mean, var) = naive_moments(&ndarray::aview1(values).into_dyn(), 1, true);
        let found = spread_of::<T, F>(values);
        let deviation = var[0].sqrt();
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

    const LENGTHS: [usize; 9] = [1, 2, 31, 32, 33, 49, 511, 513, 2048];

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
    fn squares_beyond_f32_neither_overflow_nor_vanish() {
        for (mean, deviation) in [(0.0, 1e30), (1e-30, 1e-30), (1e25, 1e20), (0.0, 1e-38)] {
            for length in [2, 49, 2048] {
                let values = normals::<f32>(4, &[length], mean, deviation);
                check::<f32, f32>(values.as_slice().unwrap(), unit::<f32>());
            }
        }
    }

    #[test]
    fn equal_values_have_no_deviation_at_all() {
        for value in [0.1f32, 1e4 + 0.1, -3e38, 1e-40, 0.0] {
            for length in LENGTHS {
                let found = spread_of::<f32, f32>(&vec![value; length]);
                let mean = f64::from(value);
                assert_eq!(found, Spread { mean, m2: 0.0 }, "{value} {length}");
            }
        }
    }

    #[test]
    fn infinity_stays_in_the_mean_and_nan_everywhere() {
        for length in LENGTHS {
            let mut values = vec![1.0f32; length];
            values[length / 2] = f32::INFINITY;
            let found = spread_of::<f32, f32>(&values);
            assert_eq!(found.mean, f64::INFINITY);
            assert!(found.m2.is_nan());
            values[0] = f32::NAN;
            let found = spread_of::<f32, f32>(&values);
            assert!(found.mean.is_nan() && found.m2.is_nan());
        }
    }
}
