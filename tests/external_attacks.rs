//! External data, read safely: every way known to make a model reach beyond its own files, planted and refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared between test files")]
#[path = "files/models.rs"]
mod models;

use std::fs;
use std::path::Path;

use bnfold::onnx::proto::{
    FunctionProto, GraphProto, ModelProto, SparseTensorProto, TensorProto, TrainingInfoProto,
};
use bnfold::onnx::{Model, ReadError, ReadOptions};
use models::{attribute, external, floats, model, node, of_initializers, tensor};
use prost::Message;
use tempfile::TempDir;

const TWO: [(&str, &str); 3] = [("location", "w.data"), ("offset", "0"), ("length", "8")];

/// A directory with a model and a data file of eight bytes, beside a directory with a secret.
fn planted(message: &ModelProto) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("inside");
    fs::create_dir(&inside).unwrap();
    fs::write(directory.path().join("secret"), [7; 8]).unwrap();
    fs::write(inside.join("w.data"), floats(&[1.0, 2.0])).unwrap();
    fs::write(inside.join("model.onnx"), message.encode_to_vec()).unwrap();
    directory
}

fn open(directory: &TempDir) -> Result<Model, ReadError> {
    Model::open(&directory.path().join("inside/model.onnx"))
}

/// The message that a model with one external tensor of two floats gives.
fn refusal(entries: &[(&str, &str)]) -> String {
    let error = open(&planted(&of_initializers(vec![external(
        "w",
        &[2],
        entries,
    )])))
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("tensor w") && error.contains("model.onnx"),
        "{error}"
    );
    error
}

fn at(location: &str) -> [(&str, &str); 3] {
    [("location", location), ("offset", "0"), ("length", "8")]
}

#[test]
fn data_beside_the_model_is_read() {
    let directory = planted(&of_initializers(vec![external("w", &[2], &TWO)]));
    let model = open(&directory).unwrap();
    assert_eq!(
        model.read_f64(&model.graph.initializers[0]).unwrap(),
        [1.0, 2.0]
    );
}

#[test]
fn an_absolute_path_is_refused() {
    for path in [
        "/etc/passwd",
        "C:\\w.data",
        "c:w.data",
        "\\\\host\\share",
        "\\w.data",
    ] {
        assert!(refusal(&at(path)).contains("is absolute"));
    }
}

#[test]
fn a_path_that_climbs_out_is_refused() {
    for path in [
        "../secret",
        "sub/../../secret",
        "..\\secret",
        "..",
        "./../secret",
    ] {
        assert!(refusal(&at(path)).contains("climbs out"));
    }
}

#[test]
fn dots_within_a_name_are_no_climb() {
    let directory = planted(&of_initializers(vec![external(
        "w",
        &[2],
        &at("a..b.data"),
    )]));
    fs::write(directory.path().join("inside/a..b.data"), [0; 8]).unwrap();
    assert!(open(&directory).is_ok());
}

#[test]
fn an_empty_or_missing_location_is_refused() {
    assert!(refusal(&at("")).contains("is empty"));
    assert!(refusal(&[("offset", "0")]).contains("location is missing"));
    assert!(refusal(&at("w\0.data")).contains("NUL"));
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_out_is_refused() {
    let message = of_initializers(vec![external("w", &[2], &at("link"))]);
    let directory = planted(&message);
    std::os::unix::fs::symlink(
        directory.path().join("secret"),
        directory.path().join("inside/link"),
    )
    .unwrap();
    assert!(
        open(&directory)
            .unwrap_err()
            .to_string()
            .contains("leads out")
    );
    // The same through a directory that is a link.
    let directory = planted(&of_initializers(vec![external(
        "w",
        &[2],
        &at("sub/secret"),
    )]));
    std::os::unix::fs::symlink(directory.path(), directory.path().join("inside/sub")).unwrap();
    assert!(
        open(&directory)
            .unwrap_err()
            .to_string()
            .contains("leads out")
    );
}

#[cfg(unix)]
#[test]
fn a_link_to_a_device_is_refused() {
    let directory = planted(&of_initializers(vec![external("w", &[2], &at("zero"))]));
    std::os::unix::fs::symlink("/dev/zero", directory.path().join("inside/zero")).unwrap();
    assert!(
        open(&directory)
            .unwrap_err()
            .to_string()
            .contains("leads out")
    );
}

#[cfg(unix)]
#[test]
fn a_link_that_stays_inside_and_a_content_store_are_accepted() {
    use std::os::unix::fs::symlink;
    let directory = planted(&of_initializers(vec![external("w", &[2], &at("link"))]));
    symlink("w.data", directory.path().join("inside/link")).unwrap();
    assert!(open(&directory).is_ok());
    // A store keeps both under other names, and a snapshot links to them.
    let directory = planted(&of_initializers(vec![external("w", &[2], &TWO)]));
    let (inside, snapshot) = (
        directory.path().join("inside"),
        directory.path().join("snapshot"),
    );
    fs::create_dir(&snapshot).unwrap();
    fs::rename(inside.join("w.data"), inside.join("0b1c")).unwrap();
    symlink("../inside/model.onnx", snapshot.join("model.onnx")).unwrap();
    symlink("../inside/0b1c", snapshot.join("w.data")).unwrap();
    assert!(Model::open(&snapshot.join("model.onnx")).is_ok());
}

#[test]
fn a_hard_link_is_refused_unless_it_is_allowed() {
    let directory = planted(&of_initializers(vec![external("w", &[2], &at("hard"))]));
    fs::hard_link(
        directory.path().join("secret"),
        directory.path().join("inside/hard"),
    )
    .unwrap();
    assert!(
        open(&directory)
            .unwrap_err()
            .to_string()
            .contains("hard links")
    );
    let options = ReadOptions {
        allow_hard_links: true,
        ..ReadOptions::default()
    };
    assert!(Model::open_with(&directory.path().join("inside/model.onnx"), &options).is_ok());
}

#[cfg(unix)]
#[test]
fn a_directory_and_a_pipe_are_refused() {
    let directory = planted(&of_initializers(vec![external("w", &[2], &at("sub"))]));
    fs::create_dir(directory.path().join("inside/sub")).unwrap();
    assert!(
        open(&directory)
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
    let directory = planted(&of_initializers(vec![external("w", &[2], &at("pipe"))]));
    let made = std::process::Command::new("mkfifo")
        .arg(directory.path().join("inside/pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    assert!(
        open(&directory)
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = refusal(&at("gone.data"));
    assert!(
        error.contains("gone.data") && error.contains("put the data file beside the model"),
        "{error}"
    );
}

#[test]
fn entries_that_stand_twice_are_refused() {
    for key in ["location", "offset", "length", "checksum"] {
        let twice = [TWO.as_slice(), &[(key, "0"), (key, "0")]].concat();
        assert!(refusal(&twice).contains("stands twice"));
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    for value in [
        "-1",
        "+1",
        " 1",
        "1 ",
        "",
        "0x10",
        "1e3",
        "18446744073709551616",
        "९",
    ] {
        for key in ["offset", "length"] {
            assert!(
                refusal(&[("location", "w.data"), (key, value)]).contains("not a number of bytes"),
                "{key} {value:?}"
            );
        }
    }
}

#[test]
fn spans_outside_the_file_are_refused() {
    for offset in ["1", "8", "9223372036854775807", "18446744073709551615"] {
        let error = refusal(&[("location", "w.data"), ("offset", offset), ("length", "8")]);
        assert!(error.contains("the file has 8 bytes"), "{error}");
    }
    assert!(refusal(&[("location", "w.data"), ("offset", "4")]).contains("the file has 8 bytes"));
}

#[test]
fn a_length_that_is_not_what_the_dims_need_is_refused() {
    for length in ["0", "4", "16", "18446744073709551615"] {
        assert!(refusal(&[("location", "w.data"), ("length", length)]).contains("need 8"));
    }
}

#[test]
fn dims_beyond_all_memory_are_refused_before_anything_is_allocated() {
    let most = of_initializers(vec![external("w", &[i64::MAX], &TWO)]);
    assert!(
        open(&planted(&most))
            .unwrap_err()
            .to_string()
            .contains("its dims need")
    );
    for dims in [
        vec![i64::MAX, 2],
        vec![1 << 40, 1 << 40],
        vec![-1],
        vec![0, i64::MAX, i64::MAX],
    ] {
        let directory = planted(&of_initializers(vec![external("w", &dims, &TWO)]));
        assert!(
            open(&directory)
                .unwrap_err()
                .to_string()
                .contains("negative or too large")
        );
    }
    let directory = planted(&of_initializers(vec![external(
        "w",
        &[1 << 40],
        &[("location", "w.data")],
    )]));
    assert!(
        open(&directory)
            .unwrap_err()
            .to_string()
            .contains("the file has 8 bytes")
    );
}

#[test]
fn a_checksum_is_compared_where_one_is_stated() {
    // SHA-1 of the eight bytes of the data file.
    let good = "7f6e1d7de3ab2d47658382fc453ea1e6b73e05b1";
    let stated = |digest: &str| {
        let entries = [TWO.as_slice(), &[("checksum", digest)]].concat();
        open(&planted(&of_initializers(vec![external(
            "w",
            &[2],
            &entries,
        )])))
    };
    assert!(stated(good).is_ok());
    assert!(stated(&good.to_uppercase()).is_ok());
    let error = stated("0000").unwrap_err().to_string();
    assert!(
        error.contains(good) && error.contains("not 0000"),
        "{error}"
    );
    let directory = planted(&of_initializers(vec![external(
        "w",
        &[2],
        &[TWO.as_slice(), &[("checksum", "0000")]].concat(),
    )]));
    let unverified = ReadOptions {
        verify_checksums: false,
        ..ReadOptions::default()
    };
    assert!(Model::open_with(&directory.path().join("inside/model.onnx"), &unverified).is_ok());
}

/// A model whose only external tensor stands somewhere unusual.
fn hidden(place: &str) -> ModelProto {
    let bad = || external("w", &[2], &at("../secret"));
    let holder = |value: bnfold::onnx::proto::AttributeProto| {
        let mut holder = node("Constant", &[], &["c"]);
        holder.attribute.push(value);
        holder
    };
    let in_graph = |node| {
        model(GraphProto {
            node: vec![node],
            ..Default::default()
        })
    };
    let sparse = |values: TensorProto, indices: TensorProto| SparseTensorProto {
        values: Some(values),
        indices: Some(indices),
        dims: vec![4],
    };
    let mut value = attribute("value", 4);
    match place {
        "a node's attribute" => in_graph(holder({
            value.t = Some(bad());
            value
        })),
        "an attribute's list of tensors" => in_graph(holder({
            value.r#type = Some(9);
            value.tensors = vec![bad()];
            value
        })),
        "a sparse attribute" => in_graph(holder({
            value.r#type = Some(11);
            value.sparse_tensor = Some(sparse(bad(), tensor("i", &[2], &[0.0, 0.0])));
            value
        })),
        "a list of sparse tensors" => in_graph(holder({
            value.r#type = Some(12);
            value.sparse_tensors = vec![sparse(tensor("v", &[2], &[0.0, 0.0]), bad())];
            value
        })),
        "a nested graph" => in_graph(holder({
            value.r#type = Some(5);
            value.g = Some(GraphProto {
                initializer: vec![bad()],
                ..Default::default()
            });
            value
        })),
        "a field that the attribute's type does not name" => in_graph(holder({
            value.r#type = Some(2);
            value.t = Some(bad());
            value
        })),
        "a sparse initializer" => model(GraphProto {
            sparse_initializer: vec![sparse(tensor("v", &[2], &[0.0, 0.0]), bad())],
            ..Default::default()
        }),
        "a function" => {
            let mut message = of_initializers(Vec::new());
            value.t = Some(bad());
            message.functions.push(FunctionProto {
                node: vec![holder(value)],
                ..Default::default()
            });
            message
        }
        "a function's default" => {
            let mut message = of_initializers(Vec::new());
            value.t = Some(bad());
            message.functions.push(FunctionProto {
                attribute_proto: vec![value],
                ..Default::default()
            });
            message
        }
        "training information" => {
            let mut message = of_initializers(Vec::new());
            let algorithm = Some(GraphProto {
                initializer: vec![bad()],
                ..Default::default()
            });
            message.training_info.push(TrainingInfoProto {
                algorithm,
                ..Default::default()
            });
            message
        }
        other => panic!("{other}"),
    }
}

#[test]
fn tensors_are_checked_wherever_they_stand() {
    for place in [
        "a node's attribute",
        "an attribute's list of tensors",
        "a sparse attribute",
        "a list of sparse tensors",
        "a nested graph",
        "a field that the attribute's type does not name",
        "a sparse initializer",
        "a function",
        "a function's default",
        "training information",
    ] {
        let error = open(&planted(&hidden(place))).expect_err(place).to_string();
        assert!(error.contains("climbs out"), "{place}: {error}");
    }
}

#[test]
fn a_model_in_memory_has_nothing_beside_it() {
    let bytes = of_initializers(vec![external("w", &[2], &TWO)]).encode_to_vec();
    assert!(
        Model::from_bytes(bytes.clone())
            .unwrap_err()
            .to_string()
            .contains("not read from a file")
    );
    let directory = planted(&of_initializers(Vec::new()));
    let path = directory.path().join("inside/model.onnx");
    assert!(Model::from_bytes_at(bytes, path, &ReadOptions::default()).is_ok());
}

#[test]
fn a_data_file_that_changes_after_opening_is_noticed() {
    let directory = planted(&of_initializers(vec![external("w", &[2], &TWO)]));
    let model = open(&directory).unwrap();
    fs::write(directory.path().join("inside/w.data"), [1]).unwrap();
    let error = model
        .read_f64(&model.graph.initializers[0])
        .unwrap_err()
        .to_string();
    assert!(error.contains("changed while it was being read"), "{error}");
    assert!(model.check_unchanged().is_err());
}

#[test]
fn more_data_files_than_may_stay_open_are_all_read() {
    let name = |index: usize| format!("{index}.data");
    let names: Vec<String> = (0..300).map(name).collect();
    let tensors = names
        .iter()
        .map(|name| external(name, &[1], &[("location", name)]))
        .collect();
    let directory = planted(&of_initializers(tensors));
    let write = |index: usize, value: f32| {
        fs::write(
            directory.path().join("inside").join(name(index)),
            floats(&[value]),
        )
        .unwrap()
    };
    (0..300).for_each(|index| write(index, index as f32));
    let model = open(&directory).unwrap();
    for (index, tensor) in model.graph.initializers.iter().enumerate() {
        assert_eq!(model.read_f64(tensor).unwrap(), [index as f64]);
    }
    replace(&directory.path().join("inside").join(name(299)));
    assert!(
        model
            .read_f64(&model.graph.initializers[299])
            .unwrap_err()
            .to_string()
            .contains("changed")
    );
}

/// Puts another file of the same content in a file's place.
fn replace(path: &Path) {
    let content = fs::read(path).unwrap();
    fs::write(path.with_extension("new"), content).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}
