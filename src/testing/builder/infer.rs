//! Element types and extents of a node's outputs, as far as the builder needs them.
//!
//! A node whose inputs are all small constants is run; else the common operators have a formula
//! and for all others nothing is known, which [`Value::shape`](super::Value::shape) can state.

use super::attribute::Attribute;
use super::fact::{Dim, Fact};
use super::formulas::{
    Shapes, broadcast, counted, pooled, product, reduced, reshaped, split, squeezed, total,
    unpooled, with,
};
use super::state::{NodeState, ScopeKind, ScopeState, State};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::testing::{DataType, Storage, Tensor, reference};

/// One fact for each output.
pub(super) fn infer(state: &State, node: &NodeState, inputs: &[Fact]) -> Vec<Fact> {
    if let Some(facts) = evaluated(state.opset, node, inputs) {
        return facts;
    }
    if let Some(facts) = nested(state, node, inputs) {
        return facts;
    }
    let known = if node.domain.is_empty() {
        shapes(state.opset, node, inputs)
    } else {
        None
    };
    let mut shapes = known.unwrap_or_default().into_iter();
    let fact = |output| Fact {
        dtype: dtype(state.opset, node, inputs, output),
        shape: shapes.next(),
        elements: None,
    };
    (0..node.outputs.len()).map(fact).collect()
}

fn dtype(opset: i64, node: &NodeState, inputs: &[Fact], output: usize) -> Option<DataType> {
    let of_input = |index: usize| inputs.get(index).and_then(|fact| fact.dtype);
    match node.op_type.as_str() {
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => Some(DataType::Int64),
        "MaxPool" if output == 1 => Some(DataType::Int64),
        "Dropout" if output == 1 && opset >= 10 => Some(DataType::Bool),
        "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "Not" | "And" | "Or" => {
            Some(DataType::Bool)
        }
        "Cast" => DataType::try_from(node.int("to", 0) as i32).ok(),
        "CastLike" | "Where" | "DequantizeLinear" => of_input(1),
        "QuantizeLinear" => of_input(2).or(Some(DataType::Uint8)),
        "ConstantOfShape" => match node.attribute("value") {
            Some(Attribute::Tensor(value)) => Some(value.dtype),
            _ => Some(DataType::Float),
        },
        _ => of_input(0),
    }
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

/// Facts from the outputs of a body, or of the called function's body.
fn nested(state: &State, node: &NodeState, inputs: &[Fact]) -> Option<Vec<Fact>> {
    let body = |name: &str| match node.attribute(name) {
        Some(Attribute::Body(body)) => Some(&state.scopes[body.0]),
        _ => None,
    };
    let facts = |scope: &ScopeState| -> Vec<Fact> {
        scope
            .outputs
            .iter()
            .map(|&id| state.fact(Some(id)))
            .collect()
    };
    match node.op_type.as_str() {
        "If" => body("then_branch").map(facts),
        "Loop" => {
            let carried = inputs.len().saturating_sub(2);
            let facts = facts(body("body")?).into_iter().skip(1).enumerate();
            let stack = |(at, fact)| {
                if at < carried {
                    fact
                } else {
                    stacked(fact, Dim::Unknown)
                }
            };
            Some(facts.map(stack).collect())
        }
        "Scan" => {
            let states = inputs
                .len()
                .checked_sub(node.int("num_scan_inputs", 0) as usize)?;
            let length = inputs
                .get(states)
                .and_then(|fact| fact.shape.as_ref()?.first().cloned());
            let length = length.unwrap_or(Dim::Unknown);
            let facts = facts(body("body")?).into_iter().enumerate();
            let stack = |(at, fact)| {
                if at < states {
                    fact
                } else {
                    stacked(fact, length.clone())
                }
            };
            Some(facts.map(stack).collect())
        }
        _ => {
            let called = |scope: &&ScopeState| {
                scope.kind == ScopeKind::Function
                    && (&scope.domain, &scope.name) == (&node.domain, &node.op_type)
            };
            state.scopes.iter().find(called).map(facts)
        }
    }
}

/// A fact with one axis more in front.
fn stacked(fact: Fact, length: Dim) -> Fact {
    let shape = fact.shape.map(|shape| [vec![length], shape].concat());
    Fact {
        shape,
        dtype: fact.dtype,
        elements: None,
    }
}

fn shapes(opset: i64, node: &NodeState, inputs: &[Fact]) -> Shapes {
    let shape_of = |index: usize| inputs.get(index).and_then(|fact| fact.shape.clone());
    let x = shape_of(0)?;
    let single = |shape: Vec<Dim>| Some(vec![shape]);
    match node.op_type.as_str() {
        "Conv" => single(pooled(node, &x, Some(shape_of(1)?), opset)),
        "ConvTranspose" => single(unpooled(node, &x, &shape_of(1)?)),
        "MaxPool" | "AveragePool" | "LpPool" => {
            Some(vec![pooled(node, &x, None, opset); node.outputs.len()])
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
        _ => moved(node, inputs).or_else(|| by_constants(opset, node, inputs, &x)),
    }
}

/// Operators that move elements.
fn moved(node: &NodeState, inputs: &[Fact]) -> Shapes {
    let shape_of = |index: usize| inputs.get(index).and_then(|fact| fact.shape.clone());
    let x = shape_of(0)?;
    let single = |shape: Vec<Dim>| Some(vec![shape]);
    match node.op_type.as_str() {
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
        _ => None,
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
