//! One pass over the nodes, each giving its outputs what its inputs tell.

mod contents;
mod elsewhere;
mod layout;
mod parts;
mod weighted;

use std::rc::Rc;

use super::{Dim, broadcast, reshaped};
use crate::graph::{Graph, NodeId, Scope, ScopeKind, types};
use contents::contents;
use elsewhere::{gather_nd, grid_sample, roi_align, tile, top_k};
use layout::{
    concat, depth_space, expand, flatten, gather, reduce, reshape, resized, squeeze, transpose,
};
pub(crate) use parts::{cuts, split_extents};
use parts::{slice, split};
use weighted::{convolution, gemm, matmul, pool, recurrent, transposed_convolution};

/// Fills shapes, guesses at element types, and the contents of integer values, in topological order.
pub(in crate::graph) fn infer(graph: &mut Graph<'_>) {
    // A node that holds a body comes before it; what it gives is known the second time.
    let passes = if graph.scopes.iter().any(|scope| scope.parent.is_some()) {
        2
    } else {
        1
    };
    let nodes = graph.nodes.len();
    for index in (0..passes).flat_map(|_| 0..nodes) {
        node(graph, NodeId(index as u32));
    }
    graph.constants.forget_failures();
}

/// Infers one node; also used when a fold inserts one.
pub(in crate::graph) fn node(graph: &mut Graph<'_>, id: NodeId) {
    types::guess(graph, id);
    contents(graph, id);
    graph.note_constant(id);
    let shapes = shapes(graph, id).unwrap_or_default();
    for (slot, dims) in shapes.into_iter().enumerate() {
        if let (Some(output), Some(dims)) = (graph.output(id, slot), dims) {
            graph.settle(output, dims);
        }
    }
}

type Shapes = Vec<Option<Vec<Dim>>>;

fn shapes(graph: &mut Graph<'_>, id: NodeId) -> Option<Shapes> {
    let op = Rc::clone(&graph.node(id).op);
    let input = |graph: &Graph<'_>, slot: usize| -> Option<Vec<Dim>> {
        let value = graph.input(id, slot)?;
        graph.shape(value).map(|shape| shape.0.clone())
    };
    let one = |dims: Option<Vec<Dim>>| Some(vec![dims]);
    match &*op {
        _ if KEEPING.contains(&&*op) => one(input(graph, 0)),
        "GatherElements" => one(input(graph, 1)),
        "GatherND" => one(gather_nd(graph, id)),
        "GridSample" => one(grid_sample(graph, id)),
        "RoiAlign" => one(roi_align(graph, id)),
        "Tile" => one(tile(graph, id)),
        "TopK" => top_k(graph, id).map(|dims| vec![Some(dims.clone()), Some(dims)]),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Sum" | "Max" | "Min" | "Mean"
        | "Where" | "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And"
        | "Or" | "Xor" => one(elementwise(graph, id)),
        "Conv" => one(convolution(graph, id)),
        "ConvTranspose" => one(transposed_convolution(graph, id)),
        "AveragePool" | "MaxPool" | "LpPool" => one(pool(graph, id)),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => {
            one(input(graph, 0).map(|mut dims| {
                dims.iter_mut().skip(2).for_each(|dim| *dim = Dim::Known(1));
                dims
            }))
        }
        "Gemm" => one(gemm(graph, id)),
        "MatMul" => one(matmul(graph, id)),
        "Transpose" => one(transpose(graph, id)),
        "Reshape" => one(reshape(graph, id)),
        "Flatten" => one(flatten(graph, id)),
        "Squeeze" | "Unsqueeze" => one(squeeze(graph, id, &op)),
        "Concat" => one(concat(graph, id)),
        "Split" => split(graph, id),
        "Slice" => one(slice(graph, id)),
        "Gather" => one(gather(graph, id)),
        "Shape" => {
            one(Some(vec![input(graph, 0).map_or_else(
                || graph.symbols.fresh(),
                |dims| Dim::Known(dims.len()),
            )]))
        }
        "Size" => one(Some(Vec::new())),
        "Expand" | "ConstantOfShape" => one(expand(graph, id, &op)),
        "Constant" => one(graph
            .constant_dims(id)
            .map(|dims| dims.into_iter().map(Dim::Known).collect())),
        "Pad" | "Resize" | "Upsample" => one(resized(graph, id, &op)),
        "DepthToSpace" | "SpaceToDepth" => one(depth_space(graph, id, &op)),
        _ if op.starts_with("Reduce") => one(reduce(graph, id)),
        "LSTM" | "GRU" | "RNN" => Some(recurrent(graph, id)),
        "If" => Some(branches(graph, id)),
        _ => None,
    }
}

/// Operators whose first output has the extents of their first input.
const KEEPING: [&str; 69] = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "Bernoulli",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
    "DequantizeLinear",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "EyeLike",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "InstanceNormalization",
    "IsInf",
    "IsNaN",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Not",
    "PRelu",
    "QuantizeLinear",
    "RandomNormalLike",
    "RandomUniformLike",
    "Reciprocal",
    "Relu",
    "ReverseSequence",
    "Round",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
];

fn dims(graph: &Graph<'_>, id: NodeId, slot: usize) -> Option<Vec<Dim>> {
    let value = graph.input(id, slot)?;
    graph.shape(value).map(|shape| shape.0.clone())
}

/// A negative axis counts from the end; an axis that the value does not have is none.
pub(crate) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 {
        axis.checked_add(rank)?
    } else {
        axis
    };
    usize::try_from(axis).ok().filter(|_| axis < rank)
}

fn elementwise(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let slots = graph.node(id).inputs.len();
    let mut result = dims(graph, id, 0)?;
    for slot in 1..slots {
        let next = dims(graph, id, slot)?;
        result = broadcast(&result, &next, &mut graph.symbols);
    }
    Some(result)
}

/// Axes from the attribute (before opset 13) or the second input.
pub(crate) fn axes(graph: &Graph<'_>, id: NodeId, slot: usize) -> Option<Option<Vec<i64>>> {
    if let Some(axes) = graph.node(id).ints("axes").ok()? {
        return Some(Some(axes));
    }
    match graph.input(id, slot) {
        Some(value) => graph.integers(value).map(Some),
        None => Some(None),
    }
}

/// What all branches of an If agree on.
fn branches(graph: &Graph<'_>, id: NodeId) -> Shapes {
    let bodies = graph
        .scopes
        .iter()
        .filter(|scope| scope.kind == ScopeKind::Nested { node: id });
    let bodies: Vec<&Scope<'_>> = bodies.collect();
    let agreed = |slot: usize| {
        let of = |scope: &&Scope<'_>| {
            graph
                .shape(*scope.outputs.get(slot)?)
                .map(|shape| shape.0.clone())
        };
        let first = of(bodies.first()?)?;
        bodies
            .iter()
            .all(|scope| of(scope).as_ref() == Some(&first))
            .then_some(first)
    };
    (0..graph.node(id).outputs.len()).map(agreed).collect()
}
