//! Element types: what the file states, given to every value that must have the same.
//!
//! Values that one type variable of an operator stands for are one class, whichever way data flows, and so are the
//! outputs of a body and of the node that holds it; a class has the type that one of its members states.
//! What is left unknown is guessed forwards, from what a node reads.
//! Left out: the inputs of bodies, which state theirs.

use super::{Graph, NodeId, Scope, ScopeKind, ValueId};

/// Fills the types that the file leaves out and that follow from those it states.
pub(super) fn settle(graph: &mut Graph<'_>) {
    for id in (0..graph.nodes.len()).map(|index| NodeId(index as u32)) {
        let (stated, outputs) = (own(graph, id), graph.node(id).outputs.clone());
        fill(graph, outputs.into_iter().flatten(), stated.unwrap_or(0));
    }
    let mut classes = Classes::new(graph.values.len());
    for id in (0..graph.nodes.len()).map(|index| NodeId(index as u32)) {
        classes.join(alike(graph, id));
    }
    for scope in &graph.scopes {
        held(graph, scope)
            .into_iter()
            .for_each(|pair| classes.join(pair));
    }
    let mut known = vec![0; graph.values.len()];
    let values = || (0..graph.values.len() as u32).map(ValueId);
    for value in values() {
        let of = &mut known[classes.root(value) as usize];
        if *of == 0 {
            *of = graph.value(value).data_type;
        }
    }
    let types: Vec<i32> = values()
        .map(|value| known[classes.root(value) as usize])
        .collect();
    for (value, data_type) in graph.values.iter_mut().zip(types) {
        if value.data_type == 0 {
            value.data_type = data_type;
        }
    }
}

/// What a node's outputs most likely have where nothing states it; 0 if unknown.
pub(super) fn guess(graph: &mut Graph<'_>, id: NodeId) {
    let of = |slot: usize| {
        graph
            .input(id, slot)
            .map(|value| graph.value(value).data_type)
    };
    let data_type = match &*graph.node(id).op {
        "" | "ArgMax" | "ArgMin" | "NonZero" | "TopK" | "If" | "Loop" | "Scan" => None,
        // From opset 15 on its parameters may have another type than its input.
        "BatchNormalization" => [0, 1].into_iter().filter_map(of).find(|&known| known != 0),
        _ => own(graph, id).or_else(|| of(0)),
    };
    let outputs = graph.node(id).outputs.clone();
    fill(graph, outputs.into_iter().flatten(), data_type.unwrap_or(0));
}

fn fill(graph: &mut Graph<'_>, values: impl Iterator<Item = ValueId>, data_type: i32) {
    for value in values {
        let value = graph.value_mut(value);
        if value.data_type == 0 {
            value.data_type = data_type;
        }
    }
}

/// The type that an operator gives, whatever it reads.
fn own(graph: &Graph<'_>, id: NodeId) -> Option<i32> {
    Some(match &*graph.node(id).op {
        "Shape" | "Size" => 7,
        "Cast" => graph.node(id).int("to", 0).map_or(0, |to| to as i32),
        "ConstantOfShape" | "Constant" => graph.constant_data_type(id),
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "Not" | "And" | "Or"
        | "Xor" | "IsNaN" | "IsInf" => 9,
        _ => return None,
    })
}

/// Operands and results of a node that have one type.
fn alike(graph: &Graph<'_>, id: NodeId) -> Vec<ValueId> {
    let node = graph.node(id);
    let slots = slots(&node.op, graph.opset(id));
    let inputs = node.inputs.iter().enumerate();
    let inputs = inputs.filter(|(slot, _)| slots.is_none_or(|slots| slots.contains(slot)));
    let n_outputs = match &*node.op {
        _ if slots.is_some_and(<[usize]>::is_empty) => 0,
        "Split" | "LSTM" | "GRU" | "RNN" => node.outputs.len(),
        _ => 1,
    };
    let inputs = inputs.filter_map(|(_, input)| *input);
    let outputs = node.outputs.iter().take(n_outputs).flatten();
    inputs.chain(outputs.copied()).collect()
}

/// Input slots whose type the first output has; `None` for all.
fn slots(op: &str, opset: i64) -> Option<&'static [usize]> {
    Some(match op {
        "Conv"
        | "ConvTranspose"
        | "Gemm"
        | "MatMul"
        | "Add"
        | "Sub"
        | "Mul"
        | "Div"
        | "Sum"
        | "Max"
        | "Min"
        | "Mean"
        | "Clip"
        | "PRelu"
        | "Concat"
        | "Einsum"
        | "InstanceNormalization" => return None,
        "BatchNormalization" if opset < 14 => return None,
        "BatchNormalization" if opset > 14 => &[0],
        "BatchNormalization" | "GroupNormalization" | "LayerNormalization" => &[0, 1, 2],
        "LSTM" | "GRU" | "RNN" => &[0, 1, 2, 3, 5, 6, 7],
        "Where" => &[1, 2],
        "CastLike" => &[1],
        "Pad" | "ScatterElements" | "ScatterND" => &[0, 2],
        "Identity"
        | "Dropout"
        | "Transpose"
        | "Reshape"
        | "Flatten"
        | "Squeeze"
        | "Unsqueeze"
        | "Expand"
        | "Tile"
        | "Slice"
        | "Split"
        | "Gather"
        | "GatherND"
        | "GatherElements"
        | "Resize"
        | "Upsample"
        | "DepthToSpace"
        | "SpaceToDepth"
        | "AveragePool"
        | "MaxPool"
        | "LpPool"
        | "GlobalAveragePool"
        | "GlobalMaxPool"
        | "GlobalLpPool"
        | "TopK"
        | "LRN"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "Softmax"
        | "LogSoftmax"
        | "Hardmax"
        | "Relu"
        | "LeakyRelu"
        | "ThresholdedRelu"
        | "Elu"
        | "Selu"
        | "Celu"
        | "Sigmoid"
        | "HardSigmoid"
        | "HardSwish"
        | "Swish"
        | "Mish"
        | "Gelu"
        | "Softplus"
        | "Softsign"
        | "Tanh"
        | "Erf"
        | "Neg"
        | "Abs"
        | "Sqrt"
        | "Reciprocal"
        | "Exp"
        | "Log"
        | "Pow"
        | "Floor"
        | "Ceil"
        | "Round"
        | "Sign"
        | "Sin"
        | "Cos" => &[0],
        _ if op.starts_with("Reduce") => &[0],
        _ => &[],
    })
}

/// Pairs of one type at the border of a body: Loop's first body output is its condition, and the first two inputs are
/// no carried values.
fn held(graph: &Graph<'_>, scope: &Scope<'_>) -> Vec<[ValueId; 2]> {
    let ScopeKind::Nested { node } = scope.kind else {
        return Vec::new();
    };
    let node = graph.node(node);
    let (inner, carried) = match &*node.op {
        "If" | "Scan" => (&scope.outputs[..], &[][..]),
        "Loop" => (
            scope.outputs.get(1..).unwrap_or_default(),
            node.inputs.get(2..).unwrap_or_default(),
        ),
        _ => return Vec::new(),
    };
    let carried = carried.iter().zip(&node.outputs);
    let carried = carried.filter_map(|(input, output)| Some([(*input)?, (*output)?]));
    let inner = inner.iter().zip(&node.outputs);
    let inner = inner.filter_map(|(inner, output)| Some([*inner, (*output)?]));
    inner.chain(carried).collect()
}

/// Disjoint sets of values.
struct Classes(Vec<u32>);

impl Classes {
    fn new(count: usize) -> Classes {
        Classes((0..count as u32).collect())
    }

    fn root(&mut self, value: ValueId) -> u32 {
        let mut at = value.0;
        while self.0[at as usize] != at {
            let above = self.0[at as usize];
            self.0[at as usize] = self.0[above as usize];
            at = above;
        }
        at
    }

    fn join(&mut self, values: impl IntoIterator<Item = ValueId>) {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return };
        for value in values {
            let (a, b) = (self.root(first), self.root(value));
            self.0[a.max(b) as usize] = a.min(b);
        }
    }
}
