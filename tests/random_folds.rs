//! Random valid models, far beyond the rules' own shapes: what is folded computes the same, and nothing else changes.

use bnfold::fold::{Folded, fold};
use bnfold::onnx::Model;
use bnfold::onnx::proto::ModelProto;
use bnfold::plan::PlanOptions;
use bnfold::testing::random::{Options, random_inputs, random_model};
use bnfold::testing::reference::run_outputs;
use bnfold::testing::{DataType, Tensor, ToBytes};
use prost::Message;

mod support;

/// How many models: a few hundred in the short form, as many as `BNFOLD_RANDOM_MODELS` says in the long one.
fn models() -> u64 {
    let wanted = std::env::var("BNFOLD_RANDOM_MODELS").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(150)
}

#[test]
fn random_models_compute_the_same_after_folding() {
    let (mut all, mut left) = (0, 0);
    let first: u64 = std::env::var("BNFOLD_RANDOM_FIRST")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0);
    for seed in first..first + models() {
        // In float64 a wrong fold cannot hide behind rounding; every fourth model has the type it was drawn with.
        let dtype = if seed % 4 == 3 {
            None
        } else {
            Some(DataType::Double)
        };
        let model = random_model(
            seed,
            &Options {
                dtype,
                ..Options::default()
            },
        );
        let inputs = random_inputs(&model, seed).expect("inputs with known extents");
        let inputs: Vec<(&str, Tensor)> = inputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.clone()))
            .collect();
        let (before, after) = campaign(
            seed,
            &model,
            &inputs,
            if dtype.is_some() { 1e-8 } else { 5e-2 },
        );
        all += before;
        left += after;
    }
    println!("{left} of {all} BatchNormalization nodes are left");
    assert!(left < all);
}

/// Folds and compares; returns the BNs before and after.
fn campaign(
    seed: u64,
    model: &ModelProto,
    inputs: &[(&str, Tensor)],
    tolerance: f64,
) -> (usize, usize) {
    let original = Model::from_bytes(model.to_bytes()).expect("the model reads");
    let folded = fold(&original, support::reading(), &PlanOptions::default());
    let Folded { plan, applied, .. } =
        folded.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let (bytes, flaws) = applied
        .edits
        .to_rope()
        .expect("the edits fit")
        .to_vec(&original)
        .expect("it renders");
    if !flaws.is_empty() {
        return (0, 0);
    }
    let rewritten = ModelProto::decode(&*bytes).expect("prost reads the output");
    let (done, stay) = plan.counts();
    let graphs = [model, &rewritten].map(|model| model.graph.as_ref().expect("a graph"));
    assert_eq!(
        graphs[0].output, graphs[1].output,
        "seed {seed}: the outputs are unchanged"
    );
    let expected =
        run_outputs(model, inputs).unwrap_or_else(|error| panic!("seed {seed}: original: {error}"));
    let actual = run_outputs(&rewritten, inputs)
        .unwrap_or_else(|error| panic!("seed {seed}: rewritten: {error}\n{plan}"));
    for (expected, actual) in expected.iter().zip(&actual) {
        let bound = tolerance * expected.max_magnitude().max(1.0);
        let difference = expected.max_difference(actual);
        assert!(
            difference <= bound,
            "seed {seed}: differs by {difference:e}, bound {bound:e}\n{plan}"
        );
    }
    let again = Model::from_bytes(bytes).expect("the output reads");
    let again =
        fold(&again, support::reading(), &PlanOptions::default()).expect("the output folds");
    assert_eq!(
        again.plan.counts(),
        (0, stay),
        "seed {seed}: a second fold finds nothing\n{plan}\n{}",
        again.plan
    );
    (done + stay, stay)
}
