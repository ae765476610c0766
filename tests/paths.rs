//! The files of a run: what it reads stands when it ends, and no result takes the place of another.

use std::collections::BTreeMap;

use bnfold::testing::{ToBytes, model};

mod desk;
use desk::{Desk, code, stderr, stdout};

/// A model with and one without a data file, sample data, and a configuration.
fn laid() -> Desk {
    let desk = Desk::new();
    let built = model(|g| g.input("x", "N,4,5,5").conv(4).batch_norm().output("y"));
    desk.put("m.onnx", &built.to_bytes());
    let split = [
        "m.onnx",
        "-o",
        "e.onnx",
        "--keep",
        "*",
        "--no-verify",
        "--external-data",
        "always",
        "--size-threshold",
        "0",
    ];
    let output = desk.run(&split);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(desk.path("e.onnx.data").is_file());
    std::fs::create_dir(desk.path("data")).expect("a directory");
    for name in ["x.npy", "data/x.npy"] {
        desk.put(name, &sample());
    }
    desk.put("bnfold.toml", b"fail-on = \"error\"\n");
    desk
}

/// Float32 [1, 4, 5, 5] as NumPy writes it.
fn sample() -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4, 5, 5), }\n";
    let length = (header.len() as u16).to_le_bytes();
    let body = (0..100u8).flat_map(|number| f32::from(number).to_le_bytes());
    let mut bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat();
    bytes.extend(body);
    bytes
}

/// Every file here with its bytes.
fn content(desk: &Desk) -> BTreeMap<String, Vec<u8>> {
    let names = desk.files().into_iter().chain(["data/x.npy".to_owned()]);
    let files = names.filter(|name| desk.path(name).is_file());
    files
        .map(|name| {
            let bytes = std::fs::read(desk.path(&name)).expect("a file");
            (name, bytes)
        })
        .collect()
}

/// Runs what is to be refused in one sentence, with all files as they were.
fn refused(desk: &Desk, line: &str, says: &str) {
    let before = content(desk);
    let output = desk.run(&line.split(' ').collect::<Vec<&str>>());
    let said = stderr(&output);
    assert_eq!(
        (code(&output), said.lines().count()),
        (2, 1),
        "{line}: {said}"
    );
    assert!(said.contains(says), "{line}: {said}");
    assert!(content(desk) == before, "{line} changed a file");
}

#[test]
fn what_a_run_reads_is_not_written_over() {
    let desk = laid();
    desk.put(
        "m.json",
        &std::fs::read(desk.path("m.onnx")).expect("the model"),
    );
    let accept = desk.run(&[
        "check",
        "m.onnx",
        "--no-verify",
        "--write-baseline",
        "b.json",
    ]);
    assert_eq!(code(&accept), 0, "{}", stderr(&accept));
    for (line, what) in [
        ("m.onnx -o o.onnx --json m.onnx", "the model that is read"),
        (
            "m.onnx -o o.onnx --json data/../m.onnx",
            "the model that is read",
        ),
        ("m.onnx --in-place --json m.onnx", "the model that is read"),
        ("m.json -o o.onnx --report m.json", "the model that is read"),
        (
            "e.onnx -o o.onnx --json e.onnx.data",
            "a data file of the model",
        ),
        ("m.onnx -o x.npy --inputs x.npy", "sample data"),
        ("m.onnx -o data/x.npy --inputs data", "sample data"),
        (
            "m.onnx -o o.onnx --input x=x.npy --json x.npy",
            "sample data",
        ),
        ("m.onnx -o bnfold.toml --report r.html", "the configuration"),
        (
            "calibrate m.onnx --all --data x.npy -o x.npy",
            "sample data",
        ),
        (
            "calibrate m.onnx --all --data data -o o.onnx --json m.onnx",
            "the model",
        ),
        (
            "check m.onnx --write-baseline m.onnx",
            "a model that is read",
        ),
        (
            "check . --write-baseline e.onnx.data",
            "a data file of a model",
        ),
        (
            "check m.onnx --shard 1/9 --report m.json --config m.json",
            "the configuration",
        ),
        (
            "check m.onnx --report b.json --baseline b.json",
            "the baseline",
        ),
        (
            "report merge b.json --report b.json",
            "a report that is read",
        ),
    ] {
        refused(&desk, line, &format!(" would replace {what}"));
    }
    refused(&desk, "m.onnx -o m.onnx", "it is the model that is read");
    refused(&desk, "e.onnx -o e.onnx.data", "the model's own data file");
}

#[test]
fn no_two_results_go_to_one_file() {
    let desk = laid();
    for line in [
        "m.onnx -o o.onnx --json o.onnx",
        "m.onnx -o o.onnx --json ./o.onnx",
        "m.onnx -o o.json --report o.json",
        "m.onnx -o o.onnx --json o.onnx.data --external-data always",
        "e.onnx -o data/o.onnx --keep * --json data/e.onnx.data",
        "m.onnx --in-place --json m.onnx.data",
        "m.onnx -o o.onnx --report r.md --report r.md",
        "check m.onnx --report b.json --write-baseline b.json",
    ] {
        refused(&desk, line, " would replace ");
    }
    let line = "m.onnx -o o.onnx --json o.onnx.data";
    refused(
        &desk,
        line,
        "bnfold: o.onnx.data is not written: the result's data file",
    );
    // Without a data file the name is free.
    let line = [line, "--external-data never"].join(" ");
    let output = desk.run(&line.split(' ').collect::<Vec<&str>>());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn links_lead_to_what_they_stand_for() {
    let desk = laid();
    for (to, link) in [("m.onnx", "link.json"), ("o.onnx", "later.json")] {
        std::os::unix::fs::symlink(to, desk.path(link)).expect("a link");
    }
    refused(
        &desk,
        "m.onnx -o o.onnx --json link.json",
        "the model that is read",
    );
    refused(&desk, "m.onnx -o o.onnx --json later.json", "the result");
    let output = desk.run(&["m.onnx", "-o", "/dev/null", "--json", "/dev/null"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn what_may_be_replaced_is() {
    let desk = laid();
    for line in [
        "m.onnx -o o.onnx --json r.json",
        "m.onnx -o o.onnx --json r.json",
        "e.onnx --in-place --external-data always --size-threshold 0",
        "check m.onnx --write-baseline b.json",
        "check m.onnx --baseline b.json --write-baseline b.json --report c.json",
        "check . --baseline b.json --report c.json",
    ] {
        let output = desk.run(&line.split(' ').collect::<Vec<&str>>());
        assert_eq!(code(&output), 0, "{line}: {}", stderr(&output));
    }
}

#[test]
fn what_has_no_directory_is_refused_before_the_work() {
    let desk = laid();
    for line in [
        "m.onnx -o o.onnx --report no/r.html",
        "m.onnx -o o.onnx --json no/r.json",
        "m.onnx -o no/dir/o.onnx",
        "m.onnx -o no/dir/o.onnx --external-data always",
        "calibrate m.onnx --all --data x.npy -o no/o.onnx --external-data always",
        "check m.onnx --report no/r.md",
        "check m.onnx --write-baseline no/b.json",
        "report merge bnfold.toml --report no/r.md",
    ] {
        refused(&desk, line, " is no directory; create it first");
    }
    std::fs::create_dir(desk.path("r.json")).expect("a directory");
    for line in [
        "m.onnx -o o.onnx --report r.json",
        "m.onnx -o data",
        "check m.onnx --write-baseline data",
    ] {
        refused(
            &desk,
            line,
            "it is a directory; give the name of a file in it",
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_printed_is_told_of() {
    let desk = laid();
    let full = std::fs::File::options().write(true).open("/dev/full");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bnfold"))
        .current_dir(desk.path(""))
        .args(["m.onnx", "-o", "o.onnx"])
        .stdout(full.expect("the device"))
        .output();
    let output = output.expect("the program runs");
    assert_eq!(code(&output), 2);
    let said = stderr(&output);
    assert!(
        said.contains("cannot print the report to standard output"),
        "{said}"
    );
    assert!(desk.path("o.onnx").is_file());
}

#[cfg(unix)]
fn pipe(desk: &Desk, name: &str) {
    let made = std::process::Command::new("mkfifo")
        .arg(desk.path(name))
        .status();
    assert!(made.expect("mkfifo runs").success());
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_that_are_come_across_are_refused_in_words() {
    let desk = laid();
    for line in [
        "/dev/zero -o o.onnx",
        "inspect /dev/zero",
        "calibrate /dev/zero --all --data data -o o.onnx",
        "verify m.onnx /dev/zero",
    ] {
        refused(&desk, line, "cannot read /dev/zero: it is a device");
    }
    pipe(&desk, "data/y.npy");
    std::os::unix::fs::symlink("/dev/zero", desk.path("z.npy")).expect("a link");
    for line in [
        "calibrate m.onnx --all --data data -o o.onnx",
        "m.onnx -o o.onnx --inputs data/y.npy",
        "m.onnx -o o.onnx --inputs z.npy",
    ] {
        refused(&desk, line, "it is no regular file; save the data to one");
    }
    pipe(&desk, "data/p.onnx");
    let output = desk.run(&["check", "."]);
    assert_eq!(code(&output), 2);
    let said = stdout(&output);
    let line = "data/p.onnx: trouble: data/p.onnx is no regular file; name it itself";
    assert!(said.contains(line) && said.contains("3 models:"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_pipe_that_is_named_gives_a_model_once() {
    let desk = laid();
    pipe(&desk, "p.onnx");
    let bytes = std::fs::read(desk.path("m.onnx")).expect("the model");
    for line in [
        "p.onnx -o o.onnx",
        "check p.onnx --report r.md",
        "inspect p.onnx",
        "inspect p.onnx --batch-sizes 1,2",
        "verify p.onnx m.onnx",
    ] {
        let output = std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(desk.path("p.onnx"), &bytes).expect("a reader"));
            desk.run(&line.split(' ').collect::<Vec<&str>>())
        });
        assert_eq!(
            code(&output),
            0,
            "{line}: {}{}",
            stdout(&output),
            stderr(&output)
        );
    }
}
