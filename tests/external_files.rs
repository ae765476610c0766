//! Data files, written: what goes there, where in it, and what is left where it was.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "files/models.rs"]
mod models;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bnfold::onnx::model::{Name, TensorData, TensorView};
use bnfold::onnx::proto::{GraphProto, ModelProto, SparseTensorProto, TensorProto};
use bnfold::onnx::{
    Edits, ExternalPolicy, Model, NewData, NewTensor, SaveOptions, Saved, Transform,
};
use models::{FLOAT, attribute, conv_bn, external, floats, model, node, of_initializers, tensor};
use ndarray::ArrayD;
use prost::Message;
use tempfile::TempDir;

/// Where each of four tensors stands in a data file, and its two values.
const PLACES: [(&str, u64, [f32; 2]); 4] = [
    ("first", 0, [1.0, 2.0]),
    ("paged", 4096, [3.0, 4.0]),
    ("close", 4112, [5.0, 6.0]),
    ("far", 65536, [7.0, 8.0]),
];

fn placed(name: &str, offset: u64) -> TensorProto {
    let offset = offset.to_string();
    external(
        name,
        &[2],
        &[
            ("location", "weights.bin"),
            ("offset", &offset),
            ("length", "8"),
            ("checksum", ""),
        ],
    )
}

/// A directory with a model whose four initializers are in `weights.bin`.
fn with_data_file() -> (TempDir, PathBuf) {
    let mut data = vec![0xee; 65544];
    for (_, offset, values) in PLACES {
        data[offset as usize..offset as usize + 8].copy_from_slice(&floats(&values));
    }
    let tensors = PLACES.iter().map(|(name, offset, _)| {
        let mut tensor = placed(name, *offset);
        tensor.external_data.truncate(3);
        tensor
    });
    let message = of_initializers(tensors.chain([tensor("inline", &[1], &[9.0])]).collect());
    planted(&message, &data)
}

fn planted(message: &ModelProto, data: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    fs::write(&path, message.encode_to_vec()).unwrap();
    fs::write(directory.path().join("weights.bin"), data).unwrap();
    (directory, path)
}

fn options(external_data: ExternalPolicy) -> SaveOptions {
    SaveOptions {
        external_data,
        size_threshold: 8,
        ..SaveOptions::default()
    }
}

fn halved(tensor: &TensorView) -> NewData {
    let scale = ArrayD::from_elem(vec![1; tensor.dims.len()], 0.5);
    let transform = Arc::new(Transform::new(tensor.dims.clone(), scale, vec![]).unwrap());
    NewData::Transformed {
        from: tensor.clone(),
        transform,
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

fn values(path: &Path) -> Vec<(String, Vec<f64>)> {
    let model = Model::open(path).unwrap();
    let tensors = model.graph.initializers.iter();
    tensors
        .map(|tensor| (tensor.name.to_string(), model.read_f64(tensor).unwrap()))
        .collect()
}

fn places(path: &Path) -> Vec<(String, Option<u64>)> {
    let offset = |tensor: &TensorView| match &tensor.data {
        TensorData::External(data) => {
            assert_eq!(
                data.location,
                format!("{}.data", path.file_name().unwrap().to_str().unwrap())
            );
            assert_eq!((data.length, &data.checksum), (Some(8), &None));
            Some(data.offset)
        }
        _ => None,
    };
    Model::open(path)
        .unwrap()
        .graph
        .initializers
        .iter()
        .map(|tensor| (tensor.name.to_string(), offset(tensor)))
        .collect()
}

#[test]
fn external_tensors_stay_external_in_one_file_with_their_alignment() {
    let (directory, path) = with_data_file();
    let before = fs::read(directory.path().join("weights.bin")).unwrap();
    let model = Model::open(&path).unwrap();
    let tensors = &model.graph.initializers;
    let mut edits = Edits::new(&model);
    edits
        .replace_tensor(&tensors[1], halved(&tensors[1]))
        .unwrap();
    edits
        .add_clone(
            &model.graph,
            &tensors[2],
            &Name::from("clone"),
            halved(&tensors[2]),
        )
        .unwrap();
    let bias = NewTensor {
        name: Name::from("bias"),
        dims: vec![2],
        data_type: FLOAT,
        data: NewData::Values(vec![0.5; 2]),
    };
    edits.add_initializer(&model.graph, bias).unwrap();
    let out = directory.path().join("out.onnx");
    let saved = edits.save(&out, &options(ExternalPolicy::Auto)).unwrap();
    assert_eq!(
        saved.data,
        [(directory.path().join("out.onnx.data"), 65560)]
    );
    let place = |name: &str, offset| (name.to_owned(), offset);
    let expected = [
        place("first", Some(0)),
        place("paged", Some(4096)),
        place("close", Some(4112)),
        place("far", Some(65536)),
    ];
    assert_eq!(places(&out)[..4], expected);
    assert_eq!(
        places(&out)[4..],
        [
            place("inline", None),
            place("clone", Some(65552)),
            place("bias", None)
        ]
    );
    let found: Vec<Vec<f64>> = values(&out).into_iter().map(|(_, values)| values).collect();
    assert_eq!(found[..4], [[1.0, 2.0], [1.5, 2.0], [5.0, 6.0], [7.0, 8.0]]);
    assert_eq!(found[4..], [vec![9.0], vec![2.5, 3.0], vec![0.5, 0.5]]);
    assert_eq!(
        fs::read(directory.path().join("weights.bin")).unwrap(),
        before
    );
    assert_eq!(
        names(directory.path()),
        ["model.onnx", "out.onnx", "out.onnx.data", "weights.bin"]
    );
}

#[test]
fn a_stated_checksum_does_not_outlive_the_file_it_was_for() {
    let mut tensor = placed("w", 0);
    tensor.external_data[3].value = Some("7f6e1d7de3ab2d47658382fc453ea1e6b73e05b1".to_owned());
    let (directory, path) = planted(&of_initializers(vec![tensor]), &floats(&[1.0, 2.0]));
    let model = Model::open(&path).unwrap();
    let mut edits = Edits::new(&model);
    edits
        .replace_tensor(
            &model.graph.initializers[0],
            halved(&model.graph.initializers[0]),
        )
        .unwrap();
    let out = directory.path().join("out.onnx");
    edits.save(&out, &SaveOptions::default()).unwrap();
    assert_eq!(values(&out), [("w".to_owned(), vec![0.5, 1.0])]);
}

#[test]
fn an_inline_model_goes_external_when_asked_and_comes_back() {
    let (directory, path) = planted(&conv_bn(), &[]);
    let inline = values(&path);
    let [external, back] = ["external.onnx", "back.onnx"].map(|name| directory.path().join(name));
    let saved = save(&path, &external, &options(ExternalPolicy::Always));
    assert_eq!(saved.data.len(), 1);
    assert!(
        places(&external)
            .iter()
            .all(|(_, offset)| offset.is_some_and(|offset| offset % 16 == 0))
    );
    assert_eq!(values(&external), inline);
    assert_eq!(
        save(&external, &back, &options(ExternalPolicy::Never)).data,
        []
    );
    assert_eq!(values(&back), inline);
    let decode = |path: &Path| ModelProto::decode(fs::read(path).unwrap().as_slice()).unwrap();
    assert_eq!(decode(&back), decode(&path));
}

fn save(from: &Path, to: &Path, options: &SaveOptions) -> Saved {
    let model = Model::open(from).unwrap();
    Edits::new(&model).save(to, options).unwrap()
}

#[test]
fn tensors_below_the_threshold_stay_inside() {
    let message = of_initializers(vec![
        tensor("short", &[2], &[1.0, 2.0]),
        tensor("long", &[3], &[1.0, 2.0, 3.0]),
    ]);
    let (directory, path) = planted(&message, &[]);
    let out = directory.path().join("out.onnx");
    let threshold = SaveOptions {
        size_threshold: 9,
        ..options(ExternalPolicy::Always)
    };
    assert_eq!(save(&path, &out, &threshold).data[0].1, 12);
    let all_short = SaveOptions {
        size_threshold: 100,
        ..options(ExternalPolicy::Always)
    };
    assert_eq!(save(&path, &out, &all_short).data, []);
}

#[test]
fn an_output_too_long_for_protobuf_goes_external_by_itself() {
    let message = of_initializers(vec![
        tensor("w", &[500], &[1.0; 500]),
        tensor("b", &[1], &[1.0]),
    ]);
    let (directory, path) = planted(&message, &[]);
    let out = directory.path().join("out.onnx");
    let short = SaveOptions {
        longest_model: 1000,
        ..options(ExternalPolicy::Auto)
    };
    let saved = save(&path, &out, &short);
    assert!(
        saved.model_bytes <= 1000 && saved.data[0].1 == 2000,
        "{saved:?}"
    );
    assert_eq!(values(&out), values(&path));
    let never = SaveOptions {
        longest_model: 1000,
        ..options(ExternalPolicy::Never)
    };
    let model = Model::open(&path).unwrap();
    let error = Edits::new(&model)
        .save(&out, &never)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("more than the 1000 that protobuf readers accept"),
        "{error}"
    );
    let error = Edits::new(&model)
        .save_to(&mut Vec::new(), &short)
        .unwrap_err()
        .to_string();
    assert!(error.contains("write it to a file"), "{error}");
}

#[test]
fn without_edits_the_very_same_bytes_come_out_with_their_data() {
    let (directory, path) = with_data_file();
    let out = directory.path().join("out.onnx");
    assert_eq!(save(&path, &out, &SaveOptions::default()).data, []);
    assert_eq!(fs::read(&out).unwrap(), fs::read(&path).unwrap());
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    save(&path, &elsewhere.join("out.onnx"), &SaveOptions::default());
    assert_eq!(names(&elsewhere), ["out.onnx", "weights.bin"]);
    for (copy, original) in [("out.onnx", "model.onnx"), ("weights.bin", "weights.bin")] {
        assert_eq!(
            fs::read(elsewhere.join(copy)).unwrap(),
            fs::read(directory.path().join(original)).unwrap()
        );
    }
}

#[test]
fn sparse_and_16_bit_and_attribute_tensors_move_with_the_others() {
    let part = |name: &str, dims: &[i64], data_type, offset: &str, length: &str| TensorProto {
        data_type: Some(data_type),
        ..external(
            name,
            dims,
            &[
                ("location", "weights.bin"),
                ("offset", offset),
                ("length", length),
            ],
        )
    };
    let sparse = SparseTensorProto {
        values: Some(part("sparse", &[2], FLOAT, "16", "8")),
        indices: Some(part("", &[2], 7, "32", "16")),
        dims: vec![6],
    };
    let mut constant = node("Constant", &[], &["c"]);
    let mut value = attribute("value", 4);
    value.t = Some(part("", &[2], FLOAT, "48", "8"));
    constant.attribute.push(value);
    let message = model(GraphProto {
        node: vec![constant],
        initializer: vec![part("half", &[3], 10, "0", "6")],
        sparse_initializer: vec![sparse],
        ..Default::default()
    });
    let halves = [0x3c00u16, 0x4000, 0xc200].map(u16::to_le_bytes).concat();
    let indices = [1i64, 4].map(i64::to_le_bytes).concat();
    let data = [
        halves,
        vec![0; 10],
        floats(&[1.5, 2.5]),
        vec![0; 8],
        indices,
        floats(&[3.0, 4.0]),
    ]
    .concat();
    let (directory, path) = planted(&message, &data);
    let model = Model::open(&path).unwrap();
    let mut edits = Edits::new(&model);
    let half = &model.graph.initializers[0];
    edits.replace_tensor(half, halved(half)).unwrap();
    let out = directory.path().join("out.onnx");
    edits.save(&out, &SaveOptions::default()).unwrap();
    fs::remove_file(directory.path().join("weights.bin")).unwrap();
    let model = Model::open(&out).unwrap();
    assert_eq!(
        model.read_f64(&model.graph.initializers[0]).unwrap(),
        [0.5, 1.0, -1.5]
    );
    let sparse = &model.graph.sparse_initializers[0];
    assert_eq!(
        model.read_sparse_f64(sparse, 6).unwrap(),
        [0.0, 1.5, 0.0, 0.0, 2.5, 0.0]
    );
    let constant = model.graph.nodes[0].tensor("value").unwrap().unwrap();
    assert_eq!(model.read_f64(constant).unwrap(), [3.0, 4.0]);
}

#[test]
fn a_removed_tensor_leaves_its_data_behind() {
    let (directory, path) = with_data_file();
    let model = Model::open(&path).unwrap();
    let mut edits = Edits::new(&model);
    for tensor in &model.graph.initializers[1..4] {
        edits.remove_initializer(tensor).unwrap();
    }
    let out = directory.path().join("out.onnx");
    assert_eq!(
        edits.save(&out, &SaveOptions::default()).unwrap().data[0].1,
        8
    );
    assert_eq!(
        values(&out),
        [
            ("first".to_owned(), vec![1.0, 2.0]),
            ("inline".to_owned(), vec![9.0])
        ]
    );
}

#[test]
fn the_models_own_data_file_is_never_the_target() {
    let (directory, path) = with_data_file();
    fs::rename(
        directory.path().join("weights.bin"),
        directory.path().join("out.onnx.data"),
    )
    .unwrap();
    let message = fs::read(&path).unwrap();
    let renamed = ModelProto::decode(message.as_slice()).map(|mut message| {
        for tensor in &mut message.graph.as_mut().unwrap().initializer[..4] {
            tensor.external_data[0].value = Some("out.onnx.data".to_owned());
        }
        message.encode_to_vec()
    });
    fs::write(&path, renamed.unwrap()).unwrap();
    let before = fs::read(directory.path().join("out.onnx.data")).unwrap();
    let model = Model::open(&path).unwrap();
    let mut edits = Edits::new(&model);
    edits
        .remove_initializer(&model.graph.initializers[1])
        .unwrap();
    for target in ["out.onnx", "out.onnx.data"] {
        for in_place in [false, target == "out.onnx.data"] {
            let options = SaveOptions {
                in_place,
                ..SaveOptions::default()
            };
            let error = edits
                .save(&directory.path().join(target), &options)
                .unwrap_err()
                .to_string();
            assert!(error.contains("choose another name"), "{error}");
        }
    }
    assert_eq!(
        fs::read(directory.path().join("out.onnx.data")).unwrap(),
        before
    );
    assert_eq!(names(directory.path()), ["model.onnx", "out.onnx.data"]);
}

#[test]
fn in_place_replaces_model_and_data() {
    let (directory, path) = with_data_file();
    fs::rename(
        directory.path().join("weights.bin"),
        directory.path().join("model.onnx.data"),
    )
    .unwrap();
    let mut message = ModelProto::decode(fs::read(&path).unwrap().as_slice()).unwrap();
    for tensor in &mut message.graph.as_mut().unwrap().initializer[..4] {
        tensor.external_data[0].value = Some("model.onnx.data".to_owned());
    }
    fs::write(&path, message.encode_to_vec()).unwrap();
    let model = Model::open(&path).unwrap();
    let mut edits = Edits::new(&model);
    edits
        .replace_tensor(
            &model.graph.initializers[3],
            halved(&model.graph.initializers[3]),
        )
        .unwrap();
    edits
        .save(
            &path,
            &SaveOptions {
                in_place: true,
                ..SaveOptions::default()
            },
        )
        .unwrap();
    assert_eq!(values(&path)[3].1, [3.5, 4.0]);
    assert_eq!(names(directory.path()), ["model.onnx", "model.onnx.data"]);
}

#[cfg(unix)]
#[test]
fn a_link_at_the_data_files_name_is_replaced_and_not_followed() {
    let (directory, path) = with_data_file();
    let victim = directory.path().join("victim");
    fs::write(&victim, "kept").unwrap();
    let out = directory.path().join("out.onnx");
    std::os::unix::fs::symlink(&victim, directory.path().join("out.onnx.data")).unwrap();
    let model = Model::open(&path).unwrap();
    let mut edits = Edits::new(&model);
    edits
        .remove_initializer(&model.graph.initializers[1])
        .unwrap();
    edits.save(&out, &SaveOptions::default()).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"kept");
    assert_eq!(values(&out).len(), 4);
}
