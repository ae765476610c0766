//! Whole files: what is read, what comes out, and what is refused.

use std::sync::Arc;

use bnfold::onnx::{Edits, Model, NewData, NewTensor, Transform, model::Name, proto};
use ndarray::ArrayD;
use prost::Message;

fn tensor(name: &str, dims: &[i64], values: &[f32]) -> proto::TensorProto {
    proto::TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(1),
        raw_data: Some(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
        ..Default::default()
    }
}

fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> proto::NodeProto {
    proto::NodeProto {
        op_type: Some(op_type.to_owned()),
        name: Some(format!("{op_type}_{}", outputs[0])),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: outputs.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    }
}

fn conv_bn() -> proto::ModelProto {
    proto::ModelProto {
        ir_version: Some(8),
        opset_import: vec![proto::OperatorSetIdProto {
            domain: Some("ai.onnx".to_owned()),
            version: Some(17),
        }],
        graph: Some(proto::GraphProto {
            node: vec![
                node("Conv", &["x", "w"], &["c"]),
                node("BatchNormalization", &["c", "s", "b", "m", "v"], &["y"]),
            ],
            initializer: vec![
                tensor("w", &[2, 1, 1, 1], &[1.0, 2.0]),
                tensor("s", &[2], &[1.0, 1.0]),
                tensor("b", &[2], &[0.0, 0.5]),
                tensor("m", &[2], &[0.0, 0.0]),
                tensor("v", &[2], &[1.0, 1.0]),
            ],
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn a_fold_by_hand_comes_out_as_written_by_hand() {
    let mut message = conv_bn();
    let model = Model::from_bytes(message.encode_to_vec()).unwrap();
    let graph = &model.graph;
    let (conv, bn) = (&graph.nodes[0], &graph.nodes[1]);
    let weight = &graph.initializers[0];
    let scale = ArrayD::from_shape_vec(vec![2, 1, 1, 1], vec![3.0, 0.5]).unwrap();
    let transform = Arc::new(Transform::new(vec![2, 1, 1, 1], scale, vec![]).unwrap());
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
    let bias = NewTensor {
        name: Name::from("w_bias"),
        dims: vec![2],
        data_type: 1,
        data: NewData::Values(vec![0.25, 1.5]),
    };
    edits.add_initializer(graph, bias).unwrap();
    edits.rename_input(conv, 2, &Name::from("w_bias"));
    edits.rename_output(conv, 0, &bn.outputs[0]);
    edits.remove_node(bn).unwrap();
    for parameter in &graph.initializers[1..] {
        edits.remove_initializer(parameter).unwrap();
    }
    let (bytes, flaws) = edits.to_rope().unwrap().to_vec(&model).unwrap();
    assert_eq!(flaws, []);

    let graph = message.graph.as_mut().unwrap();
    graph.node.truncate(1);
    graph.node[0].input.push("w_bias".to_owned());
    graph.node[0].output = vec!["y".to_owned()];
    graph.initializer = vec![
        tensor("w", &[2, 1, 1, 1], &[3.0, 1.0]),
        tensor("w_bias", &[2], &[0.25, 1.5]),
    ];
    assert_eq!(
        proto::ModelProto::decode(bytes.as_slice()).unwrap(),
        message
    );
}
