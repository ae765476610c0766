//! Runs a kernel as compiled for the widest vector instructions that the machine has.
//!
//! The instructions do not change results: kernels neither reorder sums nor contract products, and
//! f16 converts exactly or to nearest, ties to even, everywhere.

use std::sync::LazyLock;

use fearless_simd::{Level, Simd};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Elements of f16 that are converted at a time.
pub(super) const BLOCK: usize = 32;

/// Work for one thread. All below [`run`](Self::run) must be inlined into it to profit.
pub(super) trait Work {
    type Output;

    fn run(self, vector: impl Vector) -> Self::Output;
}

/// The instructions at hand, where they matter to more than the compiler.
///
/// A NaN narrows to a NaN if its payload is in the upper half, as one's is that comes from 16 bits
/// or from arithmetic.
pub trait Vector: Copy {
    fn widen_f16(self, values: &[f16; BLOCK]) -> [f32; BLOCK];
    fn narrow_f16(self, values: &[f32; BLOCK]) -> [f16; BLOCK];
    fn widen_bf16(self, values: &[bf16; BLOCK]) -> [f32; BLOCK];
    fn narrow_bf16(self, values: &[f32; BLOCK]) -> [bf16; BLOCK];

    /// Like [`widen_bf16`](Self::widen_bf16), in whatever order is fastest.
    fn split_bf16(self, values: &[bf16; BLOCK]) -> [f32; BLOCK];
    /// The inverse of [`split_bf16`](Self::split_bf16), rounding.
    fn join_bf16(self, values: &[f32; BLOCK]) -> [bf16; BLOCK];
}

static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

pub(super) fn vectorize<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = LEVEL.as_avx2() {
        return match LEVEL.as_avx512() {
            Some(avx512) => avx512.vectorize(
                #[inline(always)]
                || work.run(avx2),
            ),
            None => avx2.vectorize(
                #[inline(always)]
                || work.run(avx2),
            ),
        };
    }
    work.run(Baseline)
}

/// What the target promises, with the conversions that half finds.
#[derive(Clone, Copy)]
struct Baseline;

impl Vector for Baseline {
    #[inline(always)]
    fn widen_f16(self, values: &[f16; BLOCK]) -> [f32; BLOCK] {
        let mut wide = [0.0; BLOCK];
        values.convert_to_f32_slice(&mut wide);
        wide
    }

    #[inline(always)]
    fn narrow_f16(self, values: &[f32; BLOCK]) -> [f16; BLOCK] {
        let mut narrow = [f16::ZERO; BLOCK];
        narrow.convert_from_f32_slice(values);
        narrow
    }

    #[inline(always)]
    fn widen_bf16(self, values: &[bf16; BLOCK]) -> [f32; BLOCK] {
        values.map(|value| f32::from_bits(u32::from(value.to_bits()) << 16))
    }

    #[inline(always)]
    fn narrow_bf16(self, values: &[f32; BLOCK]) -> [bf16; BLOCK] {
        values.map(|value| {
            let bits = value.to_bits();
            let rounded = bits.wrapping_add(0x7fff).wrapping_add(bits >> 16 & 1);
            bf16::from_bits((rounded >> 16) as u16)
        })
    }

    #[inline(always)]
    fn split_bf16(self, values: &[bf16; BLOCK]) -> [f32; BLOCK] {
        self.widen_bf16(values)
    }

    #[inline(always)]
    fn join_bf16(self, values: &[f32; BLOCK]) -> [bf16; BLOCK] {
        self.narrow_bf16(values)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use bytemuck::must_cast;
    use fearless_simd::x86::Avx2;
    use half::{bf16, f16};

    use super::{BLOCK, Vector};

    impl Vector for Avx2 {
        #[inline(always)]
        fn widen_f16(self, values: &[f16; BLOCK]) -> [f32; BLOCK] {
            let [a, b, c, d]: [__m128i; 4] = must_cast(*values);
            must_cast([
                widen_f16(self, a),
                widen_f16(self, b),
                widen_f16(self, c),
                widen_f16(self, d),
            ])
        }

        #[inline(always)]
        fn narrow_f16(self, values: &[f32; BLOCK]) -> [f16; BLOCK] {
            let [a, b, c, d]: [__m256; 4] = must_cast(*values);
            must_cast([
                narrow_f16(self, a),
                narrow_f16(self, b),
                narrow_f16(self, c),
                narrow_f16(self, d),
            ])
        }

        #[inline(always)]
        fn widen_bf16(self, values: &[bf16; BLOCK]) -> [f32; BLOCK] {
            let [a, b, c, d]: [__m128i; 4] = must_cast(*values);
            must_cast([
                widen_bf16(self, a),
                widen_bf16(self, b),
                widen_bf16(self, c),
                widen_bf16(self, d),
            ])
        }

        #[inline(always)]
        fn narrow_bf16(self, values: &[f32; BLOCK]) -> [bf16; BLOCK] {
            let [a, b, c, d]: [__m256i; 4] = must_cast(*values);
            must_cast([narrow_bf16(self, a, b), narrow_bf16(self, c, d)])
        }

        #[inline(always)]
        fn split_bf16(self, values: &[bf16; BLOCK]) -> [f32; BLOCK] {
            let [a, b]: [__m256i; 2] = must_cast(*values);
            must_cast([split_bf16(self, a), split_bf16(self, b)])
        }

        #[inline(always)]
        fn join_bf16(self, values: &[f32; BLOCK]) -> [bf16; BLOCK] {
            let [a, b, c, d]: [__m256i; 4] = must_cast(*values);
            must_cast([join_bf16(self, a, b), join_bf16(self, c, d)])
        }
    }

    fearless_simd::kernel!(
        #[inline(always)]
        fn widen_f16(avx2: Avx2, eight: __m128i) -> __m256 {
            _mm256_cvtph_ps(eight)
        }
    );

    fearless_simd::kernel!(
        #[inline(always)]
        fn narrow_f16(avx2: Avx2, eight: __m256) -> __m128i {
            _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(eight)
        }
    );

    fearless_simd::kernel!(
        #[inline(always)]
        fn widen_bf16(avx2: Avx2, eight: __m128i) -> __m256i {
            _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(eight))
        }
    );

    fearless_simd::kernel!(
        #[inline(always)]
        fn narrow_bf16(avx2: Avx2, low: __m256i, high: __m256i) -> __m256i {
            let low = _mm256_srli_epi32::<16>(round_bf16(avx2, low));
            let high = _mm256_srli_epi32::<16>(round_bf16(avx2, high));
            // Packing works within halves; put the quarters in order.
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high))
        }
    );

    fearless_simd::kernel!(
        /// The even ones and the odd ones of sixteen.
        #[inline(always)]
        fn split_bf16(avx2: Avx2, sixteen: __m256i) -> [__m256i; 2] {
            let upper = _mm256_set1_epi32(-0x10000);
            [
                _mm256_slli_epi32::<16>(sixteen),
                _mm256_and_si256(sixteen, upper),
            ]
        }
    );

    fearless_simd::kernel!(
        #[inline(always)]
        fn join_bf16(avx2: Avx2, even: __m256i, odd: __m256i) -> __m256i {
            let even = _mm256_srli_epi32::<16>(round_bf16(avx2, even));
            _mm256_blend_epi16::<0b10_10_10_10>(even, round_bf16(avx2, odd))
        }
    );

    fearless_simd::kernel!(
        /// Bits whose upper half is the nearest bf16, ties to even.
        #[inline(always)]
        fn round_bf16(avx2: Avx2, eight: __m256i) -> __m256i {
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(eight), _mm256_set1_epi32(1));
            let carry = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            _mm256_add_epi32(eight, carry)
        }
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conversions of one block, by the instructions at hand.
    struct Widen([u16; BLOCK]);
    struct Narrow([f32; BLOCK]);

    impl Work for Widen {
        type Output = [[u32; BLOCK]; 3];

        fn run(self, vector: impl Vector) -> Self::Output {
            let bf16s = self.0.map(bf16::from_bits);
            let split = vector.split_bf16(&bf16s);
            let joined = vector.join_bf16(&split).map(|value| value.to_bits().into());
            [
                vector
                    .widen_f16(&self.0.map(f16::from_bits))
                    .map(f32::to_bits),
                vector.widen_bf16(&bf16s).map(f32::to_bits),
                joined,
            ]
        }
    }

    impl Work for Narrow {
        type Output = ([u16; BLOCK], [u16; BLOCK]);

        fn run(self, vector: impl Vector) -> Self::Output {
            let f16s = vector.narrow_f16(&self.0).map(f16::to_bits);
            (f16s, vector.narrow_bf16(&self.0).map(bf16::to_bits))
        }
    }

    #[test]
    fn every_16_bit_value_widens_to_itself() {
        for start in (0..=u16::MAX).step_by(BLOCK) {
            let bits: [u16; BLOCK] = std::array::from_fn(|lane| start + lane as u16);
            let [f16s, bf16s, joined] = vectorize(Widen(bits));
            assert_eq!([f16s, bf16s, joined], Widen(bits).run(Baseline));
            for (lane, &bits) in bits.iter().enumerate() {
                let f16 = f16::from_bits(bits).to_f32();
                let found = f32::from_bits(f16s[lane]);
                assert!(found.to_bits() == f16.to_bits() || (found.is_nan() && f16.is_nan()));
                assert_eq!(bf16s[lane], u32::from(bits) << 16);
                assert_eq!(joined[lane], u32::from(bits));
            }
        }
    }

    #[test]
    fn values_narrow_to_the_nearest_on_every_machine() {
        // Every exponent, with mantissas at, beside and between the ties of both dtypes.
        let low = [
            0, 1, 0xfff, 0x1000, 0x1001, 0x3000, 0x7fff, 0x8000, 0x8001, 0x1_8000,
        ];
        let high = [0, 0x2000, 0x40_0000, 0x7f_0000, 0x7f_e000];
        let mut finite = Vec::new();
        for exponent in 0u32..0x1ff {
            for (high, low) in high
                .iter()
                .flat_map(|high| low.iter().map(move |low| (high, low)))
            {
                let value = f32::from_bits(exponent << 23 | (high ^ low));
                finite.extend(Some(value).filter(|value| !value.is_nan()));
            }
        }
        for block in finite.as_chunks::<BLOCK>().0 {
            let (f16s, bf16s) = vectorize(Narrow(*block));
            assert_eq!((f16s, bf16s), Narrow(*block).run(Baseline));
            for (lane, &value) in block.iter().enumerate() {
                assert_eq!(f16s[lane], f16::from_f32(value).to_bits(), "{value:e}");
                assert_eq!(bf16s[lane], bf16::from_f32(value).to_bits(), "{value:e}");
            }
        }
    }

    #[test]
    fn nan_of_arithmetic_narrows_to_nan() {
        let nans = [
            f32::NAN,
            -f32::NAN,
            f32::INFINITY - f32::INFINITY,
            0.0 / f32::from_bits(0),
        ];
        let (f16s, bf16s) = vectorize(Narrow(std::array::from_fn(|lane| nans[lane % 4])));
        assert!(f16s.iter().all(|&bits| f16::from_bits(bits).is_nan()));
        assert!(bf16s.iter().all(|&bits| bf16::from_bits(bits).is_nan()));
    }
}
