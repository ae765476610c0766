//! ConvTranspose (opset 1, 11, 22): weight `[C, M/g, k…]`, output channel = group·(M/g) + j.
//!
//! `W` is seen as `[g, C/g, M/g, k…]`: outputs along axes 0 and 2, inputs along 0 and 1.
//! A scale in front of it is exact; a shift is not, because outputs are made of different taps, unless there is one.

use super::{Along, Bias, InputShift, Layout, bias, weight};
use crate::graph::shape::Window;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Refusal, readable, refuse};

/// The layout of a transposed convolution.
///
/// # Errors
/// If its weight or bias is no constant, or its attributes do not fit the weight.
pub fn layout(graph: &Graph<'_>, node: NodeId) -> Result<Layout, Refusal> {
    let dims = weight(graph, node, 1)?;
    bias(graph, node, 2)?;
    let group = readable(graph, node, graph.node(node).int("group", 1))?;
    let (Ok(group), [inputs, outputs, kernel @ ..]) = (usize::try_from(group), &dims[..]) else {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its weight has fewer than two axes",
        ));
    };
    if group == 0 || inputs % group != 0 {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its groups do not divide its input channels",
        ));
    }
    Ok(Layout {
        variable: 0,
        weight: 1,
        dims: [&[group, inputs / group, *outputs], kernel].concat(),
        output_rank: dims.len(),
        output: vec![Along {
            value: 1,
            weight: vec![0, 2],
        }],
        input: vec![Along {
            value: 1,
            weight: vec![0, 1],
        }],
        shift: match has_one_tap(graph, node, kernel) {
            true => InputShift::Exact,
            false => InputShift::TapsDiffer,
        },
        bias: Bias::Vector {
            slot: 2,
            channels: group * outputs,
        },
    })
}

/// Whether every output is one tap of one input: the product of a matrix with every position.
fn has_one_tap(graph: &Graph<'_>, node: NodeId, kernel: &[usize]) -> bool {
    let Ok(window) = Window::read(graph, node, Some(kernel)) else {
        return false;
    };
    let at = graph.node(node);
    let is_enlarged = ["output_padding", "output_shape"]
        .iter()
        .any(|name| at.has(name));
    let pads = window.pads.unwrap_or_else(|| vec![1]);
    let is_one = |extents: &[usize]| extents.iter().all(|&extent| extent == 1);
    !is_enlarged && is_one(kernel) && is_one(&window.strides) && pads.iter().all(|&pad| pad == 0)
}
