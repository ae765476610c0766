//! DepthToSpace and SpaceToDepth (opset 1, 11, 13): channels and blocks of pixels change places.
//!
//! With block `b` and `C' = C/b²`, input channel `k·C' + c` (DCR and SpaceToDepth) or `c·b² + k` (CRD) holds pixel `k` of
//! the block of channel `c`. From pixels to channels an affine repeats; from channels to pixels it must be the same for
//! every `k`.

use crate::affine::Affine;
use crate::graph::edit::channels;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, fixed_along, readable, refuse, shape};

/// DepthToSpace.
///
/// # Errors
/// If the affine varies along a spatial axis or, downstream, within a block.
pub fn depth_to_space(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let depth = readable(graph, node, graph.node(node).string("mode", "DCR"))? == "CRD";
    carry(
        graph,
        node,
        affine,
        direction == Direction::Upstream,
        0,
        depth,
    )
}

/// SpaceToDepth.
///
/// # Errors
/// If the affine varies along a spatial axis or, upstream, within a block.
pub fn space_to_depth(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    carry(
        graph,
        node,
        affine,
        direction == Direction::Downstream,
        1,
        false,
    )
}

fn carry(
    graph: &Graph<'_>,
    node: NodeId,
    affine: &Affine,
    to_deep: bool,
    deep_side: usize,
    channel_first: bool,
) -> Result<Affine, Refusal> {
    fixed_along(graph, node, affine, |axis| axis != 1)?;
    let block = readable(graph, node, graph.node(node).int("blocksize", 1))?;
    let block = usize::try_from(block).unwrap_or(0);
    let block = block.checked_mul(block).unwrap_or(0);
    let deep_value = if deep_side == 0 {
        graph.input(node, 0)
    } else {
        graph.output(node, 0)
    };
    let deep = shape(graph, node, deep_value)?
        .extent(1)
        .filter(|&deep| block > 0 && deep % block == 0);
    let Some(deep) = deep else {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its number of channels is not known",
        ));
    };
    let flat = deep / block;
    let channel = |at: usize| if channel_first { at / block } else { at % flat };
    let carry = |array: &ndarray::ArrayD<f64>| match to_deep {
        true => {
            let each = channels(array, flat);
            Some((0..deep).map(|at| each[channel(at)]).collect::<Vec<f64>>())
        }
        false => {
            let all = channels(array, deep);
            let mut each = vec![None; flat];
            let same = |at: usize| all[at] == *each[channel(at)].get_or_insert(all[at]);
            (0..deep)
                .all(same)
                .then(|| each.into_iter().flatten().collect())
        }
    };
    match (carry(affine.scale()), carry(affine.shift())) {
        (Some(scale), Some(shift)) => Ok(Affine::along(affine.rank(), 1, scale, shift)),
        _ => Err(refuse(
            graph,
            node,
            Code::AxesMixed,
            "the affine differs within a block",
        )),
    }
}
