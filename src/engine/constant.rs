//! Constants that a model computes, for the graph.

use super::{Budget, ModelBytes, evaluate_constants};
use crate::graph::constant::{Computed, Elements};

/// Runs a model without inputs, all of whose results together have at most that many bytes in float64, and gives its
/// only output.
///
/// # Errors
/// What kept the engine from it.
pub fn evaluate(model: &[u8], bytes: u64) -> Result<Computed, String> {
    let budget = Budget {
        bytes,
        results: bytes,
        ..Budget::default()
    };
    let outputs = evaluate_constants(ModelBytes::new(model), budget);
    let outputs = outputs.map_err(|error| error.to_string())?;
    let Some((_, tensor)) = outputs.into_iter().next() else {
        return Err("it has no output".to_owned());
    };
    let element = tensor.element();
    let elements = match element.is_float() {
        true => tensor.to_f64().map(Elements::Floats),
        false => tensor.to_i64().map(Elements::Integers),
    };
    Ok(Computed {
        data_type: element.to_onnx(),
        dims: tensor.shape().to_vec(),
        elements: elements.ok_or("it holds neither floats nor integers")?,
    })
}
