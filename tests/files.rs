//! Files, read: what is a model and what is not, every storage form, and what a damaged file is told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared between test files")]
#[path = "files/models.rs"]
mod models;

use std::fs;

use bnfold::onnx::model::{AttributeValue, TensorData, TensorView};
use bnfold::onnx::proto::{
    FunctionProto, GraphProto, ModelProto, SparseTensorProto, StringStringEntryProto, TensorProto,
};
use bnfold::onnx::proto::{OperatorSetIdProto, TrainingInfoProto};
use bnfold::onnx::{AttributeError, Edits, Model};
use half::{bf16, f16};
use models::{attribute, conv_bn, floats, model, node, of_initializers, tensor};
use prost::Message;

fn open(message: &ModelProto) -> Model {
    Model::from_bytes(message.encode_to_vec()).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    Model::from_bytes(bytes.to_vec()).unwrap_err().to_string()
}

#[test]
fn what_is_no_model_is_told_so_in_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    let mut numbers =
        (0u64..4096).map(|index| (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8);
    let contents: [(&[u8], &str); 6] = [
        (b"", "the file is empty"),
        (b"This is a text, not a model.\n", "does not start as one"),
        (b"{\"ir_version\": 8}", "does not start as one"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "does not start as one"),
        (b"\x12\x03abc", "states no ir_version"),
        (b"\x08\x08", "holds no graph"),
    ];
    let random: Vec<u8> = numbers.by_ref().collect();
    for (content, reason) in contents.into_iter().chain([(random.as_slice(), "")]) {
        fs::write(&path, content).unwrap();
        let error = Model::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("is not an ONNX model") && error.contains(reason),
            "{error}"
        );
        assert!(
            error.contains("model.onnx") && !error.contains('\n') && !error.ends_with('.'),
            "{error}"
        );
    }
    assert!(
        Model::open(directory.path())
            .unwrap_err()
            .to_string()
            .contains("it is a directory")
    );
    assert!(
        Model::open(&directory.path().join("gone.onnx"))
            .unwrap_err()
            .to_string()
            .contains("gone.onnx")
    );
}

#[test]
fn a_model_cut_off_anywhere_is_refused() {
    let mut message = conv_bn();
    message.producer_name = Some("a producer".to_owned());
    let bytes = message.encode_to_vec();
    for length in 0..bytes.len() {
        match Model::from_bytes(bytes[..length].to_vec()) {
            Err(error) => assert!(
                error.to_string().contains("the model in memory"),
                "{length}: {error}"
            ),
            Ok(model) => panic!("{length} of {} bytes pass: {model:?}", bytes.len()),
        }
    }
}

#[test]
fn an_operator_set_is_asked_for_from_ir_version_3_on() {
    let mut message = conv_bn();
    message.opset_import.clear();
    assert!(refusal(&message.encode_to_vec()).contains("states no opset_import"));
    message.ir_version = Some(2);
    assert_eq!(open(&message).opset_imports, []);
}

#[test]
fn messages_that_would_have_to_be_merged_are_refused() {
    let mut twice = conv_bn().encode_to_vec();
    twice.extend(
        ModelProto {
            graph: Some(GraphProto::default()),
            ..Default::default()
        }
        .encode_to_vec(),
    );
    let error = refusal(&twice);
    assert!(error.contains("ModelProto.graph twice"), "{error}");
    // An attribute's tensor: the field with its empty value stands before the real one.
    let mut constant = node("Constant", &[], &["c"]);
    let mut value = attribute("value", 4);
    value.t = Some(tensor("", &[1], &[1.0]));
    constant.attribute.push(value);
    let whole = model(GraphProto {
        node: vec![constant],
        ..Default::default()
    })
    .encode_to_vec();
    let inner = tensor("", &[1], &[1.0]).encode_to_vec();
    let at = whole
        .windows(inner.len())
        .position(|window| window == inner)
        .unwrap()
        - 2;
    let mut doubled = whole;
    doubled.splice(at..at, [0x2a, 0]);
    let error = Model::from_bytes(grown(&doubled, at))
        .unwrap_err()
        .to_string();
    assert!(error.contains("AttributeProto.t twice"), "{error}");
}

/// Adds two to every one-byte length whose message holds the offset.
fn grown(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut position = 0;
    while position < at {
        match bytes[position] & 7 {
            0 => position += 2,
            2 if position + 2 + bytes[position + 1] as usize > at => {
                bytes[position + 1] += 2;
                position += 2;
            }
            2 => position += 2 + bytes[position + 1] as usize,
            other => panic!("wire type {other}"),
        }
    }
    bytes
}

#[test]
fn graphs_nest_only_so_deep() {
    let mut graph = GraphProto::default();
    for _ in 0..40 {
        let mut outer = node("If", &["c"], &["y"]);
        let mut branch = attribute("then_branch", 5);
        branch.g = Some(graph);
        outer.attribute.push(branch);
        graph = GraphProto {
            node: vec![outer],
            ..Default::default()
        };
    }
    assert!(refusal(&model(graph).encode_to_vec()).contains("nest more than 100 deep"));
}

fn typed(data_type: i32, dims: &[i64]) -> TensorProto {
    TensorProto {
        name: Some("t".to_owned()),
        data_type: Some(data_type),
        dims: dims.to_vec(),
        ..Default::default()
    }
}

fn elements(tensor: TensorProto) -> Vec<f64> {
    let model = open(&of_initializers(vec![tensor]));
    model.read_f64(&model.graph.initializers[0]).unwrap()
}

#[test]
fn every_float_type_is_read_in_every_storage_form() {
    let values = [1.5f32, -2.0, 0.0];
    let expected = [1.5, -2.0, 0.0];
    let (halves, brains) = (
        values.map(|value| f16::from_f32(value).to_bits()),
        values.map(|value| bf16::from_f32(value).to_bits()),
    );
    let bytes = |halves: [u16; 3]| halves.map(u16::to_le_bytes).concat();
    let wide = values.map(|value| f64::from(value).to_le_bytes()).concat();
    for tensor in [
        TensorProto {
            raw_data: Some(floats(&values)),
            ..typed(1, &[3])
        },
        TensorProto {
            float_data: values.to_vec(),
            ..typed(1, &[3])
        },
        TensorProto {
            raw_data: Some(bytes(halves)),
            ..typed(10, &[3])
        },
        TensorProto {
            int32_data: halves.map(i32::from).to_vec(),
            ..typed(10, &[3])
        },
        TensorProto {
            raw_data: Some(bytes(brains)),
            ..typed(16, &[3])
        },
        TensorProto {
            int32_data: brains.map(i32::from).to_vec(),
            ..typed(16, &[3])
        },
        TensorProto {
            raw_data: Some(wide),
            ..typed(11, &[3])
        },
        TensorProto {
            double_data: values.map(f64::from).to_vec(),
            ..typed(11, &[3])
        },
        // An empty raw_data beside typed data says nothing.
        TensorProto {
            float_data: values.to_vec(),
            raw_data: Some(Vec::new()),
            ..typed(1, &[3, 1])
        },
    ] {
        assert_eq!(elements(tensor), expected);
    }
    assert_eq!(elements(typed(1, &[0, 4])), Vec::<f64>::new());
    assert_eq!(
        elements(TensorProto {
            raw_data: Some(floats(&[7.0])),
            ..typed(1, &[])
        }),
        [7.0]
    );
}

#[test]
fn every_integer_type_is_read_in_every_storage_form() {
    let raw = |bytes: Vec<u8>, data_type| TensorProto {
        raw_data: Some(bytes),
        ..typed(data_type, &[2])
    };
    for (tensor, expected) in [
        (raw([-1i64, 5].map(i64::to_le_bytes).concat(), 7), [-1, 5]),
        (
            TensorProto {
                int64_data: vec![i64::MIN, 5],
                ..typed(7, &[2])
            },
            [i64::MIN, 5],
        ),
        (raw([-1i32, 5].map(i32::to_le_bytes).concat(), 6), [-1, 5]),
        (
            TensorProto {
                int32_data: vec![-1, 5],
                ..typed(6, &[2])
            },
            [-1, 5],
        ),
        (
            TensorProto {
                int32_data: vec![-1, 5],
                ..typed(5, &[2])
            },
            [-1, 5],
        ),
        (
            TensorProto {
                int32_data: vec![-1, 5],
                ..typed(3, &[2])
            },
            [-1, 5],
        ),
        (
            TensorProto {
                int32_data: vec![255, 5],
                ..typed(2, &[2])
            },
            [255, 5],
        ),
        (
            TensorProto {
                int32_data: vec![0, 2],
                ..typed(9, &[2])
            },
            [0, 1],
        ),
        (
            TensorProto {
                uint64_data: vec![u64::from(u32::MAX), 5],
                ..typed(12, &[2])
            },
            [i64::from(u32::MAX), 5],
        ),
        (
            TensorProto {
                uint64_data: vec![1 << 62, 5],
                ..typed(13, &[2])
            },
            [1 << 62, 5],
        ),
    ] {
        let model = open(&of_initializers(vec![tensor]));
        assert_eq!(
            model.read_i64(&model.graph.initializers[0]).unwrap(),
            expected
        );
    }
    let model = open(&of_initializers(vec![TensorProto {
        uint64_data: vec![u64::MAX],
        ..typed(13, &[1])
    }]));
    assert!(model.read_i64(&model.graph.initializers[0]).is_err());
    assert!(
        model
            .read_f64(&model.graph.initializers[0])
            .unwrap_err()
            .to_string()
            .contains("are not floats")
    );
}

#[test]
fn data_that_does_not_match_its_dims_is_refused_by_name() {
    let short = |data: usize| TensorProto {
        raw_data: Some(vec![0; data]),
        ..typed(1, &[3])
    };
    let int4 = TensorProto {
        raw_data: Some(vec![0; 3]),
        ..typed(22, &[3])
    };
    let few = TensorProto {
        float_data: vec![1.0; 2],
        ..typed(1, &[3])
    };
    let many = TensorProto {
        float_data: vec![1.0; 4],
        ..typed(1, &[3])
    };
    let huge = TensorProto {
        float_data: vec![1.0],
        ..typed(1, &[1 << 50])
    };
    for tensor in [
        short(0),
        short(11),
        short(13),
        few,
        many,
        huge,
        int4,
        typed(1, &[3]),
    ] {
        let model = open(&of_initializers(vec![tensor]));
        let error = model
            .tensor_proto(&model.graph.initializers[0])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("tensor t in the model in memory: its data has")
                && error.contains("need"),
            "{error}"
        );
    }
    let both = TensorProto {
        float_data: vec![1.0],
        raw_data: Some(vec![0; 4]),
        ..typed(1, &[1])
    };
    assert!(
        refusal(&of_initializers(vec![both]).encode_to_vec())
            .contains("both raw_data and typed data")
    );
}

#[test]
fn an_attribute_tensor_is_refused_by_its_node() {
    let mut constant = node("Constant", &[], &["c"]);
    let mut value = attribute("value", 4);
    value.t = Some(TensorProto {
        name: None,
        ..typed(1, &[3])
    });
    constant.attribute.push(value);
    let model = open(&model(GraphProto {
        node: vec![constant],
        ..Default::default()
    }));
    let tensor = model.graph.nodes[0].tensor("value").unwrap().unwrap();
    let error = model.read_f64(tensor).unwrap_err().to_string();
    assert!(error.contains("the tensor of node Constant_c"), "{error}");
}

#[test]
fn a_tensor_for_the_engine_is_dense_and_inline() {
    let packed = TensorProto {
        int32_data: vec![0x3c00, 0xc000],
        ..typed(10, &[2])
    };
    let strings = TensorProto {
        string_data: vec![b"a".to_vec(), vec![0xff]],
        ..typed(8, &[2])
    };
    let int4 = TensorProto {
        int32_data: vec![0x21, 0x03],
        ..typed(22, &[3])
    };
    let model = open(&of_initializers(vec![packed, strings.clone(), int4]));
    let dense = |index: usize| {
        model
            .tensor_proto(&model.graph.initializers[index])
            .unwrap()
    };
    assert_eq!(
        dense(0),
        TensorProto {
            raw_data: Some(vec![0, 0x3c, 0, 0xc0]),
            ..typed(10, &[2])
        }
    );
    assert_eq!(dense(1), strings);
    assert_eq!(
        dense(2),
        TensorProto {
            raw_data: Some(vec![0x21, 0x03]),
            ..typed(22, &[3])
        }
    );
}

#[test]
fn a_large_tensor_is_read_in_chunks() {
    let values: Vec<f32> = (0..100_000).map(|index| index as f32).collect();
    let model = open(&of_initializers(vec![tensor("w", &[100_000], &values)]));
    let (mut next, mut largest) = (0, 0);
    let visit = |first: usize, chunk: &[f64]| {
        assert!(
            first == next
                && chunk
                    .iter()
                    .enumerate()
                    .all(|(index, &value)| value == (first + index) as f64)
        );
        (next, largest) = (first + chunk.len(), largest.max(chunk.len()));
    };
    model
        .for_each_f64_chunk(&model.graph.initializers[0], visit)
        .unwrap();
    assert_eq!((next, largest), (100_000, 16_384));
}

fn sparse(indices: TensorProto, dims: &[i64]) -> Result<Vec<f64>, String> {
    let values = Some(tensor("s", &[2], &[1.0, 2.0]));
    let sparse = SparseTensorProto {
        values,
        indices: Some(indices),
        dims: dims.to_vec(),
    };
    let model = open(&model(GraphProto {
        sparse_initializer: vec![sparse],
        ..Default::default()
    }));
    model
        .read_sparse_f64(&model.graph.sparse_initializers[0], 6)
        .map_err(|error| error.to_string())
}

#[test]
fn a_sparse_tensor_is_made_dense_within_the_limit() {
    let flat = |indices: &[i64]| TensorProto {
        int64_data: indices.to_vec(),
        ..typed(7, &[indices.len() as i64])
    };
    let axes = |indices: &[i64]| TensorProto {
        int64_data: indices.to_vec(),
        ..typed(7, &[2, indices.len() as i64 / 2])
    };
    assert_eq!(
        sparse(flat(&[1, 4]), &[2, 3]).unwrap(),
        [0.0, 1.0, 0.0, 0.0, 2.0, 0.0]
    );
    assert_eq!(
        sparse(axes(&[0, 1, 1, 1]), &[2, 3]).unwrap(),
        [0.0, 1.0, 0.0, 0.0, 2.0, 0.0]
    );
    assert!(
        sparse(flat(&[1, 6]), &[2, 3])
            .unwrap_err()
            .contains("outside its dims")
    );
    assert!(
        sparse(flat(&[-1, 4]), &[2, 3])
            .unwrap_err()
            .contains("outside its dims")
    );
    assert!(
        sparse(axes(&[0, 3, 1, 1]), &[2, 3])
            .unwrap_err()
            .contains("outside its dims")
    );
    assert!(
        sparse(flat(&[1]), &[2, 3])
            .unwrap_err()
            .contains("not equally many")
    );
    assert!(
        sparse(flat(&[1, 4]), &[1 << 40, 1 << 20])
            .unwrap_err()
            .contains("more than the 6 allowed")
    );
}

#[test]
fn attributes_are_read_by_kind() {
    let mut holder = node("Op", &[], &["y"]);
    let (mut int, mut reference, mut untyped) = (
        attribute("int", 2),
        attribute("reference", 2),
        attribute("untyped", 0),
    );
    int.i = Some(3);
    reference.ref_attr_name = Some("outer".to_owned());
    untyped.r#type = None;
    untyped.ints = vec![1, 2];
    holder.attribute = vec![
        int.clone(),
        reference,
        untyped,
        attribute("zero", 2),
        attribute("twice", 2),
        attribute("twice", 2),
    ];
    let model = open(&model(GraphProto {
        node: vec![holder],
        ..Default::default()
    }));
    let node = &model.graph.nodes[0];
    assert_eq!(
        (node.int("int"), node.int("zero"), node.int("absent")),
        (Ok(Some(3)), Ok(Some(0)), Ok(None))
    );
    assert_eq!(node.ints("untyped"), Ok(Some([1, 2].as_slice())));
    assert!(matches!(
        node.float("int"),
        Err(AttributeError::Kind {
            found: "an INT",
            ..
        })
    ));
    assert!(matches!(
        node.int("reference"),
        Err(AttributeError::Reference { .. })
    ));
    assert!(matches!(
        node.int("twice"),
        Err(AttributeError::Twice { .. })
    ));
    let message = node.string("int").unwrap_err().to_string();
    assert_eq!(
        message,
        "attribute int of node Op_y is an INT, not a STRING; export the model again"
    );
}

#[test]
fn a_long_string_attribute_stays_in_the_file() {
    let mut holder = node("Op", &[], &["y"]);
    let mut blob = attribute("blob", 3);
    blob.s = Some(vec![0; (1 << 20) + 1]);
    holder.attribute = vec![blob];
    let model = open(&model(GraphProto {
        node: vec![holder],
        ..Default::default()
    }));
    assert!(matches!(
        model.graph.nodes[0].attributes[0].value,
        AttributeValue::Other
    ));
    assert!(matches!(
        model.graph.nodes[0].string("blob"),
        Err(AttributeError::Kind { .. })
    ));
}

#[test]
fn the_standard_domain_has_one_name() {
    let mut message = conv_bn();
    let domain = Some("ai.onnx".to_owned());
    message.graph.as_mut().unwrap().node[0].domain = domain.clone();
    let opset_import = vec![OperatorSetIdProto {
        domain: domain.clone(),
        version: Some(9),
    }];
    message.functions.push(FunctionProto {
        domain,
        opset_import,
        ..Default::default()
    });
    let model = open(&message);
    assert!(model.opset_imports[0].domain.is_empty() && model.opset_imports[0].version == 17);
    assert!(model.graph.nodes[0].domain.is_empty());
    assert!(
        model.functions[0].domain.is_empty()
            && model.functions[0].opset_imports[0].domain.is_empty()
    );
}

#[test]
fn names_that_training_refers_to_are_reserved() {
    let entry = |key: &str, value: &str| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    let mut message = conv_bn();
    message.training_info.push(TrainingInfoProto {
        algorithm: Some(GraphProto {
            node: vec![node("Add", &["w", "g"], &["w2"])],
            ..Default::default()
        }),
        update_binding: vec![entry("w", "w2")],
        initialization_binding: vec![entry("s", "s0")],
        ..Default::default()
    });
    let model = open(&message);
    let mut names: Vec<String> = model
        .reserved_names
        .iter()
        .map(ToString::to_string)
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names, ["g", "s", "s0", "w", "w2"]);
}

#[test]
fn every_fixture_comes_out_as_it_came_in_and_as_prost_reads_it() {
    let mut n_tensors = 0;
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let model = Model::open(&path).unwrap();
        assert_eq!(
            Edits::new(&model)
                .to_rope()
                .unwrap()
                .to_vec(&model)
                .unwrap(),
            (bytes.clone(), Vec::new())
        );
        let graph = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
        assert_eq!(model.graph.nodes.len(), graph.node.len());
        for (view, message) in model.graph.initializers.iter().zip(&graph.initializer) {
            n_tensors += 1;
            assert_eq!(raw(&model, view), message.raw_data());
        }
    }
    assert!(n_tensors > 100, "{n_tensors} tensors");
}

fn raw(model: &Model, tensor: &TensorView) -> Vec<u8> {
    assert!(matches!(tensor.data, TensorData::Raw(_)));
    model.tensor_proto(tensor).unwrap().raw_data.unwrap()
}
