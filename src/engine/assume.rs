//! The shape that a node's other inputs demand of one that is missing.

use super::element::ElementType;
use super::graph::{Attribute, Callee, Node};
use super::tensor::Tensor;

/// Extent of an axis that nothing demands anything of.
const ANY: usize = 5;

/// Type and extents that input `index` may have, as far as the node's weights say.
pub(super) fn input(
    node: &Node,
    index: usize,
    inputs: &[Option<Tensor>],
) -> Option<(ElementType, Vec<usize>)> {
    if index != 0 || !matches!(node.callee, Callee::Operator) {
        return None;
    }
    let weight = inputs.get(1)?.as_ref()?;
    let int = |name: &str| match node.attributes.get(name) {
        Some(Attribute::Int(value)) => usize::try_from(*value).ok(),
        _ => None,
    };
    let shape = match (node.op_type.as_str(), weight.shape()) {
        ("Conv", [_, channels, kernel @ ..]) => {
            let channels = channels.checked_mul(int("group").unwrap_or(1))?;
            image(channels, kernel, node)
        }
        ("ConvTranspose", [channels, _, kernel @ ..]) => image(*channels, kernel, node),
        ("Gemm", &[rows, columns]) => {
            let inner = if int("transB") == Some(1) {
                columns
            } else {
                rows
            };
            if int("transA") == Some(1) {
                vec![inner, 2]
            } else {
                vec![2, inner]
            }
        }
        ("MatMul", [.., inner, _]) => vec![2, *inner],
        ("BatchNormalization", &[channels]) => vec![2, channels, ANY, ANY],
        ("LSTM" | "GRU" | "RNN", &[_, _, width]) => vec![ANY, 2, width],
        _ => return None,
    };
    Some((weight.element(), shape))
}

/// One image that every window fits into twice.
fn image(channels: usize, kernel: &[usize], node: &Node) -> Vec<usize> {
    let dilation = |axis: usize| match node.attributes.get("dilations") {
        Some(Attribute::Ints(list)) => list.get(axis).copied().unwrap_or(1).max(1) as usize,
        _ => 1,
    };
    let extent = |(axis, &taps): (usize, &usize)| {
        let span = taps.saturating_sub(1).saturating_mul(dilation(axis)) + 1;
        (2 * span).clamp(ANY, 256)
    };
    let space = kernel.iter().enumerate().map(extent);
    [1, channels].into_iter().chain(space).collect()
}
