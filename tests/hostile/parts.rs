//! What hostile models are put together from.

use bnfold::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use prost::Message;

use crate::models::{attribute, conv_bn, model, node, tensor};

pub(crate) fn info(name: &str, dims: &[i64], element: i32) -> ValueInfoProto {
    let dim = |&extent: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(extent)),
        ..Default::default()
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: Some(element),
                shape: Some(TensorShapeProto {
                    dim: dims.iter().map(dim).collect(),
                }),
            })),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// x → Conv → BN → y, with its interface, before it is made hostile.
pub(crate) fn plain() -> ModelProto {
    let mut message = conv_bn();
    let graph = graph(&mut message);
    graph.input = vec![info("x", &[1, 1, 4, 4], 1)];
    graph.output = vec![info("y", &[1, 2, 4, 4], 1)];
    message
}

pub(crate) fn graph(message: &mut ModelProto) -> &mut GraphProto {
    message.graph.as_mut().unwrap()
}

/// The plain model with other nodes.
pub(crate) fn of_nodes(nodes: Vec<NodeProto>) -> ModelProto {
    let mut message = plain();
    graph(&mut message).node = nodes;
    message
}

pub(crate) fn batch_norm(input: &str, output: &str) -> NodeProto {
    node(
        "BatchNormalization",
        &[input, "s", "b", "m", "v"],
        &[output],
    )
}

pub(crate) fn conv(input: &str, output: &str) -> NodeProto {
    node("Conv", &[input, "w"], &[output])
}

/// Conv, BN, and so many nodes of one operator in a row.
pub(crate) fn chain(op: &str, length: usize) -> ModelProto {
    let mut nodes = vec![conv("x", "c"), batch_norm("c", "v0")];
    nodes.extend((0..length).map(|i| node(op, &[&format!("v{i}")], &[&format!("v{}", i + 1)])));
    nodes.push(node("Identity", &[&format!("v{length}")], &["y"]));
    of_nodes(nodes)
}

pub(crate) fn graph_attribute(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        g: Some(graph),
        ..attribute(name, 5)
    }
}

pub(crate) fn function(name: &str, nodes: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        name: Some(name.to_owned()),
        domain: Some("f".to_owned()),
        input: vec!["a".to_owned()],
        output: vec!["z".to_owned()],
        node: nodes,
        opset_import: imports(),
        ..Default::default()
    }
}

fn imports() -> Vec<OperatorSetIdProto> {
    let import = |(domain, version): (&str, i64)| OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    };
    [("", 17), ("f", 1)].map(import).to_vec()
}

pub(crate) fn call(name: &str, input: &str, output: &str) -> NodeProto {
    NodeProto {
        domain: Some("f".to_owned()),
        ..node(name, &[input], &[output])
    }
}

/// Conv → F → BN with these functions.
pub(crate) fn of_functions(functions: Vec<FunctionProto>) -> Vec<u8> {
    let mut message = of_nodes(vec![
        conv("x", "c"),
        call("F", "c", "t"),
        batch_norm("t", "y"),
    ]);
    message.opset_import = imports();
    message.functions = functions;
    message.encode_to_vec()
}

/// A model with another weight, given by its dims alone.
pub(crate) fn of_weight(dims: &[i64]) -> ModelProto {
    let mut message = plain();
    graph(&mut message).initializer[0] = tensor("w", dims, &[1.0, 2.0]);
    message
}

/// An If whose branches are these, on a condition that is an input.
pub(crate) fn if_node(output: &str, then: GraphProto, other: GraphProto) -> NodeProto {
    NodeProto {
        attribute: vec![
            graph_attribute("then_branch", then),
            graph_attribute("else_branch", other),
        ],
        ..node("If", &["cond"], &[output])
    }
}

pub(crate) fn branch(nodes: Vec<NodeProto>) -> GraphProto {
    GraphProto {
        name: Some("branch".to_owned()),
        node: nodes,
        output: vec![info("z", &[1, 2, 4, 4], 1)],
        ..Default::default()
    }
}

pub(crate) fn empty() -> ModelProto {
    model(GraphProto::default())
}
