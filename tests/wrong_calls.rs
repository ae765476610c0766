//! Wrong calls: each ends with exit code 2 and one sentence that names what is wrong, and writes nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bnfold::testing::{DataType, Storage, Tensor, ToBytes, model};
use tempfile::TempDir;

struct Desk {
    directory: TempDir,
}

impl Desk {
    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bnfold"))
            .current_dir(self.directory.path())
            .args(arguments)
            .output()
            .expect("the program runs")
    }

    /// Both outputs, and the exit code.
    fn said(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(arguments);
        let text = [&output.stdout[..], &output.stderr].concat();
        let code = output.status.code().expect("it ends by itself");
        (String::from_utf8_lossy(&text).into_owned(), code)
    }
}

/// A `.npy` file: type, extents as Python writes them, elements.
fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n");
    let length = u16::try_from(header.len())
        .expect("a short header")
        .to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), body].concat()
}

fn floats(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|i| (i as f32 / 7.0 - 3.0).sin().to_le_bytes())
        .collect()
}

fn ids(numbers: [i64; 5]) -> Vec<u8> {
    numbers.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), bit)
    })
}

/// A `.npz` file of stored members.
fn npz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let size = (content.len() as u32).to_le_bytes();
        let length = (name.len() as u16).to_le_bytes();
        let sum = crc32(content).to_le_bytes();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &sum,
            &size,
            &size,
            &length,
            &[0, 0],
        ]
        .concat();
        let offset = (out.len() as u32).to_le_bytes();
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        central.extend(
            [
                b"PK\x01\x02\x14\x00",
                &common[..],
                &[0; 10],
                &offset,
                name.as_bytes(),
            ]
            .concat(),
        );
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

/// Two models, and inputs that fit them in every wrong way.
fn desk() -> Desk {
    let desk = Desk {
        directory: tempfile::tempdir().expect("a temporary directory"),
    };
    let one = model(|g| g.input("x", "N,3,8,8").conv(4).batch_norm().output("y"));
    desk.put("one.onnx", &one.to_bytes());
    let two = model(|g| {
        let ids = g.typed_input("ids", DataType::Int64, "N,5");
        let rows = g
            .op("Gather", &[&g.weight("table", [11, 6]), &ids])
            .shape("N,5,6");
        rows.add(g.input("x", "N,5,6")).output("y")
    });
    desk.put("two.onnx", &two.to_bytes());
    let good = npy("<f4", "(1, 3, 8, 8)", &floats(192));
    let flat = npy("<f4", "(1, 3, 64)", &floats(192));
    let wide = npy("<f8", "(1, 3, 8, 8)", &[0; 192 * 8]);
    desk.put("good.npy", &good);
    desk.put("good.npz", &npz(&[("x.npy", &good)]));
    desk.put("name.npz", &npz(&[("z.npy", &good)]));
    desk.put("more.npz", &npz(&[("x.npy", &good), ("z.npy", &good)]));
    desk.put("none.npz", &npz(&[]));
    desk.put("flat.npz", &npz(&[("x.npy", &flat)]));
    desk.put("wide.npz", &npz(&[("x.npy", &wide)]));
    desk.put("cut.npy", &good[..good.len() - 3]);
    desk.put("object.npy", &npy("|O", "()", b""));
    desk.put("ids.npy", &npy("<i8", "(1, 5)", &ids([0, 1, 2, 3, 10])));
    desk.put("far.npy", &npy("<i8", "(1, 5)", &ids([0, 1, 2, 3, 99])));
    desk.put("short.npy", &npy("<i4", "(1, 5)", &[0; 20]));
    desk.put("rows.npy", &npy("<f4", "(1, 5, 6)", &floats(30)));
    desk.put("lines.npy", &npy("<f4", "(2, 5, 6)", &floats(60)));
    for kind in ["npz", "npy", "pb"] {
        desk.put(&format!("text.{kind}"), b"some text");
        desk.put(&format!("empty.{kind}"), b"");
    }
    desk.put("text.txt", b"some text");
    std::fs::create_dir(desk.path("empty")).expect("a folder");
    let tensor = |name: &str, shape: &[usize]| {
        let count: usize = shape.iter().product();
        let numbers = (0..count).map(|i| (i as f32 / 7.0 - 3.0).sin());
        Tensor::floats(shape, numbers)
            .to_proto(name, Storage::Raw)
            .to_bytes()
    };
    let x = tensor("x", &[1, 3, 8, 8]);
    desk.put("gap/test_data_set_0/input_0.pb", &x);
    desk.put("gap/test_data_set_0/input_2.pb", &x);
    desk.put("half/test_data_set_0/input_0.pb", &x);
    desk.put("half/test_data_set_1/output_0.pb", &x);
    desk.put("shape/test_data_set_0/input_0.pb", &x);
    desk.put(
        "shape/test_data_set_0/output_0.pb",
        &tensor("y", &[1, 4, 5, 5]),
    );
    desk.put("count/test_data_set_0/input_0.pb", &x);
    desk.put(
        "count/test_data_set_0/output_0.pb",
        &tensor("y", &[1, 4, 6, 6]),
    );
    desk.put(
        "count/test_data_set_0/output_1.pb",
        &tensor("z", &[1, 4, 6, 6]),
    );
    desk.put("other/test_data_set_0/input_0.pb", &x);
    desk.put(
        "other/test_data_set_0/output_0.pb",
        &tensor("y", &[1, 4, 6, 6]),
    );
    desk.put("torn/test_data_set_0/input_0.pb", &x[..x.len() - 9]);
    desk
}

/// Arguments behind the model, and what the sentence must contain.
const ONE: [(&[&str], &str); 44] = [
    (
        &["--inputs", "missing.npz"],
        "missing.npz: it does not exist",
    ),
    (&["--inputs", "missing"], "missing: it does not exist"),
    (
        &["--inputs", "text.txt"],
        "text.txt: it is no .npz, .npy or .pb file",
    ),
    (
        &["--inputs", "one.onnx"],
        "one.onnx: it is no .npz, .npy or .pb file",
    ),
    (&["--inputs", "text.npz"], "text.npz: it is no .npz file"),
    (&["--inputs", "text.npy"], "text.npy: it is no .npy file"),
    (
        &["--inputs", "text.pb"],
        "text.pb: it holds no tensor that can be used",
    ),
    (&["--inputs", "empty.npz"], "empty.npz: it is no .npz file"),
    (&["--inputs", "empty.npy"], "empty.npy: it is no .npy file"),
    (&["--inputs", "empty.pb"], "empty.pb: it is empty"),
    (
        &["--inputs", "cut.npy"],
        "cut.npy: its last element is cut off",
    ),
    (
        &["--inputs", "object.npy"],
        "object.npy: it holds elements of NumPy type \"O\"",
    ),
    (
        &["--inputs", "name.npz"],
        "name.npz names \"z\", the model's inputs are [\"x\"]",
    ),
    (
        &["--inputs", "more.npz"],
        "more.npz names \"z\", the model's inputs are [\"x\"]",
    ),
    (
        &["--inputs", "none.npz"],
        "none.npz gives 0 inputs, the model has 1: [\"x\"]",
    ),
    (
        &["--inputs", "flat.npz"],
        "flat.npz: input \"x\" is declared [N, 3, 8, 8], the value is [1, 3, 64]",
    ),
    (
        &["--inputs", "wide.npz"],
        "wide.npz: input \"x\" is declared float32, the value is float64",
    ),
    (
        &["--inputs", "empty"],
        "empty: it holds neither .npz, .npy or .pb files nor test_data_set_* folders",
    ),
    (
        &["--inputs", "gap"],
        "input_1.pb: this file is missing among its numbered siblings",
    ),
    (
        &["--inputs", "half"],
        "test_data_set_1: it holds no input_0.pb",
    ),
    (
        &["--inputs", "torn"],
        "input_0.pb: it holds no tensor that can be used",
    ),
    (
        &["--inputs", "shape"],
        "test_data_set_0: output \"y\" is declared [N, 4, 6, 6], the value is [1, 4, 5, 5]",
    ),
    (
        &["--inputs", "count"],
        "test_data_set_0 gives 2 outputs, the model has 1: [\"y\"]",
    ),
    (
        &["--inputs", "other"],
        "the original itself misses what is expected: output \"y\"[0, 0, 0, 0]",
    ),
    (
        &["--inputs", "good.npz", "--dim", "N=5"],
        "'--dim <NAME=SIZE>'",
    ),
    (
        &["--inputs", "good.npz", "--samples", "5"],
        "'--samples <SAMPLES>'",
    ),
    (
        &["--inputs", "good.npz", "--input", "x=normal:0,1"],
        "'--input <NAME=DRAW>'",
    ),
    (
        &["--input", "z=normal:0,1"],
        "there is no input \"z\"; the model's inputs are [\"x\"]",
    ),
    (
        &["--input", "x=normal"],
        "is not NAME=DRAW, like x=uniform:0,255",
    ),
    (&["--input", "x"], "is not NAME=DRAW, like x=uniform:0,255"),
    (
        &["--input", "x=missing.npy"],
        "missing.npy: it cannot be read",
    ),
    (&["--input", "x=text.npy"], "text.npy: it is no .npy file"),
    (
        &["--input", "x=rows.npy"],
        "input \"x\" is declared [N, 3, 8, 8], the value is [1, 5, 6]",
    ),
    (
        &["--input", "x=normal:0,1", "--input", "x=normal:0,2"],
        "--input gives \"x\" twice",
    ),
    (
        &["--dim", "M=3"],
        "there is no symbolic dimension \"M\"; the model's are [\"N\"]",
    ),
    (&["--dim", "N=0"], "is not NAME=SIZE, like batch=4"),
    (&["--dim", "N=3", "--dim", "N=4"], "--dim gives \"N\" twice"),
    (
        &["--dim", "N=2", "--input", "x=good.npy"],
        "dimension \"N\" is 2 and 1 at once",
    ),
    (&["--k", "nan"], "it is not a number of 0 or more"),
    (&["--floor", "-1"], "it is not a number of 0 or more"),
    (&["--rtol", "-1"], "it is not a number of 0 or more"),
    (&["--atol", "1e-5", "--k", "3"], "cannot be used with"),
    (&["--timeout", "0"], "0 is not in 1.."),
    (&["--max-memory", "0"], "0 is not in 1.."),
];

#[test]
fn what_is_wrong_with_an_input_or_a_flag_is_said_in_one_sentence() {
    let desk = desk();
    for (arguments, wanted) in ONE {
        let call = [&["verify", "one.onnx", "one.onnx"], arguments].concat();
        let (said, code) = desk.said(&call);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        let sentences = said.lines().filter(|line| line.contains(wanted)).count();
        assert_eq!(sentences, 1, "{arguments:?}: {said}");
        assert!(
            !said.contains("panicked") && !said.contains("defect"),
            "{said}"
        );
    }
}

#[test]
fn several_inputs_are_told_apart() {
    let desk = desk();
    let verify =
        |arguments: &[&str]| desk.said(&[&["verify", "two.onnx", "two.onnx"], arguments].concat());
    for arguments in [
        &["--inputs", "ids.npy", "--inputs", "rows.npy"][..],
        &["--inputs", "rows.npy", "--inputs", "ids.npy"],
        &["--input", "ids=ids.npy"],
        &["--input", "x=lines.npy", "--input", "ids=int:0..10"],
    ] {
        let (said, code) = verify(arguments);
        assert_eq!(code, 0, "{arguments:?}: {said}");
    }
    for (arguments, wanted) in [
        (
            &["--inputs", "ids.npy"][..],
            "ids.npy gives 1 input, the model has 2",
        ),
        (
            &["--inputs", "ids.npy", "--inputs", "good.npy"],
            "ids.npy, good.npy: input \"x\" is declared",
        ),
        (
            &["--inputs", "short.npy", "--inputs", "rows.npy"],
            "input \"ids\" is declared int64, the value is int32",
        ),
        (
            &["--inputs", "far.npy", "--inputs", "rows.npy"],
            "index 99 is outside extent 11",
        ),
        (
            &["--input", "ids=ids.npy", "--input", "x=lines.npy"],
            "dimension \"N\" is",
        ),
        (
            &["--input", "ids=normal:0,1"],
            "input \"ids\" holds integers; give int:LOW..HIGH",
        ),
        (&["--input", "ids=int:0..50"], "is outside extent 11"),
    ] {
        let (said, code) = verify(arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
}

#[test]
fn a_wrong_call_of_fold_writes_nothing() {
    let desk = desk();
    for (arguments, wanted) in [
        (
            &["--inputs", "flat.npz"][..],
            "flat.npz: input \"x\" is declared",
        ),
        (
            &["--inputs", "missing.npz"],
            "missing.npz: it does not exist",
        ),
        (&["--inputs", "other"], "misses what is expected"),
        (&["--input", "z=normal:0,1"], "there is no input \"z\""),
        (&["--no-verify", "--layers"], "cannot be used with"),
        (
            &["--no-verify", "--inputs", "good.npz"],
            "cannot be used with",
        ),
        (
            &["--json", "nowhere/report.json"],
            "cannot write nowhere/report.json: nowhere is no directory",
        ),
        (
            &["--json", "empty"],
            "cannot write empty: it is a directory",
        ),
    ] {
        let call = [&["one.onnx", "-o", "out.onnx"], arguments].concat();
        let (said, code) = desk.said(&call);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert!(!Path::exists(&desk.path("out.onnx")), "{arguments:?}");
    }
}

#[test]
fn models_that_cannot_be_compared_are_trouble_and_no_difference() {
    let desk = desk();
    let wrong: [(&[&str], &str); 6] = [
        (
            &["one.onnx", "two.onnx"],
            "the original has 1 input [\"x\"] and the rewritten model 2 inputs",
        ),
        (&["one.onnx", "missing.onnx"], "missing.onnx"),
        (&["missing.onnx", "one.onnx"], "missing.onnx"),
        (&["one.onnx", "text.txt"], "text.txt is not an ONNX model"),
        (
            &["empty", "one.onnx"],
            "empty is not an ONNX model: it is a directory",
        ),
        (&["one.onnx"], "<REWRITTEN>"),
    ];
    for (models, wanted) in wrong {
        let (said, code) = desk.said(&[&["verify"], models].concat());
        assert_eq!(code, 2, "{models:?}: {said}");
        assert!(said.contains(wanted), "{models:?}: {said}");
    }
}
