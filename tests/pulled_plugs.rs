//! The program is ended at random moments, runs out of space and meets read-only places: the target stays whole.
//!
//! `BNFOLD_LONG=1` ends 400 runs, otherwise 40, half of them by SIGKILL; what a machine does not allow is skipped and said.

#![cfg(unix)]
#![expect(
    clippy::print_stdout,
    reason = "what was measured or skipped is for its reader"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared between test files")]
#[path = "files/models.rs"]
mod models;
#[expect(dead_code, reason = "shared between test files")]
#[path = "hostile/parts.rs"]
mod parts;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bnfold::onnx::Model;
use models::tensor;
use parts::plain;
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};

/// Bytes of the weight beside the folded one, so that writing takes a while.
const BALLAST: usize = 24 << 20;

fn big(value: f32) -> Vec<u8> {
    let mut message = plain();
    let graph = message.graph.as_mut().unwrap();
    let count = BALLAST / 4;
    graph
        .initializer
        .push(tensor("ballast", &[count as i64], &vec![value; count]));
    message.encode_to_vec()
}

/// The ballast's first element, if the target is there; it must be readable and its data its own.
fn held(target: &Path) -> Option<(usize, f64, f64)> {
    fs::symlink_metadata(target).ok()?;
    let model = Model::open(target).expect("the target is whole");
    let ballast = model
        .graph
        .initializers
        .iter()
        .find(|t| t.name == *"ballast");
    let elements = model.read_f64(ballast.unwrap()).unwrap();
    Some((
        model.graph.nodes.len(),
        elements[0],
        *elements.last().unwrap(),
    ))
}

fn fold(input: &Path, target: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bnfold"));
    command.arg(input).arg("-o").arg(target).args(arguments);
    command
        .args(["--no-verify", "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Runs to the end, and gives the exit code and what was said.
fn ended(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("it ends by itself"), said)
}

fn temporaries(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(".bnfold-")
    };
    paths.filter(is_ours).collect()
}

fn killed(mut command: Command, after: Duration, signal: Signal) -> ExitStatus {
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    // One that has ended by itself is not waited for yet, so its id is still its own.
    let _ = kill_process(Pid::from_child(&child), signal);
    child.wait().unwrap()
}

fn rounds() -> usize {
    match std::env::var_os("BNFOLD_LONG") {
        Some(_) => 400,
        None => 40,
    }
}

#[test]
fn a_run_that_is_killed_leaves_the_old_target_or_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("old.onnx"), big(1.0)).unwrap();
    fs::write(path("in.onnx"), big(2.0)).unwrap();
    let input = fs::read(path("in.onnx")).unwrap();
    let target = path("out.onnx");
    let flags = [["--external-data", "never"], ["--external-data", "always"]];
    // What stands before each kill, and how long a whole run takes that replaces it.
    let prepared = [0, 1].map(|which| {
        let inner = path(&format!("old{which}"));
        fs::create_dir(&inner).unwrap();
        let mut fold = fold(&path("old.onnx"), &inner.join("out.onnx"), &flags[which]);
        assert_eq!(ended(&mut fold).0, 0);
        let started = Instant::now();
        assert_eq!(ended(&mut fold).0, 0);
        (inner, started.elapsed())
    });
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let (mut n_old, mut n_new, mut n_left) = (0, 0, 0);
    for round in 0..rounds() {
        let (inner, duration) = &prepared[round % 2];
        for entry in fs::read_dir(inner).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
        }
        let signal = [Signal::KILL, Signal::KILL, Signal::TERM, Signal::INT][round / 2 % 4];
        let after = duration.mul_f64(random.random_range(0.0..1.1));
        killed(
            fold(&path("in.onnx"), &target, &flags[round % 2]),
            after,
            signal,
        );
        match held(&target) {
            Some((1, 1.0, 1.0)) => n_old += 1,
            Some((1, 2.0, 2.0)) => n_new += 1,
            other => panic!("round {round}: {other:?}"),
        }
        let left = temporaries(directory.path());
        if left.is_empty() {
            continue;
        }
        n_left += left.len();
        let (code, said) = ended(&mut fold(&path("in.onnx"), &target, &flags[round % 2]));
        assert_eq!(code, 0, "{said}");
        let told = "which a run that was ended had left";
        assert_eq!(said.matches(told).count(), left.len(), "{said}");
        assert_eq!(temporaries(directory.path()), Vec::<PathBuf>::new());
        assert_eq!(held(&target), Some((1, 2.0, 2.0)));
    }
    assert_eq!(fs::read(path("in.onnx")).unwrap(), input);
    println!(
        "{} runs ended: {n_old} old, {n_new} new, {n_left} temporary files left and swept",
        rounds()
    );
}

#[test]
fn two_runs_on_one_target_leave_one_of_them_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("a.onnx"), big(1.0)).unwrap();
    fs::write(path("b.onnx"), big(2.0)).unwrap();
    let target = path("out.onnx");
    for _ in 0..4 {
        let runs = ["a.onnx", "b.onnx"].map(|name| {
            let mut command = fold(&path(name), &target, &["--external-data", "always"]);
            command.spawn().unwrap()
        });
        for run in runs {
            assert!(run.wait_with_output().unwrap().status.success());
        }
        let held = held(&target);
        assert!(
            matches!(held, Some((1, 1.0, 1.0) | (1, 2.0, 2.0))),
            "{held:?}"
        );
        assert_eq!(temporaries(directory.path()), Vec::<PathBuf>::new());
    }
}

/// The program where every user may run it, in a directory in which nobody but root may write.
fn locked() -> (tempfile::TempDir, PathBuf) {
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let directory = tempfile::tempdir().unwrap();
    mode(directory.path(), 0o755);
    let program = directory.path().join("bnfold");
    fs::copy(env!("CARGO_BIN_EXE_bnfold"), &program).unwrap();
    mode(&program, 0o755);
    fs::create_dir(directory.path().join("locked")).unwrap();
    fs::write(directory.path().join("in.onnx"), plain().encode_to_vec()).unwrap();
    fs::write(directory.path().join("locked/out.onnx"), "old").unwrap();
    mode(&directory.path().join("in.onnx"), 0o644);
    mode(&directory.path().join("locked"), 0o555);
    (directory, program)
}

#[test]
fn a_directory_that_the_user_may_not_write_to_keeps_what_stands_there() {
    let (directory, program) = locked();
    let target = directory.path().join("locked/out.onnx");
    for external in ["never", "always"] {
        let mut command = Command::new(&program);
        if rustix::process::geteuid().is_root() {
            // Root may write everywhere.
            command.uid(65534).gid(65534);
        }
        command
            .arg(directory.path().join("in.onnx"))
            .arg("-o")
            .arg(&target);
        command.args(["--external-data", external, "--no-verify", "-q"]);
        let (code, said) = ended(&mut command);
        assert_eq!((code, said.lines().count()), (2, 1), "{said}");
        assert!(
            said.contains("choose a place that you may write to"),
            "{said}"
        );
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }
}

#[test]
fn whoever_has_the_old_target_open_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("in.onnx"), big(2.0)).unwrap();
    fs::write(path("out.onnx"), "old").unwrap();
    let open = fs::File::open(path("out.onnx")).unwrap();
    let mut command = fold(&path("in.onnx"), &path("out.onnx"), &[]);
    assert_eq!(ended(&mut command).0, 0);
    assert_eq!(std::io::read_to_string(open).unwrap(), "old");
    assert_eq!(held(&path("out.onnx")), Some((1, 2.0, 2.0)));
}

/// A file system of a few megabytes, unmounted at the end; none where the machine does not allow it.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Option<Small> {
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&at);
        let done = mount.stderr(Stdio::null()).status();
        if done.is_ok_and(|status| status.success()) {
            return Some(Small(at));
        }
        println!("skipped: this machine mounts no tmpfs for this user");
        None
    }

    fn read_only(&self) -> bool {
        let mut mount = Command::new("mount");
        let status = mount.args(["-o", "remount,ro"]).arg(&self.0).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A mount that cannot be undone goes with the machine.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_or_read_only_place_keeps_what_stands_there() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in.onnx");
    fs::write(&input, big(2.0)).unwrap();
    let Some(small) = Small::mount(directory.path().join("small")) else {
        return;
    };
    let target = small.0.join("out.onnx");
    fs::write(&target, "old").unwrap();
    for (external, advice) in [("never", "free some space"), ("always", "free some space")] {
        let (code, said) = ended(&mut fold(&input, &target, &["--external-data", external]));
        assert_eq!((code, said.lines().count()), (2, 1), "{said}");
        assert!(said.contains(advice), "{said}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        assert_eq!(temporaries(&small.0), Vec::<PathBuf>::new());
        assert_eq!(fs::read_dir(&small.0).unwrap().count(), 1);
    }
    assert!(small.read_only());
    let (code, said) = ended(&mut fold(&input, &target, &[]));
    assert_eq!((code, said.lines().count()), (2, 1), "{said}");
    assert!(
        said.contains("choose a place that you may write to"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
}
