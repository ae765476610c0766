//! Small models as messages, with tensors inside or in a data file.

use bnfold::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto,
};

pub(crate) const FLOAT: i32 = 1;

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

pub(crate) fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(FLOAT),
        raw_data: Some(floats(values)),
        ..Default::default()
    }
}

/// A tensor of floats whose data is elsewhere, with the entries as they are given.
pub(crate) fn external(name: &str, dims: &[i64], entries: &[(&str, &str)]) -> TensorProto {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some((*value).to_owned()),
    };
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(FLOAT),
        external_data: entries.iter().map(entry).collect(),
        data_location: Some(1),
        ..Default::default()
    }
}

pub(crate) fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op_type.to_owned()),
        name: Some(format!("{op_type}_{}", outputs[0])),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: outputs.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    }
}

pub(crate) fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind),
        ..Default::default()
    }
}

pub(crate) fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(10),
        opset_import: vec![OperatorSetIdProto {
            domain: Some("ai.onnx".to_owned()),
            version: Some(17),
        }],
        graph: Some(graph),
        ..Default::default()
    }
}

/// A Conv followed by a BN.
pub(crate) fn conv_bn() -> ModelProto {
    model(GraphProto {
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
    })
}

/// A model of the given initializers and nothing else.
pub(crate) fn of_initializers(initializer: Vec<TensorProto>) -> ModelProto {
    model(GraphProto {
        initializer,
        ..Default::default()
    })
}
