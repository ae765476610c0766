//! The program as people meet it: exit codes, messages, files.

use std::path::Path;

use bnfold::explain::{Page, findings, refusals};
use bnfold::onnx::proto::{ModelProto, StringStringEntryProto};
use bnfold::testing::{DataType, Tensor, ToBytes, model};
use prost::Message;

mod desk;
use desk::{Desk, code, fixtures, stderr, stdout};

fn batch_norms(path: &Path) -> usize {
    let bytes = std::fs::read(path).expect("the output");
    let model = ModelProto::decode(&*bytes).expect("prost reads the output");
    let graph = model.graph.expect("a graph");
    graph
        .node
        .iter()
        .filter(|node| node.op_type() == "BatchNormalization")
        .count()
}

/// BN nodes left of each fixture; a better figure is welcome, a worse one is not.
const LEFT: [(&str, usize); 16] = [
    ("conv_pool_bn", 0),
    ("crnn", 0),
    ("crnn__dynopt", 0),
    ("pointmlp3d", 0),
    ("pointmlp3d__dynamo", 0),
    ("pointnet", 0),
    ("reid_bnneck", 0),
    ("reid_bnneck__dynamo", 0),
    ("siamese", 0),
    ("stgcn", 1),
    ("tab_mlp", 0),
    ("tab_mlp__dynamo", 0),
    ("tdnn_same", 2),
    ("unet", 0),
    ("unet__dynamo", 0),
    ("unet__dynopt", 0),
];

#[test]
fn every_fixture_folds_and_is_equivalent() {
    let desk = Desk::new();
    for (name, left) in LEFT {
        let input = fixtures().join(format!("{name}.onnx"));
        let output = desk.run(&[&input.to_string_lossy(), "-o", "out.onnx"]);
        assert_eq!(code(&output), 0, "{name}: {}", stderr(&output));
        assert_eq!(batch_norms(&desk.path("out.onnx")), left, "{name}");
        let said = stdout(&output);
        assert!(
            said.contains("equivalent: ") || said.contains("nothing to fold"),
            "{name}: {said}"
        );
    }
}

#[test]
fn all_fixtures_are_in_the_table() {
    let entries = std::fs::read_dir(fixtures()).expect("the fixtures");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "onnx")
        })
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    assert_eq!(names, LEFT.map(|(name, _)| name));
}

#[test]
fn a_model_with_nothing_to_fold_comes_out_byte_for_byte() {
    let desk = Desk::new();
    let input = fixtures().join("unet__dynopt.onnx");
    let output = desk.run(&[&input.to_string_lossy(), "-o", "out.onnx"]);
    assert_eq!(code(&output), 0);
    assert!(
        stdout(&output).contains("nothing to fold"),
        "{}",
        stdout(&output)
    );
    assert_eq!(
        std::fs::read(input).expect("the input"),
        std::fs::read(desk.path("out.onnx")).expect("the output")
    );
}

#[test]
fn the_plan_is_shown_without_writing() {
    let desk = Desk::new();
    let input = fixtures().join("stgcn.onnx");
    let output = desk.run(&["inspect", &input.to_string_lossy()]);
    assert_eq!(code(&output), 0);
    assert!(
        stdout(&output).contains("axes-mixed (impossible)"),
        "{}",
        stdout(&output)
    );
    assert!(desk.files().is_empty());
    let json = desk.run(&["inspect", "--json", &input.to_string_lossy()]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(report["schema"], "bnfold-report/1");
    assert_eq!(report["batch_norms"].as_array().expect("a list").len(), 3);
}

#[test]
fn a_json_report_says_what_was_done() {
    let desk = Desk::new();
    let input = fixtures().join("unet.onnx");
    let output = desk.run(&[
        &input.to_string_lossy(),
        "-o",
        "out.onnx",
        "--json",
        "report.json",
        "-q",
    ]);
    assert_eq!(code(&output), 0);
    let text = std::fs::read_to_string(desk.path("report.json")).expect("the report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["verification"]["verdict"], "equivalent");
    assert_eq!(report["output"]["path"], "out.onnx");
    assert!(
        report["batch_norms"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|node| node["fold"]["way"] == "upstream")
    );
}

#[test]
fn files_that_are_no_model_are_refused_in_one_sentence() {
    let desk = Desk::new();
    let valid = std::fs::read(fixtures().join("tab_mlp.onnx")).expect("a fixture");
    let truncated = valid[..valid.len() / 2].to_vec();
    let broken: [(&str, &[u8]); 4] = [
        ("empty.onnx", b""),
        ("text.onnx", b"this is a text, not a model\n"),
        ("short.onnx", &truncated),
        ("zero.onnx", &[0; 64]),
    ];
    for (name, bytes) in broken {
        desk.put(name, bytes);
        let output = desk.run(&[name, "-o", "out.onnx"]);
        assert_eq!(code(&output), 2, "{name}");
        let said = stderr(&output);
        assert!(
            said.contains(name) && said.lines().count() == 1,
            "{name}: {said}"
        );
        assert!(!desk.path("out.onnx").exists());
    }
    let missing = desk.run(&["missing.onnx", "-o", "out.onnx"]);
    assert_eq!((code(&missing), stderr(&missing).lines().count()), (2, 1));
}

#[test]
fn a_model_cut_off_at_any_byte_is_refused_or_whole() {
    let desk = Desk::new();
    let m = model(|g| {
        g.input("x", [1, 2, 4, 4])
            .conv(2)
            .batch_norm()
            .relu()
            .output("y")
    });
    let bytes = m.to_bytes();
    for end in (0..bytes.len()).step_by(7) {
        let path = desk.put("cut.onnx", &bytes[..end]);
        let output = desk.run(&[&path.to_string_lossy(), "-o", "out.onnx"]);
        assert_eq!(code(&output), 2, "cut at {end}: {}", stdout(&output));
        assert_eq!(
            stderr(&output).lines().count(),
            1,
            "cut at {end}: {}",
            stderr(&output)
        );
        assert!(!desk.path("out.onnx").exists(), "cut at {end}");
    }
}

fn edited(change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut m = model(|g| {
        g.input("x", [1, 2, 4, 4])
            .conv(2)
            .batch_norm()
            .relu()
            .output("y")
    });
    change(&mut m);
    m.encode_to_vec()
}

#[test]
fn models_that_do_not_fit_together_are_refused_and_the_node_is_named() {
    let desk = Desk::new();
    let graph = |m: &mut ModelProto| m.graph.clone().expect("a graph");
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        (
            "too few inputs",
            "bn_0",
            edited(|m| m.graph.as_mut().expect("a graph").node[1].input.truncate(3)),
        ),
        (
            "parameters of the wrong length",
            "bn_0",
            edited(|m| {
                for tensor in &mut m.graph.as_mut().expect("a graph").initializer {
                    if tensor.name() == "bn_0.mean" {
                        tensor.dims = vec![1];
                        tensor.raw_data = Some(vec![0; 4]);
                    }
                }
            }),
        ),
        (
            "bytes that do not match the extents",
            "conv_0.W",
            edited(|m| {
                for tensor in &mut m.graph.as_mut().expect("a graph").initializer {
                    if tensor.name() == "conv_0.W" {
                        tensor.raw_data.as_mut().expect("raw data").pop();
                    }
                }
            }),
        ),
        (
            "a cycle",
            "conv_0",
            edited(|m| m.graph.as_mut().expect("a graph").node[0].input[0] = "y".to_owned()),
        ),
        (
            "an undefined value",
            "conv_0",
            edited(|m| m.graph.as_mut().expect("a graph").node[0].input[0] = "nowhere".to_owned()),
        ),
        (
            "a missing data file",
            "conv_0.W",
            edited(|m| {
                let mut changed = graph(m);
                for tensor in &mut changed.initializer {
                    if tensor.name() == "conv_0.W" {
                        tensor.raw_data = None;
                        tensor.data_location = Some(1);
                        tensor.external_data = vec![bnfold::onnx::proto::StringStringEntryProto {
                            key: Some("location".to_owned()),
                            value: Some("missing.data".to_owned()),
                        }];
                    }
                }
                m.graph = Some(changed);
            }),
        ),
    ];
    for (what, named, bytes) in cases {
        desk.put("model.onnx", &bytes);
        let output = desk.run(&["model.onnx", "-o", "out.onnx"]);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{what}: {said}{}", stdout(&output));
        assert!(
            said.contains(named) && said.contains("model.onnx"),
            "{what}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{what}: {said}");
        assert_eq!(desk.files(), ["model.onnx"], "{what}");
    }
}

#[test]
fn a_model_with_an_operator_that_the_engine_lacks_is_verified_around_it() {
    let desk = Desk::new();
    let m = model(|g| {
        let x = g.input("x", [1, 2, 4, 4]);
        let x = g
            .op("Strange", &[&x])
            .domain("org.custom")
            .shape([1, 2, 4, 4])
            .dtype(DataType::Float);
        x.conv(2).batch_norm().relu().output("y")
    });
    desk.put("model.onnx", &m.to_bytes());
    let output = desk.run(&["model.onnx", "-o", "out.onnx"]);
    let said = stdout(&output) + &stderr(&output);
    assert_eq!(code(&output), 0, "{said}");
    assert!(
        said.contains("compared around") && said.contains("Strange"),
        "{said}"
    );
    assert_eq!(batch_norms(&desk.path("out.onnx")), 0);
}

#[test]
fn layers_and_given_inputs_are_compared() {
    let desk = Desk::new();
    let input = fixtures().join("tab_mlp.onnx");
    let input = input.to_string_lossy();
    let output = desk.run(&[
        &input,
        "-o",
        "out.onnx",
        "--layers",
        "--input",
        "x0=uniform:0,255",
    ]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(
        stdout(&output).contains("layers compared"),
        "{}",
        stdout(&output)
    );
    let wrong = desk.run(&[&input, "-o", "out2.onnx", "--input", "x0=nonsense"]);
    assert_eq!(code(&wrong), 2);
    let missing = desk.run(&[&input, "-o", "out2.onnx", "--inputs", "missing.npz"]);
    assert_eq!(
        (code(&missing), stderr(&missing).lines().count()),
        (2, 1),
        "{}",
        stderr(&missing)
    );
}

#[test]
fn wrong_flags_are_explained() {
    let desk = Desk::new();
    for arguments in [
        &["--nonsense"][..],
        &["a.onnx"],
        &["a.onnx", "-o", "b.onnx", "--dim", "N"],
        &["a.onnx", "-o", "b", "--samples", "0"],
    ] {
        let output = desk.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_unwritable_target_leaves_nothing() {
    let desk = Desk::new();
    let input = fixtures().join("tab_mlp.onnx");
    let output = desk.run(&[&input.to_string_lossy(), "-o", "missing/out.onnx"]);
    assert_eq!(
        (code(&output), stderr(&output).lines().count()),
        (2, 1),
        "{}",
        stderr(&output)
    );
    let output = desk.run(&[&input.to_string_lossy(), "-o", "/dev/full"]);
    assert_eq!(
        (code(&output), stderr(&output).lines().count()),
        (2, 1),
        "{}",
        stderr(&output)
    );
    assert!(desk.files().is_empty());
}

#[test]
fn the_result_can_go_to_standard_output() {
    let desk = Desk::new();
    let input = fixtures().join("tab_mlp.onnx");
    let piped = desk.run(&[&input.to_string_lossy(), "-o", "-"]);
    desk.run(&[&input.to_string_lossy(), "-o", "out.onnx"]);
    assert_eq!(code(&piped), 0);
    assert!(
        piped.stdout == std::fs::read(desk.path("out.onnx")).expect("the output"),
        "both ways give the same bytes"
    );
}

#[test]
fn the_model_itself_is_replaced_only_when_asked_to() {
    let desk = Desk::new();
    let before = std::fs::read(fixtures().join("tab_mlp.onnx")).expect("a fixture");
    desk.put("model.onnx", &before);
    let refused = desk.run(&["model.onnx", "-o", "model.onnx"]);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    assert_eq!(
        std::fs::read(desk.path("model.onnx")).expect("the model"),
        before
    );
    let replaced = desk.run(&["model.onnx", "--in-place"]);
    assert_eq!(code(&replaced), 0, "{}", stderr(&replaced));
    assert_eq!(batch_norms(&desk.path("model.onnx")), 0);
    assert_eq!(desk.files(), ["model.onnx"]);
}

#[test]
fn nodes_can_be_held_out_by_name() {
    let desk = Desk::new();
    let input = fixtures().join("unet.onnx");
    let output = desk.run(&[
        &input.to_string_lossy(),
        "-o",
        "out.onnx",
        "--keep",
        "/d1/*",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(batch_norms(&desk.path("out.onnx")), 2);
    assert!(
        stdout(&output).contains("held (policy)"),
        "{}",
        stdout(&output)
    );
    let output = desk.run(&[
        &input.to_string_lossy(),
        "-o",
        "out.onnx",
        "--only",
        "/e?/*",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(batch_norms(&desk.path("out.onnx")), 8);
}

#[test]
fn symbolic_dimensions_can_be_given() {
    let desk = Desk::new();
    let input = fixtures().join("tab_mlp.onnx");
    let output = desk.run(&[
        &input.to_string_lossy(),
        "-o",
        "out.onnx",
        "--dim",
        "batch=7",
    ]);
    assert!(stdout(&output).contains("[7, "), "{}", stdout(&output));
}

#[test]
fn two_models_are_compared_whatever_made_them() {
    let desk = Desk::new();
    let input = fixtures().join("reid_bnneck.onnx");
    let input = input.to_string_lossy();
    desk.run(&[&input, "-o", "out.onnx"]);
    let same = desk.run(&["verify", &input, "out.onnx"]);
    assert_eq!(code(&same), 0, "{}{}", stdout(&same), stderr(&same));
    let mut changed =
        ModelProto::decode(&*std::fs::read(desk.path("out.onnx")).expect("the output"))
            .expect("a model");
    let weight = changed
        .graph
        .as_mut()
        .expect("a graph")
        .initializer
        .iter_mut()
        .find(|tensor| tensor.dims.len() == 4)
        .expect("a weight");
    for element in weight
        .raw_data
        .as_mut()
        .expect("raw data")
        .chunks_exact_mut(4)
    {
        let scaled = f32::from_le_bytes(element.try_into().expect("four bytes")) * 1.001;
        element.copy_from_slice(&scaled.to_le_bytes());
    }
    desk.put("wrong.onnx", &changed.encode_to_vec());
    let wrong = desk.run(&["verify", &input, "wrong.onnx"]);
    assert_eq!(code(&wrong), 1, "{}{}", stdout(&wrong), stderr(&wrong));
    assert!(
        stdout(&wrong).contains("in the original and"),
        "{}",
        stdout(&wrong)
    );
    let other = fixtures().join("tab_mlp.onnx");
    let other = desk.run(&["verify", &input, &other.to_string_lossy()]);
    assert_eq!(code(&other), 2, "{}{}", stdout(&other), stderr(&other));
    assert!(
        stdout(&other).contains("the models cannot be compared"),
        "{}",
        stdout(&other)
    );
}

/// Conv and BN three times over; only the second BN's fold rounds.
fn one_inexact_fold() -> Vec<u8> {
    let built = model(|g| {
        let four = |name: &str, value: f32| g.initializer(name, Tensor::floats(&[4], [value; 4]));
        let (two, zero, one) = (four("two", 2.0), four("zero", 0.0), four("one", 1.0));
        let exact = |x: &bnfold::testing::Value| {
            let norm = x.conv(4).batch_norm().epsilon(0.0);
            let norm = norm.with_input(1, &two).with_input(2, &zero);
            norm.with_input(3, &zero).with_input(4, &one).relu()
        };
        let x = exact(&g.input("x", [1, 4, 9, 9]));
        exact(&x.conv(4).batch_norm().relu()).output("y")
    });
    built.to_bytes()
}

#[test]
fn a_fold_that_changes_results_is_named_and_can_be_rolled_back_alone() {
    let desk = Desk::new();
    desk.put("model.onnx", &one_inexact_fold());
    // Nothing may differ at all, so a fold that rounds is a wrong one.
    let strict = ["model.onnx", "-o", "out.onnx", "--atol", "0", "--rtol", "0"];
    let refused = desk.run(&strict);
    assert_eq!(code(&refused), 1, "{}", stdout(&refused));
    let said = stdout(&refused);
    assert!(said.contains("at fault bn_1 → conv_1 (output)"), "{said}");
    assert_eq!(desk.files(), ["model.onnx"]);

    let rollback = [
        "--on-different",
        "rollback",
        "--json",
        "report.json",
        "--quiet",
    ];
    let rolled_back = desk.run(&[&strict[..], &rollback].concat());
    let said = stdout(&rolled_back);
    assert_eq!(code(&rolled_back), 0, "{said}{}", stderr(&rolled_back));
    assert!(
        said.contains("ROLLED BACK bn_1 → conv_1 (output)"),
        "{said}"
    );
    assert!(said.contains("equivalent: 2 folded, 1 stay"), "{said}");
    assert_eq!(batch_norms(&desk.path("out.onnx")), 1);
    let report = std::fs::read_to_string(desk.path("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["rolled_back"][0]["node"], "bn_1");
    assert_eq!(report["batch_norms"][1]["reasons"][0]["code"], "different");
}

#[test]
fn zero_outputs_prove_nothing() {
    let desk = Desk::new();
    let m = model(|g| {
        let x = g.input("x", [1, 2, 4, 4]).conv(2).batch_norm();
        let zero = g.initializer("zero", Tensor::floats(&[1], [0.0]));
        x.mul(&zero).output("y")
    });
    desk.put("model.onnx", &m.to_bytes());
    let output = desk.run(&["model.onnx", "-o", "out.onnx"]);
    assert_eq!(code(&output), 2, "{}", stdout(&output));
    assert!(stdout(&output).contains("unknown"), "{}", stdout(&output));
    assert!(!desk.path("out.onnx").exists());
}

#[test]
fn every_code_is_listed_and_has_a_page() {
    let desk = Desk::new();
    let listed = stdout(&desk.run(&["explain"]));
    let (found, stays) = listed.split_once("\n\n").expect("two lists");
    for (pages, list) in [
        (findings().collect::<Vec<Page>>(), found),
        (refusals().collect(), stays),
    ] {
        assert_eq!(list.trim_end().lines().count(), pages.len() + 1);
        assert!(pages.iter().all(|page| list.contains(page.summary)));
    }
    for code_ in ["dead-channel", "zero-padding"] {
        let page = desk.run(&["explain", code_]);
        assert_eq!(code(&page), 0);
        insta::assert_snapshot!(format!("explain_{code_}"), stdout(&page));
    }
}

#[test]
fn an_unknown_code_is_answered_with_the_nearest() {
    let desk = Desk::new();
    let misspelt = desk.run(&["explain", "zero-pading"]);
    assert_eq!(code(&misspelt), 2);
    let said = stderr(&misspelt);
    assert!(said.contains("did you mean zero-padding? "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let nonsense = desk.run(&["explain", "xyzzy"]);
    assert_eq!(code(&nonsense), 2);
    assert!(!stderr(&nonsense).contains("did you mean"));
}

#[test]
fn a_fold_writes_reports_of_what_is_left() {
    let desk = Desk::new();
    let built = model(|g| {
        let scale = g.initializer("scale", Tensor::floats(&[4], [1.0, 2.0, 0.0, 1.0]));
        let x = g.input("x", [1, 4, 5, 5]).conv(4).batch_norm().sigmoid();
        x.batch_norm().with_input(1, &scale).sigmoid().output("y")
    });
    desk.put("m.onnx", &built.to_bytes());
    let fold = ["m.onnx", "-o", "out.onnx", "--report"];
    let output = desk.run(&[&fold[..], &["a.json", "--report", "a.sarif"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let read = |name: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(desk.path(name)).expect("a report");
        serde_json::from_str(&text).expect("JSON")
    };
    let audit = read("a.json");
    let findings = &audit["models"][0]["findings"];
    assert_eq!(findings.as_array().expect("a list").len(), 1, "{findings}");
    assert_eq!(findings[0]["code"], "dead-channel");
    assert_eq!(audit["models"][0]["report"]["output"]["path"], "out.onnx");
    let results = &read("a.sarif")["runs"][0]["results"];
    assert_eq!(results[0]["ruleId"], "dead-channel");
    desk.put("bnfold.toml", b"[severity]\ndead-channel = \"off\"\n");
    let output = desk.run(&[&fold[..], &["b.json"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        read("b.json")["models"][0]["findings"],
        serde_json::json!([])
    );
    let unknown = desk.run(&[&fold[..], &["a.pdf"]].concat());
    assert_eq!(code(&unknown), 2);
}

#[test]
fn help_is_what_it_was() {
    let desk = Desk::new();
    for arguments in [
        &["--help"][..],
        &["inspect", "--help"],
        &["explain", "--help"],
        &["check", "--help"],
        &["report", "merge", "--help"],
    ] {
        let help = stdout(&desk.run(arguments));
        insta::assert_snapshot!(arguments.join("_").replace("--", ""), help);
    }
}

#[test]
fn completions_and_man_pages_know_every_subcommand() {
    let desk = Desk::new();
    let subcommands = ["inspect", "verify", "check", "report", "explain"];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = desk.run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let script = stdout(&output);
        assert!(
            subcommands.iter().all(|name| script.contains(name)),
            "{shell}"
        );
    }
    let page = stdout(&desk.run(&["man"]));
    assert!(
        page.contains(".TH") && page.contains("on\\-different"),
        "{page}"
    );
    assert_eq!(code(&desk.run(&["man", "--directory", "pages"])), 0);
    for name in subcommands {
        let path = desk.path("pages").join(format!("bnfold-{name}.1"));
        let page = std::fs::read_to_string(path).expect("a page");
        assert!(page.contains("SYNOPSIS"), "{name}");
    }
    desk.put("file", b"");
    let blocked = desk.run(&["man", "--directory", "file"]);
    assert_eq!(code(&blocked), 2);
    assert!(stderr(&blocked).contains("cannot write man pages to file"));
}

#[test]
fn names_from_a_model_command_no_terminal_and_no_log() {
    let desk = Desk::new();
    let hostile = "bn\u{1b}[2J\n::error::x\u{202e}";
    let built = model(|g| {
        let norm = g.input("x", [1, 4, 5, 5]).conv(4).batch_norm();
        norm.name(hostile).relu().output("y")
    });
    desk.put("model.onnx", &built.to_bytes());
    for arguments in [
        &["model.onnx", "-o", "out.onnx", "-v"][..],
        &["inspect", "model.onnx", "-v"],
        &["check", "model.onnx"],
    ] {
        let said = stdout(&desk.run(arguments));
        assert!(
            said.contains("bn\\u{1b}[2J\\n::error::x\\u{202e}"),
            "{said}"
        );
        assert!(
            !said.contains('\u{1b}') && !said.contains("\n::error"),
            "{said}"
        );
    }
}

#[test]
fn errors_command_no_terminal_and_no_log() {
    let desk = Desk::new();
    let hostile = "x\u{1b}[2J\n::error::\u{202e}";
    let built = || model(|g| g.input("x", [1, 4, 5, 5]).conv(4).batch_norm().output("y"));
    let mut undefined = built();
    let graph = undefined.graph.as_mut().expect("a graph");
    graph.node[1].input[0] = hostile.to_owned();
    graph.node[1].name = Some(hostile.to_owned());
    desk.put("undefined.onnx", &undefined.to_bytes());
    let mut outside = built();
    let tensor = &mut outside.graph.as_mut().expect("a graph").initializer[0];
    tensor.name = Some(hostile.to_owned());
    tensor.raw_data = None;
    tensor.data_location = Some(1);
    tensor.external_data.push(StringStringEntryProto {
        key: Some("location".to_owned()),
        value: Some(hostile.to_owned()),
    });
    desk.put("outside.onnx", &outside.to_bytes());
    desk.put("data.npz", b"");
    let folder = "folder\n::error::";
    std::fs::create_dir(desk.path(folder)).expect("a directory");
    for arguments in [
        &["undefined.onnx", "-o", "out.onnx"][..],
        &["inspect", "undefined.onnx"],
        &[
            "calibrate",
            "undefined.onnx",
            "--all",
            "--data",
            "data.npz",
            "-o",
            "out.onnx",
        ],
        &["outside.onnx", "-o", "out.onnx"],
        &["inspect", "outside.onnx"],
        &["verify", "outside.onnx", "outside.onnx"],
        &["check", folder],
    ] {
        let output = desk.run(arguments);
        let said = stderr(&output);
        assert_eq!(
            (code(&output), said.lines().count()),
            (2, 1),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("\\n::error::"), "{arguments:?}: {said}");
        assert!(
            !said.contains('\u{1b}') && !said.contains('\u{202e}'),
            "{arguments:?}: {said}"
        );
    }
}
