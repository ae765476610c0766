//! A run that is killed at any moment: the target is whole and old or whole and new, and the next run clears the rest.
//!
//! `BNFOLD_KILLS` says how many runs are killed, 30 unless given.

#![cfg(unix)]
#![expect(
    clippy::print_stdout,
    reason = "how many runs were killed is for its reader"
)]

mod desk;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bnfold::testing::{ToBytes, model};
use desk::{Desk, code, stderr};

fn kills() -> u32 {
    let wanted = std::env::var("BNFOLD_KILLS").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(30)
}

/// Some megabytes, so that writing takes a while.
fn net() -> Vec<u8> {
    model(|g| {
        let mut x = g.input("x", [1, 256, 4, 4]);
        for _ in 0..12 {
            x = x.conv(256).kernel([3, 3]).pads([1; 4]).batch_norm().relu();
        }
        x.output("y")
    })
    .to_bytes()
}

fn command(desk: &Desk) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bnfold"));
    command
        .current_dir(desk.path(""))
        .args(["in.onnx", "-o", "out.onnx", "--no-verify"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn left(desk: &Desk) -> Vec<String> {
    let files = desk.files();
    files
        .into_iter()
        .filter(|name| name.starts_with(".bnfold-"))
        .collect()
}

#[test]
fn a_run_that_is_killed_leaves_a_whole_target_and_what_the_next_run_removes() {
    let desk = Desk::new();
    let input = net();
    desk.put("in.onnx", &input);
    let started = Instant::now();
    assert!(command(&desk).status().expect("it runs").success());
    let whole = started.elapsed();
    let new = std::fs::read(desk.path("out.onnx")).expect("an output");
    let (mut n_killed, mut n_left) = (0, 0);
    for number in 0..kills() {
        let old: &[u8] = if number % 2 == 0 { b"old" } else { &new };
        desk.put("out.onnx", old);
        let mut child = command(&desk).spawn().expect("it runs");
        thread::sleep(whole * number / kills());
        child.kill().expect("it is killed or has ended");
        n_killed += u32::from(!child.wait().expect("it has ended").success());
        let found = std::fs::read(desk.path("out.onnx")).expect("the target stands");
        assert!(
            found == old || found == new,
            "kill {number}: {} bytes",
            found.len()
        );
        assert_eq!(
            std::fs::read(desk.path("in.onnx")).expect("the input"),
            input
        );
        let names = left(&desk);
        n_left += names.len();
        let again = desk.run(&["in.onnx", "-o", "out.onnx", "--no-verify"]);
        assert_eq!(code(&again), 0, "{}", stderr(&again));
        for name in names {
            assert!(stderr(&again).contains(&name), "{}", stderr(&again));
        }
        assert_eq!(left(&desk), Vec::<String>::new());
    }
    println!(
        "{n_killed} of {} runs killed, {n_left} temporary files left and removed",
        kills()
    );
    assert!(n_killed > 0);
}

#[test]
fn two_runs_on_one_target_both_leave_it_whole() {
    let desk = Desk::new();
    desk.put("in.onnx", &net());
    for round in 0..4u32 {
        let mut first = command(&desk).spawn().expect("it runs");
        thread::sleep(Duration::from_millis(u64::from(round) * 5));
        let mut second = command(&desk).spawn().expect("it runs");
        assert!(first.wait().expect("it ends").success());
        assert!(second.wait().expect("it ends").success());
        assert_eq!(left(&desk), Vec::<String>::new());
        let check = desk.run(&["verify", "in.onnx", "out.onnx"]);
        assert_eq!(code(&check), 0, "{}", stderr(&check));
    }
}
