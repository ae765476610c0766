//! Whether a mutant changes an output, told by the reference executor alone.
//!
//! Both models run in f64 on the same inputs. What rounding the weights does is measured on the right fold,
//! which differs from the original by nothing else; [`ROUNDINGS`] times that, or times the unit roundoff of the
//! output, is a change.

use std::collections::{BTreeMap, BTreeSet};

use bnfold::onnx::proto::tensor_shape_proto::dimension::Value as Extent;
use bnfold::onnx::proto::{ModelProto, NodeProto, TensorProto, type_proto};
use bnfold::testing::random::random_inputs;
use bnfold::testing::reference::{Values, run};
use bnfold::testing::{DataType, Tensor};

/// How many roundings are a change.
const ROUNDINGS: f64 = 16.0;
/// Elements of ids, below the extent of every table here.
const IDS: usize = 7;

/// The original's outputs, and how far rounding moves them.
#[derive(Debug)]
pub(crate) struct Oracle<'a> {
    right: &'a ModelProto,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    truth: Vec<Tensor>,
    rounding: Vec<f64>,
    /// Every value of the right fold.
    values: Values,
}

impl<'a> Oracle<'a> {
    /// Runs the original and its right fold.
    pub(crate) fn new(
        original: &ModelProto,
        right: &'a ModelProto,
        dims: &[(String, usize)],
        samples: u64,
    ) -> Oracle<'a> {
        let bound = with_dims(original, dims);
        let samples = (0..samples).map(|seed| {
            let inputs = inputs(&bound, seed);
            let named: Vec<(&str, Tensor)> = inputs
                .iter()
                .map(|(name, tensor)| (name.as_str(), tensor.clone()))
                .collect();
            let truth = outputs(original, &run(original, &named).expect("the original runs"));
            let values = run(right, &named).expect("the right fold runs");
            let rounding = truth
                .iter()
                .zip(outputs(right, &values))
                .map(|(truth, folded)| {
                    let unit = unit_roundoff(truth.dtype) * truth.max_magnitude();
                    unit.max(truth.max_difference(&folded))
                });
            Sample {
                rounding: rounding.collect(),
                truth,
                values,
            }
        });
        Oracle {
            right,
            samples: samples.collect(),
        }
    }

    /// How far the right fold is off, in roundings of the output; large figures say that it is wrong itself.
    pub(crate) fn own_error(&self) -> f64 {
        let errors = self.samples.iter().flat_map(|sample| {
            let outputs = sample.truth.iter().zip(&sample.rounding);
            outputs.map(|(truth, rounding)| {
                rounding
                    / (unit_roundoff(truth.dtype) * truth.max_magnitude()).max(f64::MIN_POSITIVE)
            })
        });
        errors.fold(0.0, f64::max)
    }

    /// The largest change of an output in units of what is rounding; more than 1 is a change.
    pub(crate) fn change(&self, mutant: &ModelProto) -> f64 {
        let part = affected(self.right, mutant);
        let graph = part.graph.as_ref().expect("a graph");
        let stored = graph.initializer.iter().map(TensorProto::name);
        let given = graph.node.iter().flat_map(|node| &node.output);
        let own: BTreeSet<&str> = stored.chain(given.map(String::as_str)).collect();
        let mut most: f64 = 0.0;
        for sample in &self.samples {
            let known = sample
                .values
                .iter()
                .filter(|(name, _)| !own.contains(name.as_str()));
            let known = known.map(|(name, tensor)| (name.as_str(), tensor.clone()));
            let values = run(&part, &known.collect::<Vec<_>>()).expect("the mutant runs");
            let found = outputs(mutant, &values);
            let pairs = sample.truth.iter().zip(&found).zip(&sample.rounding);
            let changes = pairs.map(|((truth, found), rounding)| {
                truth.max_difference(found) / (ROUNDINGS * rounding)
            });
            most = changes.fold(most, f64::max);
            if most > 1.0 {
                break;
            }
        }
        most
    }
}

/// The nodes of a mutant whose values may differ from the right fold's.
fn affected(right: &ModelProto, mutant: &ModelProto) -> ModelProto {
    let mut part = mutant.clone();
    let (Some(before), Some(after)) = (&right.graph, &mut part.graph) else {
        return part;
    };
    if part.functions != right.functions {
        return part;
    }
    let known: BTreeMap<&str, _> = before
        .initializer
        .iter()
        .map(|tensor| (tensor.name(), tensor))
        .collect();
    let is_new = |tensor: &&TensorProto| known.get(tensor.name()) != Some(tensor);
    let mut other: BTreeSet<String> = after
        .initializer
        .iter()
        .filter(is_new)
        .map(|tensor| tensor.name().to_owned())
        .collect();
    after.node.retain(|node| {
        let is_same = !has_body(node) && before.node.contains(node);
        let is_affected = !is_same || node.input.iter().any(|input| other.contains(input));
        if is_affected {
            other.extend(node.output.iter().cloned());
        }
        is_affected
    });
    part
}

/// A nested graph may capture any value.
fn has_body(node: &NodeProto) -> bool {
    node.attribute
        .iter()
        .any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty())
}

fn outputs(model: &ModelProto, values: &Values) -> Vec<Tensor> {
    let outputs = model.graph.iter().flat_map(|graph| &graph.output);
    outputs
        .map(|output| values[output.name()].clone())
        .collect()
}

fn unit_roundoff(dtype: DataType) -> f64 {
    match dtype {
        DataType::Double => f64::EPSILON / 2.0,
        DataType::Float16 => 2f64.powi(-11),
        DataType::Bfloat16 => 2f64.powi(-8),
        _ => 2f64.powi(-24),
    }
}

fn inputs(model: &ModelProto, seed: u64) -> Vec<(String, Tensor)> {
    let mut inputs = random_inputs(model, seed).expect("inputs with known extents");
    for (_, tensor) in &mut inputs {
        match tensor.dtype {
            DataType::Int64 | DataType::Int32 => {
                let ids = (0..tensor.data.len()).map(|at| ((at * 5 + seed as usize) % IDS) as f64);
                tensor.data = ids.collect();
            }
            _ => tensor.data.iter_mut().for_each(|x| *x *= 2.0),
        }
    }
    inputs
}

/// The model with its inputs' named extents replaced.
fn with_dims(model: &ModelProto, dims: &[(String, usize)]) -> ModelProto {
    let mut model = model.clone();
    let known: BTreeMap<&str, usize> = dims
        .iter()
        .map(|(name, extent)| (name.as_str(), *extent))
        .collect();
    for input in model.graph.iter_mut().flat_map(|graph| &mut graph.input) {
        let name = input.name().to_owned();
        let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|ty| ty.value.as_mut())
        else {
            continue;
        };
        for (axis, dim) in tensor
            .shape
            .iter_mut()
            .flat_map(|shape| &mut shape.dim)
            .enumerate()
        {
            let symbol = match &dim.value {
                Some(Extent::DimParam(symbol)) => symbol.clone(),
                Some(Extent::DimValue(_)) => continue,
                None => format!("{name}.{axis}"),
            };
            if let Some(&extent) = known.get(symbol.as_str()) {
                dim.value = Some(Extent::DimValue(extent as i64));
            }
        }
    }
    model
}
