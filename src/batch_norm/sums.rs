//! Mean and sum of squared deviations of a few thousand neighbours, in one pass and without
//! cancellation.
//!
//! With `d = x − pivot`: `mean = pivot + Σd/n` and `M2 = Σd² − (Σd)²/n`.
//! The subtraction is harmless while the pivot lies within a standard deviation of the mean; a pivot
//! from a sample nearly always does, else the values are summed again in f64 around their mean.
//! Sums run in the kernel's arithmetic over at most 16 terms per lane, then in f64: with u = 2⁻²⁴
//! the relative error of M2 in f32 is at most `50·u`, and in practice near u.
//! The lanes are the same on every machine.

use super::real::Real;

/// Mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) m2: f64,
}

const LANES: usize = 32;
/// Terms that a lane adds before it hands over to f64.
const CHAIN: usize = 16;
/// Blocks of lanes that make a sample.
const SAMPLE: usize = 16;

/// The spread of `values`, which are at least one and at most some thousand.
#[inline(always)]
pub(super) fn spread<F: Real>(values: &[F]) -> Spread {
    let count = values.len() as f64;
    let pivot = sample_mean(values);
    let [first, second] = sums(values, pivot);
    if is_sound::<F>(first, second, count) {
        return combine(pivot.into(), first, second, count);
    }
    careful(values.iter().map(|&value| value.into()))
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
    near && second >= F::SMALLEST_SQUARE * count && second.is_finite()
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
            m2: first - first,
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
fn sample_mean<F: Real>(values: &[F]) -> F {
    let (blocks, rest) = values.as_chunks::<LANES>();
    if blocks.is_empty() {
        let sum: f64 = rest.iter().map(|&value| value.into()).sum();
        return finite(sum / rest.len() as f64);
    }
    let mut lanes = [F::zeroed(); LANES];
    let mut count = 0;
    for block in blocks.iter().step_by(blocks.len().div_ceil(SAMPLE)) {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = *lane + value;
        }
        count += LANES;
    }
    let mut wide = [0.0; LANES];
    for (wide, lane) in wide.iter_mut().zip(lanes) {
        *wide = lane.into();
    }
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
fn sums<F: Real>(values: &[F], pivot: F) -> [f64; 2] {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut wide = [[0.0; LANES]; 2];
    for chain in blocks.chunks(CHAIN) {
        add_chain(chain, pivot, &mut wide);
    }
    if !rest.is_empty() {
        // The pivot itself deviates by nothing.
        let mut block = [pivot; LANES];
        block[..rest.len()].copy_from_slice(rest);
        add_chain(&[block], pivot, &mut wide);
    }
    [total(&wide[0]), total(&wide[1])]
}

#[inline(always)]
fn add_chain<F: Real>(blocks: &[[F; LANES]], pivot: F, wide: &mut [[f64; LANES]; 2]) {
    let mut first = [F::zeroed(); LANES];
    let mut second = [F::zeroed(); LANES];
    for block in blocks {
        for lane in 0..LANES {
            let deviation = block[lane] - pivot;
            first[lane] = first[lane] + deviation;
            second[lane] = second[lane] + deviation * deviation;
        }
    }
    for lane in 0..LANES {
        wide[0][lane] += first[lane].into();
        wide[1][lane] += second[lane].into();
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
