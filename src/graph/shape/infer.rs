//! One pass over the nodes, each giving its outputs what its inputs tell.

use std::rc::Rc;

use super::window::Window;
use super::{Dim, broadcast, reshaped};
use crate::graph::{Graph, NodeId, Scope, ScopeKind, ValueId};

/// Fills shapes, element types and the contents of integer values, in topological order.
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
}

/// Infers one node; also used when a fold inserts one.
pub(in crate::graph) fn node(graph: &mut Graph<'_>, id: NodeId) {
    let types = data_type(graph, id);
    for output in graph.node(id).outputs.clone().into_iter().flatten() {
        if graph.value(output).data_type == 0 {
            graph.value_mut(output).data_type = types;
        }
    }
    contents(graph, id);
    graph.note_constant(id);
    let shapes = shapes(graph, id).unwrap_or_default();
    for (slot, dims) in shapes.into_iter().enumerate() {
        if let (Some(output), Some(dims)) = (graph.output(id, slot), dims) {
            graph.settle(output, dims);
        }
    }
}

fn data_type(graph: &Graph<'_>, id: NodeId) -> i32 {
    let of = |slot: usize| {
        graph
            .input(id, slot)
            .map_or(0, |value| graph.value(value).data_type)
    };
    match &*graph.node(id).op {
        "Shape" | "Size" => 7,
        "Cast" => graph.node(id).int("to", 0).map_or(0, |to| to as i32),
        "CastLike" | "Where" => of(1),
        "ConstantOfShape" | "Constant" => graph.constant_data_type(id),
        "Equal" | "Less" | "Greater" | "Not" | "And" | "Or" => 9,
        "" | "ArgMax" | "ArgMin" | "NonZero" | "TopK" | "If" | "Loop" | "Scan" => 0,
        // All inputs have one type, and a weight's is always known.
        "Conv" | "ConvTranspose" | "Gemm" | "MatMul" | "Add" | "Sub" | "Mul" | "Div" | "Sum"
        | "PRelu" | "Concat" | "BatchNormalization" => {
            let all = (0..graph.node(id).inputs.len()).map(of);
            all.into_iter()
                .find(|&data_type| data_type != 0)
                .unwrap_or(0)
        }
        _ => of(0),
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
        "Relu"
        | "LeakyRelu"
        | "PRelu"
        | "Elu"
        | "Selu"
        | "Celu"
        | "Sigmoid"
        | "HardSigmoid"
        | "HardSwish"
        | "Tanh"
        | "Erf"
        | "Gelu"
        | "Softplus"
        | "Softsign"
        | "Mish"
        | "Swish"
        | "Softmax"
        | "LogSoftmax"
        | "Clip"
        | "Identity"
        | "Dropout"
        | "Cast"
        | "CastLike"
        | "Neg"
        | "Abs"
        | "Sqrt"
        | "Reciprocal"
        | "Exp"
        | "Log"
        | "Floor"
        | "Ceil"
        | "Round"
        | "Sign"
        | "Not"
        | "Sin"
        | "Cos"
        | "ThresholdedRelu"
        | "BatchNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "LayerNormalization"
        | "LRN"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "QuantizeLinear"
        | "DequantizeLinear" => one(input(graph, 0)),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Sum" | "Max" | "Min" | "Mean" | "Where"
        | "Equal" | "Less" | "Greater" | "And" | "Or" => one(elementwise(graph, id)),
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

fn convolution(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let weight = graph.shape(graph.input(id, 1)?)?.0.clone();
    let input = dims(graph, id, 0);
    let kernel: Option<Vec<usize>> = weight.get(2..)?.iter().map(|dim| dim.known()).collect();
    let window = Window::read(graph, id, Some(&kernel?)).ok();
    let mut result = vec![batch(graph, &input), *weight.first()?];
    for spatial in 0..weight.len() - 2 {
        let extent = input
            .as_ref()
            .and_then(|input| input.get(spatial + 2).copied());
        let output = extent.and_then(|extent| window.as_ref()?.output(spatial, extent, false));
        result.push(output.map_or_else(|| graph.symbols.fresh(), Dim::Known));
    }
    Some(result)
}

fn batch(graph: &mut Graph<'_>, input: &Option<Vec<Dim>>) -> Dim {
    match input.as_ref().and_then(|input| input.first().copied()) {
        Some(dim) => dim,
        None => graph.symbols.fresh(),
    }
}

fn transposed_convolution(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let weight = graph.shape(graph.input(id, 1)?)?.clone();
    let input = dims(graph, id, 0);
    let group = usize::try_from(graph.node(id).int("group", 1).ok()?).ok()?;
    let kernel: Vec<usize> = weight
        .0
        .get(2..)?
        .iter()
        .map(|dim| dim.known())
        .collect::<Option<_>>()?;
    let window = Window::read(graph, id, Some(&kernel)).ok()?;
    let extra = graph.node(id).ints("output_padding").ok()?;
    let output_shape = graph.node(id).ints("output_shape").ok()?;
    let mut result = vec![
        batch(graph, &input),
        Dim::Known(weight.extent(1)?.checked_mul(group)?),
    ];
    for axis in 0..kernel.len() {
        let from_attribute = output_shape.as_ref().and_then(|shape| {
            let from_end = shape.len().checked_sub(kernel.len())?;
            shape.get(from_end + axis).copied()
        });
        let computed = || {
            let extent = input.as_ref()?.get(axis + 2)?.known()? as i64;
            let pads = window.pads.as_ref()?;
            let extra = extra
                .as_ref()
                .map_or(Some(0), |extra| extra.get(axis).copied())?;
            let full = (extent - 1).checked_mul(window.strides[axis] as i64)?
                + extra
                + window.reach(axis) as i64;
            Some(full - pads[axis] - pads[axis + kernel.len()])
        };
        let extent = from_attribute
            .or_else(computed)
            .and_then(|extent| usize::try_from(extent).ok());
        result.push(extent.map_or_else(|| graph.symbols.fresh(), Dim::Known));
    }
    Some(result)
}

fn pool(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let mut result = dims(graph, id, 0)?;
    let window = Window::read(graph, id, None).ok()?;
    if result.len() != window.kernel.len() + 2 {
        return None;
    }
    let ceil = graph.node(id).int("ceil_mode", 0).ok()? != 0;
    for spatial in 0..window.kernel.len() {
        let output = window.output(spatial, result[spatial + 2], ceil);
        result[spatial + 2] = output.map_or_else(|| graph.symbols.fresh(), Dim::Known);
    }
    Some(result)
}

fn gemm(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let side = |slot: usize, transposed: &str, plain: usize| -> Option<Dim> {
        let flipped = graph.node(id).int(transposed, 0).ok()? != 0;
        let axis = if flipped { 1 - plain } else { plain };
        dims(graph, id, slot)?.get(axis).copied()
    };
    Some(vec![side(0, "transA", 0)?, side(1, "transB", 1)?])
}

fn matmul(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let (a, b) = (dims(graph, id, 0)?, dims(graph, id, 1)?);
    let (rows, columns) = (a.len().checked_sub(2), b.len().checked_sub(2));
    let mut result = broadcast(
        &a[..rows.unwrap_or(0)],
        &b[..columns.unwrap_or(0)],
        &mut graph.symbols,
    );
    result.extend(rows.map(|axis| a[axis]));
    result.extend(columns.map(|axis| b[axis + 1]));
    Some(result)
}

fn transpose(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    match graph.node(id).ints("perm").ok()? {
        Some(permutation) => permutation
            .iter()
            .map(|&from| input.get(usize::try_from(from).ok()?).copied())
            .collect(),
        None => Some(input.into_iter().rev().collect()),
    }
}

fn reshape(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0);
    let node = graph.node(id);
    let allow_zero = node.int("allowzero", 0).ok()? != 0;
    let (target, infer_at) = match node.ints("shape").ok()? {
        Some(shape) => targets(&shape),
        None => {
            let value = node.inputs.get(1).copied().flatten()?;
            match graph.integers(value) {
                Some(shape) => targets(&shape),
                None => (computed_target(graph, value)?, None),
            }
        }
    };
    let infer_at = infer_at.or_else(|| unknown_remainder(&target));
    Some(reshaped(
        input.as_deref(),
        &target,
        allow_zero,
        infer_at,
        &mut graph.symbols,
    ))
}

/// A target computed while the model runs: what is known of it, at least its length.
fn computed_target(graph: &mut Graph<'_>, value: ValueId) -> Option<Vec<Dim>> {
    if let Some(extents) = graph.extents(value) {
        return Some(extents.to_vec());
    }
    let rank = graph.shape(value)?.extent(0).filter(|&rank| rank <= 64)?;
    Some((0..rank).map(|_| graph.symbols.fresh()).collect())
}

/// Computed targets write −1 as a number that no extent can be.
fn unknown_remainder(target: &[Dim]) -> Option<usize> {
    target.iter().position(|&dim| dim == Dim::Known(usize::MAX))
}

fn targets(shape: &[i64]) -> (Vec<Dim>, Option<usize>) {
    let dims = shape
        .iter()
        .map(|&extent| Dim::Known(usize::try_from(extent).unwrap_or(usize::MAX)));
    (
        dims.collect(),
        shape.iter().position(|&extent| extent == -1),
    )
}

fn flatten(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    // Flatten may cut behind the last axis.
    let at = graph.node(id).int("axis", 1).ok()?;
    let at = if at == input.len() as i64 {
        input.len()
    } else {
        axis(at, input.len())?
    };
    let mut product = |dims: &[Dim]| {
        let alone: Vec<Dim> = dims
            .iter()
            .copied()
            .filter(|&dim| dim != Dim::Known(1))
            .collect();
        match &alone[..] {
            [] => Dim::Known(1),
            [dim] => *dim,
            _ => {
                let number = alone
                    .iter()
                    .map(|dim| dim.known())
                    .try_fold(1usize, |a, b| a.checked_mul(b?));
                number.map_or_else(|| graph.symbols.fresh(), Dim::Known)
            }
        }
    };
    Some(vec![product(input.get(..at)?), product(input.get(at..)?)])
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

fn squeeze(graph: &Graph<'_>, id: NodeId, op: &str) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let axes = axes(graph, id, 1)?;
    if op == "Unsqueeze" {
        let axes = axes?;
        let rank = input.len() + axes.len();
        let axes: Vec<usize> = axes.iter().map(|&a| axis(a, rank)).collect::<Option<_>>()?;
        let mut rest = input.into_iter();
        return (0..rank)
            .map(|i| {
                if axes.contains(&i) {
                    Some(Dim::Known(1))
                } else {
                    rest.next()
                }
            })
            .collect();
    }
    let gone: Vec<usize> = match axes {
        Some(axes) => axes
            .iter()
            .map(|&a| axis(a, input.len()))
            .collect::<Option<_>>()?,
        None if input.iter().all(|dim| dim.known().is_some()) => (0..input.len())
            .filter(|&i| input[i] == Dim::Known(1))
            .collect(),
        None => return None,
    };
    Some(
        (0..input.len())
            .filter(|i| !gone.contains(i))
            .map(|i| input[i])
            .collect(),
    )
}

fn concat(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let parts: Vec<Vec<Dim>> = (0..graph.node(id).inputs.len())
        .map(|slot| dims(graph, id, slot))
        .collect::<Option<_>>()?;
    let mut result = parts.first()?.clone();
    let axis = axis(graph.node(id).int("axis", 1).ok()?, result.len())?;
    let total = parts
        .iter()
        .map(|part| part.get(axis)?.known())
        .try_fold(0usize, |sum, extent| sum.checked_add(extent?));
    for (i, dim) in result.iter_mut().enumerate() {
        if i == axis {
            *dim = total.map_or_else(|| graph.symbols.fresh(), Dim::Known);
        } else if let Some(known) = parts.iter().find_map(|part| part.get(i)?.known()) {
            *dim = Dim::Known(known);
        }
    }
    Some(result)
}

/// The extents of Split's outputs along its axis.
pub(crate) fn split_extents(graph: &Graph<'_>, id: NodeId) -> Option<(usize, Vec<usize>)> {
    let input = dims(graph, id, 0)?;
    let axis = axis(graph.node(id).int("axis", 0).ok()?, input.len())?;
    let outputs = graph.node(id).outputs.len();
    let listed = match graph.node(id).ints("split").ok()? {
        Some(split) => Some(split),
        None => graph
            .input(id, 1)
            .map(|value| graph.integers(value))
            .unwrap_or(Some(Vec::new()))
            .filter(|split| !split.is_empty()),
    };
    let extents = match listed {
        Some(split) => split
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect::<Option<Vec<_>>>()?,
        None if graph.input(id, 1).is_some() => return None,
        None => {
            let total = input.get(axis)?.known()?;
            let each = total.div_ceil(outputs.max(1));
            (0..outputs)
                .map(|i| each.min(total.saturating_sub(i * each)))
                .collect()
        }
    };
    (extents.len() == outputs).then_some((axis, extents))
}

fn split(graph: &mut Graph<'_>, id: NodeId) -> Option<Shapes> {
    let input = dims(graph, id, 0)?;
    let (axis, extents) = split_extents(graph, id)?;
    let part = |extent: usize| {
        let mut part = input.clone();
        part[axis] = Dim::Known(extent);
        Some(part)
    };
    Some(extents.into_iter().map(part).collect())
}

/// One axis of a Slice: axis, start, end (both clamped to the extent) and step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) axis: usize,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
}

/// The axes that a Slice cuts, as they stand in the file.
pub(crate) fn cuts(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Cut>> {
    let rank = dims(graph, id, 0)?.len();
    let read = |name: &str, slot: usize| -> Option<Option<Vec<i64>>> {
        match graph.node(id).ints(name).ok()? {
            Some(ints) => Some(Some(ints)),
            None => graph
                .input(id, slot)
                .map_or(Some(None), |value| graph.integers(value).map(Some)),
        }
    };
    let (starts, ends) = (read("starts", 1)??, read("ends", 2)??);
    let axes = read("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = read("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()]
        .iter()
        .any(|&n| n != starts.len())
    {
        return None;
    }
    (0..starts.len())
        .map(|i| {
            let axis = axis(axes[i], rank)?;
            (axis < rank).then_some(Cut {
                axis,
                start: starts[i],
                end: ends[i],
                step: steps[i],
            })
        })
        .collect()
}

impl Cut {
    /// Start and end within an extent, for step 1.
    pub(crate) fn range(&self, extent: usize) -> Option<(usize, usize)> {
        let clamp = |at: i64| {
            (if at < 0 {
                at.saturating_add(extent as i64)
            } else {
                at
            })
            .clamp(0, extent as i64) as usize
        };
        let (start, end) = (clamp(self.start), clamp(self.end));
        (self.step == 1).then_some((start, end.max(start)))
    }
}

fn slice(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let mut result = dims(graph, id, 0)?;
    let Some(cuts) = cuts(graph, id) else {
        result
            .iter_mut()
            .for_each(|dim| *dim = graph.symbols.fresh());
        return Some(result);
    };
    for cut in cuts {
        let range = result[cut.axis]
            .known()
            .and_then(|extent| cut.range(extent));
        result[cut.axis] = range.map_or_else(
            || graph.symbols.fresh(),
            |(start, end)| Dim::Known(end - start),
        );
    }
    Some(result)
}

fn gather(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let (data, indices) = (dims(graph, id, 0)?, dims(graph, id, 1)?);
    let axis = axis(graph.node(id).int("axis", 0).ok()?, data.len())?;
    Some([data.get(..axis)?, &indices, data.get(axis + 1..)?].concat())
}

fn expand(graph: &mut Graph<'_>, id: NodeId, op: &str) -> Option<Vec<Dim>> {
    let shape = graph.input(id, if op == "Expand" { 1 } else { 0 })?;
    let target = graph.extents(shape)?.to_vec();
    match op {
        "Expand" => {
            let input = dims(graph, id, 0)?;
            Some(broadcast(&input, &target, &mut graph.symbols))
        }
        _ => Some(target),
    }
}

/// Only the axes that these operators leave alone are followed.
fn resized(graph: &mut Graph<'_>, id: NodeId, op: &str) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let rank = input.len();
    let mut result = Vec::with_capacity(rank);
    for (axis, dim) in input.iter().enumerate() {
        let kept = match op {
            "Pad" => crate::rules::geometry::pads(graph, id).and_then(|pads| {
                let total = pads.get(axis)?.checked_add(*pads.get(axis + rank)?)?;
                match total {
                    0 => Some(*dim),
                    _ => {
                        let extent = i64::try_from(dim.known()?).ok()?.checked_add(total)?;
                        usize::try_from(extent).ok().map(Dim::Known)
                    }
                }
            }),
            _ => crate::rules::geometry::resized(graph, id, axis),
        };
        result.push(kept.unwrap_or_else(|| graph.symbols.fresh()));
    }
    Some(result)
}

fn depth_space(graph: &mut Graph<'_>, id: NodeId, op: &str) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let block = usize::try_from(graph.node(id).int("blocksize", 0).ok()?)
        .ok()
        .filter(|&block| block > 0)?;
    let [batch, channels, height, width] = input[..] else {
        return None;
    };
    let scaled = |dim: Dim, up: bool| match (dim, up) {
        (Dim::Known(n), true) => n.checked_mul(block).map(Dim::Known),
        (Dim::Known(n), false) => Some(Dim::Known(n / block)),
        _ => None,
    };
    let up = op == "DepthToSpace";
    let channels = scaled(channels, !up).and_then(|dim| scaled(dim, !up));
    let mut or_fresh = |dim: Option<Dim>| dim.unwrap_or_else(|| graph.symbols.fresh());
    Some(vec![
        batch,
        or_fresh(channels),
        or_fresh(scaled(height, up)),
        or_fresh(scaled(width, up)),
    ])
}

fn reduce(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let input = dims(graph, id, 0)?;
    let keep = graph.node(id).int("keepdims", 1).ok()? != 0;
    let axes = crate::rules::geometry::reduced_axes(graph, id)?;
    let kept = (0..input.len()).filter_map(|i| match axes.contains(&i) {
        true => keep.then_some(Dim::Known(1)),
        false => Some(input[i]),
    });
    Some(kept.collect())
}

fn recurrent(graph: &mut Graph<'_>, id: NodeId) -> Shapes {
    let all = || -> Option<[Dim; 4]> {
        let input = dims(graph, id, 0)?;
        let directions = graph.shape(graph.input(id, 2)?)?.0.first().copied()?;
        let hidden = graph.shape(graph.input(id, 2)?)?.0.get(2).copied()?;
        let batch_first = graph.node(id).int("layout", 0).ok()? != 0;
        let (sequence, batch) = if batch_first {
            (input.get(1)?, input.first()?)
        } else {
            (input.first()?, input.get(1)?)
        };
        Some(if batch_first {
            [*batch, *sequence, directions, hidden]
        } else {
            [*sequence, directions, *batch, hidden]
        })
    };
    vec![all().map(|dims| dims.to_vec())]
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

/// Follows integer values that are computed from shapes.
fn contents(graph: &mut Graph<'_>, id: NodeId) {
    let Some(output) = graph.output(id, 0) else {
        return;
    };
    if let Some(extents) = computed_extents(graph, id).filter(|extents| extents.len() <= 64) {
        graph.contents.insert(output, Rc::new(extents));
    }
}

fn computed_extents(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let op = Rc::clone(&graph.node(id).op);
    let of = |graph: &Graph<'_>, slot: usize| {
        graph
            .extents(graph.input(id, slot)?)
            .map(|extents| extents.to_vec())
    };
    match &*op {
        "Shape" => {
            let input = dims(graph, id, 0)?;
            let clamp = |at: i64| {
                (if at < 0 { at + input.len() as i64 } else { at }).clamp(0, input.len() as i64)
                    as usize
            };
            let start = clamp(graph.node(id).int("start", 0).ok()?);
            let end = clamp(graph.node(id).int("end", i64::MAX).ok()?);
            Some(input.get(start..end).unwrap_or_default().to_vec())
        }
        "Cast" | "Identity" | "Unsqueeze" | "Squeeze" => of(graph, 0),
        "Concat" => {
            let parts = 0..graph.node(id).inputs.len();
            parts
                .map(|slot| of(graph, slot))
                .collect::<Option<Vec<_>>>()
                .map(|parts| parts.concat())
        }
        "Gather" => {
            let (data, indices) = (of(graph, 0)?, graph.integers(graph.input(id, 1)?)?);
            indices
                .iter()
                .map(|&i| data.get(axis(i, data.len())?).copied())
                .collect()
        }
        "Slice" => {
            let data = of(graph, 0)?;
            let cuts = cuts(graph, id)?;
            let (start, end) = cuts.first()?.range(data.len())?;
            data.get(start..end).map(|part| part.to_vec())
        }
        "Mul" | "Add" | "Sub" | "Div" => {
            let (a, b) = (of(graph, 0)?, of(graph, 1)?);
            let pair = |a: Dim, b: Dim| arithmetic(&op, a.known()?, b.known()?).map(Dim::Known);
            (a.len() == b.len()).then_some(())?;
            let pairs: Vec<Option<Dim>> = a.iter().zip(&b).map(|(&a, &b)| pair(a, b)).collect();
            Some(
                pairs
                    .into_iter()
                    .map(|dim| dim.unwrap_or_else(|| graph.symbols.fresh()))
                    .collect(),
            )
        }
        _ => None,
    }
}

fn arithmetic(op: &str, a: usize, b: usize) -> Option<usize> {
    match op {
        "Mul" => a.checked_mul(b),
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        _ => a.checked_div(b),
    }
}

impl Graph<'_> {
    /// The elements of an integer value as extents: from Shape nodes, or from a constant.
    pub(crate) fn extents(&self, value: ValueId) -> Option<Rc<Vec<Dim>>> {
        if let Some(extents) = self.contents.get(&value) {
            return Some(Rc::clone(extents));
        }
        let extent = |i: i64| Dim::Known(usize::try_from(i).unwrap_or(usize::MAX));
        self.integers(value)
            .map(|integers| Rc::new(integers.into_iter().map(extent).collect()))
    }
}
