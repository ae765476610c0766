//! Calibration against naive two-pass sums over all data at once, and against hand-made models.

mod forms;
mod refusals;
mod scopes;
mod statistics;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::Tensor;
use crate::graph::Reading;
use crate::onnx::proto::{ModelProto, NodeProto};
use crate::testing::builder::Parameters;
use crate::testing::reference::run_outputs;
use crate::testing::{DataType, Tensor as Reference, ToBytes, model};
use crate::verify::data::Sample;
use prost::Message;

const SHAPE: [usize; 4] = [60, 3, 5, 4];

/// Numbers whose channels differ in mean and deviation.
fn numbers(seed: u64, shape: &[usize]) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let inner: usize = shape[2..].iter().product();
    let count = shape.iter().product::<usize>();
    let number = |at: usize| {
        let channel = (at / inner % shape[1]) as f64;
        let noise: f64 = (0..4).map(|_| random.random_range(-1.0..1.0)).sum();
        f64::from((10.0 * channel - 3.0 + (channel + 0.5) * noise) as f32)
    };
    (0..count).map(number).collect()
}

/// Rows `from..to` of the numbers as a sample.
fn rows(numbers: &[f64], shape: &[usize], element: DataType, from: usize, to: usize) -> Source {
    let length: usize = shape[1..].iter().product();
    let part = numbers[from * length..to * length].to_vec();
    let shape = [&[to - from], &shape[1..]].concat();
    let tensor = Tensor::new(shape, part).unwrap();
    let element = crate::engine::ElementType::from_onnx(element.into()).unwrap();
    Source::Given(Sample {
        origin: "given".into(),
        inputs: vec![(Some("x".to_owned()), tensor.rounded_to(element))],
        outputs: Vec::new(),
        is_strict: false,
    })
}

/// Mean and population variance per channel, in two passes over everything.
fn naive(numbers: &[f64], shape: &[usize]) -> [Vec<f64>; 2] {
    let inner: usize = shape[2..].iter().product();
    let channel = |c: usize| {
        let own = move |(at, _): &(usize, &f64)| at / inner % shape[1] == c;
        numbers
            .iter()
            .enumerate()
            .filter(own)
            .map(|(_, x)| *x)
            .collect::<Vec<f64>>()
    };
    let channels: Vec<Vec<f64>> = (0..shape[1]).map(channel).collect();
    let average = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let mean: Vec<f64> = channels.iter().map(|list| average(list)).collect();
    let var = channels.iter().zip(&mean).map(|(list, mean)| {
        average(
            &list
                .iter()
                .map(|x| (x - mean) * (x - mean))
                .collect::<Vec<f64>>(),
        )
    });
    let var = var.collect();
    [mean, var]
}

fn close(found: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(
            error <= bound * expected.abs().max(1.0),
            "{found:e} for {expected:e}: off by {error:e}"
        );
    }
}

/// The calibrated model as other tools would read it, and what was estimated.
fn calibrated(
    proto: &ModelProto,
    data: &[Source],
    options: &Options,
) -> Result<(ModelProto, Vec<Estimate>, usize), CalibrateError> {
    let read = Model::from_bytes(proto.to_bytes()).unwrap();
    let graph = Graph::new(&read, Reading::default()).unwrap();
    let found = calibrate(&graph, data, options, &mut |_| {})?;
    let (bytes, flaws) = found.edits.to_rope().unwrap().to_vec(&read).unwrap();
    assert_eq!(flaws, []);
    let written = ModelProto::decode(&*bytes).unwrap();
    Ok((written, found.nodes, found.passes))
}

fn refusal(proto: &ModelProto, data: &[Source], options: &Options) -> String {
    let outcome = calibrated(proto, data, options);
    outcome.map(|_| ()).unwrap_err().to_string()
}

fn tensor(model: &ModelProto, name: &str) -> Vec<f64> {
    let stored = &model.graph.as_ref().unwrap().initializer;
    let proto = stored.iter().find(|tensor| tensor.name() == name).unwrap();
    Reference::from_proto(proto).unwrap().data
}

fn node<'a>(model: &'a ModelProto, name: &str) -> &'a NodeProto {
    let nodes = &model.graph.as_ref().unwrap().node;
    nodes.iter().find(|node| node.name() == name).unwrap()
}

fn training(opset: i64) -> ModelProto {
    model(|g| {
        g.opset(opset);
        let node = g.input("x", "N,3,5,4").batch_norm();
        match opset {
            ..7 => node.attr("is_test", 0).outputs(5)[0].output("y"),
            7..14 => node.outputs(5)[0].output("y"),
            _ => node.attr("training_mode", 1).outputs(3)[0].output("y"),
        };
    })
}

fn whole(seed: u64) -> (Vec<f64>, Vec<Source>) {
    let numbers = numbers(seed, &SHAPE);
    let data = vec![rows(&numbers, &SHAPE, DataType::Float, 0, SHAPE[0])];
    (numbers, data)
}
