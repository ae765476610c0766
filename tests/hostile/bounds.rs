//! Runs the program on a file within bounds of time and memory, and judges how it ends.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a run of the program may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) seconds: u64,
    pub(crate) mebibytes: u64,
}

/// Enough for a debug build of the program with nothing to do, on a busy machine.
pub(crate) const SMALL: Bounds = Bounds {
    seconds: 60,
    mebibytes: 2048,
};

/// How a run ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: i32,
    pub(crate) said: String,
    pub(crate) seconds: f64,
    pub(crate) peak_mebibytes: u64,
}

/// Runs the program in a directory, within bounds.
pub(crate) fn run(directory: &Path, arguments: &[&str], bounds: Bounds) -> End {
    within(bounds, env!("CARGO_BIN_EXE_bnfold").as_ref(), |command| {
        command.args(arguments).current_dir(directory)
    })
}

/// Runs a program under a limit of address space, and ends it when its time is over.
pub(crate) fn within(
    bounds: Bounds,
    program: &Path,
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> End {
    let limited = format!("ulimit -v {}; exec \"$0\" \"$@\"", bounds.mebibytes << 10);
    let started = Instant::now();
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-c", &limited])
        .arg(program)
        .env("RAYON_NUM_THREADS", "2")
        .stdout(Stdio::null())
        .stderr(said.reopen().unwrap());
    let command = prepare(&mut command);
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(high_water(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > Duration::from_secs(bounds.seconds) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} takes more than {} seconds", bounds.seconds);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = std::fs::read_to_string(said.path()).unwrap();
    End {
        code: status
            .code()
            .unwrap_or_else(|| panic!("{command:?}: {status}: {said}")),
        said,
        seconds: started.elapsed().as_secs_f64(),
        peak_mebibytes: peak >> 10,
    }
}

/// The most memory that a process has held, in kB, as far as the system says.
fn high_water(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
    peak.unwrap_or(0)
}

/// One clear sentence with exit code 2, or an answer; never a defect, and nothing that is not whole.
pub(crate) fn is_well(end: &End, what: &str) {
    assert!((0..=2).contains(&end.code), "{what}: {end:?}");
    let n_lines = end.said.trim_end().lines().count();
    assert!(n_lines <= 1, "{what}: {end:?}");
    for bad in ["defect", "panicked", "overflowed its stack", "crashed"] {
        assert!(!end.said.contains(bad), "{what}: {end:?}");
    }
}

/// Folds, folds without a proof, checks and inspects a model, all of which must end well; gives the end of the first.
pub(crate) fn all_commands(what: &str, model: &[u8], bounds: Bounds) -> End {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.onnx"), model).unwrap();
    let mut ends = Vec::new();
    for arguments in [
        &["m.onnx", "-o", "o.onnx", "-q"][..],
        &["m.onnx", "-o", "n.onnx", "-q", "--no-verify"],
        &["check", "m.onnx", "--no-verify"],
        &["inspect", "m.onnx"],
        &["verify", "m.onnx", "m.onnx"],
    ] {
        let end = run(directory.path(), arguments, bounds);
        is_well(&end, &format!("{what} {arguments:?}"));
        ends.push(end);
    }
    for (end, output) in ends.iter().zip(["o.onnx", "n.onnx"]) {
        let output = directory.path().join(output);
        assert_eq!(output.exists(), end.code == 0, "{what}: {end:?}");
        if end.code == 0 {
            bnfold::onnx::Model::open(&output).unwrap();
        }
    }
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(names.len() <= 3, "{what}: {names:?}");
    ends.swap_remove(0)
}
