//! Folds a model and compares it with the original on the reference executor.

#![allow(dead_code, reason = "each test file uses its part")]

use bnfold::fold::{Folded, fold};
use bnfold::graph::Reading;
use bnfold::onnx::Model;
use bnfold::onnx::proto::tensor_shape_proto::dimension::Value as DimValue;
use bnfold::onnx::proto::{ModelProto, ValueInfoProto, type_proto};
use bnfold::plan::PlanOptions;
use bnfold::testing::reference::run_outputs;
use bnfold::testing::{Tensor, ToBytes};
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How constants are read in tests.
pub(crate) fn reading() -> Reading {
    Reading {
        evaluate: Some(bnfold::engine::constant::evaluate),
        freeze_inputs: false,
        allow_precision_change: false,
    }
}

/// The plan's text and the rewritten model.
pub(crate) fn folded_with(model: &ModelProto, options: &PlanOptions) -> (String, ModelProto) {
    let original = Model::from_bytes(model.to_bytes()).expect("the model reads");
    let Folded { plan, applied, .. } =
        fold(&original, reading(), options).expect("the model folds");
    let (bytes, flaws) = applied
        .edits
        .to_rope()
        .expect("the edits fit together")
        .to_vec(&original)
        .expect("the model renders");
    assert_eq!(flaws, [], "the new weights fit their type");
    (
        plan.to_string(),
        ModelProto::decode(&*bytes).expect("prost reads the output"),
    )
}

/// Random inputs of the declared shapes; a symbol counts 2.
pub(crate) fn inputs(model: &ModelProto) -> Vec<(String, Tensor)> {
    let graph = model.graph.as_ref().expect("a graph");
    let stored: Vec<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name())
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let inputs = graph
        .input
        .iter()
        .filter(|input| !stored.contains(&input.name()));
    inputs
        .map(|input| {
            let shape = shape_of(input);
            let count = shape.iter().product::<usize>();
            let data: Vec<f64> = (0..count).map(|_| random.random_range(-2.0..2.0)).collect();
            (input.name().to_owned(), Tensor::doubles(&shape, data))
        })
        .collect()
}

fn shape_of(input: &ValueInfoProto) -> Vec<usize> {
    let ty = input.r#type.as_ref().and_then(|ty| ty.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = ty else {
        panic!("the input is a tensor");
    };
    let dims = tensor
        .shape
        .as_ref()
        .expect("the input has a shape")
        .dim
        .iter();
    dims.map(|dim| match dim.value {
        Some(DimValue::DimValue(extent)) => extent as usize,
        _ => 2,
    })
    .collect()
}

/// Folds, asserts the plan (unless none is given), and compares all outputs.
pub(crate) fn check(model: &ModelProto, plan: &str) -> ModelProto {
    let inputs = inputs(model);
    let inputs: Vec<(&str, Tensor)> = inputs
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.clone()))
        .collect();
    check_with(model, &inputs, plan)
}

/// The same on given inputs.
pub(crate) fn check_with(model: &ModelProto, inputs: &[(&str, Tensor)], plan: &str) -> ModelProto {
    let (text, rewritten) = folded_with(model, &PlanOptions::default());
    if !plan.is_empty() {
        assert_eq!(text, plan);
    }
    same(model, &rewritten, inputs);
    rewritten
}

/// Asserts that two models compute the same.
pub(crate) fn same(original: &ModelProto, rewritten: &ModelProto, inputs: &[(&str, Tensor)]) {
    let expected = run_outputs(original, inputs).expect("the original runs");
    let actual = run_outputs(rewritten, inputs).expect("the rewritten model runs");
    assert_eq!(expected.len(), actual.len());
    for (expected, actual) in expected.iter().zip(&actual) {
        assert_eq!(expected.shape, actual.shape);
        let bound = 1e-10 * expected.max_magnitude().max(1.0);
        let difference = expected.max_difference(actual);
        assert!(
            difference <= bound,
            "differs by {difference:e}, bound {bound:e}"
        );
        assert!(expected.max_magnitude() > 0.0, "the outputs say nothing");
    }
}

/// Asserts that nothing is folded, with this plan, and that the output is the input's bytes.
pub(crate) fn refused(model: &ModelProto, plan: &str) {
    let original = Model::from_bytes(model.to_bytes()).expect("the model reads");
    let Folded {
        plan: found,
        applied,
        ..
    } = fold(&original, reading(), &PlanOptions::default()).expect("the model folds");
    assert_eq!(found.to_string(), plan);
    assert!(
        applied.edits.is_empty(),
        "a model with nothing to fold stays as it is"
    );
}

/// Nodes of an operator in the main graph.
pub(crate) fn count(model: &ModelProto, op: &str) -> usize {
    let graph = model.graph.as_ref().expect("a graph");
    graph
        .node
        .iter()
        .filter(|node| node.op_type() == op)
        .count()
}
