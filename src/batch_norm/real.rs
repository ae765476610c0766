//! The arithmetic that a kernel runs in, f32 or f64, and how blocks of any dtype enter and leave it.

use std::ops::Sub;

use bytemuck::Pod;
use fearless_simd::prelude::*;
use fearless_simd::{Simd, f32x16, f64x4, f64x8};

use super::block::Block;
use super::element::Element;
use super::simd::BLOCK;

/// f32 or f64.
pub(super) trait Real: Pod + Send + Sync + Into<f64> + Sub<Output = Self> {
    /// Values in vectors.
    type Block<S: Simd>: Block<S, Value = Self>;

    /// Squares below this may have lost digits.
    const SMALLEST_SQUARE: f64;

    fn nearest(value: f64) -> Self;

    fn load<T: Element>(value: T) -> Self;

    fn store<T: Element>(self) -> T;

    /// `self · factor + addend`, rounded once.
    fn times_plus(self, factor: Self, addend: Self) -> Self;

    /// The values of a block, in the order that is fastest for the dtype.
    fn read<S: Simd, T: Element>(simd: S, block: &[T; BLOCK]) -> Self::Block<S>;

    /// The elements nearest to the values, from the order of [`read`](Self::read).
    fn write<S: Simd, T: Element>(simd: S, values: Self::Block<S>) -> [T; BLOCK];

    /// The lane that each element of a block is read to.
    fn lanes<T: Element>() -> [usize; BLOCK] {
        T::LANES
    }

    /// The same values in f64.
    fn widen<S: Simd>(values: Self::Block<S>) -> [f64x8<S>; 4];

    /// The sum of the values, in pairs.
    fn total<S: Simd>(values: Self::Block<S>) -> f64;

    /// Half as many values in f64: sums of two each.
    fn halved<S: Simd>(values: Self::Block<S>) -> [f64x8<S>; 2];
}

impl Real for f64 {
    type Block<S: Simd> = [f64x8<S>; 4];

    const SMALLEST_SQUARE: f64 = 1e-290;

    #[inline(always)]
    fn nearest(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn load<T: Element>(value: T) -> Self {
        value.to_f64()
    }

    #[inline(always)]
    fn store<T: Element>(self) -> T {
        T::from_f64(self)
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, addend: Self) -> Self {
        self.mul_add(factor, addend)
    }

    #[inline(always)]
    fn read<S: Simd, T: Element>(simd: S, block: &[T; BLOCK]) -> Self::Block<S> {
        if !T::NEEDS_F64 {
            return f32::widen(T::widen(simd, block));
        }
        let mut values = [0.0; BLOCK];
        for (value, element) in values.iter_mut().zip(block) {
            *value = element.to_f64();
        }
        Block::load(simd, &values)
    }

    #[inline(always)]
    fn write<S: Simd, T: Element>(_: S, values: Self::Block<S>) -> [T; BLOCK] {
        let mut flat = [0.0; BLOCK];
        for (flat, values) in flat.as_chunks_mut().0.iter_mut().zip(values) {
            *flat = values.to_array();
        }
        let mut elements = [T::zeroed(); BLOCK];
        for (element, lane) in elements.iter_mut().zip(T::LANES) {
            *element = T::from_f64(flat[lane]);
        }
        elements
    }

    #[inline(always)]
    fn widen<S: Simd>(values: Self::Block<S>) -> [f64x8<S>; 4] {
        values
    }

    #[inline(always)]
    fn total<S: Simd>([a, b, c, d]: Self::Block<S>) -> f64 {
        let (low, high) = ((a + c) + (b + d)).split();
        sum_of_four(low + high)
    }

    #[inline(always)]
    fn halved<S: Simd>([a, b, c, d]: Self::Block<S>) -> [f64x8<S>; 2] {
        [a + c, b + d]
    }
}

impl Real for f32 {
    type Block<S: Simd> = [f32x16<S>; 2];

    const SMALLEST_SQUARE: f64 = 1e-30;

    #[inline(always)]
    fn nearest(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn load<T: Element>(value: T) -> Self {
        value.to_f32()
    }

    #[inline(always)]
    fn store<T: Element>(self) -> T {
        T::from_f32(self)
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, addend: Self) -> Self {
        self.mul_add(factor, addend)
    }

    #[inline(always)]
    fn read<S: Simd, T: Element>(simd: S, block: &[T; BLOCK]) -> Self::Block<S> {
        T::widen(simd, block)
    }

    #[inline(always)]
    fn write<S: Simd, T: Element>(simd: S, values: Self::Block<S>) -> [T; BLOCK] {
        T::narrow(simd, values)
    }

    #[inline(always)]
    fn widen<S: Simd>([low, high]: Self::Block<S>) -> [f64x8<S>; 4] {
        let ((a, b), (c, d)) = (low.widen(), high.widen());
        [a, b, c, d]
    }

    #[inline(always)]
    fn total<S: Simd>([low, high]: Self::Block<S>) -> f64 {
        let (low, high) = (low + high).split();
        let (low, high) = (low + high).widen();
        sum_of_four(low + high)
    }

    #[inline(always)]
    fn halved<S: Simd>([low, high]: Self::Block<S>) -> [f64x8<S>; 2] {
        (low + high).widen().into()
    }
}

#[inline(always)]
fn sum_of_four<S: Simd>(values: f64x4<S>) -> f64 {
    let [a, b, c, d] = values.to_array();
    (a + c) + (b + d)
}
