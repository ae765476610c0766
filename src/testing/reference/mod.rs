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
mod batch_normalization;
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
    let tables: [fn(&str) -> Option<call::Operator>; 16] = [
        activation::operator,
        batch_normalization::operator,
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

/// The outputs of one node of that opset on these inputs; `settings` adds attributes and outputs.
#[cfg(test)]
fn evaluate(
    op_type: &str,
    opset: i64,
    inputs: impl AsRef<[Tensor]>,
    settings: impl FnOnce(crate::testing::Value) -> crate::testing::Value,
) -> Result<Vec<Tensor>, String> {
    let inputs = inputs.as_ref();
    let name = |number: usize| format!("i{number}");
    let model = crate::testing::model(|g| {
        g.opset(opset);
        let input = |(number, tensor): (usize, &Tensor)| {
            g.typed_input(&name(number), tensor.dtype, &tensor.shape)
        };
        let values: Vec<_> = inputs.iter().enumerate().map(input).collect();
        let values: Vec<_> = values.iter().collect();
        settings(g.op(op_type, &values).name("node"))
    });
    let names: Vec<String> = (0..inputs.len()).map(name).collect();
    let pairs = names.iter().zip(inputs);
    let pairs: Vec<(&str, Tensor)> = pairs
        .map(|(name, tensor)| (name.as_str(), tensor.clone()))
        .collect();
    let values = run(&model, &pairs)?;
    let named = model.graph.iter().flat_map(|graph| &graph.node[0].output);
    Ok(named.map(|output| values[output].clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DataType, Tensor, model};

    #[test]
    fn storage_rounding_happens_after_each_node() {
        let built = model(|g| {
            g.dtype(DataType::Float16);
            g.input("x", [1]).op("Sqrt").op("Exp").output("y")
        });
        let x = [("x", Tensor::new(DataType::Float16, &[1], vec![2.0]))];
        let exact = run(&built, &x).unwrap();
        assert_eq!(exact["y"].data, [2f64.sqrt().exp()]);
        let rounded = run_with(&built, &x, Round::Storage).unwrap();
        assert_eq!(rounded["sqrt_0.out"].data, [1.4140625]);
        assert_eq!(rounded["y"].data, [4.11328125]);
    }

    #[test]
    fn an_error_names_the_node() {
        let built = model(|g| {
            g.input("x", [1, 2, 2, 2])
                .conv(3)
                .kernel([3, 3])
                .name("stem")
                .output("y")
        });
        let x = Tensor::floats(&[1, 2, 2, 2], vec![0.0; 8]);
        let error = run(&built, &[("x", x)]).unwrap_err();
        assert_eq!(
            error,
            "node `stem` (Conv): the window is wider than the input on axis 0"
        );
        assert!(run(&built, &[]).unwrap_err().contains("`x` is not given"));
    }

    #[test]
    fn a_foreign_domain_is_no_standard_operator() {
        let built = model(|g| g.input("x", [1]).relu().domain("org.custom").output("y"));
        let error = run(&built, &[("x", Tensor::floats(&[1], [1.0]))]).unwrap_err();
        assert!(error.contains("domain org.custom is not served"), "{error}");
        let alias = model(|g| g.input("x", [1]).relu().domain("ai.onnx").output("y"));
        let values = run(&alias, &[("x", Tensor::floats(&[1], [-1.0]))]).unwrap();
        assert_eq!(values["y"].data, [0.0]);
    }

    #[test]
    fn an_input_overrides_an_initializer() {
        let built = model(|g| {
            let c = g.initializer("c", Tensor::floats(&[1], [2.0]));
            g.input("x", [1]).mul(c).output("y")
        });
        let x = || ("x", Tensor::floats(&[1], [3.0]));
        assert_eq!(run(&built, &[x()]).unwrap()["y"].data, [6.0]);
        let c = ("c", Tensor::floats(&[1], [5.0]));
        assert_eq!(run(&built, &[x(), c]).unwrap()["y"].data, [15.0]);
    }
}
