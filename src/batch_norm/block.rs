//! A block of values in vectors: thirty-two of them, whatever the machine's vectors hold.

use fearless_simd::Simd;
use fearless_simd::prelude::*;

/// Values, lane by lane.
pub(super) trait Block<S: Simd>: Copy {
    type Value: Copy;

    fn splat(simd: S, value: Self::Value) -> Self;

    /// The first of `values`, as many as there are lanes.
    fn load(simd: S, values: &[Self::Value]) -> Self;

    fn plus(self, other: Self) -> Self;

    fn minus(self, other: Self) -> Self;

    /// `self · factor + addend`, rounded once on every machine.
    fn times_plus(self, factor: Self, addend: Self) -> Self;

    /// `self`, but zero where `number` is below `least`.
    fn kept_from(self, least: Self, number: Self) -> Self;

    /// Whether all lanes are equal.
    fn equals(self, other: Self) -> bool;
}

impl<S: Simd, V: SimdFloat<S>, const N: usize> Block<S> for [V; N] {
    type Value = V::Element;

    #[inline(always)]
    fn splat(simd: S, value: V::Element) -> Self {
        [V::simd_from(simd, value); N]
    }

    #[inline(always)]
    fn load(simd: S, values: &[V::Element]) -> Self {
        let mut block = [V::from_slice(simd, &values[..V::LEN]); N];
        for (part, vector) in block.iter_mut().enumerate().skip(1) {
            *vector = V::from_slice(simd, &values[part * V::LEN..][..V::LEN]);
        }
        block
    }

    #[inline(always)]
    fn plus(mut self, other: Self) -> Self {
        for (one, other) in self.iter_mut().zip(other) {
            *one += other;
        }
        self
    }

    #[inline(always)]
    fn minus(mut self, other: Self) -> Self {
        for (one, other) in self.iter_mut().zip(other) {
            *one -= other;
        }
        self
    }

    #[inline(always)]
    fn times_plus(mut self, factor: Self, addend: Self) -> Self {
        for (value, (factor, addend)) in self.iter_mut().zip(factor.into_iter().zip(addend)) {
            *value = value.mul_add_precise(factor, addend);
        }
        self
    }

    #[inline(always)]
    fn kept_from(mut self, least: Self, number: Self) -> Self {
        for (value, (least, number)) in self.iter_mut().zip(least.into_iter().zip(number)) {
            let zero = V::simd_from(value.token(), V::Element::from(0u8));
            *value = number.simd_lt(least).select(zero, *value);
        }
        self
    }

    #[inline(always)]
    fn equals(self, other: Self) -> bool {
        let mut all = true;
        for (one, other) in self.into_iter().zip(other) {
            all &= one.simd_eq(other).all_true();
        }
        all
    }
}
