//! The dtypes that the operator takes, and their conversions.
//!
//! f32 holds every f16 and bf16, f64 every f32; back, a value is rounded once, to nearest, ties to
//! even, whatever the machine.

use std::fmt::Debug;

use bytemuck::must_cast;
use fearless_simd::prelude::*;
use fearless_simd::{Simd, f32x16, u16x32, u32x16};
use half::{bf16, f16};

use super::block::Block;
use super::simd::{BLOCK, narrow_f16, rounded_upper_halves, widen_f16};

/// An element of X or of a parameter: `f16`, `bf16`, `f32` or `f64`.
pub trait Element: Default + Send + Sync + Debug + kernel::Kernel {
    /// The same value.
    fn to_f64(self) -> f64;
    /// The nearest value, ties to even; infinite beyond the range.
    fn from_f64(value: f64) -> Self;
}

pub(super) mod kernel {
    use bytemuck::Pod;
    use fearless_simd::{Simd, f32x16};

    use super::BLOCK;

    /// What the kernels need beside the public conversions; private, so that it seals the dtypes.
    pub trait Kernel: Pod {
        /// Whether f32 arithmetic is too coarse for this dtype.
        const NEEDS_F64: bool;

        /// Whether f32 arithmetic is so fine for this dtype that what one more rounding in it does is
        /// hardly ever seen.
        const COARSE: bool = false;

        fn to_f32(self) -> f32;

        fn from_f32(value: f32) -> Self;

        /// The lane that each element of a block is widened to: the order that is fastest.
        const LANES: [usize; BLOCK] = in_order();

        fn widen<S: Simd>(simd: S, block: &[Self; BLOCK]) -> [f32x16<S>; 2];

        fn narrow<S: Simd>(simd: S, values: [f32x16<S>; 2]) -> [Self; BLOCK];
    }

    const fn in_order() -> [usize; BLOCK] {
        let mut lanes = [0; BLOCK];
        let mut lane = 0;
        while lane < BLOCK {
            lanes[lane] = lane;
            lane += 1;
        }
        lanes
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

    #[inline(always)]
    fn widen<S: Simd>(simd: S, block: &[Self; BLOCK]) -> [f32x16<S>; 2] {
        let mut values = [0.0; BLOCK];
        for (value, element) in values.iter_mut().zip(block) {
            *value = *element as f32;
        }
        Block::load(simd, &values)
    }

    #[inline(always)]
    fn narrow<S: Simd>(_: S, values: [f32x16<S>; 2]) -> [Self; BLOCK] {
        let mut elements = [0.0; BLOCK];
        for (element, value) in elements.iter_mut().zip(flat(values)) {
            *element = Self::from(value);
        }
        elements
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

    #[inline(always)]
    fn widen<S: Simd>(simd: S, block: &[Self; BLOCK]) -> [f32x16<S>; 2] {
        Block::load(simd, block)
    }

    #[inline(always)]
    fn narrow<S: Simd>(_: S, values: [f32x16<S>; 2]) -> [Self; BLOCK] {
        flat(values)
    }
}

macro_rules! half_element {
    ($type:ty) => {
        impl Element for $type {
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self.to_f32())
            }

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                Self::from_f32(round_to_odd(value))
            }
        }
    };
}

half_element!(f16);
half_element!(bf16);

impl kernel::Kernel for f16 {
    const NEEDS_F64: bool = false;

    const COARSE: bool = true;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    #[inline(always)]
    fn widen<S: Simd>(simd: S, block: &[Self; BLOCK]) -> [f32x16<S>; 2] {
        Block::load(simd, &widen_f16(simd, block))
    }

    #[inline(always)]
    fn narrow<S: Simd>(simd: S, values: [f32x16<S>; 2]) -> [Self; BLOCK] {
        narrow_f16(simd, &flat(values))
    }
}

/// The upper half of a word of 32 bits.
const UPPER: u32 = 0xffff_0000;

impl kernel::Kernel for bf16 {
    const NEEDS_F64: bool = false;

    const COARSE: bool = true;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    const LANES: [usize; BLOCK] = halves_of_words();

    #[inline(always)]
    fn widen<S: Simd>(simd: S, block: &[Self; BLOCK]) -> [f32x16<S>; 2] {
        let words = u32x16::load_array(simd, must_cast(*block));
        [(words << 16).bitcast(), (words & UPPER).bitcast()]
    }

    /// Rounds to nearest, ties to even.
    ///
    /// A NaN stays one if its payload is in the upper half, as one's is that comes from 16 bits or
    /// from arithmetic.
    #[inline(always)]
    fn narrow<S: Simd>(simd: S, [lower, upper]: [f32x16<S>; 2]) -> [Self; BLOCK] {
        let (lower, upper) = (lower.to_bits(), upper.to_bits());
        if let Some(rounded) = rounded_upper_halves(simd, [lower, upper]) {
            return must_cast(rounded);
        }
        let kept: u16x32<S> = ((lower >> 16) | (upper & UPPER)).bitcast();
        let lost: u16x32<S> = ((lower & !UPPER) | (upper << 16)).bitcast();
        // From the middle on if the last bit is odd, from beyond it if that is even.
        let least = (!kept & 1) | 0x8000;
        let [zero, one] = [0, 1].map(|value| u16x32::simd_from(simd, value));
        must_cast((kept + lost.simd_ge(least).select(one, zero)).to_array())
    }
}

/// The lower halves of words of 32 bits in the first lanes, the upper ones in the others.
const fn halves_of_words() -> [usize; BLOCK] {
    let mut lanes = [0; BLOCK];
    let mut word = 0;
    while word < BLOCK / 2 {
        let lower = 2 * word + cfg!(target_endian = "big") as usize;
        lanes[lower] = word;
        lanes[lower ^ 1] = BLOCK / 2 + word;
        word += 1;
    }
    lanes
}

#[inline(always)]
fn flat<S: Simd>([low, high]: [f32x16<S>; 2]) -> [f32; BLOCK] {
    must_cast([low.to_array(), high.to_array()])
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest finite value of a 16-bit dtype by search, ties to the even pattern.
    fn search<T: Element>(value: f64, from_bits: fn(u16) -> T) -> f64 {
        let at = |bits: u16| from_bits(bits).to_f64();
        let finite = (0..=u16::MAX).filter(|&bits| at(bits).is_finite());
        let best = finite.min_by(|&left, &right| {
            let distance = |bits| (at(bits) - value).abs();
            let odd = |bits: u16| bits & 1;
            distance(left)
                .total_cmp(&distance(right))
                .then(odd(left).cmp(&odd(right)))
        });
        at(best.unwrap())
    }

    #[test]
    fn f64_rounds_once_to_16_bits() {
        // Just beside the middle of two neighbours: by way of f32 it would land on the middle.
        for (tie, from_bits) in [(2f64.powi(-11), true), (2f64.powi(-8), false)] {
            for nudge in [-(2f64.powi(-40)), 0.0, 2f64.powi(-40)] {
                for scale in [1.0, -1.0, 3.0, 2f64.powi(-14), -(2f64.powi(-20)), 1e4] {
                    for odd in [0.0, 2.0] {
                        let value = (1.0 + odd * tie + tie + nudge) * scale;
                        let (found, expected) = if from_bits {
                            (
                                <f16 as Element>::from_f64(value).to_f64(),
                                search(value, f16::from_bits),
                            )
                        } else {
                            (
                                <bf16 as Element>::from_f64(value).to_f64(),
                                search(value, bf16::from_bits),
                            )
                        };
                        assert_eq!(found, expected, "{value:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_beyond_the_range_round_to_infinity_from_the_middle_on() {
        assert_eq!(<f16 as Element>::from_f64(65519.999), f16::MAX);
        assert_eq!(<f16 as Element>::from_f64(65520.0), f16::INFINITY);
        assert_eq!(<f16 as Element>::from_f64(-1e300), f16::NEG_INFINITY);
        let middle = 2f64.powi(128) - 2f64.powi(119);
        assert_eq!(
            <bf16 as Element>::from_f64(middle * (1.0 - 1e-12)),
            bf16::MAX
        );
        assert_eq!(<bf16 as Element>::from_f64(middle), bf16::INFINITY);
        assert!(<bf16 as Element>::from_f64(f64::NAN).is_nan());
        assert!(<f16 as Element>::from_f64(f64::NAN).is_nan());
    }
}
