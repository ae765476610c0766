//! Verification in a process of its own, with limits on its time and memory.
//!
//! The caller's program is started once more as a worker, gets the two models and the options through its
//! standard input, and gives the verification back through its standard output. A crash, an abort, a run
//! that outlives or outgrows its limits ends in `Unknown`, never in the end of the caller.
//! A worker ends with its caller, however that one ends.
//! The memory limit is one of address space, and is kept on Unix systems only.

mod outcome;
mod wire;
mod worker;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

pub use worker::serve;

use super::options::VerifyOptions;
use super::verdict::Unknown;
use super::verification::Verification;
use crate::engine::ModelBytes;

/// What a worker may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time.
    pub timeout: Option<Duration>,
    /// Bytes of address space.
    pub memory: Option<u64>,
}

/// A program that calls [`serve`] when it is started with these arguments.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The program, as a rule the running one.
    pub program: PathBuf,
    /// What tells it to serve.
    pub arguments: Vec<OsString>,
    /// What it may take.
    pub limits: Limits,
}

/// What [`Worker::this_program`] is told to do.
const SERVE: &str = "--serve-one-verification";

impl Worker {
    /// The running program, which must call [`serve_if_asked`] first of all.
    ///
    /// # Errors
    /// If the system does not say where the program is.
    pub fn this_program(limits: Limits) -> std::io::Result<Worker> {
        let program = std::env::current_exe()?;
        Ok(Worker {
            program,
            arguments: vec![SERVE.into()],
            limits,
        })
    }
}

/// Serves if this program was started as a worker, and says how it should then end.
pub fn serve_if_asked() -> Option<ExitCode> {
    let is_asked = std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == SERVE);
    is_asked.then(|| match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Whoever asked may be gone.
            let _ = writeln!(std::io::stderr(), "{reason}");
            ExitCode::from(2)
        }
    })
}

/// Where a model comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A file, which the worker opens itself.
    File(&'a Path),
    /// Bytes, which are sent to the worker.
    Bytes(ModelBytes<'a>),
}

/// Like [`verify`](super::verify), in a process of its own.
pub fn verify_isolated(
    worker: &Worker,
    original: Source<'_>,
    rewritten: Source<'_>,
    options: &VerifyOptions,
) -> Verification {
    let outcome = run(worker, [original, rewritten], options);
    outcome.unwrap_or_else(|how| super::blank(options, Unknown::Ended { how }))
}

fn run(
    worker: &Worker,
    sources: [Source<'_>; 2],
    options: &VerifyOptions,
) -> Result<Verification, String> {
    let header = wire::header(sources, options, worker.limits.memory)?;
    let mut child = Command::new(&worker.program)
        .args(&worker.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("could not be started ({error})"))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err("could not be started (it has no pipes)".to_owned());
    };
    widen(&stdin);
    let words = thread::spawn(move || read_all(stderr));
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            // A worker that ends early closes the pipe; how it ended tells more than this error.
            let bytes = sources.iter().filter_map(|source| match source {
                Source::Bytes(model) => Some(model.bytes),
                Source::File(_) => None,
            });
            let sent = stdin.write_all(&header);
            let _ =
                sent.and_then(|()| bytes.into_iter().try_for_each(|part| stdin.write_all(part)));
            stdin
        });
        let (send, receive) = channel();
        scope.spawn(move || {
            let _ = send.send(wire::read_answer(stdout));
        });
        let answer = await_answer(&mut child, &receive, worker.limits.timeout);
        // Held open until now: a worker whose input closes takes its caller for dead.
        drop(sender.join());
        if let Some(verification) = wire::answer(answer.as_deref().unwrap_or_default()) {
            // What it still does is to give its memory back, which takes a while.
            let _ = child.kill();
            thread::spawn(move || child.wait());
            return Ok(verification);
        }
        let status = child
            .wait()
            .map_err(|error| format!("was lost ({error})"))?;
        let words = words.join().unwrap_or_default();
        answer.and(Err(outcome::describe(status, &words, worker.limits.memory)))
    })
}

/// Lets more bytes wait between the two processes: each time the pipe is full or empty, one waits for the other.
#[cfg(target_os = "linux")]
fn widen(pipe: &std::process::ChildStdin) {
    // What any user may ask for; without it, the pipe is only slower.
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
}

#[cfg(not(target_os = "linux"))]
fn widen(_: &std::process::ChildStdin) {}

/// The worker's answer; a worker that outlives its limit is ended.
fn await_answer(
    child: &mut Child,
    receive: &std::sync::mpsc::Receiver<Vec<u8>>,
    timeout: Option<Duration>,
) -> Result<Vec<u8>, String> {
    let Some(timeout) = timeout else {
        return receive.recv().map_err(|_| "closed its output".to_owned());
    };
    receive.recv_timeout(timeout).map_err(|error| {
        // A worker that has just ended by itself cannot be ended again.
        let _ = child.kill();
        match error {
            RecvTimeoutError::Timeout => format!("outlived its limit of {timeout:?}"),
            RecvTimeoutError::Disconnected => "closed its output".to_owned(),
        }
    })
}

fn read_all(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error still counts.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}
