//! Runs a model in f64, each operator written out from the formulas of the ONNX standard.
//!
//! Nothing is optimised and nothing is shared with the rest of the crate but the protobuf types,
//! so agreement with it means something.
//! By default no result is rounded: every float type then behaves as the real numbers it stands
//! for, to the precision of f64. [`Round::Storage`] instead rounds each node's results to their
//! element types, as a run in those types would.
//!
//! Leaves out sequences, optionals, strings, sparse tensors and the random operators.

mod activation;
mod axes;
mod call;
mod control;
mod convolution;
mod elementwise;
mod gather;
mod layout;
mod matrix;
mod normalization;
mod pad;

mod pool;
mod quantize;
mod recurrent;

mod reduce;
mod resize;

mod scope;
mod shape;
mod slice;
mod window;

use std::collections::BTreeMap;

use crate::onnx::proto::ModelProto;
use crate::testing::Tensor;
use scope::{Context, Scope};

/// Values by name.
pub type Values = BTreeMap<String, Tensor>;

/// What happens to a node's results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Round {
    /// Float results stay as f64 computed them, and a Cast between float types changes nothing.
    #[default]
    Nothing,
    /// Float results are rounded to their element type after each node.
    Storage,
}

/// Runs the model and gives every value of its main graph by name, inputs and initializers
/// included.
///
/// Inputs that the model lacks are ignored; one that names an initializer overrides it.
///
/// # Errors
///
/// If an input is missing, a node is malformed, or an operator or element type is not served; the
/// text names the node.
pub fn run(model: &ModelProto, inputs: &[(&str, Tensor)]) -> Result<Values, String> {
    run_with(model, inputs, Round::Nothing)
}

/// [`run`], with a choice of rounding.
///
/// # Errors
///
/// As [`run`].
pub fn run_with(
    model: &ModelProto,
    inputs: &[(&str, Tensor)],
    round: Round,
) -> Result<Values, String> {
    let graph = model.graph.as_ref().ok_or("the model has no graph")?;
    let context = Context::of_model(model, round)?;
    let mut scope = Scope::new(&context, None);
    for (name, tensor) in inputs {
        scope.set(name, tensor.clone());
    }
    scope.run_graph(graph)?;
    Ok(scope.into_values())
}

/// The values of the model's graph outputs, in order.
///
/// # Errors
///
/// As [`run`].
pub fn run_outputs(model: &ModelProto, inputs: &[(&str, Tensor)]) -> Result<Vec<Tensor>, String> {
    let mut values = run(model, inputs)?;
    let outputs = model.graph.iter().flat_map(|graph| &graph.output);
    let found = outputs.map(|output| {
        let name = output.name();
        values
            .get(name)
            .cloned()
            .ok_or_else(|| format!("no value for graph output `{name}`"))
    });
    let found = found.collect();
    values.clear();
    found
}

/// The operator of that name, if it is served.
fn operator(op_type: &str) -> Option<call::Operator> {
    let tables: [fn(&str) -> Option<call::Operator>; 15] = [
        activation::operator,
        convolution::operator,
        elementwise::operator,
        gather::operator,
        layout::operator,
        matrix::operator,
        normalization::operator,
        pad::operator,
        pool::operator,
        quantize::operator,
        recurrent::operator,
        reduce::operator,
        resize::operator,
        shape::operator,
        slice::operator,
    ];
    tables.iter().find_map(|table| table(op_type))
}
