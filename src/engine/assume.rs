//! What the readers of a value that is missing demand of its extents.
//!
//! Readers are followed through element-wise nodes: a convolution behind a BatchNormalization says more
//! about the rank than the BatchNormalization itself.

use std::collections::{HashMap, HashSet};

use super::element::ElementType;
use super::graph::{Attribute, Callee, Dim, Graph, Input, Node, Slot};
use super::tensor::Tensor;

/// Extent of an axis that nothing demands anything of.
const ANY: usize = 5;

/// What the readers that were met say, each kind by the first that says it.
#[derive(Debug, Default)]
struct Demands {
    /// Type and all extents, from a weight that leaves no rank open.
    whole: Option<(ElementType, Vec<usize>)>,
    /// Extent of axis 1 of a value of any rank.
    channels: Option<(ElementType, usize)>,
    /// Extent of the last axis of a value of any rank.
    width: Option<(ElementType, usize)>,
    /// Extents that broadcast against the value's.
    beside: Option<(ElementType, Vec<usize>)>,
}

/// Type and extents that a value may have, as far as its readers' weights say.
pub(super) fn demanded(
    slot: Slot,
    graph: &Graph,
    table: &[Option<Tensor>],
) -> Option<(ElementType, Vec<usize>)> {
    met(slot, graph, table).form()
}

fn met(slot: Slot, graph: &Graph, table: &[Option<Tensor>]) -> Demands {
    let mut demands = Demands::default();
    let (mut waiting, mut seen) = (vec![slot], HashSet::from([slot]));
    while let Some(slot) = waiting.pop() {
        for node in &graph.nodes {
            let Some(index) = node.inputs.iter().position(|input| *input == Some(slot)) else {
                continue;
            };
            if demands.ask(node, index, table)
                && let Some(Some(next)) = node.outputs.first()
                && seen.insert(*next)
            {
                waiting.push(*next);
            }
        }
    }
    demands
}

/// What weights say of inputs that the model leaves open.
pub(super) fn settled(main: &Graph) -> HashMap<String, Vec<(usize, usize)>> {
    let is_open = |input: &&Input| {
        let mut dims = input.port.dims.iter().flatten().skip(1);
        !input.has_default && dims.any(|dim| !matches!(dim, Dim::Fixed(_)))
    };
    let open: Vec<&Input> = main.inputs.iter().filter(is_open).collect();
    if open.is_empty() {
        return HashMap::new();
    }
    let mut table = vec![None; main.names.len()];
    for (slot, tensor) in &main.constants {
        table[*slot] = Some(tensor.clone());
    }
    let of = |input: &&Input| (input.port.name.clone(), settled_axes(input, main, &table));
    open.iter().map(of).collect()
}

/// Extents of the axes of an input that the weights of its readers settle.
fn settled_axes(input: &Input, graph: &Graph, table: &[Option<Tensor>]) -> Vec<(usize, usize)> {
    let rank = input.port.dims.as_ref().map_or(0, Vec::len);
    let demands = met(input.slot, graph, table);
    let channels = demands.channels.map(|(_, extent)| (1, extent));
    let width = demands
        .width
        .map(|(_, extent)| (rank.saturating_sub(1), extent));
    let known = channels.into_iter().chain(width);
    known.filter(|&(axis, _)| axis > 0 && axis < rank).collect()
}

impl Demands {
    /// Notes what a reader says; whether its first output has the extents of what it reads.
    fn ask(&mut self, node: &Node, index: usize, table: &[Option<Tensor>]) -> bool {
        if !matches!(node.callee, Callee::Operator) {
            return false;
        }
        let read = |index: usize| {
            let slot = node.inputs.get(index).copied().flatten()?;
            table.get(slot)?.as_ref()
        };
        let op_type = node.op_type.as_str();
        if matches!(op_type, "Add" | "Sub" | "Mul" | "Div" | "PRelu") {
            if let Some(other) = read(1 - index.min(1)) {
                let form = || (other.element(), other.shape().to_vec());
                let says = other.element().is_float() && other.len() > 1;
                self.beside = self.beside.take().or_else(|| says.then(form));
            }
            return true;
        }
        let single = match (op_type, index) {
            ("If", 0) | ("Loop", 1) => Some(ElementType::Bool),
            ("Loop", 0) => Some(ElementType::Int64),
            _ => None,
        };
        if let Some(element) = single {
            self.whole.get_or_insert((element, Vec::new()));
        }
        if index > 0 {
            return false;
        }
        let Some(weight) = read(1) else {
            return keeps_shape(op_type);
        };
        let element = weight.element();
        match (op_type, weight.shape()) {
            ("BatchNormalization", &[channels]) => {
                self.channels.get_or_insert((element, channels));
                true
            }
            ("MatMul", [.., inner, _]) => {
                self.width.get_or_insert((element, *inner));
                false
            }
            _ => {
                if let Some(shape) = whole(node, weight.shape()) {
                    let (at, axis) = match op_type {
                        "Conv" | "ConvTranspose" => (&mut self.channels, 1),
                        _ => (&mut self.width, shape.len() - 1),
                    };
                    if int(node, "transA") != Some(1) {
                        at.get_or_insert((element, shape[axis]));
                    }
                    self.whole.get_or_insert((element, shape));
                }
                keeps_shape(op_type)
            }
        }
    }

    fn form(self) -> Option<(ElementType, Vec<usize>)> {
        if self.whole.is_some() {
            return self.whole;
        }
        match (self.channels, self.width, self.beside) {
            (Some((element, channels)), Some((_, width)), _) if channels == width => {
                Some((element, vec![2, channels]))
            }
            (Some((element, channels)), Some((_, width)), _) => {
                Some((element, vec![2, channels, width]))
            }
            (Some((element, channels)), None, _) => Some((element, vec![2, channels, ANY, ANY])),
            (None, Some((element, width)), beside) => {
                let beside = beside.filter(|(_, shape)| shape.last() == Some(&width));
                let shape = beside.map(|(_, shape)| opened(&shape));
                let shape = shape.filter(|shape| shape.len() > 1);
                Some((element, shape.unwrap_or_else(|| vec![2, width])))
            }
            (None, None, Some((element, shape))) => Some((element, opened(&shape))),
            (None, None, None) => None,
        }
    }
}

/// Extents that those of a constant or of another value broadcast to.
fn opened(shape: &[usize]) -> Vec<usize> {
    let open =
        |(axis, &extent): (usize, &usize)| if axis > 0 && extent == 1 { ANY } else { extent };
    let extents: Vec<usize> = shape.iter().enumerate().map(open).collect();
    match shape {
        [_] | [_, 1, ..] => [&[2], &extents[..]].concat(),
        _ => extents,
    }
}

/// Operators whose first output has the extents of their first input.
fn keeps_shape(op_type: &str) -> bool {
    matches!(
        op_type,
        "Abs"
            | "Celu"
            | "Clip"
            | "Dropout"
            | "Elu"
            | "Erf"
            | "Exp"
            | "Gelu"
            | "HardSigmoid"
            | "HardSwish"
            | "Identity"
            | "InstanceNormalization"
            | "LeakyRelu"
            | "LogSoftmax"
            | "Mish"
            | "Neg"
            | "Relu"
            | "Selu"
            | "Sigmoid"
            | "Softmax"
            | "Softplus"
            | "Softsign"
            | "Sqrt"
            | "Swish"
            | "Tanh"
            | "ThresholdedRelu"
    )
}

fn int(node: &Node, name: &str) -> Option<usize> {
    match node.attributes.get(name) {
        Some(Attribute::Int(value)) => usize::try_from(*value).ok(),
        _ => None,
    }
}

/// All extents of the first input, from the weight's.
fn whole(node: &Node, weight: &[usize]) -> Option<Vec<usize>> {
    let int = |name: &str| int(node, name);
    Some(match (node.op_type.as_str(), weight) {
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
        ("LSTM" | "GRU" | "RNN", &[_, _, width]) => vec![ANY, 2, width],
        _ => return None,
    })
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
