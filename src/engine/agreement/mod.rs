//! The engine against the reference executor, which shares nothing with it but the protobuf types.

mod linear;
mod observing;
mod pointwise;
mod refused;
mod traps;

use super::*;
use crate::onnx::proto::ModelProto;
use crate::testing::builder::{Graph, Value};
use crate::testing::reference::run_outputs;
use crate::testing::{DataType, Tensor as Reference, ToBytes, model};

fn load(model: &ModelProto) -> Result<Box<dyn Session>, EngineError> {
    BuiltIn::default().load(ModelBytes::new(&model.to_bytes()), Precision::Declared)
}

fn run(
    model: &ModelProto,
    inputs: &[(&str, Tensor)],
) -> Result<Vec<(String, Tensor)>, EngineError> {
    let named: Vec<(String, Tensor)> = inputs
        .iter()
        .map(|(name, tensor)| ((*name).to_owned(), tensor.clone()))
        .collect();
    load(model)?.run(&named, &mut NoObserver)
}

fn only(outputs: Vec<(String, Tensor)>) -> Vec<f64> {
    outputs[0].1.to_f64().unwrap()
}

/// Numbers between −2 and 2 that no operator finds special, from a small generator of their own.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f64::from((state >> 40) as f32 / (1u64 << 24) as f32) * 4.0 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

fn input(port: &Port, seed: u64) -> (Tensor, Reference) {
    let dims = port.dims.as_ref().expect("the model gives shapes");
    let extent = |dim: &Dim| {
        if let Dim::Fixed(extent) = dim {
            *extent
        } else {
            2
        }
    };
    let shape: Vec<usize> = dims.iter().map(extent).collect();
    let values = numbers(shape.iter().product(), seed);
    match port.element {
        Some(ElementType::Bool) => {
            let flags: Vec<bool> = values.iter().map(|&x| x > 0.0).collect();
            (
                Tensor::new(shape.clone(), flags.clone()).unwrap(),
                Reference::bools(&shape, flags),
            )
        }
        Some(ElementType::Int64) => {
            let list: Vec<i64> = values.iter().map(|&x| (x.abs() * 1.4) as i64).collect();
            (
                Tensor::new(shape.clone(), list.clone()).unwrap(),
                Reference::ints(&shape, list),
            )
        }
        Some(element) => {
            let tensor = Tensor::new(shape.clone(), values)
                .unwrap()
                .rounded_to(element);
            let rounded = tensor.to_f64().unwrap();
            let dtype = DataType::try_from(element.to_onnx()).unwrap();
            (tensor, Reference::new(dtype, &shape, rounded))
        }
        None => panic!("the model gives types"),
    }
}

/// Runs a model on the engine and on the reference, and compares all outputs.
fn check(name: &str, model: &ModelProto) {
    let bytes = model.to_bytes();
    for (precision, tolerance) in [(Precision::Double, 1e-12), (Precision::Declared, 2e-5)] {
        let mut session = BuiltIn::default()
            .load(ModelBytes::new(&bytes), precision)
            .unwrap();
        let ports = session.signature().inputs.clone();
        let drawn: Vec<(Tensor, Reference)> = ports
            .iter()
            .enumerate()
            .map(|(i, port)| input(port, i as u64 + 1))
            .collect();
        let ours: Vec<(String, Tensor)> = ports
            .iter()
            .zip(&drawn)
            .map(|(port, (tensor, _))| (port.name.clone(), tensor.clone()))
            .collect();
        let theirs: Vec<(&str, Reference)> = ports
            .iter()
            .zip(&drawn)
            .map(|(port, (_, tensor))| (port.name.as_str(), tensor.clone()))
            .collect();
        let expected = run_outputs(model, &theirs).unwrap_or_else(|e| panic!("{name}: {e}"));
        let outputs = session
            .run(&ours, &mut NoObserver)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(outputs.len(), expected.len());
        for ((output, got), want) in outputs.iter().zip(&expected) {
            assert_eq!(
                got.shape(),
                &want.shape[..],
                "{name}, output {output}, {precision:?}"
            );
            assert_eq!(
                got.element().to_onnx(),
                want.dtype as i32,
                "{name}, output {output}"
            );
            let scale = want.max_magnitude().max(1.0);
            for (index, (got, want)) in got.to_f64().unwrap().iter().zip(&want.data).enumerate() {
                let is_same = got == want || (got.is_nan() && want.is_nan());
                let distance = (got - want).abs();
                assert!(
                    is_same || distance <= tolerance * scale,
                    "{name}, {precision:?}, output {output}[{index}]: {got} instead of {want}"
                );
            }
        }
    }
}

type Build = fn(&Graph) -> Value;

fn check_all(cases: &[(&str, Build)]) {
    for (name, build) in cases {
        check(name, &model(|g| build(g).output("y")));
    }
}
