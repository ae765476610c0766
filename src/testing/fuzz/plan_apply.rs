//! Small valid graphs of any make: each BatchNormalization stands in the plan once, what is folded computes the same on
//! the reference executor, in float64, and folding again finds nothing.

use arbitrary::{Arbitrary, Unstructured};
use prost::Message;

use super::fold::folded;
use super::sketch::Sketch;
use super::{Rest, nothing};
use crate::onnx::Model;
use crate::onnx::proto::{GraphProto, ModelProto};
use crate::testing::reference::{run as values, run_outputs};
use crate::testing::{Tensor, ToBytes, random};

/// Beyond this the rounding of float64 says nothing about a fold.
const LARGEST: f64 = 1e6;

pub(super) fn run(input: &[u8]) -> Rest<'_> {
    let Ok(sketch) = Sketch::arbitrary_take_rest(Unstructured::new(input)) else {
        return nothing();
    };
    let model = sketch.model();
    let inputs = random::random_inputs(&model, 1).expect("inputs with known extents");
    let Some(scale) = magnitude(&model, &inputs) else {
        return nothing();
    };
    let original = Model::from_bytes(model.to_bytes()).expect("the model reads");
    let (plan, bytes) = folded(&original, sketch.options()).expect("the model folds");
    let (done, stay) = plan.counts();
    let graph = model.graph.as_ref().expect("a graph");
    assert_eq!(
        done + stay,
        batch_norms(graph),
        "every BatchNormalization stands in the plan once"
    );
    let rewritten = ModelProto::decode(&*bytes).expect("prost reads the output");
    same(&model, &rewritten, &inputs, 1e-9 * scale);
    let again = Model::from_bytes(bytes).expect("the output reads");
    let (plan, _) = folded(&again, sketch.options()).expect("the output folds");
    assert!(
        plan.folds().is_empty(),
        "a second fold finds something: {plan}"
    );
    nothing()
}

type Inputs = Vec<(String, Tensor)>;

fn borrowed(inputs: &Inputs) -> Vec<(&str, Tensor)> {
    let pairs = inputs.iter();
    pairs
        .map(|(name, tensor)| (name.as_str(), tensor.clone()))
        .collect()
}

/// The largest value of a run; none if one is not finite, or too large.
fn magnitude(model: &ModelProto, inputs: &Inputs) -> Option<f64> {
    let found = values(model, &borrowed(inputs)).expect("the model runs");
    let sizes = found.values().map(|tensor| {
        let is_finite = tensor.data.iter().all(|element| element.is_finite());
        if is_finite {
            tensor.max_magnitude()
        } else {
            f64::INFINITY
        }
    });
    let largest = sizes.fold(1.0, f64::max);
    (largest <= LARGEST).then_some(largest)
}

fn batch_norms(graph: &GraphProto) -> usize {
    let nodes = graph.node.iter();
    let count = |node: &crate::onnx::proto::NodeProto| {
        let bodies = node.attribute.iter().flat_map(|attribute| &attribute.g);
        let inner: usize = bodies.map(batch_norms).sum();
        inner + usize::from(node.op_type() == "BatchNormalization")
    };
    nodes.map(count).sum()
}

fn same(original: &ModelProto, rewritten: &ModelProto, inputs: &Inputs, bound: f64) {
    let expected = run_outputs(original, &borrowed(inputs)).expect("the original runs");
    let actual = run_outputs(rewritten, &borrowed(inputs)).expect("the rewritten model runs");
    assert_eq!(expected.len(), actual.len());
    for (at, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
        let difference = expected.max_difference(actual);
        let is_close = difference <= bound || difference <= sensitivity(original, inputs, at);
        assert!(
            is_close,
            "output {at} differs by {difference:e}, bound {bound:e}"
        );
    }
}

/// How far an output moves when the inputs move in the eleventh digit: what an ill-conditioned model does by itself.
fn sensitivity(model: &ModelProto, inputs: &Inputs, output: usize) -> f64 {
    let mut moved = inputs.clone();
    for (_, tensor) in &mut moved {
        let elements = tensor.data.iter_mut().enumerate();
        elements.for_each(|(at, x)| *x *= 1.0 + 1e-11 * ((at * 7919 % 1009) as f64 / 504.0 - 1.0));
    }
    let outputs = [inputs, &moved]
        .map(|inputs| run_outputs(model, &borrowed(inputs)).expect("the model runs"));
    outputs[0][output].max_difference(&outputs[1][output])
}
