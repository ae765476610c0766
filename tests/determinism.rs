//! The same model, flags and seed give the same bytes and the same report, whatever the number of threads.
//!
//! Builds and processors are compared by `.ci/determinism`.

use std::path::Path;
use std::process::Command;

use bnfold::testing::ToBytes;
use bnfold::testing::random::{Options, random_model};
use serde_json::Value;

mod desk;
use desk::{Desk, code, fixtures, stderr};

const THREADS: [&str; 3] = ["1", "2", "8"];

/// What a run on that many threads writes: the model, and the report without its timings.
fn run(desk: &Desk, model: &Path, flags: &[&str], threads: &str) -> (Option<Vec<u8>>, Value) {
    for file in ["out.onnx", "report.json"] {
        _ = std::fs::remove_file(desk.path(file));
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_bnfold"));
    command.current_dir(desk.path("")).arg(model).args(flags);
    command.args(["-o", "out.onnx", "--json", "report.json"]);
    let output = command.env("RAYON_NUM_THREADS", threads).output();
    let output = output.expect("the program runs");
    let said = format!("{} on {threads}: {}", model.display(), stderr(&output));
    assert!(code(&output) < 2, "{said}");
    let report = std::fs::read(desk.path("report.json")).expect(&said);
    let mut report = serde_json::from_slice(&report).expect("the report is JSON");
    drop_timings(&mut report);
    (std::fs::read(desk.path("out.onnx")).ok(), report)
}

fn drop_timings(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("timings");
            fields.values_mut().for_each(drop_timings);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_timings),
        _ => {}
    }
}

fn same_on_all(model: &Path, flags: &[&str]) {
    let desk = Desk::new();
    let expected = run(&desk, model, flags, THREADS[0]);
    for threads in &THREADS[1..] {
        let found = run(&desk, model, flags, threads);
        assert_eq!(
            found.1,
            expected.1,
            "{} on {threads}: reports",
            model.display()
        );
        assert!(
            found.0 == expected.0,
            "{} on {threads}: models",
            model.display()
        );
    }
}

#[test]
fn fixtures_fold_to_the_same_bytes_on_one_two_and_eight_threads() {
    let entries = std::fs::read_dir(fixtures()).expect("the fixtures");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let models = files.filter(|file| file.extension().is_some_and(|ending| ending == "onnx"));
    let mut count = 0;
    for model in models {
        same_on_all(&model, &["--no-verify"]);
        same_on_all(
            &model,
            &[
                "--no-verify",
                "--reduce",
                "--compensate",
                "--merge-branches",
            ],
        );
        count += 1;
    }
    assert!(count >= 16, "{count} fixtures");
}

#[test]
fn verified_folds_give_the_same_report_on_one_two_and_eight_threads() {
    for name in ["reid_bnneck", "siamese", "tab_mlp__dynamo"] {
        let model = fixtures().join(format!("{name}.onnx"));
        same_on_all(&model, &["--seed", "3"]);
    }
    let desk = Desk::new();
    for seed in 0..8 {
        let model = random_model(seed, &Options::default());
        let path = desk.put("random.onnx", &model.to_bytes());
        same_on_all(&path, &["--seed", "3"]);
    }
}
