//! The second engine: ONNX Runtime, loaded from the library that its Python package carries.
//!
//! These tests need the library where `EngineChoice::OnnxRuntime` looks for it; where it is not, they say
//! so and end.

#![cfg(feature = "onnxruntime")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use bnfold::engine::{EngineChoice, EngineError, ModelBytes};
use bnfold::fold::fold;
use bnfold::onnx::Model;
use bnfold::onnx::proto::ModelProto;
use bnfold::plan::PlanOptions;
use bnfold::testing::builder::Value;
use bnfold::testing::random::{Options, random_model};
use bnfold::testing::{DataType, ToBytes, model};
use bnfold::verify::{Extent, Verdict, Verification, VerifyOptions, verify};
use prost::Message;

/// BatchNormalization in bnfold's kernel, then in ONNX Runtime's.
const FORMS: [(bool, &str); 2] = [
    (false, "BatchNormalization in bnfold's kernel"),
    (true, "whole models as they are"),
];

fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    fixtures.join(name).to_string_lossy().into_owned()
}

/// Whether the library is there; says so if not, and fails if it must be (`BNFOLD_NEEDS_ONNXRUNTIME`).
fn is_there() -> bool {
    match (EngineChoice::OnnxRuntime { batch_norm: false }).check() {
        Ok(()) => true,
        Err(error @ EngineError::NoLibrary { .. })
            if std::env::var_os("BNFOLD_NEEDS_ONNXRUNTIME").is_none() =>
        {
            // The harness holds back what macros print.
            let told = writeln!(std::io::stderr(), "SKIPPED, nothing was tested: {error}");
            told.expect("standard error takes it");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn options(batch_norm: bool) -> VerifyOptions {
    let mut options = VerifyOptions::default();
    options.engine = EngineChoice::OnnxRuntime { batch_norm };
    options
}

/// The rewritten model and the ends of its folds.
fn folded(original: &[u8]) -> (Vec<u8>, Vec<String>) {
    let original = Model::from_bytes(original.to_vec()).expect("the model reads");
    let reading = bnfold::graph::Reading {
        evaluate: Some(bnfold::engine::constant::evaluate),
        freeze_inputs: false,
        allow_precision_change: false,
    };
    let folded = fold(&original, reading, &PlanOptions::default()).expect("it folds");
    let rope = folded.applied.edits.to_rope().expect("the edits fit");
    let (bytes, _) = rope.to_vec(&original).expect("it renders");
    (bytes, folded.applied.ends)
}

fn compared(original: &[u8], rewritten: &[u8], options: &VerifyOptions) -> Verification {
    let models = [original, rewritten].map(ModelBytes::new);
    verify(models[0], models[1], options)
}

/// The original folded and compared with the result, as `bnfold MODEL` does it.
fn proved(original: &ModelProto, batch_norm: bool) -> Verification {
    let original = original.to_bytes();
    let (rewritten, ends) = folded(&original);
    let mut options = options(batch_norm);
    options.compare_values = ends;
    compared(&original, &rewritten, &options)
}

/// The model with its first long initializer 1 % too large.
fn corrupted(model: &[u8]) -> Vec<u8> {
    let mut model = ModelProto::decode(model).expect("prost reads it");
    let graph = model.graph.as_mut().expect("a graph");
    let is_long = |bytes: &Vec<u8>| bytes.len() >= 256;
    let mut weights = graph.initializer.iter_mut().filter(|w| w.data_type() == 1);
    let weight = weights.find_map(|w| w.raw_data.as_mut().filter(|bytes| is_long(bytes)));
    let (numbers, _) = weight.expect("a weight").as_chunks_mut::<4>();
    for number in numbers {
        *number = (f32::from_le_bytes(*number) * 1.01).to_le_bytes();
    }
    model.encode_to_vec()
}

#[test]
fn every_fixture_folds_and_is_equivalent_in_both_forms() {
    if !is_there() {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let report = directory.path().join("report.json");
    let (out, json) = (directory.path().join("out.onnx"), report.to_string_lossy());
    let names = std::fs::read_dir(fixture("")).expect("the fixtures");
    let names = names.map(|entry| entry.expect("an entry").file_name());
    let names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let mut n_compared = 0;
    for name in names.iter().filter(|name| name.ends_with(".onnx")) {
        for (batch_norm, how) in FORMS {
            let (model, out) = (fixture(name), out.to_string_lossy());
            let mut arguments = vec![&*model, "-o", &out, "--json", &json, "--samples", "1"];
            arguments.extend(["--engine", "onnxruntime"]);
            arguments.extend(batch_norm.then_some("--engine-batch-norm"));
            let mut command = Command::new(env!("CARGO_BIN_EXE_bnfold"));
            let output = command.args(arguments).output().expect("the program runs");
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{name}: {said}");
            let told = std::fs::read_to_string(&report).expect("a report");
            if said.contains("nothing to fold") {
                continue;
            }
            n_compared += 1;
            assert!(said.contains("\nequivalent: "), "{name}: {said}");
            let engine = format!("{how}; the float64 truth and the check of each fold: built-in");
            assert!(told.contains("ONNX Runtime 1."), "{name}: {told}");
            assert!(told.contains(&engine), "{name}: {told}");
            for excuse in ["ONNX Runtime does not run", "node by node"] {
                assert!(!told.contains(excuse), "{name}: {told}");
            }
        }
    }
    assert!(n_compared >= 30, "{n_compared}");
}

#[test]
fn a_corrupted_rewrite_is_different() {
    if !is_there() {
        return;
    }
    let original = std::fs::read(fixture("reid_bnneck.onnx")).expect("the fixture");
    let (rewritten, _) = folded(&original);
    for (batch_norm, _) in FORMS {
        let options = options(batch_norm);
        let found = compared(&original, &rewritten, &options);
        assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
        let found = compared(&original, &corrupted(&rewritten), &options);
        assert!(
            matches!(found.verdict, Verdict::Different { .. }),
            "{found:#?}"
        );
    }
}

fn foreign(x: &Value, domain: &str, op_type: &str) -> Value {
    x.op(op_type)
        .domain(domain)
        .shape([2, 8, 6, 6])
        .dtype(DataType::Float)
}

/// An operator of another domain between two folds.
fn around(domain: &str, op_type: &str) -> ModelProto {
    model(|g| {
        let x = g
            .input("x", [2, 4, 6, 6])
            .conv(8)
            .pads([1, 1, 1, 1])
            .batch_norm();
        foreign(&x, domain, op_type)
            .conv(6)
            .batch_norm()
            .output("y")
    })
}

#[test]
fn folds_around_an_operator_that_nobody_has_are_verified_one_by_one() {
    if !is_there() {
        return;
    }
    let original = around("org.custom", "Sharpen");
    for (batch_norm, _) in FORMS {
        let found = proved(&original, batch_norm);
        assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
        let Extent::Regional { cuts, unreached } = &found.extent else {
            panic!("{found:#?}")
        };
        assert!(cuts[0].contains("org.custom::Sharpen"), "{cuts:?}");
        assert_eq!((cuts.len(), unreached.len()), (1, 0));
    }
}

/// QuickGelu is ONNX Runtime's own: no float64 truth, so its float32 outputs alone must show the error.
#[test]
fn an_operator_that_only_onnx_runtime_has_runs_there() {
    if !is_there() {
        return;
    }
    let original = around("com.microsoft", "QuickGelu");
    for (batch_norm, _) in FORMS {
        let found = proved(&original, batch_norm);
        assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
        assert_eq!((&found.extent, found.outputs.len()), (&Extent::Full, 1));
        let original = original.to_bytes();
        let found = compared(&original, &corrupted(&original), &options(batch_norm));
        assert!(
            matches!(found.verdict, Verdict::Different { .. }),
            "{found:#?}"
        );
    }
}

#[test]
fn operators_that_draw_numbers_are_left_out() {
    if !is_there() {
        return;
    }
    let original = model(|g| {
        let x = g.input("x", [2, 4, 6, 6]).conv(8).batch_norm();
        let noise = x
            .op("RandomNormalLike")
            .shape([2, 8, 4, 4])
            .dtype(DataType::Float);
        x.add(noise).conv(6).batch_norm().output("y")
    });
    for (batch_norm, _) in FORMS {
        let found = proved(&original, batch_norm);
        assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
        assert!(
            matches!(found.extent, Extent::Regional { .. }),
            "{found:#?}"
        );
    }
}

#[test]
fn half_precision_models_are_equivalent() {
    if !is_there() {
        return;
    }
    for dtype in [DataType::Float16, DataType::Bfloat16] {
        let original = model(|g| {
            g.dtype(dtype);
            let x = g
                .input("x", [2, 4, 6, 6])
                .conv(8)
                .bias()
                .batch_norm()
                .relu();
            x.conv(6).batch_norm().output("y")
        });
        for (batch_norm, _) in FORMS {
            let found = proved(&original, batch_norm);
            assert_eq!(found.verdict, Verdict::Equivalent, "{dtype:?} {found:#?}");
        }
    }
}

/// ONNX Runtime has BatchNormalization from opset 7 on.
#[test]
fn batch_normalization_is_handed_over_only_where_that_is_asked_for() {
    if !is_there() {
        return;
    }
    let original = model(|g| {
        g.opset(6);
        g.input("x", [2, 4, 6, 6]).conv(6).batch_norm().output("y")
    });
    for (batch_norm, _) in FORMS {
        let found = proved(&original, batch_norm);
        assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
        let told = "ONNX Runtime does not run BatchNormalization (opset 6) on float32";
        let is_told = found.details.iter().any(|note| note.contains(told));
        assert_eq!(is_told, batch_norm, "{:?}", found.details);
    }
}

/// Nested graphs, functions, every element type and opset that the generator draws.
#[test]
fn random_models_are_never_different() {
    if !is_there() {
        return;
    }
    let mut n_equivalent = 0;
    let first = std::env::var("BNFOLD_RANDOM_FIRST")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let count = std::env::var("BNFOLD_RANDOM_MODELS")
        .ok()
        .and_then(|count| count.parse().ok());
    let (first, count): (u64, u64) = (first.unwrap_or(0), count.unwrap_or(12));
    for seed in first..first + count {
        let original = random_model(seed, &Options::default());
        for (batch_norm, _) in FORMS {
            let found = proved(&original, batch_norm);
            let is_different = matches!(found.verdict, Verdict::Different { .. });
            assert!(!is_different, "seed {seed}, {batch_norm}: {found:#?}");
            n_equivalent += u64::from(found.verdict == Verdict::Equivalent);
        }
    }
    assert!(2 * n_equivalent > count, "{n_equivalent} of {}", 2 * count);
}
