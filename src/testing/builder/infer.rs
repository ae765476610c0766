//! Element types and extents of a node's outputs, as far as the builder needs them.
//!
//! A node whose inputs are all small constants is run; else the common operators have a formula
//! and for all others nothing is known, which [`Value::shape`](super::Value::shape) can state.

use super::attribute::Attribute;
use super::fact::{Dim, Fact};
use super::state::{NodeState, State};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::testing::{DataType, Storage, Tensor, reference};

/// One fact for each output.
pub(super) fn infer(state: &State, node: &NodeState, inputs: &[Fact]) -> Vec<Fact> {
    if let Some(facts) = evaluated(state.opset, node, inputs) {
        return facts;
    }
    if let Some(facts) = nested(state, node) {
        return facts;
    }
    let first = inputs.first().cloned().unwrap_or_default();
    let dtype = match node.op_type.as_str() {
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => Some(DataType::Int64),
        "Equal" | "Less" | "Greater" | "Not" | "And" | "Or" => Some(DataType::Bool),
        "Cast" => DataType::try_from(node.int("to", 0) as i32).ok(),
        "CastLike" | "Where" => inputs.get(1).and_then(|fact| fact.dtype),
        "ConstantOfShape" => match node.attribute("value") {
            Some(Attribute::Tensor(value)) => Some(value.dtype),
            _ => Some(DataType::Float),
        },
        _ => first.dtype,
    };
    let known = if node.domain.is_empty() {
        shapes(state.opset, node, inputs)
    } else {
        None
    };
    let mut shapes = known.unwrap_or_default().into_iter();
    let fact = |_| Fact {
        dtype,
        shape: shapes.next(),
        elements: None,
    };
    (0..node.outputs.len()).map(fact).collect()
}

fn evaluated(opset: i64, node: &NodeState, inputs: &[Fact]) -> Option<Vec<Fact>> {
    if !node.domain.is_empty() || node.attributes.iter().any(|(_, value)| is_open(value)) {
        return None;
    }
    let mut given: Vec<Option<Tensor>> = Vec::new();
    for (id, fact) in node.inputs.iter().zip(inputs) {
        given.push(if id.is_some() {
            Some(constant_or_shape(node, fact)?)
        } else {
            None
        });
    }
    let names: Vec<String> = (0..given.len())
        .map(|number| format!("i{number}"))
        .collect();
    let outputs: Vec<String> = (0..node.outputs.len())
        .map(|number| format!("o{number}"))
        .collect();
    let name = |(name, tensor): (&String, &Option<Tensor>)| {
        tensor.as_ref().map(|_| name.clone()).unwrap_or_default()
    };
    let proto = NodeProto {
        op_type: Some(node.op_type.clone()),
        input: names.iter().zip(&given).map(name).collect(),
        output: outputs.clone(),
        attribute: node
            .attributes
            .iter()
            .map(|(name, value)| value.to_proto(name, Storage::Raw, |_| GraphProto::default()))
            .collect(),
        ..NodeProto::default()
    };
    let import = OperatorSetIdProto {
        domain: None,
        version: Some(opset),
    };
    let graph = GraphProto {
        node: vec![proto],
        ..GraphProto::default()
    };
    let model = ModelProto {
        graph: Some(graph),
        opset_import: vec![import],
        ..ModelProto::default()
    };
    let pairs = names.iter().zip(given);
    let pairs: Vec<(&str, Tensor)> = pairs
        .filter_map(|(name, tensor)| Some((name.as_str(), tensor?)))
        .collect();
    let values = reference::run(&model, &pairs).ok()?;
    Some(
        outputs
            .iter()
            .map(|name| values.get(name).map(Fact::of).unwrap_or_default())
            .collect(),
    )
}

fn is_open(value: &Attribute) -> bool {
    matches!(value, Attribute::Body(_) | Attribute::Reference(..))
}

/// The elements; for an operator that reads the extents only, anything of that shape.
fn constant_or_shape(node: &NodeState, fact: &Fact) -> Option<Tensor> {
    if let Some(elements) = &fact.elements {
        return Some(elements.clone());
    }
    let shape = fact
        .sizes()
        .filter(|_| matches!(node.op_type.as_str(), "Shape" | "Size"))?;
    let count = shape.iter().product();
    Some(Tensor {
        dtype: fact.dtype?,
        shape,
        data: vec![0.0; count],
    })
}

/// Facts of an If from its first branch, of a function call from the function's body.
fn nested(state: &State, node: &NodeState) -> Option<Vec<Fact>> {
    let scope = match node.attribute("then_branch") {
        Some(Attribute::Body(body)) => &state.scopes[body.0],
        _ => state.scopes.iter().find(|scope| {
            !scope.domain.is_empty()
                && (&scope.domain, &scope.name) == (&node.domain, &node.op_type)
        })?,
    };
    Some(
        scope
            .outputs
            .iter()
            .map(|&id| state.fact(Some(id)))
            .collect(),
    )
}

type Shapes = Option<Vec<Vec<Dim>>>;

fn shapes(opset: i64, node: &NodeState, inputs: &[Fact]) -> Shapes {
    let shape_of = |index: usize| inputs.get(index).and_then(|fact| fact.shape.clone());
    let x = shape_of(0)?;
    let single = |shape: Vec<Dim>| Some(vec![shape]);
    match node.op_type.as_str() {
        "Conv" => single(pooled(node, &x, Some(shape_of(1)?))),
        "ConvTranspose" => single(unpooled(node, &x, &shape_of(1)?)),
        "MaxPool" | "AveragePool" | "LpPool" => {
            Some(vec![pooled(node, &x, None); node.outputs.len()])
        }
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => {
            let one = |(axis, dim): (usize, Dim)| if axis < 2 { dim } else { Dim::Size(1) };
            single(x.into_iter().enumerate().map(one).collect())
        }
        "Gemm" => {
            let b = shape_of(1)?;
            let row = x.get(usize::from(node.int("transA", 0) != 0))?.clone();
            single(vec![
                row,
                b.get(usize::from(node.int("transB", 0) == 0))?.clone(),
            ])
        }
        "MatMul" => single(product(&x, &shape_of(1)?)?),
        "Flatten" => {
            let axis = counted(node.int("axis", 1), x.len());
            single(vec![total(&x[..axis]), total(&x[axis..])])
        }
        "Transpose" => {
            let backwards = (0..x.len() as i64).rev().collect();
            let perm = node.ints("perm").unwrap_or(backwards);
            single(perm.iter().map(|&axis| x[axis as usize].clone()).collect())
        }
        "Concat" => {
            let axis = counted(node.int("axis", 1), x.len());
            let parts: Option<Vec<Vec<Dim>>> = (0..inputs.len()).map(shape_of).collect();
            let extents: Option<usize> = parts?.iter().map(|part| part[axis].size()).sum();
            single(with(x, axis, extents.map_or(Dim::Unknown, Dim::Size)))
        }
        "Reshape" => single(reshaped(&x, &ints(node, inputs, "shape", 1)?)),
        "Squeeze" | "Unsqueeze" => single(squeezed(node, x, ints(node, inputs, "axes", 1))?),
        "Split" => split(node, &x, ints(node, inputs, "split", 1)),
        "Shape" => single(vec![Dim::Size(x.len())]),
        "Gather" => {
            let axis = counted(node.int("axis", 0), x.len());
            single([&x[..axis], &shape_of(1)?, &x[axis + 1..]].concat())
        }
        op if op.starts_with("Reduce") => single(reduced(node, x, ints(node, inputs, "axes", 1))),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Sum" | "Mean" | "Max" | "Min" | "Where"
        | "Equal" | "Less" | "Greater" | "And" | "Or" => {
            let mut result = x;
            for index in 1..inputs.len() {
                result = broadcast(&result, &shape_of(index)?);
            }
            single(result)
        }
        "BatchNormalization" if node.outputs.len() > 1 => {
            let channel = shape_of(3)?;
            let outputs = 1..node.outputs.len();
            Some(
                [x].into_iter()
                    .chain(outputs.map(|_| channel.clone()))
                    .collect(),
            )
        }
        "Dropout" => Some(vec![x; node.outputs.len()]),
        op if keeps_shape(op) => single(x),
        _ => by_constants(opset, node, inputs, &x),
    }
}

fn keeps_shape(op_type: &str) -> bool {
    const KEEPING: &str = "|Identity|Relu|LeakyRelu|PRelu|Elu|Selu|Celu|Sigmoid|HardSigmoid|\
        HardSwish|Tanh|Erf|Gelu|Softplus|Softsign|Softmax|LogSoftmax|Clip|Cast|CastLike|Neg|Abs|\
        Sqrt|Reciprocal|Exp|Log|Not|Floor|Ceil|Round|Sign|Mish|BatchNormalization|\
        InstanceNormalization|GroupNormalization|LayerNormalization|RMSNormalization|LRN|\
        LpNormalization|MeanVarianceNormalization|QuantizeLinear|DequantizeLinear|CumSum|";
    KEEPING.contains(&format!("|{op_type}|"))
}

/// Operators whose other inputs are constants: the shape comes from a run over zeros.
fn by_constants(opset: i64, node: &NodeState, inputs: &[Fact], x: &[Dim]) -> Shapes {
    let shape: Vec<usize> = x.iter().map(Dim::size).collect::<Option<_>>()?;
    let cheap = "|Pad|Slice|Expand|Tile|Resize|Upsample|DepthToSpace|SpaceToDepth|ArgMax|ArgMin|\
        ConstantOfShape|LSTM|GRU|RNN|";
    if !cheap.contains(&format!("|{}|", node.op_type)) || shape.iter().product::<usize>() > 1 << 20
    {
        return None;
    }
    let zeros = |fact: &Fact| {
        let elements = fact.elements.clone();
        elements.or_else(|| {
            let shape = fact.sizes()?;
            let data = vec![0.0; shape.iter().product()];
            Some(Tensor {
                dtype: fact.dtype?,
                shape,
                data,
            })
        })
    };
    let filled = |(id, fact): (&Option<usize>, &Fact)| match id {
        Some(_) => zeros(fact).map(|tensor| Fact {
            elements: Some(tensor),
            ..fact.clone()
        }),
        None => Some(Fact::default()),
    };
    let filled: Option<Vec<Fact>> = node.inputs.iter().zip(inputs).map(filled).collect();
    let facts = evaluated(opset, node, &filled?)?;
    facts.into_iter().map(|fact| fact.shape).collect()
}

fn ints(node: &NodeState, inputs: &[Fact], attribute: &str, input: usize) -> Option<Vec<i64>> {
    let elements = || inputs.get(input)?.elements.as_ref().map(Tensor::to_ints);
    node.ints(attribute).or_else(elements)
}

fn counted(axis: i64, rank: usize) -> usize {
    if axis < 0 {
        (axis + rank as i64) as usize
    } else {
        axis as usize
    }
}

fn total(dims: &[Dim]) -> Dim {
    let product: Option<usize> = dims.iter().map(Dim::size).product();
    match (dims, product) {
        (_, Some(product)) => Dim::Size(product),
        ([only], None) => only.clone(),
        _ => Dim::Unknown,
    }
}

fn with(mut shape: Vec<Dim>, axis: usize, dim: Dim) -> Vec<Dim> {
    shape[axis] = dim;
    shape
}

fn broadcast(a: &[Dim], b: &[Dim]) -> Vec<Dim> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[Dim], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(own) => shape[own].clone(),
        None => Dim::Size(1),
    };
    let wider = |axis: usize| match (dim(a, axis), dim(b, axis)) {
        (Dim::Size(1), other) | (other, Dim::Size(1)) => other,
        (Dim::Size(size), _) | (_, Dim::Size(size)) => Dim::Size(size),
        (one, other) if one == other => one,
        _ => Dim::Unknown,
    };
    (0..rank).map(wider).collect()
}

fn product(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let (a_batch, a_rows) = a.split_at(a.len().saturating_sub(2));
    let (b_batch, b_columns) = b.split_at(b.len().saturating_sub(2));
    let rows = (a_rows.len() == 2).then(|| a_rows[0].clone());
    let columns = (b_columns.len() == 2).then(|| b_columns[1].clone());
    let mut shape = broadcast(a_batch, b_batch);
    shape.extend(rows);
    shape.extend(columns);
    Some(shape)
}

/// The output of a window that slides over the spatial axes.
fn pooled(node: &NodeState, x: &[Dim], w: Option<Vec<Dim>>) -> Vec<Dim> {
    let spatial = x.len() - 2;
    let given = |name: &str| node.ints(name);
    let setting = |name: &str, axis: usize| given(name).map_or(1, |values| values[axis]);
    let pads = given("pads").unwrap_or_else(|| vec![0; 2 * spatial]);
    let auto_pad = match node.attribute("auto_pad") {
        Some(Attribute::String(text)) => text.as_str(),
        _ => "NOTSET",
    };
    let extent = |axis: usize| {
        let from_weight = || {
            w.as_ref()
                .and_then(|w| w[axis + 2].size())
                .map(|size| size as i64)
        };
        let kernel = given("kernel_shape")
            .map(|kernel| kernel[axis])
            .or_else(from_weight)?;
        let (input, stride) = (x[axis + 2].size()? as i64, setting("strides", axis));
        if auto_pad.starts_with("SAME") {
            return Some((input + stride - 1) / stride);
        }
        let padded = if auto_pad == "VALID" {
            0
        } else {
            pads[axis] + pads[spatial + axis]
        };
        let room = input + padded - (kernel - 1) * setting("dilations", axis) - 1;
        if node.int("ceil_mode", 0) == 0 {
            return Some(room.div_euclid(stride) + 1);
        }
        let steps = (room + stride - 1) / stride;
        let beyond = steps * stride >= input + pads[axis];
        Some(if beyond { steps } else { steps + 1 })
    };
    let spatial =
        (0..spatial).map(|axis| extent(axis).map_or(Dim::Unknown, |e| Dim::Size(e as usize)));
    let channels = w.as_ref().map_or(x[1].clone(), |w| w[0].clone());
    [x[0].clone(), channels]
        .into_iter()
        .chain(spatial)
        .collect()
}

/// The output of a ConvTranspose.
fn unpooled(node: &NodeState, x: &[Dim], w: &[Dim]) -> Vec<Dim> {
    let spatial = x.len() - 2;
    let setting = |name: &str, axis: usize, default: i64| {
        node.ints(name).map_or(default, |values| values[axis])
    };
    let same = matches!(
        node.attribute("auto_pad"),
        Some(Attribute::String(text)) if text.starts_with("SAME")
    );
    let extent = |axis: usize| {
        if let Some(wanted) = node.ints("output_shape") {
            return Some(wanted[wanted.len() - spatial + axis]);
        }
        let (input, kernel) = (x[axis + 2].size()? as i64, w[axis + 2].size()? as i64);
        let stride = setting("strides", axis, 1);
        if same {
            return Some(input * stride);
        }
        let span = (kernel - 1) * setting("dilations", axis, 1) + 1;
        let pads = setting("pads", axis, 0) + setting("pads", spatial + axis, 0);
        Some(stride * (input - 1) + setting("output_padding", axis, 0) + span - pads)
    };
    let channels = w[1]
        .size()
        .map(|size| Dim::Size(size * node.int("group", 1) as usize));
    let spatial =
        (0..spatial).map(|axis| extent(axis).map_or(Dim::Unknown, |e| Dim::Size(e as usize)));
    [x[0].clone(), channels.unwrap_or(Dim::Unknown)]
        .into_iter()
        .chain(spatial)
        .collect()
}

fn reshaped(x: &[Dim], wanted: &[i64]) -> Vec<Dim> {
    let dim = |(axis, &extent): (usize, &i64)| match extent {
        0 => x.get(axis).cloned().unwrap_or(Dim::Unknown),
        -1 => Dim::Unknown,
        extent => Dim::Size(extent as usize),
    };
    let mut shape: Vec<Dim> = wanted.iter().enumerate().map(dim).collect();
    let Some(free) = wanted.iter().position(|&extent| extent == -1) else {
        return shape;
    };
    // Equal symbols on both sides cancel.
    let mut ours: Vec<&Dim> = x.iter().filter(|dim| dim.size().is_none()).collect();
    for dim in shape
        .iter()
        .enumerate()
        .filter(|&(at, _)| at != free)
        .map(|(_, dim)| dim)
    {
        if let Some(at) = ours
            .iter()
            .position(|our| *our == dim && **our != Dim::Unknown)
        {
            ours.remove(at);
        }
    }
    let known = |dims: &[Dim]| dims.iter().filter_map(Dim::size).product::<usize>();
    let others = known(&shape);
    shape[free] = match ours.as_slice() {
        [] if others > 0 => Dim::Size(known(x) / others),
        [only] if known(x) == others => (*only).clone(),
        _ => Dim::Unknown,
    };
    shape
}

fn squeezed(node: &NodeState, mut x: Vec<Dim>, axes: Option<Vec<i64>>) -> Option<Vec<Dim>> {
    if node.op_type == "Unsqueeze" {
        let axes = axes?;
        let rank = x.len() + axes.len();
        let mut axes: Vec<usize> = axes.iter().map(|&axis| counted(axis, rank)).collect();
        axes.sort_unstable();
        for axis in axes {
            x.insert(axis, Dim::Size(1));
        }
        return Some(x);
    }
    let rank = x.len();
    let gone = |(axis, dim): (usize, &Dim)| match &axes {
        Some(axes) => axes.iter().any(|&given| counted(given, rank) == axis),
        None => *dim == Dim::Size(1),
    };
    Some(
        x.iter()
            .enumerate()
            .filter(|&entry| !gone(entry))
            .map(|(_, dim)| dim.clone())
            .collect(),
    )
}

fn split(node: &NodeState, x: &[Dim], sizes: Option<Vec<i64>>) -> Shapes {
    let axis = counted(node.int("axis", 0), x.len());
    let parts = node.outputs.len();
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => sizes.iter().map(|&size| size as usize).collect(),
        None => {
            let (extent, size) = (x[axis].size()?, x[axis].size()?.div_ceil(parts));
            (0..parts)
                .map(|part| size.min(extent - part * size))
                .collect()
        }
    };
    Some(
        sizes
            .into_iter()
            .map(|size| with(x.to_vec(), axis, Dim::Size(size)))
            .collect(),
    )
}

fn reduced(node: &NodeState, x: Vec<Dim>, axes: Option<Vec<i64>>) -> Vec<Dim> {
    let rank = x.len();
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    let gone = |axis: usize| axes.iter().any(|&given| counted(given, rank) == axis);
    let keeps = node.int("keepdims", 1) != 0;
    let kept = x
        .into_iter()
        .enumerate()
        .filter(|&(axis, _)| keeps || !gone(axis));
    kept.map(|(axis, dim)| if gone(axis) { Dim::Size(1) } else { dim })
        .collect()
}
