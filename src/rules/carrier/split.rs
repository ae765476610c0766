//! Split and Slice: parts of a value take parts of an affine; upstream the other parts keep the identity.

use crate::affine::Affine;
use crate::graph::shape::{cuts, split_extents};
use crate::graph::{Graph, NodeId};
use crate::rules::{Carrier, Code, Direction, Refusal, Step, refuse, shape};

/// Split (opset 1, 2, 11, 13, 18) in both directions.
pub const SPLIT: Carrier = Carrier::Joint {
    upstream,
    downstream,
};

fn parts(graph: &Graph<'_>, node: NodeId) -> Result<(usize, Vec<usize>), Refusal> {
    split_extents(graph, node).ok_or_else(|| {
        refuse(
            graph,
            node,
            Code::UnknownShape,
            "the extents of its parts are not known",
        )
    })
}

fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    slot: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    let (axis, extents) = parts(graph, node)?;
    let rank = affine.rank();
    let part = |(at, &extent): (usize, &usize)| {
        (
            if at == slot {
                affine.clone()
            } else {
                Affine::identity(rank)
            },
            extent,
        )
    };
    let whole: Vec<(Affine, usize)> = extents.iter().enumerate().map(part).collect();
    Ok(vec![Step {
        effects: Vec::new(),
        next: vec![(0, Affine::concatenated(axis, &whole))],
    }])
}

fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let [(0, affine)] = given else {
        return Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it is not the first input",
        ));
    };
    let (axis, extents) = parts(graph, node)?;
    let mut start = 0;
    let next = extents.iter().enumerate().map(|(slot, extent)| {
        start += extent;
        (slot, affine.sliced(axis, start - extent, start))
    });
    Ok(vec![Step {
        effects: Vec::new(),
        next: next.collect(),
    }])
}

/// Slice (opset 1, 10, 11, 13).
///
/// # Errors
/// If it cuts an axis along which the affine varies in a way that is not known.
pub fn slice(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let unknown = || refuse(graph, node, Code::UnknownShape, "what it cuts is not known");
    let input = shape(graph, node, graph.input(node, 0))?;
    let mut carried = affine.clone();
    for cut in cuts(graph, node).ok_or_else(unknown)? {
        if carried.extent(cut.axis) == 1 {
            continue;
        }
        let extent = input.extent(cut.axis).ok_or_else(unknown)?;
        let (start, end) = cut.range(extent).ok_or_else(unknown)?;
        let rest = Affine::identity(affine.rank());
        carried = match direction {
            Direction::Downstream => carried.sliced(cut.axis, start, end),
            Direction::Upstream => {
                let parts = [
                    (rest.clone(), start),
                    (carried, end - start),
                    (rest, extent - end),
                ];
                let parts: Vec<(Affine, usize)> = parts
                    .into_iter()
                    .filter(|(_, extent)| *extent > 0)
                    .collect();
                Affine::concatenated(cut.axis, &parts)
            }
        };
    }
    Ok(carried)
}
