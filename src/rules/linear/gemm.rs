//! Gemm (opset 1 to 13): `Y = alpha·A'·B' + beta·C`, with `B` (or `A`) constant.
//!
//! With `B` constant the output's columns are its columns and the input's columns its rows; with `A` constant the
//! output's rows are its rows. `C` broadcasts to `[M, N]`; a shift makes it `s·beta·C + t` and sets `beta` to 1.

use super::{Along, Bias, InputShift, Layout, bias, weight};
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Refusal, readable, refuse};

/// The layout of a general matrix product.
///
/// # Errors
/// If both factors, or `C`, are computed while the model runs.
pub fn layout(graph: &Graph<'_>, node: NodeId) -> Result<Layout, Refusal> {
    let is_constant = |slot: usize| {
        graph
            .input(node, slot)
            .is_some_and(|value| graph.is_constant(value))
    };
    let (slot, variable) = if !is_constant(1) && is_constant(0) {
        (0, 1)
    } else {
        (1, 0)
    };
    let dims = weight(graph, node, slot)?;
    bias(graph, node, 2)?;
    if dims.len() != 2 {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its weight is not a matrix",
        ));
    }
    let flipped =
        |name: &str| readable(graph, node, graph.node(node).int(name, 0)).map(|flag| flag != 0);
    let (flip_a, flip_b) = (flipped("transA")?, flipped("transB")?);
    // Axis of the output that the weight makes, and axis of the weight that meets the variable input.
    let (output_axis, inner, variable_inner) = match slot {
        1 => (1, usize::from(flip_b), usize::from(!flip_a)),
        _ => (0, usize::from(!flip_a), usize::from(flip_b)),
    };
    Ok(Layout {
        variable,
        weight: slot,
        dims,
        output_rank: 2,
        output: vec![Along {
            value: output_axis,
            weight: vec![1 - inner],
        }],
        input: vec![Along {
            value: variable_inner,
            weight: vec![inner],
        }],
        shift: InputShift::Exact,
        bias: Bias::Gemm,
    })
}
