//! Extents behind operators that read elements from elsewhere than where they write them.

use super::{Dim, axis, dims};
use crate::graph::{Graph, NodeId};

/// `X` of [N, C, …] read at a `grid` of [N, …, r] (GridSample-16, 20).
pub(super) fn grid_sample(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let (x, grid) = (dims(graph, id, 0)?, dims(graph, id, 1)?);
    let places = grid.get(1..grid.len().checked_sub(1)?)?;
    let mut output = x.get(..2)?.to_vec();
    output.extend(places);
    Some(output)
}

/// One crop of `X` for each of the `rois` (RoiAlign-10, 16, 22).
pub(super) fn roi_align(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let node = graph.node(id);
    let extent = |name: &str| usize::try_from(node.int(name, 1).ok()?).ok();
    let (height, width) = (extent("output_height")?, extent("output_width")?);
    let (crops, channels) = (*dims(graph, id, 1)?.first()?, *dims(graph, id, 0)?.get(1)?);
    Some(vec![crops, channels, Dim::Known(height), Dim::Known(width)])
}

/// Each axis as often as `repeats` says (Tile-6, 13); Tile-1 names one axis.
pub(super) fn tile(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let repeats = graph.input(id, 1).and_then(|value| graph.integers(value));
    let repeats = repeats.filter(|repeats| graph.opset(id) >= 6 && repeats.len() == input.len());
    let tiled = input.into_iter().enumerate().map(|(at, dim)| {
        let repeat = repeats.as_ref().map(|repeats| repeats[at]);
        let times = |repeat: i64| usize::try_from(repeat).ok()?.checked_mul(dim.known()?);
        match repeat {
            Some(1) => dim,
            _ => repeat
                .and_then(times)
                .map_or_else(|| graph.symbols.fresh(), Dim::Known),
        }
    });
    Some(tiled.collect())
}

/// The largest `k` along an axis, values and indices (TopK-1, 10, 11).
pub(super) fn top_k(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let mut output = dims(graph, id, 0)?;
    let node = graph.node(id);
    let along = axis(node.int("axis", -1).ok()?, output.len())?;
    let k = match graph.input(id, 1) {
        Some(value) => graph.integers(value).and_then(|k| k.first().copied()),
        None => node.int("k", -1).ok(),
    };
    let k = k.and_then(|k| usize::try_from(k).ok());
    output[along] = k.map_or_else(|| graph.symbols.fresh(), Dim::Known);
    Some(output)
}

/// `indices` of […, m] into the first axes of `data` behind the batch (GatherND-11, 12, 13).
pub(super) fn gather_nd(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let (data, indices) = (dims(graph, id, 0)?, dims(graph, id, 1)?);
    let batch = usize::try_from(graph.node(id).int("batch_dims", 0).ok()?).ok()?;
    let (depth, places) = indices.split_last()?;
    let mut output = places.to_vec();
    output.extend(data.get(batch.checked_add(depth.known()?)?..)?);
    Some(output)
}
