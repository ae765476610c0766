//! The dtypes that the operator takes, and their conversions.
//!
//! f32 holds every f16 and bf16, f64 every f32; back, a value is rounded once, to nearest, ties to
//! even, whatever the machine.

use std::fmt::Debug;
use std::ops::{Add, Mul, Sub};

use half::{bf16, f16};

/// An element of X or of a parameter: [`f16`], [`bf16`], [`f32`] or [`f64`].
pub trait Element: Copy + Default + Send + Sync + Debug + 'static + sealed::Lane {
    /// The same value.
    fn to_f64(self) -> f64;
    /// The nearest value, ties to even; infinite beyond the range.
    fn from_f64(value: f64) -> Self;
}

pub(super) mod sealed {
    /// What the kernels need beside the public conversions.
    pub trait Lane: Sized {
        /// Whether f32 arithmetic is too coarse for this dtype.
        const NEEDS_F64: bool;
        fn to_f32(self) -> f32;
        fn from_f32(value: f32) -> Self;
    }
}

/// The arithmetic that a kernel runs in: f32 or f64.
pub(super) trait Real:
    Copy + Send + Sync + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    fn load<T: Element>(value: T) -> Self;
    fn store<T: Element>(self) -> T;
}

impl Real for f32 {
    #[inline(always)]
    fn load<T: Element>(value: T) -> Self {
        value.to_f32()
    }

    #[inline(always)]
    fn store<T: Element>(self) -> T {
        T::from_f32(self)
    }
}

impl Real for f64 {
    #[inline(always)]
    fn load<T: Element>(value: T) -> Self {
        value.to_f64()
    }

    #[inline(always)]
    fn store<T: Element>(self) -> T {
        T::from_f64(self)
    }
}

macro_rules! element {
    ($type:ty, $needs_f64:literal, $to_f64:expr, $from_f64:expr, $to_f32:expr, $from_f32:expr) => {
        impl Element for $type {
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to_f64(self)
            }

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $from_f64(value)
            }
        }

        impl sealed::Lane for $type {
            const NEEDS_F64: bool = $needs_f64;

            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to_f32(self)
            }

            #[inline(always)]
            fn from_f32(value: f32) -> Self {
                $from_f32(value)
            }
        }
    };
}

element!(f64, true, |v| v, |v| v, |v| v as f32, f64::from);
element!(f32, false, f64::from, |v| v as f32, |v| v, |v| v);
element!(
    f16,
    false,
    |v: f16| f64::from(v.to_f32()),
    |v| f16::from_f32(round_to_odd(v)),
    f16::to_f32,
    f16::from_f32
);
element!(
    bf16,
    false,
    |v: bf16| f64::from(v.to_f32()),
    |v| bf16::from_f32(round_to_odd(v)),
    bf16::to_f32,
    bf16::from_f32
);

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
