//! Training mode tile by tile: moments, factors and normalised values while a tile is in the cache.
//!
//! A tile is some channels in all samples, so nothing has to wait for other tiles and memory is read
//! once. Tiles are cut by shape alone; channels too large for the cache are left to two passes.

use std::ops::Range;

use rayon::prelude::*;

use super::attributes::BatchNorm;
use super::element::Element;
use super::gather::least_tasks;
use super::geometry::Geometry;
use super::lanes::Lanes;
use super::moments::Moments;
use super::parameters::Parameters;
use super::simd::vectorize;
use super::tile::Tile;

/// Bytes that a tile may have: half a cache that every core has to itself.
const LARGEST: usize = 1 << 19;

/// Tiles are as many as a multiple of this, so that threads share them evenly.
const EVEN: usize = 4;

/// Bytes of a sample in a tile at least: less would be read against the grain, and reading all of the
/// value twice along is faster.
fn least_bytes(value: usize) -> usize {
    // Beyond the last cache skipping costs more.
    const LAST_CACHE: usize = 1 << 24;
    if value > LAST_CACHE { 1 << 14 } else { 1 << 11 }
}

/// The channels of a tile of a value of this many elements, if tiles fit the cache.
pub(super) fn tile_channels<T>(geometry: Geometry, length: usize) -> Option<usize> {
    let Geometry { channels, inner } = geometry;
    let bytes = length / channels * size_of::<T>();
    let least = least_bytes(length * size_of::<T>()).div_ceil(inner * size_of::<T>());
    let tiles = channels.div_ceil((LARGEST / bytes).max(1));
    let tiles = if tiles > 1 {
        tiles.next_multiple_of(EVEN)
    } else {
        1
    };
    let tile = channels.div_ceil(tiles).max(least).min(channels);
    (tile * bytes <= LARGEST).then_some(tile)
}

/// Normalises a contiguous value by its own statistics.
pub(super) fn train<T: Element, L: Lanes<T>>(
    node: &BatchNorm,
    parameters: &Parameters,
    geometry: Geometry,
    lanes: L,
) -> Option<Moments> {
    let Geometry { channels, inner } = geometry;
    let length = lanes.len();
    let per_tile = tile_channels::<T>(geometry, length)?;
    let mut tiles: Vec<Vec<L>> = Vec::new();
    tiles.resize_with(channels.div_ceil(per_tile), Vec::new);
    for sample in lanes.chunks(channels * inner) {
        for (tile, part) in tiles.iter_mut().zip(sample.chunks(per_tile * inner)) {
            tile.push(part);
        }
    }
    let tasks = tiles.into_par_iter().enumerate();
    let tasks = tasks.with_min_len(least_tasks::<T>(length));
    let parts = tasks.map(|(tile, samples)| {
        let first = tile * per_tile;
        let channels = first..channels.min(first + per_tile);
        train_tile(node, parameters, channels, samples)
    });
    Some(Moments::side_by_side(parts.collect()))
}

/// Normalises what lies of each sample in the tile of these channels.
fn train_tile<T: Element, L: Lanes<T>>(
    node: &BatchNorm,
    parameters: &Parameters,
    channels: Range<usize>,
    samples: Vec<L>,
) -> Moments {
    let inner = samples[0].len() / channels.len();
    let geometry = Geometry {
        channels: channels.len(),
        inner,
    };
    let sources: Vec<&[T]> = samples.iter().map(Lanes::source).collect();
    let moments = if T::NEEDS_F64 {
        vectorize(Tile::<T, f64>::new(&sources, channels.len()))
    } else {
        vectorize(Tile::<T, f32>::new(&sources, channels.len()))
    };
    node.of_batch(parameters, channels, &moments)
        .walk(geometry, samples);
    moments
}
