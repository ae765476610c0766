//! Concat (opset 1, 4, 11, 13): upstream the affine is split among the inputs, downstream the inputs' affines are joined.
//!
//! Along another axis than the joined one it is replicated. Downstream, inputs without an affine keep the identity.

use crate::affine::Affine;
use crate::graph::shape::axis;
use crate::graph::{Graph, NodeId};
use crate::rules::{Carrier, Code, Refusal, Step, readable, refuse, shape};

/// Concat in both directions.
pub const CONCAT: Carrier = Carrier::Joint {
    upstream,
    downstream,
};

fn joined_axis(graph: &Graph<'_>, node: NodeId, rank: usize) -> Result<usize, Refusal> {
    // Concat-1 has axis 1 as its default.
    let listed = readable(graph, node, graph.node(node).int("axis", 1))?;
    let axis = axis(listed, rank).filter(|&axis| axis < rank);
    axis.ok_or_else(|| refuse(graph, node, Code::Malformed, "its axis is out of range"))
}

fn extents(graph: &Graph<'_>, node: NodeId, axis: usize) -> Result<Vec<usize>, Refusal> {
    let inputs = &graph.node(node).inputs;
    let extents = inputs
        .iter()
        .map(|&input| Ok(shape(graph, node, input)?.extent(axis)));
    let extents: Option<Vec<usize>> = extents.collect::<Result<Option<_>, Refusal>>()?;
    extents.ok_or_else(|| {
        refuse(
            graph,
            node,
            Code::UnknownShape,
            format!("an input's extent along axis {axis} is not known"),
        )
    })
}

fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    _: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    let axis = joined_axis(graph, node, affine.rank())?;
    let inputs = graph.node(node).inputs.len();
    let parts: Vec<Affine> = match affine.extent(axis) {
        1 => vec![affine.clone(); inputs],
        _ => {
            let mut start = 0;
            let part = |extent: &usize| {
                start += extent;
                affine.sliced(axis, start - extent, start)
            };
            extents(graph, node, axis)?.iter().map(part).collect()
        }
    };
    Ok(vec![Step {
        effects: Vec::new(),
        next: parts.into_iter().enumerate().collect(),
    }])
}

fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let rank = given[0].1.rank();
    let axis = joined_axis(graph, node, rank)?;
    let of = |slot: usize| {
        let found = given.iter().find(|(at, _)| *at == slot);
        found.map_or_else(|| Affine::identity(rank), |(_, affine)| affine.clone())
    };
    let inputs = 0..graph.node(node).inputs.len();
    let same = inputs
        .clone()
        .all(|slot| of(slot) == given[0].1 && given[0].1.extent(axis) == 1);
    let joined = match same {
        true => given[0].1.clone(),
        false => {
            let extents = extents(graph, node, axis)?;
            let parts: Vec<(Affine, usize)> =
                inputs.map(|slot| (of(slot), extents[slot])).collect();
            Affine::concatenated(axis, &parts)
        }
    };
    Ok(vec![Step {
        effects: Vec::new(),
        next: vec![(0, joined)],
    }])
}
