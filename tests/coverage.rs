//! How much of the standard the engine runs: its own node cases, and its light models with random weights.
//!
//! The cases are folders `test_*/model.onnx` with `test_data_set_*/input_*.pb` and `output_*.pb`.
//! The light models are `light_*.onnx` of the onnx Python package (`onnx/backend/test/data/light`); their
//! weights are constants that prove nothing, so each is replaced by random numbers that suit its reader.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bnfold::engine::{
    BuiltIn, Engine, EngineError, ModelBytes, NoObserver, Precision, Tensor as Value, decode_tensor,
};
use bnfold::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use bnfold::onnx::proto::{
    GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use bnfold::testing::{Storage, Tensor};
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// The folders or files in the folder that an environment variable names.
fn entries(variable: &str) -> Option<Vec<PathBuf>> {
    let folder = std::env::var_os(variable)?;
    let listed = fs::read_dir(&folder).expect("the variable names a folder");
    let mut paths: Vec<PathBuf> = listed
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    Some(paths)
}

/// A case that expects the integer next to a half, where a scale that was not rounded gives the other one.
const ROUNDED_TWICE: &str = "test_dynamicquantizelinear_expanded";

/// Cases whose outputs are random, so that two right runs differ.
fn is_random(case: &Path) -> bool {
    let name = case.file_name().unwrap_or_default().to_string_lossy();
    ["bernoulli", "training_dropout", "dropout_default_mask"]
        .iter()
        .any(|word| name.contains(word))
        && !name.contains("zero_ratio")
}

#[test]
#[expect(clippy::print_stderr, reason = "the counts are what one runs this for")]
fn the_engine_agrees_with_the_standards_own_cases_in_both_precisions() {
    let Some(cases) = entries("ONNX_NODE_TESTS") else {
        eprintln!("skipped: ONNX_NODE_TESTS does not name the folder of node test cases");
        return;
    };
    let is_case = |path: &&PathBuf| path.join("model.onnx").is_file() && !is_random(path);
    let cases: Vec<&PathBuf> = cases.iter().filter(is_case).collect();
    for precision in [Precision::Declared, Precision::Double] {
        let (mut passed, mut failed) = (0, Vec::new());
        let mut lacking: BTreeMap<String, usize> = BTreeMap::new();
        for case in &cases {
            if precision == Precision::Double && case.ends_with(ROUNDED_TWICE) {
                continue;
            }
            match outcome(case, precision) {
                Ok(()) => passed += 1,
                Err(Miss::Lacking(what)) => *lacking.entry(what).or_default() += 1,
                Err(Miss::Wrong(why)) => failed.push(format!("{}: {why}", case.display())),
            }
        }
        let count = cases.len();
        eprintln!(
            "{precision:?}: {passed} of {count} cases passed, {} failed",
            failed.len()
        );
        for (what, count) in lacking {
            eprintln!("{count:5} {what}");
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        assert!(2 * passed > count, "only {passed} cases ran");
    }
}

enum Miss {
    Lacking(String),
    Wrong(String),
}

impl From<EngineError> for Miss {
    fn from(error: EngineError) -> Miss {
        match error {
            EngineError::UnsupportedOperator { operator, .. } => Miss::Lacking(operator),
            EngineError::Node {
                operator, reason, ..
            } if reason.contains("engine lacks") => Miss::Lacking(format!("{operator}: {reason}")),
            EngineError::Tensor { .. } | EngineError::Decode { .. } => {
                Miss::Lacking(error.to_string())
            }
            // An optional that is empty has no file.
            EngineError::Input { reason, .. } if reason.contains("no value") => {
                Miss::Lacking("inputs that are no tensors".to_owned())
            }
            other => Miss::Wrong(other.to_string()),
        }
    }
}

fn outcome(case: &Path, precision: Precision) -> Result<(), Miss> {
    let bytes = fs::read(case.join("model.onnx")).expect("a readable model");
    let mut session = BuiltIn::default().load(ModelBytes::new(&bytes), precision)?;
    let signature = session.signature().clone();
    let sets = fs::read_dir(case).expect("a readable case").flatten();
    for set in sets.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let mut inputs = Vec::new();
        for (index, port) in signature.inputs.iter().enumerate() {
            if let Some(value) = tensor(&set.join(format!("input_{index}.pb")))? {
                inputs.push((port.name.clone(), value));
            }
        }
        let outputs = session.run(&inputs, &mut NoObserver)?;
        for (index, (name, found)) in outputs.iter().enumerate() {
            if let Some(expected) = tensor(&set.join(format!("output_{index}.pb")))?
                && let Some(why) = disagreement(found, &expected)
            {
                return Err(Miss::Wrong(format!("output {name}: {why}")));
            }
        }
    }
    Ok(())
}

/// The tensor in a file; none if there is no file.
fn tensor(path: &Path) -> Result<Option<Value>, Miss> {
    let Ok(bytes) = fs::read(path) else {
        return Ok(None);
    };
    match decode_tensor(&bytes) {
        Ok((_, value)) => Ok(Some(value)),
        Err(error) => Err(Miss::Lacking(error.to_string())),
    }
}

/// 1e-3 is the standard's own relative tolerance; the narrow types need more after several nodes.
fn disagreement(found: &Value, expected: &Value) -> Option<String> {
    let describe = |value: &Value| format!("{}{:?}", value.element(), value.shape());
    if describe(found) != describe(expected) {
        let (found, expected) = (describe(found), describe(expected));
        return Some(format!("{found} where {expected} is expected"));
    }
    let (Some(found), Some(wanted)) = (found.to_f64(), expected.to_f64()) else {
        return (found.data() != expected.data()).then(|| "other strings".to_owned());
    };
    let (relative, absolute) = match expected.element().unit_roundoff() {
        Some(roundoff) => ((4.0 * roundoff).max(1e-3), (2.0 * roundoff).max(1e-6)),
        None => (0.0, 0.0),
    };
    // A transform's zeros are sums of numbers as large as the others.
    let largest = wanted
        .iter()
        .filter(|x| x.is_finite())
        .fold(1.0, |m: f64, x| m.max(x.abs()));
    let absolute = absolute * largest;
    let close = |a: f64, b: f64| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= absolute + relative * b.abs()
    };
    let at = found
        .iter()
        .zip(&wanted)
        .position(|(&a, &b)| !close(a, b))?;
    Some(format!(
        "element {at} is {} where {} is expected",
        found[at], wanted[at]
    ))
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "the figures are what one runs this for"
)]
fn light_models_with_random_weights_fold_and_are_equivalent() {
    let Some(paths) = entries("ONNX_LIGHT_MODELS") else {
        eprintln!("skipped: ONNX_LIGHT_MODELS does not name the folder of light models");
        return;
    };
    let desk = tempfile::tempdir().expect("a temporary directory");
    let mut n_models = 0;
    for path in paths
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "onnx"))
    {
        let bytes = fs::read(path).expect("a readable model");
        let mut model = ModelProto::decode(&*bytes).expect("a decodable model");
        randomise(model.graph.as_mut().expect("a graph"));
        let [input, output, report] =
            ["in.onnx", "out.onnx", "report.json"].map(|n| desk.path().join(n));
        fs::write(&input, model.encode_to_vec()).expect("it is writable");
        let run = Command::new(env!("CARGO_BIN_EXE_bnfold"))
            .args([
                &input,
                Path::new("-o"),
                &output,
                Path::new("--json"),
                &report,
            ])
            .args(["--samples", "1"])
            .output()
            .expect("the program runs");
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let said = String::from_utf8_lossy(&run.stdout);
        assert_eq!(run.status.code(), Some(0), "{name}: {said}");
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON");
        let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
        let n_norms = list("batch_norms").len();
        let is_folded = |node: &&serde_json::Value| !node["fold"].is_null();
        let n_folded = list("batch_norms").iter().filter(is_folded).count();
        eprintln!(
            "{name}: {n_folded} of {n_norms} folded, {}",
            said.lines().last().unwrap_or_default()
        );
        let stay = if name == "light_densenet121" { 62 } else { 0 };
        assert_eq!(n_norms - n_folded, stay, "{name}");
        if n_norms > 0 {
            let verification = &report["verification"];
            assert_eq!(verification["verdict"], "equivalent", "{name}");
            assert_eq!(verification["left_out"], serde_json::json!([]), "{name}");
            assert!(
                verification["outputs"][0]["original_error"].is_number(),
                "{name}"
            );
        }
        n_models += 1;
    }
    assert!(
        n_models > 0,
        "ONNX_LIGHT_MODELS names a folder without models"
    );
}

/// Puts random initializers in the place of the nodes that fill weights with one constant.
fn randomise(graph: &mut GraphProto) {
    let (fills, nodes): (Vec<NodeProto>, Vec<NodeProto>) = std::mem::take(&mut graph.node)
        .into_iter()
        .partition(|node| ["ConstantOfShape", "ConstantFill"].contains(&node.op_type()));
    for fill in &fills {
        let place = graph
            .initializer
            .iter()
            .position(|t| t.name() == fill.input[0]);
        let extents = graph.initializer.remove(place.expect("a stored shape"));
        graph.input.retain(|input| input.name() != fill.input[0]);
        let extents = Tensor::from_proto(&extents).expect("a readable shape");
        let shape: Vec<usize> = extents.data.iter().map(|&extent| extent as usize).collect();
        let name = &fill.output[0];
        let values = numbers(name, &shape, reader(&nodes, name));
        let tensor = Tensor::floats(&shape, values);
        graph.initializer.push(tensor.to_proto(name, Storage::Raw));
        graph.input.push(listed(name, &extents));
    }
    graph.node = nodes;
}

/// An initializer as the graph input that it has to be below IR version 4.
fn listed(name: &str, extents: &Tensor) -> ValueInfoProto {
    let extent = |&extent: &f64| Dimension {
        value: Some(dimension::Value::DimValue(extent as i64)),
        ..Dimension::default()
    };
    let shape = TensorShapeProto {
        dim: extents.data.iter().map(extent).collect(),
    };
    let tensor = type_proto::Tensor {
        elem_type: Some(1),
        shape: Some(shape),
    };
    let kind = TypeProto {
        value: Some(type_proto::Value::TensorType(tensor)),
        ..TypeProto::default()
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(kind),
        ..ValueInfoProto::default()
    }
}

/// The operator that reads a weight, behind any Unsqueeze, and which of its inputs that is.
fn reader<'n>(nodes: &'n [NodeProto], name: &str) -> (&'n str, usize) {
    let reads = |node: &NodeProto| node.input.iter().position(|input| input == name);
    let found = nodes.iter().find_map(|node| Some((node, reads(node)?)));
    match found {
        Some((node, _)) if node.op_type() == "Unsqueeze" => reader(nodes, &node.output[0]),
        Some((node, index)) => (node.op_type(), index),
        None => ("", 0),
    }
}

/// Weights that keep a value's magnitude behind a Relu, factors around one, small shifts.
fn numbers(name: &str, shape: &[usize], reader: (&str, usize)) -> Vec<f32> {
    let mut seed = [0; 32];
    for (at, byte) in name.bytes().enumerate() {
        seed[at % 32] ^= byte.rotate_left(at as u32 / 32);
    }
    let mut random = ChaCha8Rng::from_seed(seed);
    let count = shape.iter().product();
    let fan_in = match reader {
        ("Gemm", 1) => shape[1],
        _ => shape.iter().skip(1).product::<usize>().max(1),
    };
    let deviation = (2.0 / fan_in as f32).sqrt();
    let mut draw = || match reader {
        // Sums of many branches grow, and a softmax that they drive to its ends shows nothing.
        ("BatchNormalization", 1) => random.random_range(0.3..0.7),
        ("BatchNormalization", 4) => random.random_range(0.8..1.2),
        ("Mul", _) => random.random_range(-1.5..1.5f32),
        ("Conv" | "Gemm", 1) => deviation * random.sample::<f32, _>(StandardNormal),
        _ => 0.1 * random.sample::<f32, _>(StandardNormal),
    };
    (0..count).map(|_| draw()).collect()
}
