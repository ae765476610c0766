//! Moments of a contiguous value, by rows where channels are long and by columns where not.
//!
//! The work is cut by shape alone into tasks of some ten thousand elements; their results are merged
//! in order.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::columns::Columns;
use super::element::Element;
use super::geometry::Geometry;
use super::moments::Moments;
use super::real::Real;
use super::rows::Rows;
use super::simd::vectorize;

/// Elements that one thread takes at a time.
pub(super) const TASK: usize = 1 << 16;

/// Rows shorter than this are read as columns.
const LONG: usize = 512;

/// Samples of a task at least, where there are as many.
const MANY: usize = 64;

/// Columns below this are widened by laying samples side by side.
const NARROW: usize = 256;

/// The moments of `values`, which hold at least one element.
pub(super) fn moments<T: Element, F: Real>(values: &[T], geometry: Geometry) -> Moments {
    let Geometry { channels, inner } = geometry;
    if inner >= LONG {
        return by_rows::<T, F>(values, geometry);
    }
    let width = channels * inner;
    let samples = values.len() / width;
    let side_by_side = (NARROW / width).clamp(1, samples);
    let (even, rest) = values.split_at(samples / side_by_side * side_by_side * width);
    let mut moments = by_columns::<T, F>(even, geometry, side_by_side);
    if !rest.is_empty() {
        let rest = by_columns::<T, F>(rest, geometry, 1);
        moments.absorb(&rest);
    }
    moments
}

fn by_rows<T: Element, F: Real>(values: &[T], geometry: Geometry) -> Moments {
    let Geometry { channels, inner } = geometry;
    let segments = inner.div_ceil(TASK);
    let units = values.len() / inner * segments;
    let mut mean = vec![0.0; units];
    let mut m2 = vec![0.0; units];
    let per_task = (TASK / inner).max(1);
    let tasks = mean
        .par_chunks_mut(per_task)
        .zip(m2.par_chunks_mut(per_task));
    let tasks = tasks
        .enumerate()
        .with_min_len(least_tasks::<T>(values.len()));
    tasks.for_each(|(task, (mean, m2))| {
        vectorize(Rows::<T, F> {
            values,
            inner,
            first: task * per_task,
            mean,
            m2,
            arithmetic: PhantomData,
        });
    });
    let mut moments = Moments::empty(channels);
    let parts = mean
        .chunks(channels * segments)
        .zip(m2.chunks(channels * segments));
    for (mean, m2) in parts {
        for segment in 0..segments {
            let column = |values: &[f64]| -> Vec<f64> {
                values[segment..]
                    .iter()
                    .step_by(segments)
                    .copied()
                    .collect()
            };
            let length = (inner - segment * TASK).min(TASK);
            moments.absorb(&Moments::from_parts(
                length as u64,
                column(mean),
                column(m2),
            ));
        }
    }
    moments
}

fn by_columns<T: Element, F: Real>(
    values: &[T],
    geometry: Geometry,
    side_by_side: usize,
) -> Moments {
    let Geometry { channels, inner } = geometry;
    let width = channels * inner * side_by_side;
    let samples = values.len() / width;
    let per_task = (TASK / width).max(MANY).min(samples);
    let tile_channels = if side_by_side > 1 {
        channels
    } else {
        (TASK / (per_task * inner)).clamp(1, channels)
    };
    let tiles = channels.div_ceil(tile_channels);
    let groups = samples.div_ceil(per_task);
    let tasks = (0..groups * tiles).into_par_iter();
    let parts: Vec<Moments> = tasks
        .with_min_len(least_tasks::<T>(values.len()))
        .map(|task| {
            let (group, tile) = (task / tiles, task % tiles);
            let first = group * per_task;
            let last = samples.min(first + per_task);
            let first_channel = tile * tile_channels;
            vectorize(Columns::<T, F> {
                samples: &values[first * width..last * width],
                width,
                inner,
                start: first_channel * inner,
                channels: tile_channels.min(channels - first_channel),
                side_by_side,
                arithmetic: PhantomData,
            })
        })
        .collect();
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
fn least_tasks<T>(length: usize) -> usize {
    if length * size_of::<T>() < 1 << 19 {
        usize::MAX
    } else {
        1
    }
}
