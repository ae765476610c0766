//! What the standard's attributes say about axes, shared by rules and shape inference.

use crate::graph::shape::{Dim, axes, axis};
use crate::graph::{Graph, NodeId};

/// Pad's amounts, begin of each axis then end of each axis, over all axes of the input.
pub(crate) fn pads(graph: &Graph<'_>, node: NodeId) -> Option<Vec<i64>> {
    let rank = graph.shape(graph.input(node, 0)?)?.rank();
    let given = match graph.node(node).ints("pads").ok()? {
        Some(pads) => pads,
        // Pad-1 calls the attribute `paddings`.
        None => match graph.node(node).ints("paddings").ok()? {
            Some(pads) => pads,
            None => graph.integers(graph.input(node, 1)?)?,
        },
    };
    let Some(listed) = graph.input(node, 3) else {
        return (given.len() == 2 * rank).then_some(given);
    };
    let listed = graph.integers(listed)?;
    let mut pads = vec![0; 2 * rank];
    for (i, &at) in listed.iter().enumerate() {
        let axis = axis(at, rank)?;
        *pads.get_mut(axis)? = *given.get(i)?;
        *pads.get_mut(axis + rank)? = *given.get(i + listed.len())?;
    }
    Some(pads)
}

/// The output extent of Resize or Upsample along an axis, as far as it is known.
pub(crate) fn resized(graph: &Graph<'_>, node: NodeId, at: usize) -> Option<Dim> {
    let input = graph.shape(graph.input(node, 0)?)?;
    let position = match graph.node(node).ints("axes").ok()? {
        Some(axes) => match axes
            .iter()
            .position(|&listed| axis(listed, input.rank()) == Some(at))
        {
            Some(position) => position,
            None => return input.0.get(at).copied(),
        },
        None => at,
    };
    let scales_slot = if graph.opset(node) >= 11 { 2 } else { 1 };
    let scale = match graph
        .node(node)
        .view
        .and_then(|view| view.floats("scales").ok().flatten())
    {
        Some(scales) => scales.get(position).map(|&scale| f64::from(scale)),
        None => graph.input(node, scales_slot).and_then(|scales| {
            let scales = graph.floats(scales).ok()?;
            let scales = Some(scales).filter(|scales| scales.ndim() == 1)?;
            scales.get([position]).copied()
        }),
    };
    if let Some(scale) = scale {
        let dim = *input.0.get(at)?;
        return match (dim, scale) {
            (_, 1.0) => Some(dim),
            (Dim::Known(extent), scale) if scale > 0.0 => {
                Some(Dim::Known((extent as f64 * scale).floor() as usize))
            }
            _ => None,
        };
    }
    let keeps_ratio = graph
        .node(node)
        .string("keep_aspect_ratio_policy", "stretch")
        .ok()?
        != "stretch";
    let sizes = graph.input(node, 3).filter(|_| !keeps_ratio)?;
    graph.extents(sizes)?.get(position).copied()
}

/// The axes that a reduction sums over.
pub(crate) fn reduced_axes(graph: &Graph<'_>, node: NodeId) -> Option<Vec<usize>> {
    let rank = graph.shape(graph.input(node, 0)?)?.rank();
    match axes(graph, node, 1)? {
        Some(listed) if !listed.is_empty() => {
            listed.iter().map(|&listed| axis(listed, rank)).collect()
        }
        _ if graph.node(node).int("noop_with_empty_axes", 0).ok()? != 0 => Some(Vec::new()),
        _ => Some((0..rank).collect()),
    }
}
