//! LSTM, GRU and RNN (opset 1, 3, 7, 14, 22) take an affine in front of their input: `W (s·x + t) + Wb = (W·s) x + (Wb + W·t)`.
//!
//! `W` is `[directions, gates·hidden, input]`, `B` is `[directions, 2·gates·hidden]` with the input's half first.
//! Every time step reads `x` once, so the shift is exact for every direction, layout and activation.

use super::{Along, Bias, InputShift, Layout, bias, weight};
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Refusal, refuse};

/// The layout of a recurrent layer.
///
/// # Errors
/// If its input weight or bias is no constant.
pub fn layout(graph: &Graph<'_>, node: NodeId) -> Result<Layout, Refusal> {
    let dims = weight(graph, node, 1)?;
    let bias = bias(graph, node, 3)?;
    let [directions, rows, _] = dims[..] else {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its weight does not have three axes",
        ));
    };
    if bias.is_some_and(|dims| dims != [directions, 2 * rows]) {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its bias is not two rows of its gates for each direction",
        ));
    }
    Ok(Layout {
        variable: 0,
        weight: 1,
        dims,
        output_rank: 4,
        output: Vec::new(),
        input: vec![Along {
            value: 2,
            weight: vec![2],
        }],
        shift: InputShift::Exact,
        bias: Bias::Recurrent { directions, rows },
    })
}
