//! The arithmetic that a kernel runs in, f32 or f64, and how it runs over elements of any dtype.
//!
//! Dtypes of 16 bits go through f32 in blocks, since only blocks convert at the speed of memory.

use std::ops::{Add, Mul, Sub};

use bytemuck::Pod;

use super::element::Element;
use super::lanes::Lanes;
use super::simd::{BLOCK, Vector};

/// f32 or f64.
pub(super) trait Real:
    Pod + Send + Sync + Into<f64> + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// Squares below this may have lost digits.
    const SMALLEST_SQUARE: f64;

    fn nearest(value: f64) -> Self;

    fn load<T: Element>(value: T) -> Self;

    fn store<T: Element>(self) -> T;

    /// Maps elements, one row of them.
    fn map<T: Element>(vector: impl Vector, lanes: impl Lanes<T>, f: impl Fn(Self) -> Self);

    /// Maps each element with the parameters of its own position.
    fn map_with<T: Element>(
        vector: impl Vector,
        lanes: impl Lanes<T>,
        parameters: [&[Self]; 3],
        f: impl Fn(Self, [Self; 3]) -> Self,
    );

    /// The values of a block.
    fn block<T: Element>(vector: impl Vector, block: &[T; BLOCK]) -> [Self; BLOCK];
}

impl Real for f64 {
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
    fn map<T: Element>(_: impl Vector, lanes: impl Lanes<T>, f: impl Fn(Self) -> Self) {
        lanes.map(|value| T::from_f64(f(value.to_f64())));
    }

    #[inline(always)]
    fn map_with<T: Element>(
        _: impl Vector,
        lanes: impl Lanes<T>,
        parameters: [&[Self]; 3],
        f: impl Fn(Self, [Self; 3]) -> Self,
    ) {
        lanes.map_with(parameters, |value, parameters| {
            T::from_f64(f(value.to_f64(), parameters))
        });
    }

    #[inline(always)]
    fn block<T: Element>(_: impl Vector, block: &[T; BLOCK]) -> [Self; BLOCK] {
        let mut wide = [0.0; BLOCK];
        for (wide, value) in wide.iter_mut().zip(block) {
            *wide = value.to_f64();
        }
        wide
    }
}

/// Rows below this lose much of their time to their ends, unless they go by blocks.
const SHORT: usize = 256;

impl Real for f32 {
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
    fn map<T: Element>(vector: impl Vector, lanes: impl Lanes<T>, f: impl Fn(Self) -> Self) {
        if lanes.len() >= BLOCK && (T::BY_BLOCKS || lanes.len() < SHORT) {
            map_blocks(
                lanes,
                #[inline(always)]
                |_, block| {
                    let mut wide = T::split(vector, block);
                    for value in &mut wide {
                        *value = f(*value);
                    }
                    T::join(vector, &wide)
                },
            );
        } else {
            lanes.map(|value| T::from_f32(f(value.to_f32())));
        }
    }

    #[inline(always)]
    fn map_with<T: Element>(
        vector: impl Vector,
        lanes: impl Lanes<T>,
        parameters: [&[Self]; 3],
        f: impl Fn(Self, [Self; 3]) -> Self,
    ) {
        if lanes.len() >= BLOCK && T::BY_BLOCKS {
            map_blocks(
                lanes,
                #[inline(always)]
                |start, block| {
                    let mut wide = T::widen(vector, block);
                    let [a, b, c] = parameters.map(|values| &values[start..start + BLOCK]);
                    for (value, ((&a, &b), &c)) in wide.iter_mut().zip(a.iter().zip(b).zip(c)) {
                        *value = f(*value, [a, b, c]);
                    }
                    T::narrow(vector, &wide)
                },
            );
        } else {
            lanes.map_with(parameters, |value, parameters| {
                T::from_f32(f(value.to_f32(), parameters))
            });
        }
    }

    #[inline(always)]
    fn block<T: Element>(vector: impl Vector, block: &[T; BLOCK]) -> [Self; BLOCK] {
        T::widen(vector, block)
    }
}

/// Maps blocks, which begin at the given places, of at least one block of elements.
///
/// The last block may overlap the one before; it is read before that is written.
#[inline(always)]
fn map_blocks<T: Element>(mut lanes: impl Lanes<T>, f: impl Fn(usize, &[T; BLOCK]) -> [T; BLOCK]) {
    let end = lanes.len() - BLOCK;
    let last = f(end, &block(lanes.source(), end));
    for start in (0..=end).step_by(BLOCK) {
        let mapped = f(start, &block(lanes.source(), start));
        lanes.target()[start..start + BLOCK].copy_from_slice(&mapped);
    }
    lanes.target()[end..].copy_from_slice(&last);
}

#[inline(always)]
fn block<T: Element>(values: &[T], start: usize) -> [T; BLOCK] {
    let mut block = [T::default(); BLOCK];
    block.copy_from_slice(&values[start..start + BLOCK]);
    block
}
