//! `(x − centre)·factor + offset` along contiguous elements, block by block.
//!
//! Rows of at least a block are walked one by one, the last block of each overlapping the one before;
//! the factors of shorter rows are laid out as the elements are.
//! A walk may begin at any block, and the place does not change results.

use std::marker::PhantomData;

use fearless_simd::Simd;

use super::block::Block;
use super::element::Element;
use super::factors::Factors;
use super::geometry::Geometry;
use super::lanes::Lanes;
use super::real::Real;
use super::simd::{BLOCK, Work};

/// Centre, factor and offset.
type Three<F> = [F; 3];

/// Three for each lane of a block, where loads do not straddle lines of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Laid<F>([[F; BLOCK]; 3]);

/// Which factors belong to which elements.
pub(super) enum Pattern<F> {
    /// Each channel's to a row of at least a block.
    Rows {
        factors: Vec<Three<F>>,
        inner: usize,
    },
    /// Block after block, from the first again after every `period` elements.
    Blocks { blocks: Vec<Laid<F>>, period: usize },
}

impl<F: Real> Pattern<F> {
    /// The pattern of a value of `length` elements.
    pub(super) fn new<T: Element>(factors: &Factors<F>, geometry: Geometry, length: usize) -> Self {
        let Geometry { channels, inner } = geometry;
        if inner >= BLOCK {
            let factors = (0..channels).map(|channel| factors.at(channel));
            return Self::Rows {
                factors: factors.collect(),
                inner,
            };
        }
        let sample = channels * inner;
        let period = if sample < NARROW {
            sample * BLOCK / greatest_common_divisor(sample, BLOCK)
        } else {
            sample
        };
        let blocks = period.min(length).div_ceil(BLOCK);
        let lanes = F::lanes::<T>();
        let mut channel = 0;
        let mut left = inner;
        let laid = (0..blocks).map(|_| {
            let mut laid = Laid([[F::zeroed(); BLOCK]; 3]);
            for lane in lanes {
                for (laid, factor) in laid.0.iter_mut().zip(factors.at(channel)) {
                    laid[lane] = factor;
                }
                left -= 1;
                if left == 0 {
                    left = inner;
                    channel = (channel + 1) % channels;
                }
            }
            laid
        });
        Self::Blocks {
            blocks: laid.collect(),
            period,
        }
    }

    /// Elements after which the pattern begins anew.
    pub(super) fn period(&self) -> usize {
        match self {
            Self::Rows { factors, inner } => factors.len() * inner,
            Self::Blocks { period, .. } => *period,
        }
    }
}

/// Samples below this are repeated until they end with a block, others end with a part of one.
const NARROW: usize = 8 * BLOCK;

fn greatest_common_divisor(mut one: usize, mut other: usize) -> usize {
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// The way through `lanes`, whose first element is number `start` of the pattern, where a block
/// begins.
pub(super) struct Walk<'a, F, T, L> {
    pattern: &'a Pattern<F>,
    start: usize,
    lanes: L,
    element: PhantomData<T>,
}

impl<'a, F: Real, T: Element, L: Lanes<T>> Walk<'a, F, T, L> {
    pub(super) fn new(pattern: &'a Pattern<F>, start: usize, lanes: L) -> Self {
        Self {
            pattern,
            start,
            lanes,
            element: PhantomData,
        }
    }
}

impl<F: Real, T: Element, L: Lanes<T>> Work for Walk<'_, F, T, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.pattern {
            Pattern::Rows { factors, inner } => {
                rows(simd, factors, *inner, self.start, self.lanes);
            }
            Pattern::Blocks { blocks, period } => {
                repeat(simd, blocks, *period, self.start, self.lanes);
            }
        }
    }
}

#[inline(always)]
fn rows<S: Simd, F: Real, T: Element>(
    simd: S,
    factors: &[Three<F>],
    inner: usize,
    start: usize,
    mut lanes: impl Lanes<T>,
) {
    let mut channel = start / inner;
    let mut left = inner - start % inner;
    while lanes.len() > 0 {
        let length = left.min(lanes.len());
        let (row, rest) = lanes.split_at(length);
        let [centre, factor, offset] = factors[channel];
        let ours: [F::Block<S>; 3] = [
            Block::splat(simd, centre),
            Block::splat(simd, factor),
            Block::splat(simd, offset),
        ];
        if length < BLOCK {
            row.map_in_order(
                #[inline(always)]
                |block| normalize_block::<S, F, T>(simd, block, ours),
            );
        } else {
            row.map(
                #[inline(always)]
                |block| normalize_block::<S, F, T>(simd, block, ours),
            );
        }
        left = inner;
        channel = if channel + 1 == factors.len() {
            0
        } else {
            channel + 1
        };
        lanes = rest;
    }
}

#[inline(always)]
fn repeat<S: Simd, F: Real, T: Element>(
    simd: S,
    blocks: &[Laid<F>],
    period: usize,
    start: usize,
    mut lanes: impl Lanes<T>,
) {
    let mut place = start / BLOCK;
    let mut left = period - start;
    while lanes.len() > 0 {
        let length = left.min(lanes.len());
        let (sample, rest) = lanes.split_at(length);
        sample.map_in_order(
            #[inline(always)]
            |block| {
                let Laid([centre, factor, offset]) = &blocks[place];
                let ours: [F::Block<S>; 3] = [
                    Block::load(simd, centre),
                    Block::load(simd, factor),
                    Block::load(simd, offset),
                ];
                place += 1;
                normalize_block::<S, F, T>(simd, block, ours)
            },
        );
        place = 0;
        left = period;
        lanes = rest;
    }
}

#[inline(always)]
fn normalize_block<S: Simd, F: Real, T: Element>(
    simd: S,
    block: &[T; BLOCK],
    [centre, factor, offset]: [F::Block<S>; 3],
) -> [T; BLOCK] {
    let values = F::read(simd, block);
    F::write(simd, values.minus(centre).times_plus(factor, offset))
}

#[inline(always)]
pub(super) fn normalize<F: Real>(x: F, [centre, factor, offset]: [F; 3]) -> F {
    (x - centre).times_plus(factor, offset)
}
