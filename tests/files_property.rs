//! Losslessness as a property: models with unknown fields at every level, odd field orders, packed and unpacked repeats,
//! padded varints, strings that are not UTF-8, repeated singular fields and empty messages
//! come out byte for byte where nothing is edited, and differ in the edits alone where something is.
//!
//! The expected bytes are predicted by a tree that knows how each field is written, and prost is the second reader.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "files/tree.rs"]
mod tree;

use bnfold::onnx::model::{AttributeValue, GraphView, Name, TensorView};
use bnfold::onnx::{Edits, Model, NewData, NewTensor, proto};
use half::{bf16, f16};
use proptest::prelude::*;
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tree::{
    Field, Noise, Value, bytes, disturb, double, encode, float, int, message, packed, text,
};

const NODE: u32 = 1;
const INITIALIZER: u32 = 5;
const VALUE_INFO: u32 = 13;

fn name(rng: &mut impl Rng, noise: Noise) -> Vec<u8> {
    let mut name = format!("v{}", rng.random_range(0..30)).into_bytes();
    if noise == Noise::Foreign && rng.random_bool(0.2) {
        name.extend([0xff, 0xc0]);
    }
    name
}

/// A tensor of two to five floats in one of the storage forms, and the bytes before the noise.
fn tensor(number: u32, rng: &mut impl Rng, noise: Noise) -> Field {
    let count = rng.random_range(2..6usize);
    let values: Vec<f32> = (0..count)
        .map(|_| f16::from_f32(rng.random_range(-4.0..4.0)).to_f32())
        .collect();
    let mut fields = vec![bytes(8, &name(rng, noise)).singular()];
    fields.push(if rng.random_bool(0.5) {
        int(1, count as i64)
    } else {
        packed(1, &[count as u64])
    });
    let data_type = [1, 1, 10, 11, 16][rng.random_range(0..5)];
    fields.push(int(2, data_type).singular());
    let halves = |value: f32| {
        u64::from(if data_type == 10 {
            f16::from_f32(value).to_bits()
        } else {
            bf16::from_f32(value).to_bits()
        })
    };
    match (data_type, rng.random_range(0..3)) {
        (1, 0) => fields.push(bytes(4, &le(&values, f32::to_le_bytes))),
        (1, 1) => fields.extend(values.iter().map(|&value| float(4, value))),
        (1, _) => fields.push(bytes(9, &le(&values, f32::to_le_bytes))),
        (11, 0) => fields.push(bytes(
            10,
            &le(&values, |value| f64::from(value).to_le_bytes()),
        )),
        (11, 1) => fields.extend(values.iter().map(|&value| double(10, value.into()))),
        (11, _) => fields.push(bytes(
            9,
            &le(&values, |value| f64::from(value).to_le_bytes()),
        )),
        (_, 0) => fields.push(packed(
            5,
            &values
                .iter()
                .map(|&value| halves(value))
                .collect::<Vec<_>>(),
        )),
        (_, 1) => fields.extend(values.iter().map(|&value| int(5, halves(value) as i64))),
        _ => fields.push(bytes(
            9,
            &le(&values, |value| (halves(value) as u16).to_le_bytes()),
        )),
    }
    fields.push(text(12, "a doc string"));
    message(number, fields)
}

fn le<const N: usize>(values: &[f32], to: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| to(value)).collect()
}

fn attribute(rng: &mut impl Rng, noise: Noise, depth: usize) -> Field {
    let with = |kind: i64, mut value: Vec<Field>| {
        value.extend([
            text(1, &format!("a{kind}")).singular(),
            int(20, kind).singular(),
        ]);
        message(5, value)
    };
    match rng.random_range(0..if depth > 0 { 8 } else { 7 }) {
        0 => with(1, vec![float(2, 0.5).singular()]),
        1 => with(2, vec![int(3, -7).singular()]),
        2 => with(3, vec![bytes(4, b"SAME_UPPER\xff").singular()]),
        3 => with(7, vec![packed(8, &[1, 2, u64::MAX]), int(8, 4)]),
        4 => with(
            6,
            vec![bytes(7, &le(&[0.5, 0.25], f32::to_le_bytes)), float(7, 2.0)],
        ),
        5 => with(4, vec![tensor(5, rng, noise)]),
        6 => with(8, vec![bytes(9, b"x"), bytes(9, b"")]),
        _ => with(5, vec![graph(6, rng, noise, depth - 1)]),
    }
}

fn node(rng: &mut impl Rng, noise: Noise, depth: usize) -> Field {
    let mut fields = vec![
        bytes(3, &name(rng, noise)).singular(),
        text(4, "Conv").singular(),
    ];
    fields.extend((0..rng.random_range(0..4)).map(|_| bytes(1, &name(rng, noise))));
    fields.extend((0..rng.random_range(1..3)).map(|_| bytes(2, &name(rng, noise))));
    fields.extend(
        (0..rng.random_range(0..2))
            .map(|_| text(7, ["", "ai.onnx", "com.example"][rng.random_range(0..3)]).singular()),
    );
    fields.extend((0..rng.random_range(0..3)).map(|_| attribute(rng, noise, depth)));
    message(NODE, fields)
}

fn value_info(number: u32, rng: &mut impl Rng, noise: Noise) -> Field {
    let dimension = |fields| message(1, fields);
    let shape = message(
        2,
        vec![
            dimension(vec![text(2, "N")]),
            dimension(vec![int(1, 3)]),
            dimension(vec![]),
        ],
    );
    let mut fields = vec![
        bytes(1, &name(rng, noise)).singular(),
        message(2, vec![message(1, vec![int(1, 1).singular(), shape])]),
    ];
    if rng.random_bool(0.2) {
        // A second occurrence is merged into the first.
        fields.push(message(2, vec![text(6, "TENSOR")]));
    }
    message(number, fields)
}

fn graph(number: u32, rng: &mut impl Rng, noise: Noise, depth: usize) -> Field {
    let mut fields = vec![bytes(2, &name(rng, noise)).singular()];
    fields.extend((0..rng.random_range(1..4)).map(|_| node(rng, noise, depth)));
    fields.extend((0..rng.random_range(0..3)).map(|_| tensor(INITIALIZER, rng, noise)));
    for number in [11, 12, VALUE_INFO] {
        fields.extend((0..rng.random_range(0..2)).map(|_| value_info(number, rng, noise)));
    }
    fields.push(message(
        14,
        vec![
            bytes(1, &name(rng, noise)),
            message(2, vec![text(1, "SCALE"), bytes(2, &name(rng, noise))]),
        ],
    ));
    message(number, fields)
}

fn model(seed: u64, noise: Noise) -> Vec<Field> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut fields = vec![
        int(1, 9).singular(),
        text(2, "a producer").singular(),
        graph(7, rng, noise, 2),
        message(8, vec![int(2, 17)]),
        message(
            8,
            vec![text(1, "com.example").singular(), int(2, 1).singular()],
        ),
        message(14, vec![text(1, "key"), text(2, "value")]),
        message(
            25,
            vec![
                text(1, "f"),
                text(4, "x"),
                node_in_function(rng, noise),
                message(9, vec![int(2, 17)]),
            ],
        ),
    ];
    disturb(&mut fields, noise, rng);
    // The ir_version that holds is the last one.
    let last = fields.iter().rposition(|field| field.number == 1).unwrap();
    fields[last] = Field {
        tag_padding: 1,
        ..int(1, 9)
    };
    fields
}

fn node_in_function(rng: &mut impl Rng, noise: Noise) -> Field {
    Field {
        number: 7,
        ..node(rng, noise, 1)
    }
}

fn naive_elements(tensor: &proto::TensorProto) -> Vec<f64> {
    let raw = tensor.raw_data();
    match tensor.data_type() {
        1 if raw.is_empty() => tensor
            .float_data
            .iter()
            .map(|&value| value.into())
            .collect(),
        1 => raw
            .chunks(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()).into())
            .collect(),
        11 if raw.is_empty() => tensor.double_data.clone(),
        11 => raw
            .chunks(8)
            .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()))
            .collect(),
        kind => {
            let from_raw = raw
                .chunks(2)
                .map(|bytes| u16::from_le_bytes(bytes.try_into().unwrap()));
            let bits: Vec<u16> = from_raw
                .chain(tensor.int32_data.iter().map(|&bits| bits as u16))
                .collect();
            bits.into_iter()
                .map(|bits| {
                    if kind == 10 {
                        f16::from_bits(bits).to_f64()
                    } else {
                        bf16::from_bits(bits).to_f64()
                    }
                })
                .collect()
        }
    }
}

fn assert_tensor(model: &Model, view: &TensorView, message: &proto::TensorProto) {
    assert_eq!(view.name, *message.name());
    assert_eq!(
        view.dims
            .iter()
            .map(|&extent| extent as i64)
            .collect::<Vec<_>>(),
        message.dims
    );
    assert_eq!(model.read_f64(view).unwrap(), naive_elements(message));
}

fn assert_names(views: &[Name], names: &[String]) {
    assert_eq!(
        views.iter().map(ToString::to_string).collect::<Vec<_>>(),
        names
    );
}

fn assert_graph(model: &Model, view: &GraphView, message: &proto::GraphProto) {
    assert_eq!(view.name, *message.name());
    assert_eq!(view.nodes.len(), message.node.len());
    for (view, message) in view.nodes.iter().zip(&message.node) {
        assert_node(model, view, message);
    }
    assert_eq!(view.initializers.len(), message.initializer.len());
    for (view, message) in view.initializers.iter().zip(&message.initializer) {
        assert_tensor(model, view, message);
    }
    for (views, messages) in [
        (&view.inputs, &message.input),
        (&view.outputs, &message.output),
        (&view.value_info, &message.value_info),
    ] {
        assert_eq!(views.len(), messages.len());
        for (view, message) in views.iter().zip(messages) {
            assert_eq!(
                (&*view.name.to_string(), &view.ty),
                (message.name(), &message.r#type)
            );
        }
    }
    for (view, message) in view
        .annotations
        .iter()
        .zip(&message.quantization_annotation)
    {
        assert_eq!(view.tensor_name, *message.tensor_name());
        assert_names(
            &view.parameters,
            &message
                .quant_parameter_tensor_names
                .iter()
                .map(|entry| entry.value().to_owned())
                .collect::<Vec<_>>(),
        );
    }
}

fn assert_node(model: &Model, view: &bnfold::onnx::model::NodeView, message: &proto::NodeProto) {
    assert_eq!(
        (view.name.to_string(), view.op_type.to_string()),
        (message.name().to_owned(), message.op_type().to_owned())
    );
    assert_eq!(
        view.domain,
        *if message.domain() == "ai.onnx" {
            ""
        } else {
            message.domain()
        }
    );
    assert_names(&view.inputs, &message.input);
    assert_names(&view.outputs, &message.output);
    assert_eq!(view.attributes.len(), message.attribute.len());
    for (view, message) in view.attributes.iter().zip(&message.attribute) {
        assert_eq!(view.name, *message.name());
        match (&view.value, message.r#type.unwrap()) {
            (AttributeValue::Float(value), 1) => assert_eq!(*value, message.f()),
            (AttributeValue::Int(value), 2) => assert_eq!(*value, message.i()),
            (AttributeValue::String(value), 3) => assert_eq!(value, message.s()),
            (AttributeValue::Tensor(tensor), 4) => {
                assert_tensor(model, tensor, message.t.as_ref().unwrap())
            }
            (AttributeValue::Graph(graph), 5) => {
                assert_graph(model, graph, message.g.as_ref().unwrap())
            }
            (AttributeValue::Floats(values), 6) => assert_eq!(values, &message.floats),
            (AttributeValue::Ints(values), 7) => assert_eq!(values, &message.ints),
            (AttributeValue::Strings(values), 8) => assert_eq!(values, &message.strings),
            (AttributeValue::Other, 0 | 9..) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The `index`-th message of a number among a message's fields.
fn nth(fields: &mut [Field], number: u32, index: usize) -> &mut Field {
    let mut found = fields.iter_mut().filter(|field| {
        field.number == number && matches!(field.value, Value::Message(..) | Value::Bytes(..))
    });
    found.nth(index).unwrap()
}

fn position(fields: &[Field], number: u32, index: usize) -> usize {
    let found = fields.iter().enumerate().filter(|(_, field)| {
        field.number == number && matches!(field.value, Value::Message(..) | Value::Bytes(..))
    });
    found.map(|(at, _)| at).nth(index).unwrap()
}

/// An edited message's length is written anew, in its shortest form.
fn shorten(field: &mut Field) -> &mut Vec<Field> {
    match &mut field.value {
        Value::Message(fields, padding) => {
            *padding = 0;
            fields
        }
        other => panic!("{other:?} is no message"),
    }
}

/// Edits a graph through views and predicts on its tree what must come out.
fn edit(edits: &mut Edits<'_>, view: &GraphView, tree: &mut Vec<Field>, rng: &mut impl Rng) {
    let victim = rng.random_range(0..view.nodes.len());
    let (node, slot) = (&view.nodes[victim], rng.random_range(0..5));
    let nested = node
        .attributes
        .iter()
        .position(|attribute| matches!(attribute.value, AttributeValue::Graph(_)));
    match (rng.random_range(0..3), nested) {
        (0, _) => {
            edits.remove_node(node).unwrap();
            tree.remove(position(tree, NODE, victim));
        }
        (1, Some(attribute)) => {
            let AttributeValue::Graph(inner) = &node.attributes[attribute].value else {
                unreachable!()
            };
            let attribute = nth(shorten(nth(tree, NODE, victim)), 5, attribute);
            edit(edits, inner, shorten(nth(shorten(attribute), 6, 0)), rng);
        }
        _ => {
            edits.rename_input(node, slot, &Name::from("renamed"));
            let fields = shorten(nth(tree, NODE, victim));
            for missing in node.inputs.len()..=slot {
                fields.push(text(1, if missing == slot { "renamed" } else { "" }));
            }
            *nth(fields, 1, slot) = text(1, "renamed");
        }
    }
    if let Some(tensor) = view.initializers.first() {
        if rng.random_bool(0.5) {
            edits
                .replace_tensor(tensor, NewData::Values(vec![0.5; tensor.len()]))
                .unwrap();
            replace_data(shorten(nth(tree, INITIALIZER, 0)), tensor);
        } else {
            edits.remove_initializer(tensor).unwrap();
            tree.remove(position(tree, INITIALIZER, 0));
        }
    }
    let new = NewTensor {
        name: Name::from("new"),
        dims: vec![2],
        data_type: 1,
        data: NewData::Values(vec![1.0, 2.0]),
    };
    edits.add_initializer(view, new).unwrap();
    tree.push(message(
        INITIALIZER,
        vec![
            int(1, 2),
            int(2, 1),
            text(8, "new"),
            bytes(9, &le(&[1.0, 2.0], f32::to_le_bytes)),
        ],
    ));
    if let Some(info) = view.value_info.first() {
        edits.remove_value_info(info).unwrap();
        tree.remove(position(tree, VALUE_INFO, 0));
    }
}

/// The last data field gives way to the new data, in the form that it has if that is a packed run, and the others vanish.
fn replace_data(fields: &mut Vec<Field>, tensor: &TensorView) {
    let is_data = |field: &Field| [4, 5, 9, 10].contains(&field.number);
    let halves = vec![0.5; tensor.len()];
    let (number, data) = match tensor.data_type {
        1 => (4, le(&halves, f32::to_le_bytes)),
        11 => (10, le(&halves, |value| f64::from(value).to_le_bytes())),
        10 => (9, le(&halves, |value| f16::from_f32(value).to_le_bytes())),
        _ => (9, le(&halves, |value| bf16::from_f32(value).to_le_bytes())),
    };
    let is_run = fields.iter().filter(|field| is_data(field)).count() == 1
        && fields
            .iter()
            .any(|field| field.number == number && matches!(field.value, Value::Bytes(..)));
    let last = fields.iter().rposition(is_data).unwrap();
    fields[last] = bytes(if is_run { number } else { 9 }, &data);
    let mut index = 0;
    fields.retain(|field| {
        index += 1;
        index - 1 == last || !is_data(field)
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_model_without_edits_comes_out_as_it_came_in(seed in any::<u64>(), foreign in any::<bool>()) {
        let bytes = encode(&model(seed, if foreign { Noise::Foreign } else { Noise::Legal }));
        let model = Model::from_bytes(bytes.clone()).unwrap();
        let (out, flaws) = Edits::new(&model).to_rope().unwrap().to_vec(&model).unwrap();
        prop_assert!(out == bytes && flaws.is_empty());
    }

    #[test]
    fn the_views_are_what_prost_reads(seed in any::<u64>()) {
        let bytes = encode(&model(seed, Noise::Legal));
        let decoded = proto::ModelProto::decode(bytes.as_slice()).unwrap();
        let model = Model::from_bytes(bytes).unwrap();
        prop_assert_eq!(model.ir_version, decoded.ir_version());
        assert_graph(&model, &model.graph, decoded.graph.as_ref().unwrap());
        prop_assert_eq!(model.functions.len(), decoded.functions.len());
        for (view, message) in model.functions.iter().zip(&decoded.functions) {
            assert_names(&view.inputs, &message.input);
            for (view, message) in view.nodes.iter().zip(&message.node) {
                assert_node(&model, view, message);
            }
        }
    }

    #[test]
    fn an_edited_model_differs_in_the_edits_alone(seed in any::<u64>(), foreign in any::<bool>()) {
        let noise = if foreign { Noise::Foreign } else { Noise::Legal };
        let mut tree = model(seed, noise);
        let model = Model::from_bytes(encode(&tree)).unwrap();
        let mut edits = Edits::new(&model);
        let rng = &mut ChaCha8Rng::seed_from_u64(!seed);
        edit(&mut edits, &model.graph, shorten(nth(&mut tree, 7, 0)), rng);
        let (out, flaws) = edits.to_rope().unwrap().to_vec(&model).unwrap();
        prop_assert!(flaws.is_empty());
        prop_assert!(out == encode(&tree), "\n{:?}\n{:?}", out.escape_ascii().to_string(), encode(&tree).escape_ascii().to_string());
        let again = Model::from_bytes(out.clone()).unwrap();
        if noise == Noise::Legal {
            let decoded = proto::ModelProto::decode(out.as_slice()).unwrap();
            assert_graph(&again, &again.graph, decoded.graph.as_ref().unwrap());
        }
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_the_reader_panic(seed in any::<u64>(), at in any::<prop::sample::Index>(), flip in 0u8..) {
        let mut bytes = encode(&model(seed, Noise::Foreign));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        drop(Model::from_bytes(bytes.clone()));
        bytes.truncate(at);
        drop(Model::from_bytes(bytes));
    }
}
