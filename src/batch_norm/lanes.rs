//! Elements on their way through a kernel: from one slice to another, or within one.
//!
//! Kernels are written once against [`Lanes`] and compile to both forms.

use std::ops::Range;

use ndarray::{ArrayViewD, ArrayViewMutD};

use super::geometry::Geometry;
use super::simd::BLOCK;

/// Bytes of a line of the cache; a vector that straddles two takes twice as long to write.
const LINE: usize = 64;

/// Elements to read and the places to write them to.
pub(super) trait Lanes<T: Default + Copy>: Sized + Send {
    fn len(&self) -> usize;
    /// All of them; none are left.
    fn take(&mut self) -> Self;
    /// The elements before the first line of the cache that begins among those to write.
    fn lead(&self) -> usize;
    /// The first `middle` elements and the rest; `middle` is at most the length.
    fn split_at(self, middle: usize) -> (Self, Self);
    /// Parts of `length` elements each, in order; the last may be shorter.
    fn chunks(self, length: usize) -> impl Iterator<Item = Self>;
    /// Parts of exactly `length` elements each, in order, without what is left over.
    fn rows(self, length: usize) -> impl Iterator<Item = Self>;
    /// Maps block by block; the last is filled up if the elements end within it.
    fn map(self, f: impl FnMut(&[T; BLOCK]) -> [T; BLOCK]);
    /// Maps at least a block, at most two if `SHORT`; the first and the last may overlap others, and are read before those
    /// are written and written after them.
    fn map_row<const SHORT: bool>(self, f: impl Fn(&[T; BLOCK]) -> [T; BLOCK]);
    /// What to read.
    fn source(&self) -> &[T];
}

/// From one slice to another of the same length.
#[derive(Debug)]
pub(super) struct Across<'a, T> {
    pub(super) from: &'a [T],
    pub(super) to: &'a mut [T],
}

/// In place.
#[derive(Debug)]
pub(super) struct Within<'a, T>(pub(super) &'a mut [T]);

impl<'a, T> Across<'a, T> {
    /// From the one to the other, if both have one shape and fill memory in one order.
    pub(super) fn of(
        x: &'a ArrayViewD<'_, T>,
        y: &'a mut ArrayViewMutD<'_, T>,
        spatial: bool,
    ) -> Option<(Geometry, Self)> {
        if x.shape() != y.shape() || x.strides() != y.strides() {
            return None;
        }
        let geometry = Geometry::of(x, spatial)?;
        let from = x.as_slice_memory_order()?;
        let to = y.as_slice_memory_order_mut()?;
        Some((geometry, Self { from, to }))
    }
}

impl<'a, T> Within<'a, T> {
    /// Within a value that fills memory.
    pub(super) fn of(x: &'a mut ArrayViewMutD<'_, T>, spatial: bool) -> Option<(Geometry, Self)> {
        let geometry = Geometry::of(&x.view(), spatial)?;
        Some((geometry, Self(x.as_slice_memory_order_mut()?)))
    }
}

impl<T: Default + Copy + Send + Sync> Lanes<T> for Across<'_, T> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.from.len()
    }

    #[inline(always)]
    fn take(&mut self) -> Self {
        Self {
            from: std::mem::take(&mut self.from),
            to: std::mem::take(&mut self.to),
        }
    }

    fn lead(&self) -> usize {
        self.to.as_ptr().align_offset(LINE).min(self.to.len())
    }

    #[inline(always)]
    fn split_at(self, middle: usize) -> (Self, Self) {
        let (from, from_rest) = self.from.split_at(middle);
        let (to, to_rest) = self.to.split_at_mut(middle);
        let rest = Self {
            from: from_rest,
            to: to_rest,
        };
        (Self { from, to }, rest)
    }

    fn chunks(self, length: usize) -> impl Iterator<Item = Self> {
        let parts = self.from.chunks(length).zip(self.to.chunks_mut(length));
        parts.map(|(from, to)| Self { from, to })
    }

    #[inline(always)]
    fn rows(self, length: usize) -> impl Iterator<Item = Self> {
        let to = self.to.chunks_exact_mut(length);
        let rows = self.from.chunks_exact(length).zip(to);
        rows.map(|(from, to)| Self { from, to })
    }

    #[inline(always)]
    fn map(self, mut f: impl FnMut(&[T; BLOCK]) -> [T; BLOCK]) {
        let (from, from_rest) = self.from.as_chunks();
        let (to, to_rest) = self.to.as_chunks_mut();
        for (to, from) in to.iter_mut().zip(from) {
            *to = f(from);
        }
        if !from_rest.is_empty() {
            let mapped = f(&filled_up(from_rest));
            to_rest.copy_from_slice(&mapped[..to_rest.len()]);
        }
    }

    #[inline(always)]
    fn map_row<const SHORT: bool>(self, f: impl Fn(&[T; BLOCK]) -> [T; BLOCK]) {
        let (Some(first), Some(last)) = (self.from.first_chunk(), self.from.last_chunk()) else {
            return;
        };
        let (first, last) = (f(first), f(last));
        let between = between::<T, SHORT>(self.to);
        let blocks = self.to[between.clone()].as_chunks_mut().0.iter_mut();
        for (to, from) in blocks.zip(self.from[between].as_chunks().0) {
            *to = f(from);
        }
        write_ends::<T, SHORT>(self.to, &first, &last);
    }

    #[inline(always)]
    fn source(&self) -> &[T] {
        self.from
    }
}

impl<T: Default + Copy + Send + Sync> Lanes<T> for Within<'_, T> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn take(&mut self) -> Self {
        Self(std::mem::take(&mut self.0))
    }

    fn lead(&self) -> usize {
        self.0.as_ptr().align_offset(LINE).min(self.0.len())
    }

    #[inline(always)]
    fn split_at(self, middle: usize) -> (Self, Self) {
        let (first, rest) = self.0.split_at_mut(middle);
        (Self(first), Self(rest))
    }

    fn chunks(self, length: usize) -> impl Iterator<Item = Self> {
        self.0.chunks_mut(length).map(Self)
    }

    #[inline(always)]
    fn rows(self, length: usize) -> impl Iterator<Item = Self> {
        self.0.chunks_exact_mut(length).map(Self)
    }

    #[inline(always)]
    fn map(self, mut f: impl FnMut(&[T; BLOCK]) -> [T; BLOCK]) {
        let (blocks, rest) = self.0.as_chunks_mut();
        for block in blocks {
            *block = f(block);
        }
        if !rest.is_empty() {
            let mapped = f(&filled_up(rest));
            rest.copy_from_slice(&mapped[..rest.len()]);
        }
    }

    #[inline(always)]
    fn map_row<const SHORT: bool>(self, f: impl Fn(&[T; BLOCK]) -> [T; BLOCK]) {
        let (Some(first), Some(last)) = (self.0.first_chunk(), self.0.last_chunk()) else {
            return;
        };
        let (first, last) = (f(first), f(last));
        let between = between::<T, SHORT>(self.0);
        for block in self.0[between].as_chunks_mut().0 {
            *block = f(block);
        }
        write_ends::<T, SHORT>(self.0, &first, &last);
    }

    #[inline(always)]
    fn source(&self) -> &[T] {
        self.0
    }
}

/// Elements from which on a row is worth a block more so that the others begin with a line of the
/// cache.
const LONG: usize = 16 * BLOCK;

/// How many elements of a row's first and last block are written.
///
/// Halves of them where elements are whole words: the block between can then begin with a line of the
/// cache. Two bytes wide, elements are narrowed in whole blocks.
const fn end<T>(short: bool) -> usize {
    if short && size_of::<T>() > 2 {
        BLOCK / 2
    } else {
        BLOCK
    }
}

/// The whole blocks that, with an end on each side, cover a row.
#[inline(always)]
fn between<T, const SHORT: bool>(row: &[T]) -> Range<usize> {
    let end = const { end::<T>(SHORT) };
    if SHORT && end == BLOCK {
        return 0..0;
    }
    let line = row.as_ptr().align_offset(LINE);
    if SHORT {
        let latest = end.min(row.len() - BLOCK);
        let start = if line <= latest && line + BLOCK + end >= row.len() {
            line
        } else {
            latest
        };
        return start..start + BLOCK;
    }
    let start = if row.len() < LONG {
        BLOCK
    } else {
        line.min(BLOCK)
    };
    start..(row.len() - 1).max(start)
}

#[inline(always)]
fn write_ends<T: Copy, const SHORT: bool>(row: &mut [T], first: &[T; BLOCK], last: &[T; BLOCK]) {
    let end = const { end::<T>(SHORT) };
    row[..end].copy_from_slice(&first[..end]);
    let rest = row.len() - end;
    row[rest..].copy_from_slice(&last[BLOCK - end..]);
}

/// The elements, which are at most a block, and defaults.
#[inline(always)]
fn filled_up<T: Default + Copy>(elements: &[T]) -> [T; BLOCK] {
    let mut block = [T::default(); BLOCK];
    block[..elements.len()].copy_from_slice(elements);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negated<T: std::ops::Neg<Output = T> + Copy>(block: &[T; BLOCK]) -> [T; BLOCK] {
        block.map(|element| -element)
    }

    fn check_rows<T, const SHORT: bool>(lengths: Range<usize>)
    where
        T: std::ops::Neg<Output = T> + Default + Copy + Send + Sync,
        T: std::fmt::Debug + PartialEq + From<i16>,
    {
        for length in lengths {
            for offset in 0..40 {
                let from: Vec<T> = (1..).take(offset + length).map(T::from).collect();
                let expected: Vec<T> = from[offset..].iter().map(|element| -*element).collect();
                let mut to = vec![T::default(); offset + length + 1];
                let across = Across {
                    from: &from[offset..],
                    to: &mut to[offset..offset + length],
                };
                across.map_row::<SHORT>(negated);
                assert_eq!(to[offset..offset + length], expected, "{length} {offset}");
                assert_eq!(to[offset + length], T::default());
                let mut within = from;
                Within(&mut within[offset..]).map_row::<SHORT>(negated);
                assert_eq!(within[offset..], expected, "{length} {offset}");
            }
        }
    }

    #[test]
    fn every_element_of_a_row_is_mapped_once_wherever_lines_of_the_cache_begin() {
        check_rows::<i16, true>(BLOCK..2 * BLOCK + 1);
        check_rows::<f32, true>(BLOCK..2 * BLOCK + 1);
        check_rows::<f64, true>(BLOCK..2 * BLOCK + 1);
        for lengths in [BLOCK..3 * BLOCK + 2, LONG - 1..LONG + 34] {
            check_rows::<i16, false>(lengths.clone());
            check_rows::<f32, false>(lengths);
        }
    }
}
