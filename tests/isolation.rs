//! Verification in a process of its own: answers come back, and every bad end becomes a sentence.

use std::time::{Duration, Instant};

use bnfold::engine::ModelBytes;
use bnfold::testing::{DataType, Tensor, ToBytes, model};
use bnfold::verify::isolated::{Limits, Source, Worker, verify_isolated};
use bnfold::verify::{Unknown, Verdict, Verification, VerifyOptions, verify};

fn worker(limits: Limits) -> Worker {
    let mut worker = Worker::this_program(limits).expect("this program has a path");
    worker.program = env!("CARGO_BIN_EXE_bnfold").into();
    worker
}

fn isolated(bytes: &[u8], limits: Limits) -> Verification {
    let model = Source::Bytes(ModelBytes::new(bytes));
    verify_isolated(&worker(limits), model, model, &VerifyOptions::default())
}

fn end(found: &Verification) -> &str {
    match &found.verdict {
        Verdict::Unknown {
            reason: Unknown::Ended { how },
        } => how,
        other => panic!("{other:?}"),
    }
}

fn small() -> Vec<u8> {
    model(|g| {
        g.input("x", "N,3,8,8")
            .conv(4)
            .batch_norm()
            .relu()
            .output("y")
    })
    .to_bytes()
}

/// A Loop of so many iterations that it does not end.
fn endless() -> Vec<u8> {
    model(|g| {
        let x = g.input("x", [4]);
        let body = g.body(|b| {
            b.typed_input("i", DataType::Int64, []);
            b.typed_input("go", DataType::Bool, [])
                .identity()
                .output("on");
            b.input("state", [4]).sigmoid().output("next")
        });
        let trips = g.initializer("trips", Tensor::ints(&[], [i64::MAX]));
        let go = g.initializer("go_on", Tensor::bools(&[], [true]));
        g.op("Loop", &[&trips, &go, &x])
            .attr("body", body)
            .shape("4")
            .output("y")
    })
    .to_bytes()
}

/// A product whose result takes eight gibibytes.
fn greedy() -> Vec<u8> {
    model(|g| {
        let x = g.input("x", [1 << 15, 1]);
        x.matmul_by(g.input("z", [1, 1 << 15]))
            .reduce_mean([0])
            .output("y")
    })
    .to_bytes()
}

#[test]
fn the_answer_is_that_of_a_run_in_this_process() {
    let bytes = small();
    let limits = Limits {
        timeout: Some(Duration::from_secs(120)),
        memory: Some(8 << 30),
    };
    let mut found = isolated(&bytes, limits);
    let direct = verify(
        ModelBytes::new(&bytes),
        ModelBytes::new(&bytes),
        &VerifyOptions::default(),
    );
    assert_eq!(found.verdict, Verdict::Equivalent);
    found.timings = direct.timings;
    assert_eq!(found, direct);
}

#[test]
fn a_model_may_be_given_by_its_path() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), small()).expect("it is writable");
    let found = verify_isolated(
        &worker(Limits::default()),
        Source::File(file.path()),
        Source::File(file.path()),
        &VerifyOptions::default(),
    );
    assert_eq!(found.verdict, Verdict::Equivalent);
}

#[test]
fn a_run_that_outlives_its_limit_is_ended() {
    let started = Instant::now();
    let found = isolated(
        &endless(),
        Limits {
            timeout: Some(Duration::from_secs(2)),
            memory: None,
        },
    );
    assert!(
        end(&found).contains("outlived its limit of 2s"),
        "{found:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_outgrows_its_limit_is_unknown() {
    let found = isolated(
        &greedy(),
        Limits {
            timeout: None,
            memory: Some(2 << 30),
        },
    );
    assert!(
        end(&found).contains("outgrew its limit of 2147483648 bytes"),
        "{found:?}"
    );
}

#[test]
fn a_program_that_is_no_worker_gives_no_answer() {
    let model = small();
    let source = Source::Bytes(ModelBytes::new(&model));
    let mut missing = worker(Limits::default());
    missing.program = "/nowhere/at/all".into();
    let found = verify_isolated(&missing, source, source, &VerifyOptions::default());
    assert!(end(&found).contains("could not be started"), "{found:?}");
    let mut other = worker(Limits::default());
    other.arguments = vec!["--version".into()];
    let found = verify_isolated(&other, source, source, &VerifyOptions::default());
    assert!(end(&found).contains("without an answer"), "{found:?}");
}
