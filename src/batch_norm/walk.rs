//! `(x − centre)·factor + offset` along contiguous elements, block by block.
//!
//! Rows of at least a block are walked one by one, the last block of each overlapping the one before;
//! the factors of shorter rows are laid out as the elements are, and loaded once for several parts.
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

/// Centre, factor and offset for each lane of a block, where loads do not straddle lines of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Laid<F>([[F; BLOCK]; 3]);

/// Which factors belong to which elements.
pub(super) enum Pattern<F> {
    /// Each channel's to a row of at least a block; `first` elements of the value come before.
    Rows {
        factors: Vec<[F; 3]>,
        inner: usize,
        first: usize,
    },
    /// Block after block, from the first again after every `period` elements.
    Blocks { blocks: Vec<Laid<F>>, period: usize },
}

impl<F: Real> Pattern<F> {
    /// The pattern of `length` elements of a value from number `first` on.
    pub(super) fn new<T: Element>(
        factors: &Factors<F>,
        geometry: Geometry,
        first: usize,
        length: usize,
    ) -> Self {
        let Geometry { channels, inner } = geometry;
        if inner >= BLOCK {
            let factors = (0..channels).map(|channel| factors.at(channel));
            return Self::Rows {
                factors: factors.collect(),
                inner,
                first,
            };
        }
        let sample = channels * inner;
        let even = sample * BLOCK / greatest_common_divisor(sample, BLOCK);
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

    /// Elements of a part for a [`Walk`] that takes several: periods, if possible so many up to
    /// `most` elements that parts do not lie at the same places of memory pages, where they would
    /// wait for each other.
    pub(super) fn part<T>(&self, most: usize) -> usize {
        let period = self.period();
        let most = match self {
            Self::Blocks { .. } if !period.is_multiple_of(BLOCK) => 1,
            _ => (most / period).max(1),
        };
        let apart = |periods: &usize| {
            let bytes = periods * period * size_of::<T>();
            (PAGE / 4..=PAGE * 3 / 4).contains(&(bytes % PAGE))
        };
        (1..=most).rev().find(apart).unwrap_or(most) * period
    }

    /// Parts that are worth walking at the same time, as their factors are found once for all.
    pub(super) fn together(&self) -> usize {
        match self {
            Self::Rows { .. } => 1,
            Self::Blocks { .. } => TOGETHER,
        }
    }
}

/// The factors of as many blocks from element number `first` of a sample on.
fn lay<F: Real, T: Element>(
    factors: &Factors<F>,
    inner: usize,
    first: usize,
    blocks: usize,
) -> Vec<Laid<F>> {
    let mut laid = vec![Laid([[F::zeroed(); BLOCK]; 3]); blocks];
    let (channel, first) = (first / inner, first % inner);
    let length = first + blocks * BLOCK;
    let mut row: Vec<F> = Vec::with_capacity(length + inner);
    let all = [&factors.centre, &factors.factor, &factors.offset];
    for (which, values) in all.into_iter().enumerate() {
        row.clear();
        for &value in values.iter().cycle().skip(channel) {
            row.extend(std::iter::repeat_n(value, inner));
            if row.len() >= length {
                break;
            }
        }
        for (laid, row) in laid.iter_mut().zip(row[first..].as_chunks::<BLOCK>().0) {
            for (value, lane) in row.iter().zip(F::lanes::<T>()) {
                laid.0[which][lane] = *value;
            }
        }
    }
    laid
}

/// Elements of a pattern at most for samples to be repeated in it until they end with a block; others
/// end with a part of one.
const LARGEST: usize = 1 << 13;

/// Bytes of a page of memory.
const PAGE: usize = 1 << 12;

/// Parts that are walked at the same time.
const TOGETHER: usize = 4;

fn greatest_common_divisor(mut one: usize, mut other: usize) -> usize {
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// The way through parts that all begin with element number `start` of the pattern; they are equally
/// long but for the last, which may be shorter.
pub(super) struct Walk<'a, F, T, L> {
    pattern: &'a Pattern<F>,
    start: usize,
    parts: Vec<L>,
    element: PhantomData<T>,
}

impl<'a, F: Real, T: Element, L: Lanes<T>> Walk<'a, F, T, L> {
    pub(super) fn new(pattern: &'a Pattern<F>, start: usize, parts: Vec<L>) -> Self {
        Self {
            pattern,
            start,
            parts,
            element: PhantomData,
        }
    }

    /// Walks equally long parts at the same time.
    #[inline(always)]
    fn step<S: Simd, const N: usize>(&self, simd: S, parts: [L; N]) {
        match self.pattern {
            Pattern::Rows {
                factors,
                inner,
                first,
            } => {
                for lanes in parts {
                    rows::<S, F, T>(simd, factors, *inner, *first + self.start, lanes);
                }
            }
            Pattern::Blocks { blocks, .. } => {
                let mut place = self.start / BLOCK;
                L::map(
                    parts,
                    #[inline(always)]
                    || {
                        let Laid([centre, factor, offset]) = &blocks[place];
                        place = if place + 1 == blocks.len() {
                            0
                        } else {
                            place + 1
                        };
                        [
                            Block::load(simd, centre),
                            Block::load(simd, factor),
                            Block::load(simd, offset),
                        ]
                    },
                    #[inline(always)]
                    |block, factors| normalize_block::<S, F, T>(simd, block, factors),
                );
            }
        }
    }
}

impl<F: Real, T: Element, L: Lanes<T>> Work for Walk<'_, F, T, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let mut parts = std::mem::take(&mut self.parts).into_iter();
        while parts.len() > 0 {
            match [parts.next(), parts.next(), parts.next(), parts.next()] {
                [Some(a), Some(b), Some(c), Some(d)] if a.len() == d.len() => {
                    self.step(simd, [a, b, c, d]);
                }
                some => some
                    .into_iter()
                    .flatten()
                    .for_each(|part| self.step(simd, [part])),
            }
        }
    }
}

#[inline(always)]
fn rows<S: Simd, F: Real, T: Element>(
    simd: S,
    factors: &[[F; 3]],
    inner: usize,
    start: usize,
    mut lanes: impl Lanes<T>,
) {
    let channels = factors.len();
    let mut channel = start / inner % channels;
    let mut left = inner - start % inner;
    while lanes.len() > 0 {
        let length = left.min(lanes.len());
        let (row, rest) = lanes.split_at(length);
        let ours = splat(simd, factors[channel]);
        if length < BLOCK {
            Lanes::map(
                [row],
                || ours,
                #[inline(always)]
                |block, ours| normalize_block::<S, F, T>(simd, block, ours),
            );
        } else {
            row.map_row(
                #[inline(always)]
                |block| normalize_block::<S, F, T>(simd, block, ours),
            );
        }
        left = inner;
        channel = if channel + 1 == channels {
            0
        } else {
            channel + 1
        };
        lanes = rest;
    }
}

#[inline(always)]
fn splat<S: Simd, F: Real>(simd: S, factors: [F; 3]) -> [F::Block<S>; 3] {
    factors.map(
        #[inline(always)]
        |factor| Block::splat(simd, factor),
    )
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
