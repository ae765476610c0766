//! The dtypes that the operator takes, their conversions, and how a kernel runs over each.
//!
//! f32 holds every f16 and bf16, f64 every f32; back, a value is rounded once, to nearest, ties to
//! even, whatever the machine.

use std::any::TypeId;
use std::fmt::Debug;
use std::ops::{Add, Mul, Sub};

use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::lanes::Lanes;

/// An element of X or of a parameter: [`f16`], [`bf16`], [`f32`] or [`f64`].
pub trait Element: Default + Send + Sync + Debug + kernel::Kernel {
    /// The same value.
    fn to_f64(self) -> f64;
    /// The nearest value, ties to even; infinite beyond the range.
    fn from_f64(value: f64) -> Self;
}

pub(super) mod kernel {
    use super::{Lanes, Pod};

    /// What the kernels need beside the public conversions; private, so that it seals the dtypes.
    pub trait Kernel: Pod {
        /// Whether f32 arithmetic is too coarse for this dtype.
        const NEEDS_F64: bool;

        fn to_f32(self) -> f32;

        fn from_f32(value: f32) -> Self;

        /// `to` has the length of `from`.
        #[inline(always)]
        fn widen(from: &[Self], to: &mut [f32]) {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = from.to_f32();
            }
        }

        #[inline(always)]
        fn map(lanes: impl Lanes<Self>, f: impl Fn(f32) -> f32) {
            lanes.map(|value| Self::from_f32(f(value.to_f32())));
        }

        #[inline(always)]
        fn map_with(
            lanes: impl Lanes<Self>,
            parameters: [&[f32]; 3],
            f: impl Fn(f32, [f32; 3]) -> f32,
        ) {
            lanes.map_with(parameters, |value, parameters| {
                Self::from_f32(f(value.to_f32(), parameters))
            });
        }
    }
}

/// The arithmetic that a kernel runs in: f32 or f64.
pub(super) trait Real:
    Pod + Send + Sync + Into<f64> + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// Squares below this may have lost digits.
    const SMALLEST_SQUARE: f64;

    fn nearest(value: f64) -> Self;
    fn load<T: Element>(value: T) -> Self;
    fn store<T: Element>(self) -> T;
    fn map<T: Element>(lanes: impl Lanes<T>, f: impl Fn(Self) -> Self);
    /// Maps each element with the parameters of its own position.
    fn map_with<T: Element>(
        lanes: impl Lanes<T>,
        parameters: [&[Self]; 3],
        f: impl Fn(Self, [Self; 3]) -> Self,
    );
    /// Fills `to` with the values of `from`, which has the same length.
    fn widen<T: Element>(from: &[T], to: &mut [Self]);

    /// `values` themselves, if they are of this type.
    #[inline(always)]
    fn cast<T: Element>(values: &[T]) -> Option<&[Self]> {
        (TypeId::of::<T>() == TypeId::of::<Self>()).then(|| bytemuck::cast_slice(values))
    }

    /// `values` in this arithmetic, by way of `buffer`, which is long enough, if need be.
    #[inline(always)]
    fn wide<'a, T: Element>(values: &'a [T], buffer: &'a mut [Self]) -> &'a [Self] {
        if let Some(values) = Self::cast(values) {
            return values;
        }
        let buffer = &mut buffer[..values.len()];
        Self::widen(values, buffer);
        buffer
    }
}

impl Real for f32 {
    const SMALLEST_SQUARE: f64 = 1e-30;

    #[inline(always)]
    fn nearest(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn widen<T: Element>(from: &[T], to: &mut [Self]) {
        T::widen(from, to);
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
    fn map<T: Element>(lanes: impl Lanes<T>, f: impl Fn(Self) -> Self) {
        T::map(lanes, f);
    }

    #[inline(always)]
    fn map_with<T: Element>(
        lanes: impl Lanes<T>,
        parameters: [&[Self]; 3],
        f: impl Fn(Self, [Self; 3]) -> Self,
    ) {
        T::map_with(lanes, parameters, f);
    }
}

impl Real for f64 {
    const SMALLEST_SQUARE: f64 = 1e-290;

    #[inline(always)]
    fn nearest(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn widen<T: Element>(from: &[T], to: &mut [Self]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.to_f64();
        }
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
    fn map<T: Element>(lanes: impl Lanes<T>, f: impl Fn(Self) -> Self) {
        lanes.map(|value| T::from_f64(f(value.to_f64())));
    }

    #[inline(always)]
    fn map_with<T: Element>(
        lanes: impl Lanes<T>,
        parameters: [&[Self]; 3],
        f: impl Fn(Self, [Self; 3]) -> Self,
    ) {
        lanes.map_with(parameters, |value, parameters| {
            T::from_f64(f(value.to_f64(), parameters))
        });
    }
}

impl Element for f64 {
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
}

impl kernel::Kernel for f64 {
    const NEEDS_F64: bool = true;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from(value)
    }
}

impl Element for f32 {
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl kernel::Kernel for f32 {
    const NEEDS_F64: bool = false;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Element for f16 {
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        Self::from_f32(round_to_odd(value))
    }
}

/// Large enough to hide what half does per call, small enough for registers.
const BLOCK: usize = 32;

impl kernel::Kernel for f16 {
    const NEEDS_F64: bool = false;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    #[inline(always)]
    fn widen(from: &[Self], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }

    #[inline(always)]
    fn map(mut lanes: impl Lanes<Self>, f: impl Fn(f32) -> f32) {
        while lanes.len() >= BLOCK {
            let (block, rest) = lanes.split_at(BLOCK);
            let mut wide = [0.0; BLOCK];
            block.source().convert_to_f32_slice(&mut wide);
            for value in &mut wide {
                *value = f(*value);
            }
            block.target().convert_from_f32_slice(&wide);
            lanes = rest;
        }
        lanes.map(|value| Self::from_f32(f(value.to_f32())));
    }

    #[inline(always)]
    fn map_with(
        mut lanes: impl Lanes<Self>,
        mut parameters: [&[f32]; 3],
        f: impl Fn(f32, [f32; 3]) -> f32,
    ) {
        while lanes.len() >= BLOCK {
            let (block, rest) = lanes.split_at(BLOCK);
            let mut wide = [0.0; BLOCK];
            block.source().convert_to_f32_slice(&mut wide);
            let [a, b, c] = parameters.map(|values| &values[..BLOCK]);
            for (value, ((&a, &b), &c)) in wide.iter_mut().zip(a.iter().zip(b).zip(c)) {
                *value = f(*value, [a, b, c]);
            }
            block.target().convert_from_f32_slice(&wide);
            parameters = parameters.map(|values| &values[BLOCK..]);
            lanes = rest;
        }
        lanes.map_with(parameters, |value, parameters| {
            Self::from_f32(f(value.to_f32(), parameters))
        });
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        Self::from_f32(round_to_odd(value))
    }
}

impl kernel::Kernel for bf16 {
    const NEEDS_F64: bool = false;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    #[inline(always)]
    fn map(lanes: impl Lanes<Self>, f: impl Fn(f32) -> f32) {
        // Two elements to a 32-bit lane need no narrowing shuffle.
        let (head, pairs, tail) = lanes.pairs();
        let one = |value: Self| Self::from_bits((nearest_bf16(f(value.to_f32())) >> 16) as u16);
        head.map(one);
        pairs.map(|pair| {
            let low = f(f32::from_bits(pair << 16));
            let high = f(f32::from_bits(pair & 0xffff_0000));
            (nearest_bf16(low) >> 16) | (nearest_bf16(high) & 0xffff_0000)
        });
        tail.map(one);
    }

    #[inline(always)]
    fn map_with(
        lanes: impl Lanes<Self>,
        parameters: [&[f32]; 3],
        f: impl Fn(f32, [f32; 3]) -> f32,
    ) {
        lanes.map_with(parameters, |value, parameters| {
            let value = nearest_bf16(f(value.to_f32(), parameters));
            Self::from_bits((value >> 16) as u16)
        });
    }
}

/// Bits whose upper half is the bf16 nearest to `value`, ties to even.
///
/// A NaN must have its payload in the upper half, as one has that comes from a bf16 or from
/// arithmetic; else it might become infinity.
#[inline(always)]
fn nearest_bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    bits.wrapping_add(0x7fff).wrapping_add(bits >> 16 & 1)
}

/// The f32 next to `value` whose last bit is odd, unless `value` is an f32 itself.
///
/// Rounding that to 16 bits gives what rounding `value` at once would; by way of the nearest f32 it
/// would round twice.
fn round_to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let back = f64::from(nearest);
    if back == value || value.is_nan() || nearest.to_bits() & 1 == 1 {
        nearest
    } else if (back > value) == (nearest > 0.0) {
        // Infinity is even too: a finite value beyond f32 becomes the largest f32.
        f32::from_bits(nearest.to_bits() - 1)
    } else {
        f32::from_bits(nearest.to_bits() + 1)
    }
}
