//! Resize (opset 10, 11, 13, 18, 19) and Upsample (opset 7, 9): interpolation weights sum to one, so an affine passes
//! where it does not vary along a resized axis and no extrapolation value comes in (`tf_crop_and_resize`).

use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, geometry, readable, refuse, shape};

/// Resize and Upsample.
///
/// # Errors
/// If the affine varies along an axis that is not known to keep its extent, or outside elements are extrapolated.
pub fn resize(
    graph: &Graph<'_>,
    node: NodeId,
    _: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let mode = readable(
        graph,
        node,
        graph
            .node(node)
            .string("coordinate_transformation_mode", "half_pixel"),
    )?;
    if mode == "tf_crop_and_resize" {
        return Err(refuse(
            graph,
            node,
            Code::ShiftBlocked,
            "elements outside the input take the extrapolation value",
        ));
    }
    let input = shape(graph, node, graph.input(node, 0))?;
    for axis in affine.varying_axes() {
        if geometry::resized(graph, node, axis) != input.0.get(axis).copied() {
            return Err(refuse(
                graph,
                node,
                Code::AxesMixed,
                format!("axis {axis} is not known to keep its extent"),
            ));
        }
    }
    Ok(affine.clone())
}
