//! Training mode from the command line: calibration, assumed inference, and what the batch does.

use std::path::PathBuf;
use std::process::{Command, Output};

use bnfold::onnx::proto::ModelProto;
use bnfold::testing::reference::run_outputs;
use bnfold::testing::{Storage, Tensor, ToBytes, model};
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

struct Desk(TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("the directory");
        std::fs::write(path, bytes).expect("a file");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bnfold"));
        command.current_dir(self.0.path()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program runs")
    }

    /// Runs what is to succeed, and gives what it says.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {said}{errors}"
        );
        said
    }

    /// Runs what is to be refused in one sentence, and gives it.
    fn refuses(&self, arguments: &[&str]) -> String {
        let before = self.files();
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert_eq!(self.files(), before, "{arguments:?} left something behind");
        said
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path()).expect("the directory");
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        found.sort();
        found
    }

    fn model(&self, name: &str) -> ModelProto {
        let bytes = std::fs::read(self.path(name)).expect("the model");
        ModelProto::decode(&*bytes).expect("prost reads the model")
    }
}

/// A float32 array as NumPy writes it.
fn npy(shape: &[usize], numbers: &[f32]) -> Vec<u8> {
    let extents: String = shape.iter().map(|extent| format!("{extent},")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({extents}), }}\n");
    let length = u16::try_from(header.len())
        .expect("a short header")
        .to_le_bytes();
    let body: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &body].concat()
}

/// An archive of stored members.
fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let size = (content.len() as u32).to_le_bytes();
        let name = format!("{name}.npy");
        let checksum = crc32(content).to_le_bytes();
        let length = (name.len() as u16).to_le_bytes();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &checksum,
            &size,
            &size,
            &length,
            &[0; 2],
        ]
        .concat();
        let offset = (out.len() as u32).to_le_bytes();
        central.extend(
            [
                b"PK\x01\x02",
                &[20, 0][..],
                &common,
                &[0; 10],
                &offset,
                name.as_bytes(),
            ]
            .concat(),
        );
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
    }
    let (count, start) = ((members.len() as u16).to_le_bytes(), out.len() as u32);
    let size = (central.len() as u32).to_le_bytes();
    out.extend(central);
    out.extend(
        [
            b"PK\x05\x06",
            &[0; 4][..],
            &count,
            &count,
            &size,
            &start.to_le_bytes(),
            &[0; 2],
        ]
        .concat(),
    );
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|at| (at % 7) as f32 - 2.0 + random.random_range(-1.0f32..1.0))
        .collect()
}

/// A small network with BatchNormalization left in training mode.
fn trained() -> ModelProto {
    model(|g| {
        let training =
            |value: bnfold::testing::Value| value.attr("training_mode", 1).outputs(3)[0].clone();
        let x = g.input("x", "N,3,8,8");
        let x = training(x.conv(4).batch_norm()).relu();
        let x = training(x.conv(5).batch_norm()).relu();
        x.global_average_pool().flatten().output("y")
    })
}

const IMAGE: usize = 3 * 8 * 8;

fn batch(seed: u64, count: usize) -> Vec<u8> {
    npz(&[("x", npy(&[count, 3, 8, 8], &numbers(seed, count * IMAGE)))])
}

#[test]
fn a_folder_of_archives_calibrates_a_model_that_then_ignores_its_batch() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    for part in 0..3 {
        desk.put(&format!("data/{part}.npz"), &batch(part, 40));
    }
    let said = desk.says(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data",
        "-o",
        "out.onnx",
        "--json",
        "report.json",
    ]);
    assert!(
        said.contains("calibrated 2 BatchNormalizations on 120 samples in 6 runs, 2 passes"),
        "{said}"
    );
    let written = desk.model("out.onnx");
    let x = numbers(9, 2 * IMAGE);
    let run = |rows: std::ops::Range<usize>| {
        let part = x[rows.start * IMAGE..rows.end * IMAGE].iter().copied();
        let x = Tensor::floats(&[rows.len(), 3, 8, 8], part);
        run_outputs(&written, &[("x", x)]).expect("the calibrated model runs")[0]
            .data
            .clone()
    };
    assert_eq!(run(0..2)[..5], run(0..1)[..]);
    let text = std::fs::read_to_string(desk.path("report.json")).expect("the report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["schema"], "bnfold-calibration/1");
    assert_eq!(
        (&report["samples"], &report["passes"]),
        (&120.into(), &2.into())
    );
    assert_eq!(report["nodes"][0]["values_per_channel"], 120 * 36);
    assert_eq!(report["nodes"][0]["was_training"], true);
}

#[test]
fn folding_right_after_gives_what_folding_the_written_model_gives() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    desk.put("data.npz", &batch(1, 64));
    desk.says(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data.npz",
        "-o",
        "calibrated.onnx",
    ]);
    desk.says(&["calibrated.onnx", "-o", "two-steps.onnx"]);
    let said = desk.says(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data.npz",
        "-o",
        "one-step.onnx",
        "--fold",
    ]);
    assert!(said.contains("equivalent: 2 folded, 0 stay"), "{said}");
    let read = |name: &str| std::fs::read(desk.path(name)).expect("the output");
    assert!(read("one-step.onnx") == read("two-steps.onnx"));
    let nodes = desk.model("one-step.onnx").graph.expect("a graph").node;
    assert!(
        nodes
            .iter()
            .all(|node| node.op_type() != "BatchNormalization")
    );
}

#[test]
fn every_kind_of_data_gives_the_same_statistics() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    let x = numbers(3, 40 * IMAGE);
    let rows = |from: usize, to: usize| {
        (
            vec![to - from, 3, 8, 8],
            x[from * IMAGE..to * IMAGE].to_vec(),
        )
    };
    let array = |from, to| {
        let (shape, numbers) = rows(from, to);
        npy(&shape, &numbers)
    };
    desk.put("all.npz", &npz(&[("x", array(0, 40))]));
    desk.put("unnamed/a.npz", &npz(&[("arr_0", array(0, 20))]));
    desk.put("unnamed/b.npz", &npz(&[("arr_0", array(20, 40))]));
    desk.put("arrays/first.npy", &array(0, 30));
    desk.put("arrays/second.npy", &array(30, 40));
    for (set, (from, to)) in [(0, 10), (10, 40)].into_iter().enumerate() {
        let (shape, numbers) = rows(from, to);
        let proto = Tensor::floats(&shape, numbers).to_proto("x", Storage::Raw);
        desk.put(
            &format!("sets/test_data_set_{set}/input_0.pb"),
            &proto.to_bytes(),
        );
    }
    let mut found = Vec::new();
    for data in [
        &["all.npz"][..],
        &["unnamed"],
        &["unnamed/a.npz", "unnamed/b.npz"],
        &["arrays"],
        &["sets"],
    ] {
        let arguments = [
            &["calibrate", "model.onnx", "-o", "out.onnx", "--data"][..],
            data,
        ]
        .concat();
        desk.says(&arguments);
        let stored = desk.model("out.onnx").graph.expect("a graph").initializer;
        let stored = stored
            .into_iter()
            .filter(|tensor| tensor.name().contains("bn_0."));
        found.push(stored.map(|tensor| tensor.raw_data).collect::<Vec<_>>());
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn too_few_samples_are_warned_of_with_the_standard_error() {
    let desk = Desk::new();
    desk.put(
        "model.onnx",
        &model(|g| {
            g.input("x", "N,3")
                .batch_norm()
                .attr("training_mode", 1)
                .output("y")
        })
        .to_bytes(),
    );
    desk.put("few.npz", &npz(&[("x", npy(&[33, 3], &numbers(1, 99)))]));
    let said = desk.says(&[
        "calibrate",
        "model.onnx",
        "--data",
        "few.npz",
        "-o",
        "out.onnx",
    ]);
    // √(2/32) is a quarter, 1/√33 is 0.174.
    assert!(
        said.contains("33 values per channel are few")
            && said.contains("0.17 deviations")
            && said.contains("25 % of a variance"),
        "{said}"
    );
    desk.put("model2.onnx", &trained().to_bytes());
    desk.put("images.npz", &batch(1, 9));
    let said = desk.says(&[
        "calibrate",
        "model2.onnx",
        "--data",
        "images.npz",
        "-o",
        "out.onnx",
    ]);
    assert!(
        said.contains("9 samples alone") && said.contains("50 % of a variance (n = 9)"),
        "{said}"
    );
    let constant = npz(&[("x", npy(&[300, 3], &[2.0; 900]))]);
    desk.put("constant.npz", &constant);
    let said = desk.says(&[
        "calibrate",
        "model.onnx",
        "--data",
        "constant.npz",
        "-o",
        "out.onnx",
    ]);
    assert!(said.contains("3 of 3 channels have variance 0"), "{said}");
}

#[test]
fn data_that_do_not_fit_are_refused_in_one_sentence() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    let with = |name: &str, shape: &[usize]| {
        npz(&[(name, npy(shape, &numbers(1, shape.iter().product())))])
    };
    let mut poisoned = numbers(1, 4 * IMAGE);
    poisoned[2 * IMAGE + 64 + 8 + 3] = f32::NAN;
    let two = npz(&[
        ("x", npy(&[2, 3, 8, 8], &numbers(1, 2 * IMAGE))),
        ("z", npy(&[2], &[0.0; 2])),
    ]);
    let cases: [(&str, Vec<u8>, &[&str]); 8] = [
        (
            "shape.npz",
            with("x", &[2, 4, 8, 8]),
            &["shape.npz", "\"x\"", "[N, 3, 8, 8]"],
        ),
        ("rank.npz", with("x", &[3, 8, 8]), &["rank.npz", "\"x\""]),
        ("names.npz", two, &["names.npz", "names \"z\""]),
        (
            "nan.npz",
            npz(&[("x", npy(&[4, 3, 8, 8], &poisoned))]),
            &["nan.npz", "\"x\"", "[2, 1, 1, 3]"],
        ),
        (
            "empty.npz",
            with("x", &[0, 3, 8, 8]),
            &["empty.npz", "no samples"],
        ),
        ("text.npz", b"this is no archive".to_vec(), &["text.npz"]),
        ("cut.npz", batch(1, 2)[..200].to_vec(), &["cut.npz"]),
        ("text.txt", b"text".to_vec(), &["text.txt", "no .npz"]),
    ];
    for (name, bytes, words) in cases {
        desk.put(name, &bytes);
        let said = desk.refuses(&["calibrate", "model.onnx", "--data", name, "-o", "out.onnx"]);
        for word in words {
            assert!(said.contains(word), "{name}: {said}");
        }
    }
    let mut header = npy(&[1, 3, 8, 8], &numbers(1, IMAGE));
    let at = header
        .windows(3)
        .position(|window| window == b"<f4")
        .expect("the type");
    header[at..at + 3].copy_from_slice(b"<i4");
    desk.put("integers.npz", &npz(&[("x", header)]));
    let said = desk.refuses(&[
        "calibrate",
        "model.onnx",
        "--data",
        "integers.npz",
        "-o",
        "out.onnx",
    ]);
    assert!(
        said.contains("declared float32, the value is int32"),
        "{said}"
    );
    let said = desk.refuses(&[
        "calibrate",
        "model.onnx",
        "--data",
        "missing",
        "-o",
        "out.onnx",
    ]);
    assert!(said.contains("missing"), "{said}");
    std::fs::create_dir(desk.path("hollow")).expect("a directory");
    let said = desk.refuses(&[
        "calibrate",
        "model.onnx",
        "--data",
        "hollow",
        "-o",
        "out.onnx",
    ]);
    assert!(
        said.contains("hollow") && said.contains("holds neither"),
        "{said}"
    );
}

#[test]
fn models_and_targets_that_do_not_fit_are_refused_in_one_sentence() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    desk.put("data.npz", &batch(1, 4));
    desk.put(
        "plain.onnx",
        &model(|g| g.input("x", "N,3,8,8").relu().output("y")).to_bytes(),
    );
    desk.put(
        "inference.onnx",
        &model(|g| g.input("x", "N,3,8,8").batch_norm().output("y")).to_bytes(),
    );
    desk.put(
        "used.onnx",
        &model(|g| {
            let all = g
                .input("x", "N,3,8,8")
                .batch_norm()
                .attr("training_mode", 1)
                .outputs(3);
            all[0].output("y");
            all[2].output("running_var");
        })
        .to_bytes(),
    );
    let on = |name: &'static str, target: &'static str| {
        desk.refuses(&["calibrate", name, "--data", "data.npz", "-o", target])
    };
    assert!(on("plain.onnx", "out.onnx").contains("no BatchNormalization"));
    assert!(on("inference.onnx", "out.onnx").contains("--all"));
    let said = on("used.onnx", "out.onnx");
    assert!(
        said.contains("bn_0") && said.contains("running_var"),
        "{said}"
    );
    let said = on("model.onnx", "missing/out.onnx");
    assert!(
        said.contains("missing/out.onnx") && said.contains("create it"),
        "{said}"
    );
    assert!(on("model.onnx", "model.onnx").contains("it is the model that is read"));
    assert!(on("data.npz", "out.onnx").contains("data.npz"));
    let said = desk.refuses(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data.npz",
        "-o",
        "model.onnx",
        "--fold",
        "--no-verify",
    ]);
    assert!(said.contains("it is the model that is read"), "{said}");
    let said = desk.refuses(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data.npz",
        "-o",
        "out.onnx",
        "--keep",
        "*",
    ]);
    assert!(
        said.contains("no BatchNormalization in training mode is left"),
        "{said}"
    );
}

#[test]
fn the_model_is_replaced_only_when_asked_to_and_held_nodes_stay() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    desk.put("data.npz", &batch(1, 40));
    let said = desk.says(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data.npz",
        "--in-place",
        "--keep",
        "bn_1",
    ]);
    assert!(said.contains("held in training mode bn_1"), "{said}");
    let said = desk.says(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data.npz",
        "--in-place",
        "--fold",
        "-q",
    ]);
    assert!(said.contains("equivalent: 2 folded"), "{said}");
    assert_eq!(desk.files().len(), 2);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    for part in 0..40 {
        desk.put(&format!("data/{part}.npz"), &batch(part, 500));
    }
    for signal in ["INT", "KILL"] {
        let before = desk.files();
        let mut command = desk.command(&[
            "calibrate",
            "model.onnx",
            "--data",
            "data",
            "-o",
            "out.onnx",
        ]);
        let mut child = command.spawn().expect("the program starts");
        std::thread::sleep(std::time::Duration::from_millis(300));
        let killed = Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status();
        assert!(
            killed.expect("kill runs").success(),
            "the run was over too early"
        );
        assert!(!child.wait().expect("the program ends").success());
        assert_eq!(desk.files(), before, "{signal}");
    }
}

#[test]
fn assumed_inference_is_said_loudly_with_what_it_changes() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    let refused = desk.says(&["inspect", "model.onnx"]);
    assert!(refused.contains("training-mode"), "{refused}");
    let said = desk.says(&[
        "model.onnx",
        "-o",
        "out.onnx",
        "--assume-inference",
        "--json",
        "report.json",
    ]);
    assert!(
        said.contains("ASSUMED inference mode for 2 nodes") && said.contains("bn_0, bn_1"),
        "{said}"
    );
    assert!(said.contains("equivalent: 2 folded, 0 stay"), "{said}");
    let text = std::fs::read_to_string(desk.path("report.json")).expect("the report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let moved = report["assumed"]["outputs"][0]["max_abs"]
        .as_f64()
        .expect("a number");
    assert!(moved > 1e-3, "{moved}");
    // Independently: the model with its mode taken out by hand.
    let mut by_hand = trained();
    for node in &mut by_hand.graph.as_mut().expect("a graph").node {
        if node.op_type() == "BatchNormalization" {
            node.attribute
                .retain(|attribute| attribute.name() != "training_mode");
            node.output.truncate(1);
        }
    }
    let x = Tensor::floats(&[2, 3, 8, 8], numbers(5, 2 * IMAGE));
    let expected = run_outputs(&by_hand, &[("x", x.clone())]).expect("it runs");
    let found = run_outputs(&desk.model("out.onnx"), &[("x", x)]).expect("it runs");
    assert!(expected[0].max_difference(&found[0]) < 1e-5);
    desk.put("by-hand.onnx", &by_hand.to_bytes());
    desk.says(&["verify", "model.onnx", "by-hand.onnx", "--assume-inference"]);
    assert_eq!(
        desk.run(&["verify", "model.onnx", "by-hand.onnx"])
            .status
            .code(),
        Some(1)
    );
    let plan = desk.says(&["inspect", "model.onnx", "--assume-inference"]);
    assert!(
        plan.contains("ASSUMED") && plan.matches("upstream →").count() == 2,
        "{plan}"
    );
}

#[test]
fn nodes_that_are_held_out_keep_their_mode() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    let modes = |arguments: &[&str]| {
        let mut all = vec!["model.onnx", "-o", "out.onnx", "--assume-inference"];
        all.extend(arguments);
        let said = desk.says(&all);
        let nodes = desk.model("out.onnx").graph.expect("a graph").node;
        let in_training = nodes.iter().filter(|node| {
            let mut attributes = node.attribute.iter();
            attributes.any(|attribute| attribute.name() == "training_mode")
        });
        (said, in_training.count())
    };
    let (said, in_training) = modes(&["--keep", "bn_1"]);
    assert!(said.contains("ASSUMED inference mode for 1 node"), "{said}");
    assert_eq!(in_training, 1);
    let (said, in_training) = modes(&["--keep", "bn_*"]);
    assert!(
        said.contains("--assume-inference changes nothing"),
        "{said}"
    );
    assert_eq!(in_training, 2);
}

#[test]
fn nodes_that_stay_are_written_in_the_assumed_mode_too() {
    let desk = Desk::new();
    desk.put(
        "model.onnx",
        &model(|g| {
            g.input("x", "N,3,8,8")
                .batch_norm()
                .attr("training_mode", 1)
                .relu()
                .output("y")
        })
        .to_bytes(),
    );
    let said = desk.says(&["model.onnx", "-o", "out.onnx", "--assume-inference"]);
    assert!(
        said.contains("the output is the input, read in inference mode"),
        "{said}"
    );
    let graph = desk.model("out.onnx").graph.expect("a graph");
    assert!(
        graph.node[0]
            .attribute
            .iter()
            .all(|attribute| attribute.name() != "training_mode")
    );
    assert!(
        desk.refuses(&["model.onnx", "-o", "model.onnx", "--assume-inference", "-q"])
            .contains("it is the model")
    );
}

#[test]
fn weights_in_a_data_file_stay_there() {
    let desk = Desk::new();
    desk.put("inline.onnx", &trained().to_bytes());
    let external = [
        "--external-data",
        "always",
        "--size-threshold",
        "1",
        "--no-verify",
        "--keep",
        "*",
    ];
    desk.says(&[&["inline.onnx", "-o", "model.onnx"][..], &external].concat());
    assert!(desk.path("model.onnx.data").exists());
    desk.put("data.npz", &batch(1, 40));
    desk.says(&[
        "calibrate",
        "inline.onnx",
        "--data",
        "data.npz",
        "-o",
        "expected.onnx",
    ]);
    desk.says(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data.npz",
        "-o",
        "out.onnx",
    ]);
    assert!(desk.path("out.onnx.data").exists());
    let same = ["verify", "expected.onnx", "out.onnx"];
    assert!(desk.says(&same).contains("equivalent"));
    for arguments in [
        &[
            "calibrate",
            "model.onnx",
            "--data",
            "data.npz",
            "-o",
            "folded.onnx",
            "--fold",
        ][..],
        &["model.onnx", "-o", "assumed.onnx", "--assume-inference"],
    ] {
        let said = desk.says(arguments);
        assert!(said.contains("equivalent: 2 folded"), "{said}");
    }
    assert!(desk.path("folded.onnx.data").exists() && desk.path("assumed.onnx.data").exists());
    desk.says(&["verify", "expected.onnx", "folded.onnx"]);
    let own = desk.refuses(&[
        "calibrate",
        "model.onnx",
        "--data",
        "data.npz",
        "-o",
        "model.onnx.data",
        "--fold",
    ]);
    assert!(own.contains("data file"), "{own}");
}

#[test]
fn the_batch_is_seen_where_it_matters() {
    let desk = Desk::new();
    desk.put("model.onnx", &trained().to_bytes());
    let said = desk.says(&[
        "inspect",
        "model.onnx",
        "--batch-sizes",
        "1,2,8,32",
        "--json",
    ]);
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let shifts = report["outputs"][0]["shifts"].as_array().expect("a list");
    let batches: Vec<u64> = shifts
        .iter()
        .filter_map(|shift| shift["batch"].as_u64())
        .collect();
    assert_eq!(
        (report["samples"].as_u64(), batches),
        (Some(32), vec![1, 2, 8])
    );
    let moved = |shift: &serde_json::Value| shift["max_abs"].as_f64().expect("a number");
    assert!(
        moved(&shifts[0]) > moved(&shifts[2]) && moved(&shifts[2]) > 1e-3,
        "{said}"
    );
    let text = desk.says(&["inspect", "model.onnx", "--batch-sizes", "3,8"]);
    assert!(
        text.contains("in training mode 2") && text.contains("(6 samples)"),
        "{text}"
    );
    // The largest difference by hand, for batches of two of the same data.
    let x = numbers(4, 4 * IMAGE);
    desk.put("x.npz", &npz(&[("x", npy(&[4, 3, 8, 8], &x))]));
    let run = |from: usize, to: usize| {
        let part = Tensor::floats(
            &[to - from, 3, 8, 8],
            x[from * IMAGE..to * IMAGE].iter().copied(),
        );
        run_outputs(&trained(), &[("x", part)]).expect("it runs")[0]
            .data
            .clone()
    };
    let halves = [run(0, 2), run(2, 4)].concat();
    let pairs = run(0, 4).into_iter().zip(halves);
    let expected = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let said = desk.says(&[
        "inspect",
        "model.onnx",
        "--batch-sizes",
        "2,4",
        "--inputs",
        "x.npz",
        "--json",
    ]);
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let found = moved(&report["outputs"][0]["shifts"][0]);
    assert!(
        (found - expected).abs() < 1e-4 * expected,
        "{found} for {expected}"
    );
}

#[test]
fn a_batch_that_cannot_be_set_is_said() {
    let desk = Desk::new();
    let fixed = model(|g| {
        g.input("x", [4, 3])
            .batch_norm()
            .attr("training_mode", 1)
            .output("y")
    });
    desk.put("fixed.onnx", &fixed.to_bytes());
    let said = desk.refuses(&["inspect", "fixed.onnx", "--batch-sizes", "1,4"]);
    assert!(
        said.contains("fixes its batch at 4") && said.contains("dynamic"),
        "{said}"
    );
    desk.put("model.onnx", &trained().to_bytes());
    let said = desk.refuses(&["inspect", "model.onnx", "--batch-sizes", "4"]);
    assert!(said.contains("at least two"), "{said}");
    desk.put("few.npz", &batch(1, 3));
    let said = desk.refuses(&[
        "inspect",
        "model.onnx",
        "--batch-sizes",
        "1,4",
        "--inputs",
        "few.npz",
    ]);
    assert!(said.contains("holds 3 samples"), "{said}");
    let inference = model(|g| g.input("x", "N,3,8,8").conv(2).batch_norm().output("y"));
    desk.put("inference.onnx", &inference.to_bytes());
    let said = desk.says(&["inspect", "inference.onnx", "--batch-sizes", "1,8"]);
    assert!(
        said.contains("no BatchNormalization is in training mode"),
        "{said}"
    );
}

#[test]
fn help_is_what_it_was() {
    let desk = Desk::new();
    for arguments in [&["calibrate", "--help"][..], &["verify", "--help"]] {
        let help = desk.says(arguments);
        insta::assert_snapshot!(arguments.join("_").replace("--", ""), help);
    }
}
