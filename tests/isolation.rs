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

/// The processes that a process has started and that still run.
#[cfg(target_os = "linux")]
fn children(process: u32) -> Vec<u32> {
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // Behind the name in brackets: the state, then the parent.
        let mut rest = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let state = rest.next().unwrap_or("Z");
        state != "Z" && rest.next() == Some(process.to_string().as_str())
    };
    let processes = std::fs::read_dir("/proc").expect("the processes");
    let ids = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(is_child).collect()
}

#[cfg(target_os = "linux")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_ends_with_its_caller_however_that_one_is_ended() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), endless()).expect("it is writable");
    for signal in ["-KILL", "-INT", "-TERM"] {
        let mut caller = std::process::Command::new(env!("CARGO_BIN_EXE_bnfold"))
            .arg("verify")
            .args([file.path(), file.path()])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut workers = Vec::new();
        until("no worker was started", || {
            workers = children(caller.id());
            !workers.is_empty()
        });
        // Long enough for the worker to have its models, so that it runs them when the caller ends.
        std::thread::sleep(Duration::from_millis(300));
        let killed = std::process::Command::new("kill")
            .args([signal, &caller.id().to_string()])
            .status();
        assert!(killed.expect("kill runs").success());
        caller.wait().expect("the caller ends");
        until("the worker outlives its caller", || {
            let runs = |id: &u32| {
                let status = std::fs::read_to_string(format!("/proc/{id}/stat"));
                status.is_ok_and(|stat| !stat.contains(") Z "))
            };
            !workers.iter().any(runs)
        });
    }
}
