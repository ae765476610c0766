//! Dims that are negative, zero, overflow or promise terabytes, and parameters that are no numbers.

use prost::Message;

use crate::bounds::{SMALL, all_commands};
use crate::models::{attribute, node, tensor};
use crate::parts::{batch_norm, conv, graph, info, of_nodes, of_weight, plain};
use bnfold::onnx::proto::TensorProto;

const HUGE: [&[i64]; 6] = [
    &[-1, 2, 1, 1],
    &[0, 2, 1, 1],
    &[1 << 40, 2, 1, 1],
    &[1 << 62, 1 << 62, 4, 4],
    &[i64::MAX, i64::MAX],
    &[i64::MIN, 1],
];

#[test]
fn dims_of_weights_are_believed_only_with_their_bytes() {
    for dims in HUGE {
        let mut message = of_weight(dims);
        let end = all_commands("a weight", &message.encode_to_vec(), SMALL);
        assert_eq!(end.code, 2, "{dims:?}: {end:?}");
        // Typed data, and a tensor in an attribute.
        let weight = &mut graph(&mut message).initializer[0];
        weight.raw_data = None;
        weight.float_data = vec![1.0, 2.0];
        all_commands("typed", &message.encode_to_vec(), SMALL);
        let mut constant = node("Constant", &[], &["w"]);
        constant.attribute = vec![bnfold::onnx::proto::AttributeProto {
            t: Some(tensor("", dims, &[1.0, 2.0])),
            ..attribute("value", 4)
        }];
        let mut message = of_nodes(vec![constant, conv("x", "c"), batch_norm("c", "y")]);
        graph(&mut message).initializer.remove(0);
        all_commands("a constant", &message.encode_to_vec(), SMALL);
    }
}

#[test]
fn dims_of_values_promise_nothing() {
    for dims in HUGE {
        let mut message = plain();
        graph(&mut message).input = vec![info("x", dims, 1)];
        graph(&mut message).output = vec![info("y", dims, 1)];
        graph(&mut message).value_info = vec![info("c", dims, 1)];
        all_commands("a value", &message.encode_to_vec(), SMALL);
    }
}

#[test]
fn constants_that_would_be_computed_beyond_memory_are_left() {
    let shape = |dims: &[i64]| TensorProto {
        int64_data: dims.to_vec(),
        raw_data: None,
        data_type: Some(7),
        ..tensor("shape", &[dims.len() as i64], &[])
    };
    for (op, inputs, dims) in [
        (
            "ConstantOfShape",
            &["shape"][..],
            &[2, 1, 1 << 20, 1 << 20][..],
        ),
        ("Expand", &["w", "shape"], &[2, 1, 1 << 20, 1 << 20]),
        ("Expand", &["w", "shape"], &[2, 1, i64::MAX, 3]),
    ] {
        let mut message = of_nodes(vec![
            node(op, inputs, &["big"]),
            node("Conv", &["x", "big"], &["c"]),
            batch_norm("c", "y"),
        ]);
        graph(&mut message).initializer.push(shape(dims));
        all_commands(op, &message.encode_to_vec(), SMALL);
    }
}

#[test]
fn numbers_that_are_none_are_never_folded() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for index in 0..5 {
            let mut message = plain();
            let tensor = &mut graph(&mut message).initializer[index];
            let raw = tensor.raw_data.as_mut().unwrap();
            raw[..4].copy_from_slice(&value.to_le_bytes());
            let end = all_commands("a parameter", &message.encode_to_vec(), SMALL);
            assert!(end.code != 1, "{end:?}");
        }
        let mut message = plain();
        graph(&mut message).node[1].attribute = vec![bnfold::onnx::proto::AttributeProto {
            f: Some(value),
            ..attribute("epsilon", 1)
        }];
        all_commands("epsilon", &message.encode_to_vec(), SMALL);
    }
}

#[test]
fn numbers_that_are_none_stay_where_they_are_in_any_operand_and_attribute() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let k = || tensor("k", &[2, 1, 1], &[1.0, value]);
        let float = |name: &str| bnfold::onnx::proto::AttributeProto {
            f: Some(value),
            ..attribute(name, 1)
        };
        for op in ["Mul", "Add", "Sub", "Div", "PRelu"] {
            let mut message = of_nodes(vec![
                conv("x", "c"),
                node(op, &["c", "k"], &["d"]),
                batch_norm("d", "y"),
            ]);
            graph(&mut message).initializer.push(k());
            all_commands(op, &message.encode_to_vec(), SMALL);
        }
        for (op, name) in [("LeakyRelu", "alpha"), ("Elu", "alpha"), ("Clip", "max")] {
            let mut between = node(op, &["c"], &["d"]);
            between.attribute.push(float(name));
            let nodes = vec![conv("x", "c"), between, batch_norm("d", "y")];
            all_commands(op, &of_nodes(nodes).encode_to_vec(), SMALL);
        }
        let mut bias = of_nodes(vec![
            node("Conv", &["x", "w", "k"], &["c"]),
            batch_norm("c", "y"),
        ]);
        graph(&mut bias)
            .initializer
            .push(tensor("k", &[2], &[1.0, value]));
        all_commands("a bias", &bias.encode_to_vec(), SMALL);
        for name in ["alpha", "beta"] {
            let mut gemm = node("Gemm", &["x", "g", "k"], &["c"]);
            gemm.attribute.push(float(name));
            let mut message = of_nodes(vec![gemm, batch_norm("c", "y")]);
            let graph = graph(&mut message);
            graph.input = vec![info("x", &[1, 3], 1)];
            graph.output = vec![info("y", &[1, 2], 1)];
            graph.initializer.push(tensor("g", &[3, 2], &[1.0; 6]));
            graph.initializer.push(tensor("k", &[2], &[1.0, 2.0]));
            all_commands(name, &message.encode_to_vec(), SMALL);
        }
    }
}
