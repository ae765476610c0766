//! New tensors have the element type of what they meet, whether or not the file states it there.

use bnfold::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, type_proto};
use bnfold::plan::PlanOptions;
use bnfold::testing::{DataType, Graph, Value, model};

mod support;
use support::{check, count, folded_with, inputs, same};

fn reduced(model: &ModelProto) -> (String, ModelProto) {
    let options = PlanOptions {
        reduce: true,
        ..PlanOptions::default()
    };
    folded_with(model, &options)
}

/// Types of every stored tensor, in nested graphs too.
fn types(model: &ModelProto) -> Vec<DataType> {
    fn of(graph: &GraphProto) -> Vec<i32> {
        let attributes = graph
            .node
            .iter()
            .flat_map(|node: &NodeProto| &node.attribute);
        let inner = attributes.flat_map(|attribute: &AttributeProto| {
            let tensor = attribute.t.iter().map(|tensor| tensor.data_type());
            let graphs = attribute.g.iter().flat_map(of);
            tensor.chain(graphs).collect::<Vec<i32>>()
        });
        let stored = graph.initializer.iter().map(|tensor| tensor.data_type());
        stored.chain(inner).collect()
    }
    let found = of(model.graph.as_ref().expect("a graph"));
    let known = found.into_iter().map(DataType::try_from);
    known.map(|known| known.expect("a type")).collect()
}

fn held(g: &Graph, x: &Value) -> Value {
    let branch = |body: &Graph| body.capture(x).relu().output("of_branch");
    let yes = bnfold::testing::Tensor::bools(&[], [true]);
    g.if_else(&g.constant_parameter("condition", yes), branch, |body| {
        body.capture(x).sigmoid().output("of_other_branch")
    })
}

#[test]
fn a_shift_behind_an_if_has_the_type_of_its_branches() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 5, 5]);
        let y = held(g, &x).shape([2, 4, 5, 5]).dtype(DataType::Double);
        y.batch_norm().conv_transpose(3).kernel([2, 2]).output("y")
    });
    let (plan, folded) = reduced(&m);
    assert_eq!(plan, "bn_0 -> conv_transpose_0 input, bn_0 add");
    let of_numbers = types(&folded).into_iter().filter(|&t| t != DataType::Bool);
    assert!(of_numbers.eq([DataType::Double; 2]), "{:?}", types(&folded));
    let inputs = inputs(&m);
    let inputs: Vec<_> = inputs
        .iter()
        .map(|(name, x)| (&**name, x.clone()))
        .collect();
    same(&m, &folded, &inputs);
}

/// Nothing states the type of what another domain gives, but a convolution's weight and input have one type, and from
/// opset 15 on a BatchNormalization's parameters may have another.
#[test]
fn a_shift_has_the_type_of_the_convolution_that_follows() {
    let mut m = model(|g| {
        g.opset(17).dtype(DataType::Float16).with_value_info();
        let x = g.input("x", [2, 4, 5, 5]).op("Half").domain("org.custom");
        let x = x.shape([2, 4, 5, 5]).value_name("half");
        g.dtype(DataType::Float);
        let y = x.batch_norm();
        g.dtype(DataType::Float16);
        y.conv(3).kernel([3, 3]).pads([1, 1, 1, 1]).output("y")
    });
    let graph = m.graph.as_mut().expect("a graph");
    graph.value_info.retain(|info| info.name() == "half");
    let stated = graph.value_info[0].r#type.as_mut().expect("a type");
    let Some(type_proto::Value::TensorType(tensor)) = &mut stated.value else {
        panic!("a tensor");
    };
    tensor.elem_type = None;
    let (plan, folded) = reduced(&m);
    assert_eq!(plan, "bn_0 -> conv_0 input, bn_0 add");
    let found = types(&folded);
    assert!(found.iter().all(|&t| t == DataType::Float16), "{found:?}");
}

#[test]
fn a_layer_normalization_without_b_gets_one_of_its_own_type() {
    for dtype in [DataType::Double, DataType::Float16] {
        let mut m = model(|g| {
            let x = g.dtype(dtype).input("x", [2, 5, 4]).layer_norm();
            x.transpose([0, 2, 1]).batch_norm().output("y")
        });
        let graph = m.graph.as_mut().expect("a graph");
        let unread = graph.node[0].input.pop();
        graph
            .initializer
            .retain(|b| Some(b.name()) != unread.as_deref());
        let folded = match dtype {
            DataType::Double => check(&m, ""),
            _ => folded_with(&m, &PlanOptions::default()).1,
        };
        assert_eq!(count(&folded, "BatchNormalization"), 0);
        assert_eq!(types(&folded), [dtype; 2]);
    }
}
