//! Targets: a file is whole or it is not there, and whatever goes wrong leaves everything as it was.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared between test files")]
#[path = "files/models.rs"]
mod models;

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use bnfold::onnx::{
    Edits, ExternalPolicy, FlawKind, Model, NewData, SaveOptions, Transform, WriteError,
};
use models::{conv_bn, of_initializers, tensor};
use ndarray::ArrayD;
use prost::Message;
use tempfile::TempDir;

fn planted() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    fs::write(&path, conv_bn().encode_to_vec()).unwrap();
    (directory, path)
}

/// The model with one node less.
fn save(from: &Path, to: &Path, options: &SaveOptions) -> Result<(), WriteError> {
    let model = Model::open(from).unwrap();
    let mut edits = Edits::new(&model);
    edits.remove_node(&model.graph.nodes[1]).unwrap();
    edits.save(to, options).map(drop)
}

fn n_nodes(path: &Path) -> usize {
    Model::open(path).unwrap().graph.nodes.len()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Renaming asks for the directory's permission alone, so a file's own is asked for before.
#[test]
fn a_write_protected_target_is_refused_and_stays() {
    let (directory, path) = planted();
    let out = directory.path().join("out.onnx");
    fs::write(&out, "mine").unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o444)).unwrap();
    let error = save(&path, &out, &SaveOptions::default()).unwrap_err();
    let expected = format!(
        "{} is not written: it is write-protected; allow writing it, or choose another name",
        out.display()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        (fs::read(&out).unwrap(), mode(&out)),
        (b"mine".to_vec(), 0o444)
    );
    assert_eq!(names(directory.path()), ["model.onnx", "out.onnx"]);
    let data = directory.path().join("other.onnx.data");
    fs::rename(&out, &data).unwrap();
    let external = SaveOptions {
        external_data: bnfold::onnx::ExternalPolicy::Always,
        size_threshold: 0,
        ..SaveOptions::default()
    };
    let error = save(&path, &directory.path().join("other.onnx"), &external).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("other.onnx.data is not written: it is write-protected")
    );
    assert_eq!(names(directory.path()), ["model.onnx", "other.onnx.data"]);
}

#[test]
fn what_a_write_protected_model_gives_can_be_replaced() {
    let (directory, path) = planted();
    let out = directory.path().join("out.onnx");
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    for _ in 0..2 {
        save(&path, &out, &SaveOptions::default()).unwrap();
        assert_eq!(mode(&out), 0o644);
    }
}

#[test]
fn a_new_file_has_the_models_mode() {
    let (directory, path) = planted();
    let out = directory.path().join("out.onnx");
    for mode in [0o600, 0o644, 0o664] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        save(&path, &out, &SaveOptions::default()).unwrap();
        assert_eq!(
            fs::metadata(&out).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
    assert_eq!(names(directory.path()), ["model.onnx", "out.onnx"]);
}

#[test]
fn the_model_itself_is_replaced_only_in_place() {
    let (directory, path) = planted();
    symlink("model.onnx", directory.path().join("link")).unwrap();
    fs::hard_link(&path, directory.path().join("hard")).unwrap();
    let before = fs::read(&path).unwrap();
    for name in ["model.onnx", "link", "hard", "../model.onnx"] {
        let target = directory.path().join(if name.starts_with("..") {
            format!("./{}/../model.onnx", "sub")
        } else {
            name.to_owned()
        });
        fs::create_dir_all(directory.path().join("sub")).unwrap();
        let error = save(&path, &target, &SaveOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("allow writing in place"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    let in_place = SaveOptions {
        in_place: true,
        ..SaveOptions::default()
    };
    save(&path, &directory.path().join("link"), &in_place).unwrap();
    assert_eq!(
        (
            n_nodes(&path),
            fs::read(directory.path().join("hard")).unwrap()
        ),
        (1, before)
    );
    assert!(
        fs::symlink_metadata(directory.path().join("link"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(
        names(directory.path()),
        ["hard", "link", "model.onnx", "sub"]
    );
}

#[test]
fn a_link_is_followed_to_what_is_or_will_be_there() {
    let (directory, path) = planted();
    let sub = directory.path().join("sub");
    fs::create_dir(&sub).unwrap();
    symlink("sub/real.onnx", directory.path().join("link")).unwrap();
    for _ in 0..2 {
        save(
            &path,
            &directory.path().join("link"),
            &SaveOptions::default(),
        )
        .unwrap();
        assert_eq!(n_nodes(&sub.join("real.onnx")), 1);
    }
    symlink("circle", directory.path().join("circle")).unwrap();
    let error = save(
        &path,
        &directory.path().join("circle"),
        &SaveOptions::default(),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("links lead in a circle"), "{error}");
    assert_eq!(
        (names(directory.path()), names(&sub)),
        (
            vec![
                "circle".into(),
                "link".into(),
                "model.onnx".into(),
                "sub".into()
            ],
            vec!["real.onnx".into()]
        )
    );
}

#[test]
fn what_is_no_file_is_refused_or_written_to_directly() {
    let (directory, path) = planted();
    let error = save(&path, directory.path(), &SaveOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("it is a directory"), "{error}");
    save(&path, Path::new("/dev/null"), &SaveOptions::default()).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let error = save(&path, Path::new("/dev/full"), &SaveOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/dev/full") && error.contains("free some space"),
        "{error}"
    );
    let pipe = directory.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || {
            let mut bytes = Vec::new();
            File::open(pipe).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        }
    });
    save(&path, &pipe, &SaveOptions::default()).unwrap();
    assert_eq!(
        Model::from_bytes(reader.join().unwrap())
            .unwrap()
            .graph
            .nodes
            .len(),
        1
    );
    assert_eq!(names(directory.path()), ["model.onnx", "pipe"]);
}

#[test]
fn a_directory_that_is_missing_is_named_and_not_made() {
    let (directory, path) = planted();
    let with_data = SaveOptions {
        external_data: ExternalPolicy::Always,
        size_threshold: 0,
        ..SaveOptions::default()
    };
    for options in [SaveOptions::default(), with_data] {
        let error = save(&path, &directory.path().join("gone/out.onnx"), &options);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("gone/out.onnx") && error.contains("create the directory first"),
            "{error}"
        );
        assert_eq!(names(directory.path()), ["model.onnx"]);
    }
}

/// A model with a weight of `count` elements, of which the last is large, and edits that overflow it.
fn overflowing(
    count: usize,
    write: impl FnOnce(&Edits<'_>) -> Result<(), WriteError>,
) -> WriteError {
    let mut values = vec![1.0; count];
    values[count - 1] = 1e30;
    let model = Model::from_bytes(
        of_initializers(vec![tensor("w", &[count as i64], &values)]).encode_to_vec(),
    )
    .unwrap();
    let weight = &model.graph.initializers[0];
    let transform = Arc::new(
        Transform::new(
            weight.dims.clone(),
            ArrayD::from_elem(vec![1], 1e30),
            vec![],
        )
        .unwrap(),
    );
    let mut edits = Edits::new(&model);
    edits
        .replace_tensor(
            weight,
            NewData::Transformed {
                from: weight.clone(),
                transform,
            },
        )
        .unwrap();
    write(&edits).unwrap_err()
}

#[test]
fn a_weight_that_overflows_leaves_the_old_file() {
    for count in [4, 2 << 20] {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out.onnx");
        fs::write(&out, "old").unwrap();
        match overflowing(count, |edits| {
            edits.save(&out, &SaveOptions::default()).map(drop)
        }) {
            WriteError::Unrepresentable { flaws, .. } => assert_eq!(
                (flaws[0].kind, &*flaws[0].tensor),
                (FlawKind::Overflow, "w")
            ),
            other => panic!("{other}"),
        }
        assert_eq!(
            (fs::read(&out).unwrap(), names(directory.path())),
            (b"old".to_vec(), vec!["out.onnx".to_owned()])
        );
        let mut written = Vec::new();
        overflowing(count, |edits| {
            edits
                .save_to(&mut written, &SaveOptions::default())
                .map(drop)
        });
        assert!(written.is_empty(), "{written:?}");
    }
}

#[test]
fn a_writer_that_fails_ends_the_run() {
    struct Failing(usize);
    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let count = 4 << 20;
    let model = Model::from_bytes(
        of_initializers(vec![tensor("w", &[count], &vec![1.0; count as usize])]).encode_to_vec(),
    )
    .unwrap();
    for room in [0, 1 << 20, 15 << 20] {
        let error = Edits::new(&model)
            .save_to(&mut Failing(room), &SaveOptions::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the reader of the output has gone"),
            "{error}"
        );
    }
}

#[test]
fn a_model_that_changes_before_the_end_is_not_written() {
    let (directory, path) = planted();
    let out = directory.path().join("out.onnx");
    let changes: [fn(&Path); 3] = [
        |path| {
            File::options()
                .append(true)
                .open(path)
                .unwrap()
                .write_all(&[0])
                .unwrap()
        },
        |path| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(100)
                .unwrap()
        },
        |path| {
            fs::write(path.with_extension("new"), fs::read(path).unwrap()).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        },
    ];
    for change in changes {
        fs::write(&path, conv_bn().encode_to_vec()).unwrap();
        let model = Model::open(&path).unwrap();
        let mut edits = Edits::new(&model);
        edits.remove_node(&model.graph.nodes[0]).unwrap();
        change(&path);
        let error = edits
            .save(&out, &SaveOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("changed while it was being read"), "{error}");
        assert_eq!(names(directory.path()), ["model.onnx"]);
    }
}

/// Runs one test of this file in a process of its own, in which files may have no more than `blocks` blocks.
fn with_file_limit(test: &str, blocks: usize, directory: &Path) -> Output {
    let limited =
        format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --exact {test} --nocapture");
    let program = std::env::current_exe().unwrap();
    Command::new("bash")
        .arg("-c")
        .arg(limited)
        .arg(program)
        .env("BNFOLD_TEST_DIRECTORY", directory)
        .output()
        .unwrap()
}

#[test]
fn a_disk_that_fills_up_leaves_nothing_behind() {
    if let Some(directory) = std::env::var_os("BNFOLD_TEST_DIRECTORY") {
        let directory = PathBuf::from(directory);
        let external = SaveOptions {
            external_data: bnfold::onnx::ExternalPolicy::Always,
            ..SaveOptions::default()
        };
        for options in [SaveOptions::default(), external] {
            let model = Model::open(&directory.join("model.onnx")).unwrap();
            let error = Edits::new(&model)
                .save(&directory.join("out.onnx"), &options)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("cannot write") && error.contains("choose a place"),
                "{error}"
            );
        }
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let large = of_initializers(vec![tensor("w", &[1 << 20], &vec![1.0; 1 << 20])]);
    fs::write(directory.path().join("model.onnx"), large.encode_to_vec()).unwrap();
    fs::write(directory.path().join("out.onnx"), "old").unwrap();
    let output = with_file_limit(
        "a_disk_that_fills_up_leaves_nothing_behind",
        1024,
        directory.path(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(names(directory.path()), ["model.onnx", "out.onnx"]);
    assert_eq!(fs::read(directory.path().join("out.onnx")).unwrap(), b"old");
}
