//! The figures of a comparison, as text and as JSON.

use std::process::Command;

use bnfold::testing::{Tensor, ToBytes, model};
use serde_json::Value;
use tempfile::TempDir;

/// What the program says, and its exit code.
fn run(directory: &TempDir, arguments: &[&str]) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_bnfold"))
        .current_dir(directory.path())
        .args(arguments)
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.code().expect("it ends by itself"))
}

fn desk(files: &[(&str, Vec<u8>)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).expect("a file");
    }
    directory
}

fn convolution() -> Vec<u8> {
    model(|g| g.input("x", "N,3,8,8").conv(4).batch_norm().output("y")).to_bytes()
}

#[test]
fn every_figure_of_every_run_is_in_the_json_report() {
    let desk = desk(&[("m.onnx", convolution())]);
    let call = [
        "m.onnx", "-o", "out.onnx", "--json", "r.json", "--k", "5", "--floor", "3",
    ];
    let (said, code) = run(&desk, &call);
    assert_eq!(code, 0, "{said}");
    let text = std::fs::read_to_string(desk.path().join("r.json")).expect("the report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let found = &report["verification"];
    assert_eq!(found["bound"]["kind"], "yardstick");
    assert_eq!(
        (&found["bound"]["k"], &found["bound"]["floor"]),
        (&5.0.into(), &3.0.into())
    );
    assert!(
        said.contains("at most 5 times the original's plus 3 roundings"),
        "{said}"
    );
    assert_eq!(found["dims"]["N"], 2);
    let output = &found["outputs"][0];
    assert_eq!(
        (&output["agrees"], &output["argmax_changes"]),
        (&true.into(), &0.into())
    );
    assert_eq!(output["elements"], 3 * 2 * 4 * 6 * 6);
    for run in ["original", "rewritten", "difference"] {
        let figure = |name: &str| output["figures"][run][name].as_f64().expect(name);
        for name in ["max_abs", "max_rel", "rms", "max_ulp"] {
            assert!(figure(name) > 0.0, "{run} {name}");
        }
        assert!(figure("rms") <= figure("max_abs"), "{run}");
        assert!((1.0 - figure("cosine")).abs() < 1e-9, "{run}");
    }
    let rounded = |run: &str| output["figures"][run]["max_abs"].as_f64();
    assert_eq!(rounded("original"), output["original_error"].as_f64());
    assert!(output["figures"]["rewrite"].is_null());
    let (json, _) = run(&desk, &["verify", "m.onnx", "out.onnx", "--json"]);
    let found: Value = serde_json::from_str(&json).expect("JSON");
    let figures = &found["outputs"][0]["figures"];
    let most = |run: &str| figures[run]["max_abs"].as_f64().expect(run);
    assert!(
        most("rewrite") > 0.0 && most("rewrite") < most("rewritten"),
        "{json}"
    );
}

#[test]
fn the_text_has_them_all_only_when_asked() {
    let desk = desk(&[("m.onnx", convolution())]);
    let (terse, _) = run(&desk, &["verify", "m.onnx", "m.onnx"]);
    let (full, _) = run(&desk, &["verify", "m.onnx", "m.onnx", "-v"]);
    for word in ["max rel", "RMS", "ULP", "cosine"] {
        assert!(!terse.contains(word), "{terse}");
        assert_eq!(full.matches(word).count(), 4, "{full}");
    }
}

#[test]
fn rows_with_another_largest_element_stand_apart() {
    let logits = |shift: f32| {
        model(|g| {
            let shift = g.initializer("shift", Tensor::floats(&[2], [0.0, shift]));
            g.input("x", [50, 2]).add(&shift).output("y")
        })
    };
    let desk = desk(&[
        ("a.onnx", logits(0.0).to_bytes()),
        ("b.onnx", logits(0.3).to_bytes()),
    ]);
    let call = ["verify", "a.onnx", "b.onnx", "--atol", "0.5"];
    let (said, code) = run(&desk, &call);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("another element is the largest in"), "{said}");
    let (json, _) = run(&desk, &[&call[..], &["--json"]].concat());
    let found: Value = serde_json::from_str(&json).expect("JSON");
    let changes = found["outputs"][0]["argmax_changes"]
        .as_u64()
        .expect("a count");
    assert!((1..150).contains(&changes), "{changes}");
    assert!(
        said.contains(&format!("in {changes} of 150 rows")),
        "{said}"
    );
}

#[test]
fn outputs_that_are_no_floats_are_equal_or_not() {
    let best = |op: &str| model(|g| g.input("x", [4, 9]).op(op).axis(1).output("y")).to_bytes();
    let desk = desk(&[("a.onnx", best("ArgMax")), ("b.onnx", best("ArgMin"))]);
    let (same, code) = run(&desk, &["verify", "a.onnx", "a.onnx"]);
    assert!(
        code == 0 && same.contains("y int64 [4, 1]: equal"),
        "{same}"
    );
    let (other, code) = run(&desk, &["verify", "a.onnx", "b.onnx"]);
    assert!(
        code == 1 && other.contains("y int64 [4, 1]: not equal"),
        "{other}"
    );
}

#[test]
fn a_plan_without_folds_says_that_nothing_was_run() {
    let plain = model(|g| g.input("x", [2, 3]).relu().output("y")).to_bytes();
    let desk = desk(&[("m.onnx", plain.clone())]);
    // A memory that no engine fits into is enough, because nothing is run.
    let call = [
        "m.onnx",
        "-o",
        "out.onnx",
        "--json",
        "r.json",
        "--max-memory",
        "1",
    ];
    let (said, code) = run(&desk, &call);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("nothing to fold: the output is the input, byte for byte"),
        "{said}"
    );
    assert_eq!(
        std::fs::read(desk.path().join("out.onnx")).expect("the output"),
        plain
    );
    let text = std::fs::read_to_string(desk.path().join("r.json")).expect("the report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["verification"]["verdict"], "unchanged");
}
