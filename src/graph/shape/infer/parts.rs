//! Extents of the parts that Split and Slice cut.

use super::{Dim, Shapes, axis, dims};
use crate::graph::{Graph, NodeId};

/// The extents of Split's outputs along its axis.
pub(crate) fn split_extents(graph: &Graph<'_>, id: NodeId) -> Option<(usize, Vec<usize>)> {
    let input = dims(graph, id, 0)?;
    let axis = axis(graph.node(id).int("axis", 0).ok()?, input.len())?;
    let outputs = graph.node(id).outputs.len();
    let listed = match graph.node(id).ints("split").ok()? {
        Some(split) => Some(split),
        None => graph
            .input(id, 1)
            .map(|value| graph.integers(value))
            .unwrap_or(Some(Vec::new()))
            .filter(|split| !split.is_empty()),
    };
    let extents = match listed {
        Some(split) => split
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect::<Option<Vec<_>>>()?,
        None if graph.input(id, 1).is_some() => return None,
        None => {
            let total = input.get(axis)?.known()?;
            let each = total.div_ceil(outputs.max(1));
            (0..outputs)
                .map(|i| each.min(total.saturating_sub(i * each)))
                .collect()
        }
    };
    (extents.len() == outputs).then_some((axis, extents))
}

pub(super) fn split(graph: &mut Graph<'_>, id: NodeId) -> Option<Shapes> {
    let input = dims(graph, id, 0)?;
    let (axis, extents) = split_extents(graph, id)?;
    let part = |extent: usize| {
        let mut part = input.clone();
        part[axis] = Dim::Known(extent);
        Some(part)
    };
    Some(extents.into_iter().map(part).collect())
}

/// One axis of a Slice: axis, start, end (both clamped to the extent) and step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) axis: usize,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
}

/// The axes that a Slice cuts, as they stand in the file.
pub(crate) fn cuts(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Cut>> {
    let rank = dims(graph, id, 0)?.len();
    let read = |name: &str, slot: usize| -> Option<Option<Vec<i64>>> {
        match graph.node(id).ints(name).ok()? {
            Some(ints) => Some(Some(ints)),
            None => graph
                .input(id, slot)
                .map_or(Some(None), |value| graph.integers(value).map(Some)),
        }
    };
    let (starts, ends) = (read("starts", 1)??, read("ends", 2)??);
    let axes = read("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = read("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()]
        .iter()
        .any(|&n| n != starts.len())
    {
        return None;
    }
    (0..starts.len())
        .map(|i| {
            let axis = axis(axes[i], rank)?;
            (axis < rank).then_some(Cut {
                axis,
                start: starts[i],
                end: ends[i],
                step: steps[i],
            })
        })
        .collect()
}

impl Cut {
    /// Start and end within an extent, for step 1.
    pub(crate) fn range(&self, extent: usize) -> Option<(usize, usize)> {
        let clamp = |at: i64| {
            (if at < 0 {
                at.saturating_add(extent as i64)
            } else {
                at
            })
            .clamp(0, extent as i64) as usize
        };
        let (start, end) = (clamp(self.start), clamp(self.end));
        (self.step == 1).then_some((start, end.max(start)))
    }
}

pub(super) fn slice(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let mut result = dims(graph, id, 0)?;
    let Some(cuts) = cuts(graph, id) else {
        result
            .iter_mut()
            .for_each(|dim| *dim = graph.symbols.fresh());
        return Some(result);
    };
    for cut in cuts {
        let range = result[cut.axis]
            .known()
            .and_then(|extent| cut.range(extent));
        result[cut.axis] = range.map_or_else(
            || graph.symbols.fresh(),
            |(start, end)| Dim::Known(end - start),
        );
    }
    Some(result)
}
