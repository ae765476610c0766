//! Moments of a contiguous value, tile by tile.
//!
//! The work is cut by shape alone into tiles of some ten thousand elements; their results are merged
//! in order.

use rayon::prelude::*;

use super::element::Element;
use super::geometry::Geometry;
use super::moments::Moments;
use super::real::Real;
use super::simd::{BLOCK, evened, vectorize};
use super::tile::Tile;

/// Elements that one thread takes at a time.
const TASK: usize = 1 << 16;

/// Samples of a tile of columns at least, where there are as many: each tile ends in work per column.
const MANY: usize = 1 << 10;

/// Columns of such a tile at least, so that memory is read along.
const BROAD: usize = 256;

/// Columns below this are widened by laying samples side by side.
const NARROW: usize = 256;

/// The moments of `values`, which hold at least one element.
pub(super) fn moments<T: Element, F: Real>(values: &[T], geometry: Geometry) -> Moments {
    let Geometry { channels, inner } = geometry;
    let width = channels * inner;
    let samples = values.len() / width;
    let side_by_side = if inner < BLOCK {
        let even = evened(width);
        let most = (NARROW / width).clamp(1, samples);
        if most < even {
            most
        } else {
            most / even * even
        }
    } else {
        1
    };
    let (even, rest) = values.split_at(samples / side_by_side * side_by_side * width);
    let wide = Geometry {
        channels: channels * side_by_side,
        inner,
    };
    let mut moments = by_tiles::<T, F>(even, wide).folded(channels);
    if !rest.is_empty() {
        moments.absorb(&by_tiles::<T, F>(rest, geometry));
    }
    moments
}

/// How a value is cut: rows that are longer than a task into segments, shorter ones not at all.
struct Cut {
    samples: usize,
    channels: usize,
    segment: usize,
}

impl Cut {
    fn new(Geometry { channels, inner }: Geometry, samples: usize) -> Self {
        let (many, broad) = if inner < BLOCK {
            (MANY, BROAD.div_ceil(inner))
        } else {
            (1, 1)
        };
        let samples = (TASK / (channels * inner)).max(many).min(samples);
        Self {
            samples,
            channels: (TASK / (samples * inner)).max(broad).min(channels),
            segment: inner.min(TASK),
        }
    }
}

fn by_tiles<T: Element, F: Real>(values: &[T], geometry: Geometry) -> Moments {
    let Geometry { channels, inner } = geometry;
    let width = channels * inner;
    let samples = values.len() / width;
    let cut = Cut::new(geometry, samples);
    let tiles = channels.div_ceil(cut.channels);
    let segments = inner.div_ceil(cut.segment);
    let groups = samples.div_ceil(cut.samples);
    let tasks = (0..groups * segments * tiles).into_par_iter();
    let tasks = tasks.with_min_len(least_tasks::<T>(values.len()));
    let parts = tasks.map(|task| {
        let (part, tile) = (task / tiles, task % tiles);
        let (group, segment) = (part / segments, part % segments);
        let first_channel = tile * cut.channels;
        let channels = cut.channels.min(channels - first_channel);
        let start = first_channel * inner + segment * cut.segment;
        let end = if segments == 1 {
            start + channels * inner
        } else {
            start + cut.segment.min(inner - segment * cut.segment)
        };
        let group = values.chunks(width).skip(group * cut.samples);
        let group: Vec<&[T]> = group
            .take(cut.samples)
            .map(|sample| &sample[start..end])
            .collect();
        vectorize(Tile::<T, F>::new(&group, channels))
    });
    let parts: Vec<Moments> = parts.collect();
    let mut merged = vec![Moments::empty(0); tiles];
    for (task, part) in parts.into_iter().enumerate() {
        let tile = &mut merged[task % tiles];
        if tile.channels() == 0 {
            *tile = part;
        } else {
            tile.absorb(&part);
        }
    }
    Moments::side_by_side(merged)
}

/// Tasks that one thread takes at least: all of them where waking others would not pay.
pub(super) fn least_tasks<T>(length: usize) -> usize {
    if length * size_of::<T>() < 1 << 19 {
        usize::MAX
    } else {
        1
    }
}
