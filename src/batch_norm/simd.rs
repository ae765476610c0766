//! Runs a kernel as compiled for the widest vector instructions that the machine has.
//!
//! The instructions do not change results: kernels neither reorder sums nor contract products.

/// Work for one thread. Everything below [`run`](Self::run) must be inlined into it to profit,
/// which closures of some size are not.
pub(super) trait Work {
    type Output;

    fn run(self) -> Self::Output;
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn vectorize<W: Work>(work: W) -> W::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
pub(super) fn vectorize<W: Work>(work: W) -> W::Output {
    if let Some(level) = x86::Level4::try_new() {
        level.vectorize(x86::Call(work))
    } else if let Some(level) = x86::Level3::try_new() {
        level.vectorize(x86::Call(work))
    } else {
        work.run()
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    pulp::simd_type! {
        /// AVX2 and the conversions of f16.
        pub(super) struct Level3 {
            avx: "avx",
            avx2: "avx2",
            fma: "fma",
            f16c: "f16c",
        }

        /// AVX-512 besides.
        pub(super) struct Level4 {
            avx: "avx",
            avx2: "avx2",
            fma: "fma",
            f16c: "f16c",
            avx512f: "avx512f",
            avx512bw: "avx512bw",
            avx512dq: "avx512dq",
            avx512vl: "avx512vl",
        }
    }

    pub(super) struct Call<W>(pub(super) W);

    impl<W: super::Work> pulp::NullaryFnOnce for Call<W> {
        type Output = W::Output;

        #[inline(always)]
        fn call(self) -> W::Output {
            self.0.run()
        }
    }
}
