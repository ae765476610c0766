//! Conv (opset 1, 11, 22): weight `[M, C/g, k…]`, output channel `m` in group `m / (M/g)`.
//!
//! `W` is seen as `[g, M/g, C/g, k…]`: outputs along axes 0 and 1, inputs along 0 and 2.
//! A shift in front of it is exact only where no padded zero is read.

use super::{Along, Bias, InputShift, Layout, bias, weight};
use crate::graph::shape::Window;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Refusal, readable, refuse};

/// The layout of a convolution.
///
/// # Errors
/// If its weight or bias is no constant, or its attributes do not fit the weight.
pub fn layout(graph: &Graph<'_>, node: NodeId) -> Result<Layout, Refusal> {
    let dims = weight(graph, node, 1)?;
    bias(graph, node, 2)?;
    let group = readable(graph, node, graph.node(node).int("group", 1))?;
    let (Ok(group), [outputs, inputs, kernel @ ..]) = (usize::try_from(group), &dims[..]) else {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its weight has fewer than two axes",
        ));
    };
    if group == 0 || outputs % group != 0 {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its groups do not divide its output channels",
        ));
    }
    let window = readable(graph, node, Window::read(graph, node, Some(kernel)))?;
    let spatial = graph
        .input(node, 0)
        .and_then(|input| graph.shape(input)?.0.get(2..));
    let unpadded = window.is_unpadded(spatial.filter(|spatial| spatial.len() == kernel.len()));
    Ok(Layout {
        variable: 0,
        weight: 1,
        dims: [&[group, outputs / group, *inputs], kernel].concat(),
        output_rank: dims.len(),
        output: vec![Along {
            value: 1,
            weight: vec![0, 1],
        }],
        input: vec![Along {
            value: 1,
            weight: vec![0, 2],
        }],
        shift: if unpadded {
            InputShift::Exact
        } else {
            InputShift::Padded
        },
        bias: Bias::Vector {
            slot: 2,
            channels: *outputs,
        },
    })
}

/// Whether output channel `m` at a position can read input channel `m` at that position through the centre tap, with
/// `channels` of both: then `y[m] + s·x[m]` is the same convolution with `s` added to one weight.
pub(crate) fn has_centre_tap(graph: &Graph<'_>, node: NodeId, channels: usize) -> bool {
    let (Ok(layout), Ok(dims)) = (layout(graph, node), weight(graph, node, 1)) else {
        return false;
    };
    let (Some(kernel), Ok(window)) = (dims.get(2..), Window::read(graph, node, dims.get(2..)))
    else {
        return false;
    };
    let centred = |axis: usize| match &window.pads {
        Some(pads) => {
            let half = (window.reach(axis) - 1) / 2;
            pads[axis] == half as i64 && pads[axis + kernel.len()] == half as i64
        }
        None => true,
    };
    dims[0] == channels
        && layout.dims[0] * layout.dims[2] == channels
        && (0..kernel.len())
            .all(|axis| kernel[axis] % 2 == 1 && window.strides[axis] == 1 && centred(axis))
}

/// The flat index of output channel `m`'s centre tap on input channel `m`.
pub(crate) fn centre_tap(layout: &Layout, m: usize) -> usize {
    let [_, _, inputs, kernel @ ..] = &layout.dims[..] else {
        unreachable!("a convolution's layout has at least three axes");
    };
    let taps: usize = kernel.iter().product();
    (m * inputs + m % inputs) * taps + taps / 2
}
