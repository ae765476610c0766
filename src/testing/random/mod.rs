//! Valid models made from a seed: graphs of 5 to 200 nodes full of BatchNormalization.
//!
//! A [`Recipe`] is what a model is made from: settings, and a seed for each of its steps.
//! With a step less it still makes a valid model, so what fails can be made smaller step by step.
//! Each node is run by the reference executor as soon as it is made, on one sample of the inputs;
//! it stays if its results neither vanish nor explode, so every model runs and says something.
//! What is drawn: operators, weights, groups, ranks, paddings, element types, opsets 7 to 24,
//! shared weights and statistics, constants behind nodes, several outputs, nested graphs and
//! model-local functions.
//!
//! Leaves out operators whose results jump (rounding, comparing, quantizing) unless
//! [`Options::jumps`] asks for them, since a jump turns any rounding difference into a large one.

mod activations;
mod batch_norms;
mod bodies;
mod combinations;
mod generator;
mod linear;
mod live;
mod recipe;
mod shapes;
mod windows;

use std::ops::RangeInclusive;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tensor::{DataType, Tensor};
use crate::onnx::proto::tensor_shape_proto::dimension::Value as Dimension;
use crate::onnx::proto::type_proto::Value as Type;
use crate::onnx::proto::{ModelProto, ValueInfoProto};
pub use recipe::Recipe;

/// What [`random_model`] may draw.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes the main graph has, constants and the like included.
    pub nodes: RangeInclusive<usize>,
    /// The opsets to draw from, 7 to 24 at most.
    pub opsets: RangeInclusive<i64>,
    /// The element type; drawn if none is given, `float` most often.
    pub dtype: Option<DataType>,
    /// The share of nodes that a BatchNormalization follows.
    pub batch_norms: f64,
    /// Whether If, Loop and Scan may occur.
    pub nested: bool,
    /// Whether model-local functions may occur.
    pub functions: bool,
    /// Whether a BatchNormalization may be in training mode.
    pub training: bool,
    /// Whether initializers may be inputs that the caller can override.
    pub overridable: bool,
    /// Whether operators may occur whose results jump.
    pub jumps: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            nodes: 5..=60,
            opsets: 7..=24,
            dtype: None,
            batch_norms: 0.35,
            nested: true,
            functions: true,
            training: true,
            overridable: true,
            jumps: false,
        }
    }
}

/// A valid model, the same for the same seed and options.
///
/// Its values are known to be tame for the inputs that [`random_inputs`] gives for the same seed.
///
/// # Panics
///
/// If the options leave nothing to draw.
pub fn random_model(seed: u64, options: &Options) -> ModelProto {
    Recipe::draw(seed, options).model()
}

/// Inputs for a model whose graph inputs have known extents: one tensor for each input that is no
/// initializer.
///
/// Floats come from ±1, booleans from both, integers from 0 and 1; a named extent is taken as 2.
///
/// # Errors
///
/// If an input is no tensor, has no shape, or has an element type that is not served.
pub fn random_inputs(model: &ModelProto, seed: u64) -> Result<Vec<(String, Tensor)>, String> {
    let graph = model.graph.as_ref().ok_or("the model has no graph")?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let stored = |name: &str| graph.initializer.iter().any(|tensor| tensor.name() == name);
    let free = graph.input.iter().filter(|input| !stored(input.name()));
    free.map(|input| Ok((input.name().to_string(), random_input(input, &mut random)?)))
        .collect()
}

fn random_input(input: &ValueInfoProto, random: &mut ChaCha8Rng) -> Result<Tensor, String> {
    let missing = || {
        format!(
            "graph input `{}` has no tensor type with a shape",
            input.name()
        )
    };
    let ty = input.r#type.as_ref().and_then(|ty| ty.value.as_ref());
    let Some(Type::TensorType(tensor)) = ty else {
        return Err(missing());
    };
    let dtype = super::element::data_type(tensor.elem_type())?;
    let dims = &tensor.shape.as_ref().ok_or_else(missing)?.dim;
    let extent = |dim: &Option<Dimension>| match dim {
        Some(Dimension::DimValue(extent)) => usize::try_from(*extent).map_err(|_| missing()),
        Some(Dimension::DimParam(_)) | None => Ok(2),
    };
    let shape = dims
        .iter()
        .map(|dim| extent(&dim.value))
        .collect::<Result<Vec<_>, String>>()?;
    let count = shape.iter().product();
    let element = |_| match dtype {
        DataType::Bool | DataType::Int64 => f64::from(u8::from(random.random_bool(0.5))),
        _ => random.random_range(-1.0..1.0),
    };
    Ok(Tensor::new(
        dtype,
        &shape,
        (0..count).map(element).collect(),
    ))
}
