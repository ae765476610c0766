//! `(x − centre)·factor + offset` along contiguous elements, block by block.
//!
//! Rows of at least a block are walked one by one, their first and last block overlapping others; the
//! factors of shorter rows are laid out as the elements are, and strip by strip where that is too much for
//! the nearest cache.
//! A walk may begin at any block, and the place does not change results.

use std::marker::PhantomData;

use fearless_simd::Simd;

use super::block::Block;
use super::element::Element;
use super::factors::Factors;
use super::geometry::Geometry;
use super::lanes::Lanes;
use super::real::Real;
use super::simd::{BLOCK, Work, evened};

/// Centre, factor and offset for each lane of a block, where loads do not straddle lines of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Laid<F>([[F; BLOCK]; 3]);

/// Which factors belong to which elements.
pub(super) enum Pattern<'a, F> {
    /// Each channel's to a row of at least a block; `first` elements of the value come before.
    Rows {
        factors: &'a [[F; 3]],
        inner: usize,
        first: usize,
    },
    /// Block after block, from the first again after every `period` elements.
    Blocks { blocks: Vec<Laid<F>>, period: usize },
}

impl<'a, F: Real> Pattern<'a, F> {
    /// The pattern of `length` elements of a value from number `first` on.
    pub(super) fn new<T: Element>(
        factors: &'a Factors<F>,
        geometry: Geometry,
        first: usize,
        length: usize,
    ) -> Self {
        let factors = factors.channels.as_slice();
        let Geometry { channels, inner } = geometry;
        if inner >= BLOCK {
            return Self::Rows {
                factors,
                inner,
                first,
            };
        }
        let sample = channels * inner;
        let even = sample * evened(sample);
        let period = if even <= LARGEST { even } else { sample };
        let blocks = period.min(length).div_ceil(BLOCK);
        Self::Blocks {
            blocks: lay::<F, T>(factors, inner, first % sample, blocks),
            period,
        }
    }

    /// Elements after which the pattern begins anew.
    pub(super) fn period(&self) -> usize {
        match self {
            Self::Rows { factors, inner, .. } => factors.len() * inner,
            Self::Blocks { period, .. } => *period,
        }
    }

    /// Elements of the pattern to walk in many samples before the next, if it cannot be walked along:
    /// if it ends within a block or is too large to stay in the nearest cache.
    pub(super) fn strip(&self) -> Option<usize> {
        match self {
            Self::Blocks { blocks, period }
                if !period.is_multiple_of(BLOCK) || size_of_val(blocks.as_slice()) > NEAR =>
            {
                Some(NEAR / size_of::<Laid<F>>() * BLOCK)
            }
            _ => None,
        }
    }
}

/// The factors of as many blocks from element number `first` of a sample on.
fn lay<F: Real, T: Element>(
    factors: &[[F; 3]],
    inner: usize,
    first: usize,
    blocks: usize,
) -> Vec<Laid<F>> {
    let mut laid = vec![Laid([[F::zeroed(); BLOCK]; 3]); blocks];
    let lanes = F::lanes::<T>();
    let (mut channel, mut used) = (first / inner, first % inner);
    for Laid([centres, products, offsets]) in &mut laid {
        for lane in lanes {
            let [centre, factor, offset] = factors[channel];
            (centres[lane], products[lane], offsets[lane]) = (centre, factor, offset);
            used += 1;
            if used == inner {
                channel += 1;
                if channel == factors.len() {
                    channel = 0;
                }
                used = 0;
            }
        }
    }
    laid
}

/// Elements of a pattern at most for samples to be repeated in it until they end with a block; others
/// end with a part of one.
const LARGEST: usize = 1 << 13;

/// Bytes of a pattern that stay in the nearest cache, beside what is walked.
const NEAR: usize = 1 << 14;

/// Elements to walk, and the place of the first in the pattern.
pub(super) struct Part<L> {
    pub(super) start: usize,
    pub(super) lanes: L,
}

/// The way through parts, which are taken.
///
/// `CENTRED` is whether centres are other than zero.
pub(super) struct Walk<'a, F, T, L, const CENTRED: bool> {
    pattern: &'a Pattern<'a, F>,
    parts: &'a mut [Part<L>],
    element: PhantomData<T>,
}

impl<'a, F: Real, T: Element, L: Lanes<T>, const CENTRED: bool> Walk<'a, F, T, L, CENTRED> {
    pub(super) fn new(pattern: &'a Pattern<'_, F>, parts: &'a mut [Part<L>]) -> Self {
        Self {
            pattern,
            parts,
            element: PhantomData,
        }
    }
}

impl<F: Real, T: Element, L: Lanes<T>, const CENTRED: bool> Work for Walk<'_, F, T, L, CENTRED> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for Part { start, lanes } in self.parts {
            let lanes = lanes.take();
            match self.pattern {
                Pattern::Rows {
                    factors,
                    inner,
                    first,
                } => {
                    let start = *first + *start;
                    if *inner > 2 * BLOCK {
                        rows::<S, F, T, L, false, CENTRED>(simd, factors, *inner, start, lanes);
                    } else {
                        rows::<S, F, T, L, true, CENTRED>(simd, factors, *inner, start, lanes);
                    }
                }
                Pattern::Blocks { blocks, .. } => {
                    along::<S, F, T, L, CENTRED>(simd, blocks, *start / BLOCK, lanes);
                }
            }
        }
    }
}

/// Walks along laid out factors from block number `start` on, again and again.
#[inline(always)]
fn along<S: Simd, F: Real, T: Element, L: Lanes<T>, const CENTRED: bool>(
    simd: S,
    blocks: &[Laid<F>],
    start: usize,
    lanes: L,
) {
    let mut place = start;
    lanes.map(
        #[inline(always)]
        |block| {
            let Laid(factors) = &blocks[place];
            place = if place + 1 == blocks.len() {
                0
            } else {
                place + 1
            };
            let factors = factors.each_ref().map(
                #[inline(always)]
                |factors| <F::Block<S>>::load(simd, factors),
            );
            normalize_block::<S, F, T, CENTRED>(simd, block, factors)
        },
    );
}

/// Walks along rows from element number `start` on, the first and the last of which may be parts.
///
/// `SHORT` is whether rows have at most two blocks.
#[inline(always)]
fn rows<S: Simd, F: Real, T: Element, L: Lanes<T>, const SHORT: bool, const CENTRED: bool>(
    simd: S,
    factors: &[[F; 3]],
    inner: usize,
    start: usize,
    lanes: L,
) {
    let mut channel = start / inner % factors.len();
    let part = (inner - start % inner) % inner;
    let part = part.min(lanes.len());
    let (first, mut rest) = lanes.split_at(part);
    if part > 0 {
        normalize_part::<S, F, T, CENTRED>(simd, factors[channel], first);
        channel = (channel + 1) % factors.len();
    }
    while rest.len() >= inner {
        let count = (rest.len() / inner).min(factors.len() - channel);
        let (lanes, others) = rest.split_at(count * inner);
        for (row, factors) in lanes.rows(inner).zip(&factors[channel..]) {
            let factors = splat::<S, F>(simd, *factors);
            row.map_row::<SHORT>(
                #[inline(always)]
                |block| normalize_block::<S, F, T, CENTRED>(simd, block, factors),
            );
        }
        rest = others;
        channel = (channel + count) % factors.len();
    }
    normalize_part::<S, F, T, CENTRED>(simd, factors[channel], rest);
}

/// A part of a row.
#[inline(always)]
fn normalize_part<S: Simd, F: Real, T: Element, const CENTRED: bool>(
    simd: S,
    factors: [F; 3],
    part: impl Lanes<T>,
) {
    let factors = splat::<S, F>(simd, factors);
    part.map(
        #[inline(always)]
        |block| normalize_block::<S, F, T, CENTRED>(simd, block, factors),
    );
}

#[inline(always)]
fn splat<S: Simd, F: Real>(simd: S, factors: [F; 3]) -> [F::Block<S>; 3] {
    factors.map(
        #[inline(always)]
        |factor| Block::splat(simd, factor),
    )
}

#[inline(always)]
fn normalize_block<S: Simd, F: Real, T: Element, const CENTRED: bool>(
    simd: S,
    block: &[T; BLOCK],
    [centre, factor, offset]: [F::Block<S>; 3],
) -> [T; BLOCK] {
    let mut values = F::read(simd, block);
    if CENTRED {
        values = values.minus(centre);
    }
    F::write(simd, values.times_plus(factor, offset))
}

#[inline(always)]
pub(super) fn normalize<F: Real>(x: F, [centre, factor, offset]: [F; 3]) -> F {
    (x - centre).times_plus(factor, offset)
}
