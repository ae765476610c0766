//! Gather (opset 1, 11, 13) from a constant table: `s·T[i] + t = (s·T + t)[i]`.
//!
//! The output's axes are the table's, with the indices' axes in the place of the gathered one; an affine may vary along
//! the axes that are not gathered.

use super::{Along, Bias, InputShift, Layout, weight};
use crate::graph::shape::axis;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Refusal, readable, refuse, shape};

/// The layout of a lookup.
///
/// # Errors
/// If the table is no constant.
pub fn layout(graph: &Graph<'_>, node: NodeId) -> Result<Layout, Refusal> {
    let dims = weight(graph, node, 0)?;
    let output_rank = shape(graph, node, graph.output(node, 0))?.rank();
    let gathered = readable(graph, node, graph.node(node).int("axis", 0))?;
    let Some(gathered) = axis(gathered, dims.len()).filter(|&gathered| gathered < dims.len())
    else {
        return Err(refuse(
            graph,
            node,
            Code::Malformed,
            "its axis is out of range",
        ));
    };
    if output_rank + 1 < dims.len() {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "the rank of its output is in doubt",
        ));
    }
    let from_end = |axis: usize| output_rank + axis - dims.len();
    let kept = (0..dims.len())
        .filter(|&axis| axis != gathered)
        .map(|axis| Along {
            value: if axis < gathered {
                axis
            } else {
                from_end(axis)
            },
            weight: vec![axis],
        });
    Ok(Layout {
        variable: 1,
        weight: 0,
        output_rank,
        output: kept.collect(),
        input: Vec::new(),
        shift: InputShift::TapsDiffer,
        bias: Bias::Weight,
        dims,
    })
}
