//! Data files that promise more than they hold, and external data in places that are none.

use std::path::Path;

use bnfold::onnx::Model;
use prost::Message;

use crate::bounds::{SMALL, is_well, run};
use crate::models::{external, floats, node};
use crate::parts::{batch_norm, conv, graph, info, of_nodes, plain};

fn npy(shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [
        b"\x93NUMPY\x01\x00",
        &length[..],
        header.as_bytes(),
        &[0; 64],
    ]
    .concat()
}

/// A zip archive of one deflated member that promises so many bytes.
fn bomb(packed: &[u8], unpacked: u32) -> Vec<u8> {
    let name = b"x.npy";
    let sizes = [(packed.len() as u32).to_le_bytes(), unpacked.to_le_bytes()].concat();
    let common = [
        &[20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &sizes,
        &[5, 0, 0, 0],
    ]
    .concat();
    let mut out = [b"PK\x03\x04", &common[..], name, packed].concat();
    let start = (out.len() as u32).to_le_bytes();
    let central = [b"PK\x01\x02", &[20, 0][..], &common, &[0; 14], name].concat();
    let size = (central.len() as u32).to_le_bytes();
    out.extend(central);
    out.extend(
        [
            b"PK\x05\x06",
            &[0, 0, 0, 0, 1, 0, 1, 0][..],
            &size,
            &start,
            &[0; 2],
        ]
        .concat(),
    );
    out
}

#[test]
fn data_files_that_promise_terabytes_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let put =
        |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    put("m.onnx", &plain().encode_to_vec());
    put("huge.npy", &npy("(1099511627776, 1, 4, 4)"));
    put(
        "over.npy",
        &npy("(18446744073709551615, 18446744073709551615)"),
    );
    put("negative.npy", &npy("(-1, 1, 4, 4)"));
    let zeros = miniz_oxide::deflate::compress_to_vec(&vec![0; 64 << 20], 9);
    put("bomb.npz", &bomb(&zeros, u32::MAX - 1));
    put("short.npz", &bomb(&zeros, 16));
    for file in [
        "huge.npy",
        "over.npy",
        "negative.npy",
        "bomb.npz",
        "short.npz",
    ] {
        for arguments in [
            &["m.onnx", "-o", "o.onnx", "-q", "--inputs", file][..],
            &["verify", "m.onnx", "m.onnx", "--inputs", file],
            &[
                "calibrate",
                "m.onnx",
                "--all",
                "-o",
                "o.onnx",
                "--data",
                file,
            ],
        ] {
            let end = run(directory.path(), arguments, SMALL);
            is_well(&end, &format!("{arguments:?}"));
            assert_eq!(end.code, 2, "{arguments:?}: {end:?}");
            assert!(!directory.path().join("o.onnx").exists());
        }
    }
}

/// The end of a fold of a model whose weight is kept at a location, in a directory that is prepared.
fn located(location: &str, offset: &str, length: &str, prepare: impl Fn(&Path)) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(directory.path().join("secret"), [7; 64]).unwrap();
    std::fs::write(inside.join("w.data"), floats(&[1.0, 2.0])).unwrap();
    prepare(&inside);
    let mut message = plain();
    let entries = [
        ("location", location),
        ("offset", offset),
        ("length", length),
    ];
    graph(&mut message).initializer[0] = external("w", &[2, 1, 1, 1], &entries);
    std::fs::write(inside.join("m.onnx"), message.encode_to_vec()).unwrap();
    let end = run(&inside, &["m.onnx", "-o", "o.onnx", "-q"], SMALL);
    is_well(&end, location);
    assert_eq!(inside.join("o.onnx").exists(), end.code == 0);
    (end.code, end.said)
}

#[test]
fn external_data_that_is_not_the_models_ends_the_run() {
    use std::os::unix::fs::symlink;
    let nothing = |_: &Path| {};
    assert_eq!(located("w.data", "0", "8", nothing).0, 0);
    for (location, offset, length) in [
        ("/etc/passwd", "0", "8"),
        ("../secret", "0", "8"),
        ("/dev/zero", "0", "8"),
        ("w.data", "8", "8"),
        ("w.data", "18446744073709551615", "8"),
        ("w.data", "0", "1099511627776"),
        ("w.data", "-1", "8"),
        ("missing", "0", "8"),
    ] {
        let (code, said) = located(location, offset, length, nothing);
        assert_eq!(code, 2, "{location}: {said}");
    }
    let make = |inside: &Path| {
        symlink("../secret", inside.join("out")).unwrap();
        symlink("/dev/zero", inside.join("device")).unwrap();
        std::fs::hard_link(inside.join("../secret"), inside.join("hard")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(inside.join("pipe"))
            .status();
        assert!(made.unwrap().success());
    };
    for location in ["out", "device", "hard", "pipe"] {
        let (code, said) = located(location, "0", "8", make);
        assert_eq!(code, 2, "{location}: {said}");
    }
}

#[test]
fn tensors_that_share_bytes_are_changed_each_for_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("w.data"), floats(&[1.0, 2.0, 3.0, 4.0])).unwrap();
    let at = |name: &str, offset: &str| {
        let entries = [("location", "w.data"), ("offset", offset), ("length", "8")];
        external(name, &[2, 1, 1, 1], &entries)
    };
    let mut message = of_nodes(vec![
        conv("x", "c"),
        batch_norm("c", "y"),
        node("Conv", &["x", "u"], &["z"]),
    ]);
    let graph = graph(&mut message);
    graph.initializer[0] = at("w", "0");
    graph.initializer.push(at("u", "4"));
    graph.output.push(info("z", &[1, 2, 4, 4], 1));
    std::fs::write(path("m.onnx"), message.encode_to_vec()).unwrap();
    let end = run(
        directory.path(),
        &["m.onnx", "-o", "o.onnx", "-q", "--external-data", "always"],
        SMALL,
    );
    is_well(&end, "shared bytes");
    assert_eq!(end.code, 0, "{end:?}");
    let read = |file: &str, name: &str| {
        let model = Model::open(&path(file)).unwrap();
        let mut tensors = model.graph.initializers.iter();
        let tensor = tensors.find(|tensor| tensor.name == *name).unwrap();
        model.read_f64(tensor).unwrap()
    };
    assert_eq!(read("o.onnx", "u"), [2.0, 3.0]);
    assert_ne!(read("o.onnx", "w"), read("m.onnx", "w"));
    assert_eq!(
        std::fs::read(path("w.data")).unwrap(),
        floats(&[1.0, 2.0, 3.0, 4.0])
    );
}
