//! `bnfold check` as a CI job meets it: exit codes, policies, baselines, shards, reports.

use std::path::Path;

use bnfold::testing::{Tensor, ToBytes, model};
use serde_json::Value;

mod desk;
use desk::{Desk, code, stderr, stdout};

/// A model with a BN that folds.
fn foldable() -> Vec<u8> {
    model(|g| g.input("x", [1, 4, 5, 5]).conv(4).batch_norm().output("y")).to_bytes()
}

/// A model whose BN stays for good, with a scale of zero in channel 2.
fn dead() -> Vec<u8> {
    let built = model(|g| {
        let scale = g.initializer("scale", Tensor::floats(&[4], [1.0, 2.0, 0.0, 1.0]));
        let norm = g.input("x", [1, 4, 5, 5]).sigmoid().batch_norm();
        norm.with_input(1, &scale).sigmoid().output("y")
    });
    built.to_bytes()
}

/// A model without BN.
fn clean() -> Vec<u8> {
    model(|g| g.input("x", [1, 4, 5, 5]).conv(4).relu().output("y")).to_bytes()
}

fn zoo() -> Desk {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("zoo/deep")).expect("a directory");
    desk.put("zoo/clean.onnx", &clean());
    desk.put("zoo/dead.onnx", &dead());
    desk.put("zoo/deep/foldable.onnx", &foldable());
    desk
}

fn json(desk: &Desk, name: &str) -> Value {
    let text = std::fs::read_to_string(desk.path(name)).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_parameter_whose_data_are_cut_off_is_trouble_for_every_command() {
    let desk = Desk::new();
    let mut cut = model(|g| {
        let x = g.input("x", [1, 4, 5, 5]).sigmoid();
        x.batch_norm().sigmoid().output("y")
    });
    let graph = cut.graph.as_mut().expect("a graph");
    let mut tensors = graph.initializer.iter_mut();
    let shift = tensors.find(|tensor| tensor.name() == "bn_0.B").expect("B");
    shift.raw_data = Some(vec![0; 4]);
    shift.float_data.clear();
    desk.put("cut.onnx", &cut.to_bytes());
    let said = "node bn_0: tensor bn_0.B in cut.onnx: its data has 4 bytes, but dims [4] of FLOAT need 16; export the model again";
    let runs: [&[&str]; 3] = [
        &["check", "cut.onnx"],
        &["inspect", "cut.onnx"],
        &["cut.onnx", "-o", "out.onnx"],
    ];
    for arguments in runs {
        let run = desk.run(arguments);
        assert_eq!(code(&run), 2, "{}", stdout(&run));
        let text = stdout(&run) + &stderr(&run);
        assert!(text.contains(said), "{text}");
    }
    assert!(!desk.path("out.onnx").exists());
}

#[test]
fn clean_models_are_0_findings_1_and_trouble_2() {
    let desk = zoo();
    let clean = desk.run(&["check", "zoo/clean.onnx"]);
    assert_eq!(code(&clean), 0, "{}", stdout(&clean));
    assert_eq!(stdout(&clean), "1 model: 0 errors, 0 warnings, 0 notes\n");
    let found = desk.run(&["check", "zoo"]);
    assert_eq!(code(&found), 1, "{}", stdout(&found));
    let said = stdout(&found);
    let expected = "\
zoo/dead.onnx: note dead-channel at bn_0: the scale is zero in channel 2 of 4
zoo/deep/foldable.onnx: warning foldable at bn_0: it can be folded into conv_0
3 models: 0 errors, 1 warning, 1 note
";
    assert_eq!(said, expected);
    desk.put("zoo/broken.onnx", b"\x08");
    let trouble = desk.run(&["check", "zoo"]);
    assert_eq!(code(&trouble), 2);
    assert!(stdout(&trouble).contains("zoo/broken.onnx: trouble: "));
    assert!(stdout(&trouble).contains("; 1 could not be checked"));
    assert_eq!(desk.files(), ["zoo"], "nothing is written");
}

#[test]
fn files_directories_and_patterns_name_each_model_once() {
    let desk = zoo();
    let output = desk.run(&["check", "zoo", "zoo/**/f*.onnx", "zoo/clean.onnx"]);
    assert!(
        stdout(&output).contains("\n3 models:"),
        "{}",
        stdout(&output)
    );
    for nothing in ["zoo/*.pb", "nowhere/*.onnx"] {
        let output = desk.run(&["check", nothing]);
        assert_eq!(code(&output), 2);
        assert_eq!(
            stderr(&output),
            format!("bnfold: no file matches {nothing}\n")
        );
    }
    std::fs::create_dir(desk.path("empty")).expect("a directory");
    let output = desk.run(&["check", "empty"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("holds no .onnx file"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn patterns_may_climb_and_repeat_separators() {
    let desk = zoo();
    for (pattern, n_models) in [
        ("./zoo//*.onnx", 2),
        ("zoo/*/../dead.onnx", 1),
        ("**/*.onnx", 3),
        ("./**/deep/*", 1),
        ("zoo/[cd]*", 2),
    ] {
        let said = stdout(&desk.run(&["check", pattern, "--no-verify"]));
        let models = format!("{n_models} model");
        assert!(said.contains(&models), "{pattern}: {said}");
        assert!(!said.contains("./zoo"), "{pattern}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn directories_that_links_lead_back_to_are_looked_through_once() {
    use std::os::unix::fs::symlink;
    let desk = zoo();
    for (to, link) in [
        ("..", "zoo/a"),
        ("..", "zoo/deep/b"),
        (".", "zoo/deep/c"),
        ("../elsewhere", "zoo/linked"),
        ("linked", "zoo/again"),
    ] {
        symlink(to, desk.path(link)).expect("a link");
    }
    std::fs::create_dir(desk.path("elsewhere")).expect("a directory");
    desk.put("elsewhere/clean.onnx", &clean());
    for argument in ["zoo", "zoo/**/*.onnx"] {
        let output = desk.run(&["check", argument, "--report", "r.json"]);
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        let report = json(&desk, "r.json");
        let models = report["models"].as_array().expect("a list").iter();
        let paths: Vec<&Value> = models.map(|model| &model["path"]).collect();
        let expected = [
            "zoo/a/elsewhere/clean.onnx",
            "zoo/clean.onnx",
            "zoo/dead.onnx",
            "zoo/deep/foldable.onnx",
        ];
        assert_eq!(paths, expected, "{argument}");
    }
    let behind = desk.run(&["check", "zoo/l*/*.onnx"]);
    assert!(
        stdout(&behind).starts_with("1 model:"),
        "{}",
        stdout(&behind)
    );
}

#[cfg(unix)]
#[test]
fn models_of_every_name_are_checked() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let desk = zoo();
    let nameless = desk.path("zoo").join(OsStr::from_bytes(b"bad\xff.onnx"));
    std::fs::write(&nameless, foldable()).expect("a file");
    desk.put("zoo/UPPER.ONNX", &foldable());
    std::os::unix::fs::symlink("nowhere", desk.path("zoo/gone.onnx")).expect("a link");
    for argument in ["zoo", "zoo/*.[oO][nN][nN][xX]"] {
        let output = desk.run(&["check", argument]);
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        let said = stdout(&output);
        for line in [
            "zoo/bad\u{fffd}.onnx: warning foldable",
            "zoo/UPPER.ONNX: warning foldable",
            "zoo/gone.onnx: trouble: cannot read zoo/gone.onnx",
        ] {
            assert!(said.contains(line), "{argument}: {said}");
        }
    }
    let named = std::process::Command::new(env!("CARGO_BIN_EXE_bnfold"))
        .arg("check")
        .arg(&nameless)
        .output();
    let named = named.expect("the program runs");
    assert_eq!(code(&named), 1, "{}", stderr(&named));
}

#[test]
fn severities_come_from_flags_before_the_configuration() {
    let desk = zoo();
    let model = ["check", "zoo/dead.onnx"];
    assert_eq!(code(&desk.run(&model)), 0, "a note is no failure");
    let strict = [&model[..], &["--fail-on", "note"]].concat();
    assert_eq!(code(&desk.run(&strict)), 1);
    desk.put("bnfold.toml", b"[severity]\ndead-channel = \"error\"\n");
    assert_eq!(
        code(&desk.run(&model)),
        1,
        "found from the working directory up"
    );
    let off = [&model[..], &["--severity", "dead-channel=off"]].concat();
    assert_eq!(code(&desk.run(&off)), 0);
    desk.put("other.toml", b"fail-on = \"error\"\n");
    let other = [&model[..], &["--config", "other.toml"]].concat();
    assert_eq!(code(&desk.run(&other)), 0);
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let desk = zoo();
    for (text, part) in [
        (
            "[severity]\nfoldabel = \"off\"\n",
            "line 2: \"foldabel\" is no",
        ),
        ("[severity\n", "line 1: "),
        ("fail-on = \"never\"\n", "line 1: "),
        ("[bounds]\nscale = 0\n", "line 2: a bound"),
    ] {
        desk.put("bnfold.toml", text.as_bytes());
        let output = desk.run(&["check", "zoo/clean.onnx"]);
        assert_eq!(code(&output), 2, "{text}");
        let said = stderr(&output);
        assert!(
            said.contains("bnfold.toml, ") && said.contains(part),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let output = desk.run(&["check", "zoo/clean.onnx", "--config", "none.toml"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("none.toml"), "{}", stderr(&output));
}

#[test]
fn accepted_findings_count_for_nothing_and_new_ones_do() {
    let desk = zoo();
    let accept = desk.run(&["check", "zoo", "--write-baseline", "baseline.json"]);
    assert_eq!(code(&accept), 0, "{}", stdout(&accept));
    let again = desk.run(&["check", "zoo", "--baseline", "baseline.json"]);
    assert_eq!(code(&again), 0, "{}", stdout(&again));
    assert!(stdout(&again).contains("(2 more in the baseline)"));
    desk.put("zoo/new.onnx", &foldable());
    let new = desk.run(&["check", "zoo", "--baseline", "baseline.json"]);
    assert_eq!(code(&new), 1);
    assert!(stdout(&new).contains("zoo/new.onnx: warning foldable"));
    assert!(!stdout(&new).contains("zoo/deep"), "{}", stdout(&new));
    desk.put("baseline.json", b"[]");
    let broken = desk.run(&["check", "zoo", "--baseline", "baseline.json"]);
    assert_eq!(code(&broken), 2);
    assert!(
        stderr(&broken).contains("--write-baseline"),
        "{}",
        stderr(&broken)
    );
}

#[test]
fn two_shards_merge_into_what_one_check_gives() {
    let desk = zoo();
    for index in 0..6 {
        desk.put(&format!("zoo/copy_{index}.onnx"), &foldable());
    }
    let whole = desk.run(&["check", "zoo", "--jobs", "3", "--report", "whole.json"]);
    assert_eq!(code(&whole), 1);
    for index in ["1", "2"] {
        let (shard, report) = (format!("{index}/2"), format!("{index}.json"));
        desk.run(&["check", "zoo", "--shard", &shard, "--report", &report]);
    }
    let sizes = ["1.json", "2.json"].map(|name| {
        let report = json(&desk, name);
        report["models"].as_array().expect("models").len()
    });
    assert!(
        sizes[0] > 0 && sizes[1] > 0 && sizes[0] + sizes[1] == 9,
        "{sizes:?}"
    );
    let merge = [
        "report", "merge", "2.json", "1.json", "--report", "all.json",
    ];
    let merged = desk.run(&merge);
    assert_eq!(code(&merged), 1, "{}", stderr(&merged));
    assert_eq!(stdout(&merged), stdout(&whole));
    assert_eq!(json(&desk, "all.json"), json(&desk, "whole.json"));
    let twice = desk.run(&["report", "merge", "1.json", "1.json"]);
    assert_eq!(code(&twice), 2);
    assert!(stderr(&twice).contains("more than one report"));
    desk.put("x.json", b"{}");
    let other = desk.run(&["report", "merge", "x.json"]);
    assert_eq!(code(&other), 2);
    assert!(stderr(&other).contains("x.json is no report of bnfold check"));
}

#[test]
fn merged_reports_answer_as_their_checks_did() {
    let desk = zoo();
    let merge = ["report", "merge", "r.json"];
    for (configuration, model, expected) in [
        ("", "zoo/deep", 1),
        ("fail-on = \"error\"\n", "zoo/deep", 0),
        ("", "zoo/dead.onnx", 0),
        ("fail-on = \"note\"\n", "zoo/dead.onnx", 1),
    ] {
        desk.put("bnfold.toml", configuration.as_bytes());
        let check = desk.run(&["check", model, "--report", "r.json"]);
        // Where reports are merged, there need be no configuration.
        std::fs::remove_file(desk.path("bnfold.toml")).expect("a file");
        let merged = desk.run(&merge);
        let codes = (code(&check), code(&merged));
        assert_eq!(codes, (expected, expected), "{configuration}");
    }
    desk.run(&[
        "check",
        "zoo/dead.onnx",
        "--fail-on",
        "note",
        "--report",
        "r.json",
    ]);
    assert_eq!(code(&desk.run(&merge)), 1);
    let lax = [&merge[..], &["--fail-on", "error", "--report", "lax.json"]].concat();
    assert_eq!(code(&desk.run(&lax)), 0);
    assert_eq!(json(&desk, "lax.json")["fail_on"], "error");
}

#[cfg(unix)]
#[test]
fn reports_that_can_be_written_are_written() {
    let desk = zoo();
    std::os::unix::fs::symlink("/dev/full", desk.path("a.json")).expect("a link");
    let arguments = ["check", "zoo", "--report", "a.json", "--report", "b.json"];
    let output = desk.run(&arguments);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).starts_with("bnfold: cannot write a.json"),
        "{}",
        stderr(&output)
    );
    assert_eq!(json(&desk, "b.json")["schema"], "bnfold-audit/1");
    let unknown = desk.run(&["check", "zoo", "--report", "report.pdf"]);
    assert_eq!(code(&unknown), 2);
    assert!(stderr(&unknown).contains("report.pdf"));
}

#[test]
fn every_format_is_written_at_once() {
    let desk = zoo();
    desk.put("zoo/broken.onnx", b"\x08");
    let files = ["r.txt", "r.json", "r.sarif", "r.xml", "r.md"];
    let mut flags = vec!["check", "zoo", "--format", "github"];
    flags.extend(files.iter().flat_map(|file| ["--report", *file]));
    let output = desk.run(&flags);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let said = stdout(&output);
    assert!(
        said.starts_with("::error file=zoo/broken.onnx,title=trouble::"),
        "{said}"
    );
    assert!(
        said.contains("\n::warning file=zoo/deep/foldable.onnx,title=foldable at bn_0::it can be"),
        "{said}"
    );
    assert!(
        said.contains("\n::notice file=zoo/dead.onnx,title=dead-channel at bn_0::"),
        "{said}"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = std::fs::read_to_string(root.join("schema/audit.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let audit = json(&desk, "r.json");
    let result = jsonschema::validate(&schema, &audit);
    assert!(result.is_ok(), "{:?}", result.err());
    let results = &json(&desk, "r.sarif")["runs"][0]["results"];
    let rules: Vec<&Value> = results
        .as_array()
        .expect("a list")
        .iter()
        .map(|result| &result["ruleId"])
        .collect();
    assert_eq!(rules, ["dead-channel", "foldable"]);
    let text = |name: &str| std::fs::read_to_string(desk.path(name)).expect("a report");
    assert!(text("r.md").starts_with("## bnfold: trouble\n"));
    assert!(text("r.xml").starts_with("<?xml version=\"1.0\""));
    assert!(!text("r.txt").contains('\u{1b}'));
}

#[test]
fn a_shard_out_of_range_and_an_unknown_code_are_refused() {
    let desk = zoo();
    for (flags, part) in [
        (["--shard", "3/2"], "1 ≤ I ≤ N"),
        (["--severity", "fatal=error"], "no finding's code"),
        (["--severity", "foldable=fatal"], "no level"),
        (["--jobs", "0"], "--jobs"),
    ] {
        let output = desk.run(&[&["check", "zoo"][..], &flags].concat());
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}
