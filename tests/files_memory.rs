//! Memory: a fold's peak does not grow with the weights, inside the model or beside it.
//!
//! The data is made of holes, so that it takes no room on disk until it is written.
//! With `BNFOLD_LONG=1` the weights are 10 GB, which must be free where temporary files go.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared between test files")]
#[path = "files/models.rs"]
mod models;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bnfold::onnx::wire::{put_bytes_field, put_length, put_varint_field};
use bnfold::onnx::{Edits, Model, NewData, SaveOptions, Transform};
use models::{external, of_initializers};
use ndarray::ArrayD;
use prost::Message;

const TENSORS: u64 = 5;
/// The bound of a fold in kB, to which 1 kB per node comes.
const BOUND: u64 = 32 << 10;
const CHILD: &str = "BNFOLD_TEST_MODEL";

/// Elements per tensor.
fn elements() -> u64 {
    if std::env::var_os("BNFOLD_LONG").is_some() {
        10_000_000_000 / 4 / TENSORS
    } else {
        6 << 20
    }
}

fn external_model(directory: &Path) -> PathBuf {
    let tensors = (0..TENSORS).map(|index| {
        let (offset, length) = (
            (index * elements() * 4).to_string(),
            (elements() * 4).to_string(),
        );
        let entries = [
            ("location", "weights.bin"),
            ("offset", &*offset),
            ("length", &*length),
        ];
        external(
            &format!("w{index}"),
            &[64, elements() as i64 / 64],
            &entries,
        )
    });
    let path = directory.join("model.onnx");
    fs::write(&path, of_initializers(tensors.collect()).encode_to_vec()).unwrap();
    File::create(directory.join("weights.bin"))
        .unwrap()
        .set_len(TENSORS * elements() * 4)
        .unwrap();
    path
}

fn inline_model(directory: &Path) -> PathBuf {
    let head = |index: u64| {
        let mut body = Vec::new();
        put_varint_field(&mut body, 1, 64);
        put_varint_field(&mut body, 1, elements() / 64);
        put_varint_field(&mut body, 2, 1);
        put_bytes_field(&mut body, 8, format!("w{index}").as_bytes());
        put_length(&mut body, 9, elements() * 4);
        let mut head = Vec::new();
        put_length(&mut head, 5, body.len() as u64 + elements() * 4);
        [head, body].concat()
    };
    let heads: Vec<Vec<u8>> = (0..TENSORS).map(head).collect();
    let length = heads.iter().map(Vec::len).sum::<usize>() as u64 + TENSORS * elements() * 4;
    let mut start = b"\x08\x0a\x42\x02\x10\x11".to_vec();
    put_length(&mut start, 7, length);
    let path = directory.join("model.onnx");
    let mut file = File::create(&path).unwrap();
    file.write_all(&start).unwrap();
    for head in heads {
        file.write_all(&head).unwrap();
        file.seek(SeekFrom::Current(elements() as i64 * 4)).unwrap();
    }
    let end = file.stream_position().unwrap();
    file.set_len(end).unwrap();
    path
}

/// Folds the model in a process of its own and returns that process's peak in kB.
fn peak_of(test: &str, model: &Path) -> u64 {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", test])
        .env(CHILD, model)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let status = fs::read_to_string(model.with_file_name("status")).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    peak.unwrap().parse().unwrap()
}

/// The child's part: every weight is scaled and the model saved beside itself.
fn fold() -> bool {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return false;
    };
    let model = Model::open(&path).unwrap();
    let mut edits = Edits::new(&model);
    for weight in &model.graph.initializers {
        let scale = ArrayD::from_shape_fn(vec![64, 1], |index| 1.0 + index[0] as f64);
        let transform =
            Arc::new(Transform::new(weight.dims.clone(), scale, vec![(1, 0.5)]).unwrap());
        edits
            .replace_tensor(
                weight,
                NewData::Transformed {
                    from: weight.clone(),
                    transform,
                },
            )
            .unwrap();
    }
    edits
        .save(&path.with_file_name("out.onnx"), &SaveOptions::default())
        .unwrap();
    fs::copy("/proc/self/status", path.with_file_name("status")).unwrap();
    true
}

fn check(test: &str, make: fn(&Path) -> PathBuf, data: &str) {
    if fold() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let model = make(directory.path());
    let peak = peak_of(test, &model);
    assert!(peak <= BOUND, "{peak} kB");
    let written = fs::metadata(directory.path().join(data)).unwrap().len();
    assert!(written >= TENSORS * elements() * 4, "{written} bytes");
    let out = Model::open(&directory.path().join("out.onnx")).unwrap();
    let (mut sum, mut second) = (0.0, 0.0);
    let visit = |first: usize, chunk: &[f64]| {
        sum += chunk.iter().sum::<f64>();
        second = if first == 0 { chunk[1] } else { second };
    };
    out.for_each_f64_chunk(&out.graph.initializers[4], visit)
        .unwrap();
    assert_eq!((sum, second), (0.5, 0.5));
}

#[test]
fn a_model_with_its_weights_inside_folds_in_constant_memory() {
    // Ten gigabytes are too much for one protobuf file, so they go outside.
    let is_long = std::env::var_os("BNFOLD_LONG").is_some();
    let data = if is_long { "out.onnx.data" } else { "out.onnx" };
    check(
        "a_model_with_its_weights_inside_folds_in_constant_memory",
        inline_model,
        data,
    );
}

#[test]
fn a_model_with_its_weights_beside_it_folds_in_constant_memory() {
    check(
        "a_model_with_its_weights_beside_it_folds_in_constant_memory",
        external_model,
        "out.onnx.data",
    );
}
