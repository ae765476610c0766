//! Edits: each verb, in every scope, against the message that it should make.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared between test files")]
#[path = "files/models.rs"]
mod models;

use std::sync::Arc;

use bnfold::onnx::model::{AttributeValue, GraphView, Name};
use bnfold::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto,
    TensorAnnotation, TensorProto, ValueInfoProto,
};
use bnfold::onnx::{EditError, Edits, Flaw, FlawKind, Model, NewData, NewTensor, Transform};
use half::f16;
use models::{FLOAT, attribute, conv_bn, model, node, of_initializers, tensor};
use ndarray::ArrayD;
use prost::Message;

fn open(message: &ModelProto) -> Model {
    Model::from_bytes(message.encode_to_vec()).unwrap()
}

fn rendered(edits: &Edits<'_>) -> (ModelProto, Vec<Flaw>) {
    let (bytes, flaws) = edits.to_rope().unwrap().to_vec(edits.model()).unwrap();
    (ModelProto::decode(bytes.as_slice()).unwrap(), flaws)
}

/// What becomes of a model, with nothing that its type could not hold.
fn edited(message: &ModelProto, edit: impl FnOnce(&mut Edits<'_>)) -> ModelProto {
    let model = open(message);
    let mut edits = Edits::new(&model);
    edit(&mut edits);
    let (message, flaws) = rendered(&edits);
    assert_eq!(flaws, []);
    message
}

fn scaled(edits: &Edits<'_>, index: usize, factor: f64) -> NewData {
    let from = edits.model().graph.initializers[index].clone();
    let scale = ArrayD::from_elem(vec![1; from.dims.len()], factor);
    NewData::Transformed {
        transform: Arc::new(Transform::new(from.dims.clone(), scale, vec![]).unwrap()),
        from,
    }
}

fn name(text: &str) -> Name {
    Name::from(text)
}

#[test]
fn a_fold_by_hand_comes_out_as_written_by_hand() {
    let message = conv_bn();
    let out = edited(&message, |edits| {
        let graph = &edits.model().graph;
        let (conv, bn, weight) = (&graph.nodes[0], &graph.nodes[1], &graph.initializers[0]);
        let scale = ArrayD::from_shape_vec(vec![2, 1, 1, 1], vec![3.0, 0.5]).unwrap();
        let transform = Arc::new(Transform::new(vec![2, 1, 1, 1], scale, vec![]).unwrap());
        edits
            .replace_tensor(
                weight,
                NewData::Transformed {
                    from: weight.clone(),
                    transform,
                },
            )
            .unwrap();
        let data = NewData::Values(vec![0.25, 1.5]);
        edits
            .add_initializer(
                graph,
                NewTensor {
                    name: name("w_bias"),
                    dims: vec![2],
                    data_type: FLOAT,
                    data,
                },
            )
            .unwrap();
        edits.rename_input(conv, 2, &name("w_bias"));
        edits.rename_output(conv, 0, &bn.outputs[0]);
        edits.remove_node(bn).unwrap();
        graph.initializers[1..]
            .iter()
            .for_each(|parameter| edits.remove_initializer(parameter).unwrap());
    });
    let mut expected = message;
    let graph = expected.graph.as_mut().unwrap();
    graph.node.truncate(1);
    graph.node[0].input.push("w_bias".to_owned());
    graph.node[0].output = vec!["y".to_owned()];
    graph.initializer = vec![
        tensor("w", &[2, 1, 1, 1], &[3.0, 1.0]),
        tensor("w_bias", &[2], &[0.25, 1.5]),
    ];
    assert_eq!(out, expected);
}

#[test]
fn slots_that_are_missing_are_filled_with_empty_names() {
    let out = edited(&conv_bn(), |edits| {
        let conv = &edits.model().graph.nodes[0];
        edits.rename_input(conv, 4, &name("first"));
        edits.rename_input(conv, 4, &name("late"));
        edits.rename_output(conv, 2, &name("third"));
        edits.rename_input(conv, 0, &name("x2"));
    });
    let conv = &out.graph.unwrap().node[0];
    assert_eq!(conv.input, ["x2", "w", "", "", "late"]);
    assert_eq!(conv.output, ["c", "", "third"]);
}

#[test]
fn attributes_are_replaced_in_place_or_added_or_removed() {
    let mut message = conv_bn();
    let with = |name: &str, i: i64| AttributeProto {
        i: Some(i),
        ..attribute(name, 2)
    };
    message.graph.as_mut().unwrap().node[0].attribute =
        vec![with("a", 1), with("b", 2), with("a", 3)];
    let out = edited(&message, |edits| {
        let conv = &edits.model().graph.nodes[0];
        edits.set_node_attribute_int(conv, "a", 7);
        edits.set_node_attribute_float(conv, "new", 0.5);
        edits.remove_node_attribute(conv, "b");
        edits.remove_node_attribute(conv, "absent");
    });
    let new = AttributeProto {
        f: Some(0.5),
        ..attribute("new", 1)
    };
    assert_eq!(out.graph.unwrap().node[0].attribute, [with("a", 7), new]);
}

#[test]
fn nodes_come_in_before_and_after_others() {
    let named = |name: &str| NodeProto {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let out = edited(&conv_bn(), |edits| {
        let bn = &edits.model().graph.nodes[1];
        edits.insert_node_after(bn, &named("after 1")).unwrap();
        edits.insert_node_before(bn, &named("before 1")).unwrap();
        edits.insert_node_after(bn, &named("after 2")).unwrap();
        edits.insert_node_before(bn, &named("before 2")).unwrap();
        edits.replace_node(bn, &named("instead")).unwrap();
    });
    let names: Vec<String> = out
        .graph
        .unwrap()
        .node
        .into_iter()
        .map(|node| node.name.unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "Conv_c", "before 1", "before 2", "instead", "after 1", "after 2"
        ]
    );
}

fn if_node(graph: GraphProto) -> NodeProto {
    let mut outer = node("If", &["c"], &["y"]);
    outer.attribute = vec![AttributeProto {
        g: Some(graph),
        ..attribute("then_branch", 5)
    }];
    outer
}

fn inner(graph: &GraphView) -> &GraphView {
    let AttributeValue::Graph(inner) = &graph.nodes[0].attributes[0].value else {
        panic!("a nested graph")
    };
    inner
}

#[test]
fn nested_graphs_are_edited_like_the_main_one() {
    let nested = |graph: GraphProto| {
        model(GraphProto {
            node: vec![if_node(GraphProto {
                node: vec![if_node(graph)],
                ..Default::default()
            })],
            ..Default::default()
        })
    };
    let out = edited(&nested(conv_bn().graph.unwrap()), |edits| {
        let graph = inner(inner(&edits.model().graph));
        edits.remove_node(&graph.nodes[1]).unwrap();
        edits.rename_output(&graph.nodes[0], 0, &name("y"));
        edits
            .replace_tensor(&graph.initializers[0], NewData::Values(vec![5.0, 6.0]))
            .unwrap();
        let data = NewData::Integers(vec![-1, 2]);
        edits
            .add_initializer(
                graph,
                NewTensor {
                    name: name("axes"),
                    dims: vec![2],
                    data_type: 7,
                    data,
                },
            )
            .unwrap();
    });
    let mut expected = conv_bn().graph.unwrap();
    expected.node.truncate(1);
    expected.node[0].output = vec!["y".to_owned()];
    expected.initializer[0] = tensor("w", &[2, 1, 1, 1], &[5.0, 6.0]);
    let raw_data = Some([-1i64, 2].map(i64::to_le_bytes).concat());
    expected.initializer.push(TensorProto {
        name: Some("axes".to_owned()),
        data_type: Some(7),
        dims: vec![2],
        raw_data,
        ..Default::default()
    });
    assert_eq!(out, nested(expected));
}

#[test]
fn function_bodies_are_edited_with_their_own_field_numbers() {
    let mut message = of_initializers(Vec::new());
    let body = conv_bn().graph.unwrap().node;
    message.functions = vec![FunctionProto {
        name: Some("f".to_owned()),
        node: body,
        ..Default::default()
    }];
    let out = edited(&message, |edits| {
        let function = &edits.model().functions[0];
        edits
            .insert_node_before(&function.nodes[0], &node("Identity", &["x"], &["x2"]))
            .unwrap();
        edits
            .insert_node_after(&function.nodes[0], &node("Add", &["c", "t"], &["y"]))
            .unwrap();
        edits.rename_input(&function.nodes[0], 0, &name("x2"));
        edits.remove_node(&function.nodes[1]).unwrap();
    });
    let ops: Vec<&str> = out.functions[0]
        .node
        .iter()
        .map(NodeProto::op_type)
        .collect();
    assert_eq!(
        (ops, &*out.functions[0].node[1].input[0]),
        (vec!["Identity", "Conv", "Add"], "x2")
    );
}

#[test]
fn interface_and_annotations_are_edited() {
    let info = |name: &str| ValueInfoProto {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let mut message = conv_bn();
    let graph = message.graph.as_mut().unwrap();
    graph.input = vec![info("x"), info("s")];
    graph.value_info = vec![info("c"), info("d")];
    graph.quantization_annotation = vec![TensorAnnotation {
        tensor_name: Some("c".to_owned()),
        ..Default::default()
    }];
    graph.sparse_initializer = vec![SparseTensorProto {
        values: Some(tensor("sparse", &[1], &[1.0])),
        indices: Some(tensor("", &[1], &[0.0])),
        dims: vec![1],
    }];
    let out = edited(&message, |edits| {
        let graph = &edits.model().graph;
        edits.remove_input(&graph.inputs[1]).unwrap();
        edits.add_input(graph, &info("new"));
        edits.remove_value_info(&graph.value_info[0]).unwrap();
        edits.add_value_info(graph, &info("e"));
        edits.remove_annotation(&graph.annotations[0]).unwrap();
        edits
            .remove_sparse_initializer(&graph.sparse_initializers[0])
            .unwrap();
    });
    let graph = message.graph.as_mut().unwrap();
    graph.input = vec![info("x"), info("new")];
    graph.value_info = vec![info("d"), info("e")];
    graph.quantization_annotation.clear();
    graph.sparse_initializer.clear();
    assert_eq!(out, message);
}

#[test]
fn a_changed_tensor_and_a_clone_keep_what_else_the_tensor_says() {
    let documented = TensorProto {
        doc_string: Some("kept".to_owned()),
        ..tensor("w", &[2], &[1.0, 2.0])
    };
    let out = edited(&of_initializers(vec![documented.clone()]), |edits| {
        let (graph, weight) = (&edits.model().graph, &edits.model().graph.initializers[0]);
        let half = scaled(edits, 0, 0.5);
        edits
            .add_clone(graph, weight, &name("w_clone"), half)
            .unwrap();
        edits
            .add_clone(
                graph,
                weight,
                &name("w_same"),
                NewData::Same(weight.clone()),
            )
            .unwrap();
        let double = scaled(edits, 0, 2.0);
        edits.replace_tensor(weight, double).unwrap();
    });
    let kept = |name, values: &[f32]| TensorProto {
        doc_string: documented.doc_string.clone(),
        ..tensor(name, &[2], values)
    };
    let expected = [
        kept("w", &[2.0, 4.0]),
        kept("w_clone", &[0.5, 1.0]),
        kept("w_same", &[1.0, 2.0]),
    ];
    assert_eq!(out.graph.unwrap().initializer, expected);
}

#[test]
fn typed_storage_is_scaled_in_place_where_it_is_dense_and_becomes_raw_elsewhere() {
    let typed = |data_type, count| TensorProto {
        name: Some("w".to_owned()),
        data_type: Some(data_type),
        dims: vec![count],
        ..Default::default()
    };
    let halved = |tensor: TensorProto| {
        let out = edited(&of_initializers(vec![tensor]), |edits| {
            let half = scaled(edits, 0, 0.5);
            edits
                .replace_tensor(&edits.model().graph.initializers[0], half)
                .unwrap();
        });
        out.graph.unwrap().initializer.remove(0)
    };
    let floats = TensorProto {
        float_data: vec![1.0, 3.0],
        ..typed(1, 2)
    };
    assert_eq!(
        halved(floats),
        TensorProto {
            float_data: vec![0.5, 1.5],
            ..typed(1, 2)
        }
    );
    let doubles = TensorProto {
        double_data: vec![1.0, 3.0],
        ..typed(11, 2)
    };
    assert_eq!(
        halved(doubles),
        TensorProto {
            double_data: vec![0.5, 1.5],
            ..typed(11, 2)
        }
    );
    let bits = |value: f32| f16::from_f32(value).to_bits();
    let count = 100_000;
    let halves = TensorProto {
        int32_data: (0..count)
            .map(|index| bits((index % 100) as f32).into())
            .collect(),
        ..typed(10, count)
    };
    let raw_data = Some(
        (0..count)
            .flat_map(|index| bits((index % 100) as f32 / 2.0).to_le_bytes())
            .collect(),
    );
    assert!(
        halved(halves)
            == TensorProto {
                raw_data,
                ..typed(10, count)
            }
    );
}

#[test]
fn a_new_tensor_may_have_other_extents_than_the_one_it_comes_from() {
    let out = edited(
        &of_initializers(vec![tensor("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0])]),
        |edits| {
            let data = scaled(edits, 0, 2.0);
            let new = NewTensor {
                name: name("flat"),
                dims: vec![4],
                data_type: FLOAT,
                data,
            };
            edits.add_initializer(&edits.model().graph, new).unwrap();
        },
    );
    assert_eq!(
        out.graph.unwrap().initializer[1],
        tensor("flat", &[4], &[2.0, 4.0, 6.0, 8.0])
    );
}

#[test]
fn values_that_their_type_cannot_hold_are_refused_at_once() {
    let model = open(&of_initializers(vec![TensorProto {
        data_type: Some(10),
        ..tensor("w", &[1], &[0.0])
    }]));
    let mut edits = Edits::new(&model);
    let mut add = |data_type, values: Vec<f64>| {
        let dims = vec![values.len()];
        edits.add_initializer(
            &model.graph,
            NewTensor {
                name: name("b"),
                dims,
                data_type,
                data: NewData::Values(values),
            },
        )
    };
    for (data_type, values, kind) in [
        (10, vec![0.0, 65520.0], FlawKind::Overflow),
        (1, vec![0.0, 1e39], FlawKind::Overflow),
        (11, vec![0.0, f64::NAN], FlawKind::NotFinite),
    ] {
        match add(data_type, values) {
            Err(EditError::Unrepresentable(flaw)) => assert_eq!((flaw.kind, flaw.index), (kind, 1)),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(add(7, vec![1.0]), Err(EditError::Unsupported(_))));
}

#[test]
fn elements_that_do_not_fit_the_extents_are_refused() {
    let model = open(&of_initializers(vec![tensor("w", &[2], &[1.0, 2.0])]));
    let mut edits = Edits::new(&model);
    let weight = &model.graph.initializers[0];
    assert!(
        edits
            .replace_tensor(weight, NewData::Values(vec![1.0; 3]))
            .is_err()
    );
    let wrong = Arc::new(Transform::identity(vec![1, 2]));
    assert!(
        edits
            .replace_tensor(
                weight,
                NewData::Transformed {
                    from: weight.clone(),
                    transform: wrong
                }
            )
            .is_err()
    );
    let data = NewData::Same(weight.clone());
    assert!(
        edits
            .add_initializer(
                &model.graph,
                NewTensor {
                    name: name("b"),
                    dims: vec![2],
                    data_type: 11,
                    data
                }
            )
            .is_err()
    );
    assert!(edits.is_empty());
}

#[test]
fn edits_that_meet_are_a_conflict() {
    let model = open(&model(GraphProto {
        node: vec![if_node(conv_bn().graph.unwrap())],
        ..Default::default()
    }));
    let (outer, graph) = (&model.graph.nodes[0], inner(&model.graph));
    let weight = &graph.initializers[0];
    let is_conflict =
        |result: Result<(), EditError>| matches!(result, Err(EditError::Conflict { .. }));

    let mut edits = Edits::new(&model);
    edits.remove_node(outer).unwrap();
    assert!(is_conflict(edits.remove_node(outer)));
    assert!(is_conflict(
        edits.replace_node(outer, &NodeProto::default())
    ));

    let mut edits = Edits::new(&model);
    edits
        .replace_tensor(weight, NewData::Values(vec![1.0; 2]))
        .unwrap();
    assert!(is_conflict(
        edits.replace_tensor(weight, NewData::Values(vec![1.0; 2]))
    ));

    let inside: [fn(&mut Edits<'_>, &GraphView); 5] = [
        |edits, graph| edits.rename_input(&graph.nodes[0], 0, &name("z")),
        |edits, graph| edits.remove_node(&graph.nodes[0]).unwrap(),
        |edits, graph| {
            edits
                .insert_node_after(&graph.nodes[1], &NodeProto::default())
                .unwrap()
        },
        |edits, graph| {
            edits
                .replace_tensor(&graph.initializers[0], NewData::Values(vec![1.0; 2]))
                .unwrap()
        },
        |edits, graph| edits.add_value_info(graph, &ValueInfoProto::default()),
    ];
    for edit in inside {
        let mut edits = Edits::new(&model);
        edits.remove_node(outer).unwrap();
        edit(&mut edits, graph);
        assert!(is_conflict(edits.to_rope().map(drop)));
    }
    let mut edits = Edits::new(&model);
    edits.remove_initializer(weight).unwrap();
    edits
        .replace_tensor(weight, NewData::Values(vec![1.0; 2]))
        .unwrap();
    assert!(is_conflict(edits.to_rope().map(drop)));
}

#[test]
fn no_edits_are_empty_and_edits_are_not() {
    let model = open(&conv_bn());
    let mut edits = Edits::new(&model);
    assert!(edits.is_empty());
    edits.rename_input(&model.graph.nodes[0], 0, &name("x2"));
    assert!(!edits.is_empty());
}
