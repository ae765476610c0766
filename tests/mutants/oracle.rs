//! Whether a mutant changes an output, told by the reference executor alone.
//!
//! Both models run in f64 on the same inputs. What rounding the weights does is measured on the right fold,
//! which differs from the original by nothing else; [`ROUNDINGS`] times that, or times the unit roundoff of the
//! output, is a change.

use std::collections::BTreeMap;

use bnfold::onnx::proto::tensor_shape_proto::dimension::Value as Extent;
use bnfold::onnx::proto::{ModelProto, type_proto};
use bnfold::testing::random::random_inputs;
use bnfold::testing::reference::run_outputs;
use bnfold::testing::{DataType, Tensor};

/// How many roundings are a change.
const ROUNDINGS: f64 = 16.0;
/// Elements of ids, below the extent of every table here.
const IDS: usize = 7;

/// The original's outputs, and how far rounding moves them.
#[derive(Debug)]
pub(crate) struct Oracle {
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    inputs: Vec<(String, Tensor)>,
    truth: Vec<Tensor>,
    rounding: Vec<f64>,
}

impl Oracle {
    /// Runs the original and its right fold.
    pub(crate) fn new(
        original: &ModelProto,
        right: &ModelProto,
        dims: &[(String, usize)],
        samples: u64,
    ) -> Oracle {
        let bound = with_dims(original, dims);
        let samples = (0..samples).map(|seed| {
            let inputs = inputs(&bound, seed);
            let truth = run(original, &inputs).expect("the original runs");
            let folded = run(right, &inputs).expect("the right fold runs");
            let rounding = truth.iter().zip(&folded);
            let rounding = rounding.map(|(truth, folded)| {
                let unit = unit_roundoff(truth.dtype) * truth.max_magnitude();
                unit.max(truth.max_difference(folded))
            });
            Sample { rounding: rounding.collect(), inputs, truth }
        });
        Oracle { samples: samples.collect() }
    }

    /// How far the right fold is off, in roundings of the output; large figures say that it is wrong itself.
    pub(crate) fn own_error(&self) -> f64 {
        let errors = self.samples.iter().flat_map(|sample| {
            let outputs = sample.truth.iter().zip(&sample.rounding);
            outputs.map(|(truth, rounding)| {
                rounding / (unit_roundoff(truth.dtype) * truth.max_magnitude()).max(f64::MIN_POSITIVE)
            })
        });
        errors.fold(0.0, f64::max)
    }

    /// The largest change of an output in units of what is rounding; more than 1 is a change.
    pub(crate) fn change(&self, mutant: &ModelProto) -> f64 {
        let mut most: f64 = 0.0;
        for sample in &self.samples {
            let Ok(outputs) = run(mutant, &sample.inputs) else {
                return f64::INFINITY;
            };
            for ((truth, output), rounding) in sample.truth.iter().zip(&outputs).zip(&sample.rounding) {
                most = most.max(truth.max_difference(output) / (ROUNDINGS * rounding));
            }
            if most > 1.0 {
                break;
            }
        }
        most
    }
}

fn run(model: &ModelProto, inputs: &[(String, Tensor)]) -> Result<Vec<Tensor>, String> {
    let named = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.clone()));
    run_outputs(model, &named.collect::<Vec<_>>())
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
    let known: BTreeMap<&str, usize> = dims.iter().map(|(name, extent)| (name.as_str(), *extent)).collect();
    for input in model.graph.iter_mut().flat_map(|graph| &mut graph.input) {
        let name = input.name().to_owned();
        let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|ty| ty.value.as_mut())
        else {
            continue;
        };
        for (axis, dim) in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim).enumerate() {
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
