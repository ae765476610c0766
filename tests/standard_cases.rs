//! The reference executor computes what the ONNX standard's own node test cases expect.
//!
//! The cases are folders `test_*/model.onnx` with `test_data_set_*/input_*.pb` and `output_*.pb`;
//! the onnx Python package writes them with `onnx.backend.test.cmd_tools generate-data`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bnfold::onnx::proto::{ModelProto, TensorProto, type_proto};
use bnfold::testing::reference::{Round, run_with};
use bnfold::testing::{DataType, Tensor};
use prost::Message;

/// What became of one case.
enum Outcome {
    Passed,
    /// It needs what the executor does not serve: operator or element type.
    NotServed(String),
    Failed(String),
}

#[test]
#[expect(clippy::print_stderr, reason = "the counts are what one runs this for")]
fn reference_agrees_with_the_standards_own_cases() {
    let Some(folder) = std::env::var_os("ONNX_NODE_TESTS") else {
        eprintln!("skipped: ONNX_NODE_TESTS does not name the folder of node test cases");
        return;
    };
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("ONNX_NODE_TESTS names a folder")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.join("model.onnx").is_file())
        .collect();
    cases.sort();
    assert!(
        !cases.is_empty(),
        "ONNX_NODE_TESTS names a folder without cases"
    );
    let (mut passed, mut failed) = (0, Vec::new());
    let mut not_served: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        match outcome(case) {
            Outcome::Passed => passed += 1,
            Outcome::NotServed(what) => *not_served.entry(what).or_default() += 1,
            Outcome::Failed(why) => failed.push(format!("{}: {why}", case.display())),
        }
    }
    let others: usize = not_served.values().sum();
    eprintln!(
        "{passed} of {} cases passed, {} failed, {others} not served:",
        cases.len(),
        failed.len()
    );
    for (what, count) in not_served {
        eprintln!("{count:5} {what}");
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(passed > 800, "only {passed} cases ran");
}

fn outcome(case: &Path) -> Outcome {
    let bytes = fs::read(case.join("model.onnx")).expect("a readable model");
    let model = ModelProto::decode(&*bytes).expect("a decodable model");
    let sets = fs::read_dir(case).expect("a readable case");
    let sets = sets
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.is_dir());
    for set in sets {
        match compare(&model, &set) {
            Outcome::Passed => {}
            other => return other,
        }
    }
    Outcome::Passed
}

fn compare(model: &ModelProto, set: &Path) -> Outcome {
    let graph = model.graph.as_ref().expect("a graph");
    let mut inputs = Vec::new();
    for (number, input) in graph.input.iter().enumerate() {
        let path = set.join(format!("input_{number}.pb"));
        let value = input.r#type.as_ref().and_then(|ty| ty.value.as_ref());
        if !matches!(value, Some(type_proto::Value::TensorType(_))) {
            return Outcome::NotServed("input that is no tensor".into());
        }
        match tensor(&path) {
            Ok(Some(tensor)) => inputs.push((input.name(), tensor)),
            Ok(None) => {}
            Err(why) => return Outcome::NotServed(why),
        }
    }
    let values = match run_with(model, &inputs, Round::Storage) {
        Ok(values) => values,
        Err(error) => match error.rfind("not served") {
            Some(_) => {
                return Outcome::NotServed(
                    error.split(": ").last().unwrap_or("").to_string() + " " + &op(&error),
                );
            }
            None => return Outcome::Failed(error),
        },
    };
    for (number, output) in graph.output.iter().enumerate() {
        let expected = match tensor(&set.join(format!("output_{number}.pb"))) {
            Ok(Some(tensor)) => tensor,
            Ok(None) => continue,
            Err(why) => return Outcome::NotServed(why),
        };
        let found = &values[output.name()];
        if let Some(why) = disagreement(found, &expected) {
            return Outcome::Failed(format!("output `{}`: {why}", output.name()));
        }
    }
    Outcome::Passed
}

fn op(error: &str) -> String {
    let open = error.rfind(" (").map_or(0, |at| at + 2);
    error[open..]
        .split(')')
        .next()
        .unwrap_or_default()
        .to_string()
}

/// The tensor in a file; none if there is no file.
fn tensor(path: &Path) -> Result<Option<Tensor>, String> {
    let Ok(bytes) = fs::read(path) else {
        return Ok(None);
    };
    let proto =
        TensorProto::decode(&*bytes).map_err(|_| "an input that is no tensor".to_string())?;
    Tensor::from_proto(&proto).map(Some)
}

/// 1e-3 is the standard's own relative tolerance; the narrow types need more after several nodes.
fn disagreement(found: &Tensor, expected: &Tensor) -> Option<String> {
    if found.dtype != expected.dtype || found.shape != expected.shape {
        return Some(format!(
            "{:?} {:?} where {:?} {:?} is expected",
            found.dtype, found.shape, expected.dtype, expected.shape
        ));
    }
    let relative = match expected.dtype {
        DataType::Bfloat16 => 2e-2,
        DataType::Float16 => 2e-3,
        _ => 1e-3,
    };
    let close = |a: f64, b: f64| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 + relative * b.abs()
    };
    let mut pairs = found.data.iter().zip(&expected.data);
    let at = pairs.position(|(&a, &b)| !close(a, b))?;
    Some(format!(
        "element {at} is {} where {} is expected",
        found.data[at], expected.data[at]
    ))
}
