//! Runs a kernel as compiled for the widest vector instructions that the machine has.
//!
//! The instructions do not change results: the order of sums is fixed, a product that is added to is
//! not rounded before, on machines without such an instruction in software, and f16 converts exactly
//! or to nearest, ties to even.

use std::sync::LazyLock;

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u32x16};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Elements that are worked on at a time.
pub(super) const BLOCK: usize = 32;

/// How many times as much of this length ends with a block.
pub(super) fn evened(length: usize) -> usize {
    BLOCK >> length.trailing_zeros().min(BLOCK.trailing_zeros())
}

/// Work for one thread. All below [`run`](Self::run) must be inlined into it to profit.
pub(super) trait Work {
    type Output;

    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

pub(super) fn vectorize<W: Work>(work: W) -> W::Output {
    dispatch!(*LEVEL, simd => work.run(simd))
}

#[inline(always)]
pub(super) fn widen_f16<S: Simd>(simd: S, values: &[f16; BLOCK]) -> [f32; BLOCK] {
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = x86::widen(simd, values) {
        return wide;
    }
    let _ = simd;
    let mut wide = [0.0; BLOCK];
    values.convert_to_f32_slice(&mut wide);
    wide
}

/// A NaN stays one if its payload is in the upper half, as one's is that comes from 16 bits or from
/// arithmetic.
#[inline(always)]
pub(super) fn narrow_f16<S: Simd>(simd: S, values: &[f32; BLOCK]) -> [f16; BLOCK] {
    #[cfg(target_arch = "x86_64")]
    if let Some(narrow) = x86::narrow(simd, values) {
        return narrow;
    }
    let _ = simd;
    let mut narrow = [f16::ZERO; BLOCK];
    narrow.convert_from_f32_slice(values);
    narrow
}

/// The upper halves of words, rounded to nearest, ties to even: those of the first vector as the lower
/// halves of the result's words; `None` where the machine has no faster way than others.
#[inline(always)]
pub(super) fn rounded_upper_halves<S: Simd>(
    simd: S,
    [first, second]: [u32x16<S>; 2],
) -> Option<[u32; 16]> {
    #[cfg(target_arch = "x86_64")]
    return x86::rounded_upper_halves(simd, first.to_array(), second.to_array());
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (simd, first, second);
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use bytemuck::must_cast;
    use fearless_simd::prelude::*;
    use fearless_simd::{Simd, f32x16, kernel, u32x16};
    use half::f16;

    use super::BLOCK;

    #[inline(always)]
    pub(super) fn widen<S: Simd>(simd: S, values: &[f16; BLOCK]) -> Option<[f32; BLOCK]> {
        if let Some(avx512) = simd.level().as_avx512() {
            let [low, high]: [__m256i; 2] = must_cast(*values);
            let low = f32x16::simd_from(avx512, widen_16(avx512, low));
            let high = f32x16::simd_from(avx512, widen_16(avx512, high));
            return Some(must_cast([low.to_array(), high.to_array()]));
        }
        let avx2 = simd.level().as_avx2()?;
        let [a, b, c, d]: [__m128i; 4] = must_cast(*values);
        let (a, b) = (widen_8(avx2, a), widen_8(avx2, b));
        Some(must_cast([a, b, widen_8(avx2, c), widen_8(avx2, d)]))
    }

    #[inline(always)]
    pub(super) fn narrow<S: Simd>(simd: S, values: &[f32; BLOCK]) -> Option<[f16; BLOCK]> {
        if let Some(avx512) = simd.level().as_avx512() {
            let [low, high]: [[f32; 16]; 2] = must_cast(*values);
            let low = f32x16::load_array(avx512, low).into();
            let high = f32x16::load_array(avx512, high).into();
            return Some(must_cast([narrow_16(avx512, low), narrow_16(avx512, high)]));
        }
        let avx2 = simd.level().as_avx2()?;
        let [a, b, c, d]: [__m256; 4] = must_cast(*values);
        let (a, b) = (narrow_8(avx2, a), narrow_8(avx2, b));
        Some(must_cast([a, b, narrow_8(avx2, c), narrow_8(avx2, d)]))
    }

    #[inline(always)]
    pub(super) fn rounded_upper_halves<S: Simd>(
        simd: S,
        first: [u32; 16],
        second: [u32; 16],
    ) -> Option<[u32; 16]> {
        let avx512 = simd.level().as_avx512()?;
        let first = rounded(avx512, u32x16::load_array(avx512, first).into());
        let second = rounded(avx512, u32x16::load_array(avx512, second).into());
        Some(u32x16::simd_from(avx512, upper_halves(avx512, first, second)).to_array())
    }

    kernel!(
        /// Words plus just below half a unit of their upper half, or half a unit where that is odd.
        #[inline(always)]
        fn rounded(avx512: Avx512, words: __m512i) -> __m512i {
            let (last_bit, below_half) = (_mm512_set1_epi32(1 << 16), _mm512_set1_epi32(0x7fff));
            // (words & last_bit) | below_half, both halves of which are then added.
            let least = _mm512_ternarylogic_epi32::<0xea>(words, last_bit, below_half);
            _mm512_dpwssds_epi32(words, least, _mm512_set1_epi16(1))
        }
    );

    kernel!(
        #[inline(always)]
        fn upper_halves(avx512: Avx512, first: __m512i, second: __m512i) -> __m512i {
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            // (second & upper) | first >> 16
            _mm512_ternarylogic_epi32::<0xea>(second, upper, _mm512_srli_epi32::<16>(first))
        }
    );

    kernel!(
        #[inline(always)]
        fn widen_8(avx2: Avx2, values: __m128i) -> __m256 {
            _mm256_cvtph_ps(values)
        }
    );

    kernel!(
        #[inline(always)]
        fn narrow_8(avx2: Avx2, values: __m256) -> __m128i {
            _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)
        }
    );

    kernel!(
        #[inline(always)]
        fn widen_16(avx512: Avx512, values: __m256i) -> __m512 {
            _mm512_cvtph_ps(values)
        }
    );

    kernel!(
        #[inline(always)]
        fn narrow_16(avx512: Avx512, values: __m512) -> __m256i {
            _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)
        }
    );
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use fearless_simd::prelude::*;

    use super::super::block::Block;
    use super::super::element::kernel::Kernel;
    use super::*;

    /// The conversions of one block, as this machine and as any machine does them.
    struct Conversions<T>([T; BLOCK], [f32; BLOCK]);

    impl<T: Kernel> Work for Conversions<T> {
        type Output = ([f32; BLOCK], [T; BLOCK]);

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let [low, high] = T::widen(simd, &self.0).map(|vector| vector.to_array());
            let laid: [f32; BLOCK] = bytemuck::must_cast([low, high]);
            let mut values = [0.0; BLOCK];
            let mut lanes = [0.0; BLOCK];
            for (element, lane) in T::LANES.into_iter().enumerate() {
                values[element] = laid[lane];
                lanes[lane] = self.1[element];
            }
            (values, T::narrow(simd, Block::load(simd, &lanes)))
        }
    }

    /// The same conversions by every level that this machine has.
    fn on_every_level<T: Kernel>(elements: [T; BLOCK], values: [f32; BLOCK]) -> [T; BLOCK] {
        let (wide, narrow) = vectorize(Conversions(elements, values));
        let levels = [
            Level::baseline(),
            Level::new()
                .as_avx2()
                .map_or(Level::baseline(), |avx2| avx2.level()),
        ];
        for level in levels {
            let (other_wide, other_narrow) =
                dispatch!(level, simd => Conversions(elements, values).run(simd));
            assert_eq!(wide.map(f32::to_bits), other_wide.map(f32::to_bits));
            assert_eq!(
                bytemuck::bytes_of(&narrow),
                bytemuck::bytes_of(&other_narrow)
            );
        }
        for (wide, element) in wide.into_iter().zip(elements) {
            let expected = element.to_f32();
            assert!(wide.to_bits() == expected.to_bits() || (wide.is_nan() && expected.is_nan()));
        }
        narrow
    }

    #[test]
    fn every_16_bit_value_widens_to_itself_and_narrows_back() {
        for start in (0..=u16::MAX).step_by(BLOCK) {
            let bits: [u16; BLOCK] = std::array::from_fn(|lane| start + lane as u16);
            let f16s = bits.map(f16::from_bits);
            let narrow = on_every_level(f16s, f16s.map(f16::to_f32));
            assert_eq!(
                narrow.map(f16::to_bits),
                f16s.map(|value| f16::from_f32(value.to_f32()).to_bits())
            );
            let bf16s = bits.map(bf16::from_bits);
            let wide = bits.map(|bits| f32::from_bits(u32::from(bits) << 16));
            assert_eq!(on_every_level(bf16s, wide).map(bf16::to_bits), bits);
        }
    }

    fn check_narrowing(values: [f32; BLOCK]) {
        let f16s = on_every_level([f16::ZERO; BLOCK], values);
        let bf16s = on_every_level([bf16::ZERO; BLOCK], values);
        for (lane, value) in values.into_iter().enumerate() {
            assert_eq!(
                f16s[lane].to_bits(),
                f16::from_f32(value).to_bits(),
                "{value:e}"
            );
            assert_eq!(
                bf16s[lane].to_bits(),
                bf16::from_f32(value).to_bits(),
                "{value:e}"
            );
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
            check_narrowing(*block);
        }
    }

    #[test]
    fn a_dense_sample_of_values_narrows_to_the_nearest() {
        // A prime step visits every exponent with two thousand mantissas.
        let mut bits = (0..u32::MAX)
            .step_by(524_287)
            .filter(|bits| !f32::from_bits(*bits).is_nan());
        while let Some(first) = bits.next() {
            let mut block = [f32::from_bits(first); BLOCK];
            for (value, bits) in block.iter_mut().zip(&mut bits) {
                *value = f32::from_bits(bits);
            }
            check_narrowing(block);
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
        let nans: [f32; BLOCK] = std::array::from_fn(|lane| nans[lane % 4]);
        let f16s = on_every_level([f16::ZERO; BLOCK], nans);
        assert!(f16s.into_iter().all(f16::is_nan));
        let bf16s = on_every_level([bf16::ZERO; BLOCK], nans);
        assert!(bf16s.into_iter().all(bf16::is_nan));
    }
}
