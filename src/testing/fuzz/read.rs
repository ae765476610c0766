//! Any bytes are a model, or an error; and what prost reads as a model too, both read alike, element by element.

use prost::Message;

use super::{Rest, nothing};
use crate::graph::{Graph, Reading};
use crate::onnx::Model;
use crate::onnx::model::{AttributeValue, GraphView, Name, NodeView, TensorView};
use crate::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::testing::Tensor;

pub(super) fn run(input: &[u8]) -> Rest<'_> {
    let model = match Model::from_bytes(input.to_vec()) {
        Ok(model) => model,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says something");
            return nothing();
        }
    };
    if let Err(error) = Graph::new(&model, Reading::default()) {
        assert!(!error.to_string().is_empty(), "an error says something");
    }
    Box::new(move || compare(&model, input))
}

fn compare(model: &Model, input: &[u8]) {
    let Ok(proto) = ModelProto::decode(input) else {
        return;
    };
    assert_eq!(model.ir_version, proto.ir_version());
    assert_eq!(model.functions.len(), proto.functions.len());
    for (function, proto) in model.functions.iter().zip(&proto.functions) {
        nodes(model, &function.nodes, &proto.node);
    }
    graph(model, &model.graph, proto.graph.as_ref().expect("a graph"));
}

fn graph(model: &Model, view: &GraphView, proto: &GraphProto) {
    assert!(view.name == proto.name(), "{} {}", view.name, proto.name());
    nodes(model, &view.nodes, &proto.node);
    assert_eq!(view.initializers.len(), proto.initializer.len());
    for (view, proto) in view.initializers.iter().zip(&proto.initializer) {
        tensor(model, view, proto);
    }
    let infos = [
        (&view.inputs, &proto.input),
        (&view.outputs, &proto.output),
        (&view.value_info, &proto.value_info),
    ];
    for (views, protos) in infos {
        assert_eq!(views.len(), protos.len());
        for (view, proto) in views.iter().zip(protos) {
            assert!(view.name == proto.name(), "{} {}", view.name, proto.name());
            assert_eq!(view.ty, proto.r#type, "{}", view.name);
        }
    }
}

fn nodes(model: &Model, views: &[NodeView], protos: &[NodeProto]) {
    assert_eq!(views.len(), protos.len());
    for (view, proto) in views.iter().zip(protos) {
        assert!(view.op_type == proto.op_type(), "{}", view.op_type);
        names(&view.inputs, &proto.input);
        names(&view.outputs, &proto.output);
        assert_eq!(view.attributes.len(), proto.attribute.len());
        for (view, proto) in view.attributes.iter().zip(&proto.attribute) {
            assert!(view.name == proto.name(), "{}", view.name);
            attribute(model, &view.value, proto);
        }
    }
}

fn names(views: &[Name], protos: &[String]) {
    let same = views
        .iter()
        .zip(protos)
        .all(|(view, proto)| *view == **proto);
    assert!(views.len() == protos.len() && same, "{views:?} {protos:?}");
}

fn attribute(model: &Model, view: &AttributeValue, proto: &AttributeProto) {
    match view {
        AttributeValue::Float(value) => assert_eq!(value.to_bits(), proto.f().to_bits()),
        AttributeValue::Int(value) => assert_eq!(*value, proto.i()),
        AttributeValue::String(value) => assert_eq!(value, proto.s()),
        AttributeValue::Ints(values) => assert_eq!(*values, proto.ints),
        AttributeValue::Floats(values) => {
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
            let (view, proto): (Vec<u32>, Vec<u32>) = (bits(values), bits(&proto.floats));
            assert_eq!(view, proto);
        }
        AttributeValue::Strings(values) => assert_eq!(*values, proto.strings),
        AttributeValue::Tensor(view) => {
            tensor(model, view, proto.t.as_ref().expect("a tensor"));
        }
        AttributeValue::Graph(view) => graph(model, view, proto.g.as_ref().expect("a graph")),
        AttributeValue::Graphs(views) => {
            assert_eq!(views.len(), proto.graphs.len());
            for (view, proto) in views.iter().zip(&proto.graphs) {
                graph(model, view, proto);
            }
        }
        AttributeValue::Reference(name) => assert!(*name == proto.ref_attr_name(), "{name}"),
        AttributeValue::SparseTensor(_) | AttributeValue::Other => {}
    }
}

fn tensor(model: &Model, view: &TensorView, proto: &TensorProto) {
    assert!(view.name == proto.name(), "{} {}", view.name, proto.name());
    assert_eq!(view.data_type, proto.data_type());
    let integers = model.read_i64(view);
    let floats = model.read_f64(view);
    let (Ok(elements), Ok(expected)) = (&floats, Tensor::from_proto(proto)) else {
        return;
    };
    assert_eq!(view.dims, expected.shape);
    assert_eq!(elements.len(), expected.data.len());
    for (element, expected) in elements.iter().zip(&expected.data) {
        let same = element.to_bits() == expected.to_bits() || element.is_nan() && expected.is_nan();
        assert!(same, "{}: {element} for {expected}", view.name);
    }
    if let Ok(integers) = integers {
        assert_eq!(integers.len(), expected.data.len());
    }
}
