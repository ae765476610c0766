//! Transpose, Squeeze and Unsqueeze: the affine's axes move with the value's.

use ndarray::{ArrayD, Axis};

use crate::affine::Affine;
use crate::graph::shape::{axes, axis};
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, readable, refuse, shape};

/// Transpose (opset 1, 13): output axis `i` is input axis `perm[i]`.
///
/// # Errors
/// If `perm` is no permutation of the value's axes.
pub fn transpose(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let rank = affine.rank();
    let listed = readable(graph, node, graph.node(node).ints("perm"))?;
    let listed = listed.unwrap_or_else(|| (0..rank as i64).rev().collect());
    let permutation: Vec<usize> = listed
        .iter()
        .filter_map(|&from| usize::try_from(from).ok())
        .collect();
    let mut inverse = vec![rank; rank];
    for (to, &from) in permutation.iter().enumerate() {
        if let Some(place) = inverse.get_mut(from) {
            *place = to;
        }
    }
    if permutation.len() != rank || inverse.contains(&rank) {
        return Err(refuse(
            graph,
            node,
            Code::Malformed,
            "perm is no permutation of the axes",
        ));
    }
    Ok(affine.permuted(match direction {
        Direction::Downstream => &permutation,
        Direction::Upstream => &inverse,
    }))
}

/// Squeeze (opset 1, 11, 13): axes of extent 1 go.
///
/// # Errors
/// If the axes are not known.
pub fn squeeze(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let input = shape(graph, node, graph.input(node, 0))?;
    let unknown = || refuse(graph, node, Code::UnknownShape, "its axes are not known");
    let listed = match axes(graph, node, 1).ok_or_else(unknown)? {
        Some(listed) => listed
            .iter()
            .map(|&at| axis(at, input.rank()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(unknown)?,
        None => {
            let extents = input.numbers().ok_or_else(unknown)?;
            (0..extents.len())
                .filter(|&axis| extents[axis] == 1)
                .collect()
        }
    };
    match direction {
        Direction::Downstream => Ok(without_axes(affine, listed)),
        Direction::Upstream => Ok(with_axes(affine, listed)),
    }
}

/// Unsqueeze (opset 1, 11, 13): axes of extent 1 come.
///
/// # Errors
/// If the axes are not known.
pub fn unsqueeze(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let unknown = || refuse(graph, node, Code::UnknownShape, "its axes are not known");
    let listed = axes(graph, node, 1).flatten().ok_or_else(unknown)?;
    let rank = match direction {
        Direction::Upstream => affine.rank(),
        Direction::Downstream => affine.rank() + listed.len(),
    };
    let listed = listed
        .iter()
        .map(|&at| axis(at, rank))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(unknown)?;
    match direction {
        Direction::Downstream => Ok(with_axes(affine, listed)),
        Direction::Upstream => Ok(without_axes(affine, listed)),
    }
}

/// Drops axes; their extent is 1 in the value, so it is in the affine.
pub(super) fn without_axes(affine: &Affine, mut axes: Vec<usize>) -> Affine {
    axes.sort_unstable();
    axes.dedup();
    affine.map(|array| {
        axes.iter()
            .rev()
            .fold(array.clone(), |array: ArrayD<f64>, &axis| {
                array.index_axis_move(Axis(axis), 0)
            })
    })
}

/// Adds axes of extent 1.
pub(super) fn with_axes(affine: &Affine, mut axes: Vec<usize>) -> Affine {
    axes.sort_unstable();
    axes.dedup();
    affine.map(|array| {
        axes.iter()
            .fold(array.clone(), |array, &axis| array.insert_axis(Axis(axis)))
    })
}
