//! The lossless layer: fields tile the bytes that hold them; reading and writing is the identity; an edit and its
//! inverse give the canonical form of what was there; a removed node is missing, and nothing else is.

use prost::Message;

use super::{Rest, nothing};
use crate::onnx::model::{Name, NodeView};
use crate::onnx::proto::ModelProto;
use crate::onnx::wire::{self, Position, Reader, Span, Value};
use crate::onnx::{Edits, Model, SaveOptions};

pub(super) fn run(input: &[u8]) -> Rest<'_> {
    let mut reader = Reader::new(&input, input.len() as u64);
    tile(&mut reader, input, Span::new(0, input.len() as u64), 0);
    let Ok(model) = Model::from_bytes(input.to_vec()) else {
        return nothing();
    };
    let edits = Edits::new(&model);
    assert!(bytes(&edits) == input, "an unedited model changes");
    let mut written = Vec::new();
    let saved = edits.save_to(&mut written, &SaveOptions::default());
    if saved.is_ok() {
        assert!(written == input, "what is saved differs");
    }
    Box::new(move || edited(&model, input))
}

fn edited(model: &Model, input: &[u8]) {
    let chosen = usize::from(input.last().copied().unwrap_or(0));
    let count = model.graph.nodes.len();
    if let Some(node) = model.graph.nodes.get(chosen % count.max(1)) {
        there_and_back(model, input, node, chosen % count);
        without(model, input, node, chosen % count);
    }
}

/// Every field's span follows the one before; payloads are tried as messages themselves.
fn tile(reader: &mut Reader<'_>, input: &[u8], body: Span, depth: usize) {
    let mut position = Position::at_start_of(body);
    let mut end = body.start;
    while let Ok(Some(field)) = reader.next_field(&mut position) {
        assert_eq!(field.at.start, end, "fields lie end to end");
        assert!(body.contains(field.at), "a field lies in its message");
        end = field.at.end;
        let of = |span: Span| &input[span.start as usize..span.end as usize];
        let mut written = Vec::new();
        match field.value {
            Value::Varint(value) => wire::put_varint_field(&mut written, field.number, value),
            Value::Bytes(span) => {
                wire::put_bytes_field(&mut written, field.number, of(span));
                if depth < 8 {
                    tile(reader, input, span, depth + 1);
                }
            }
            Value::Fixed64(value) => {
                wire::put_tag(&mut written, field.number, wire::FIXED64);
                written.extend(value.to_le_bytes());
            }
            Value::Fixed32(value) => {
                wire::put_tag(&mut written, field.number, wire::FIXED32);
                written.extend(value.to_le_bytes());
            }
            Value::Group(_) => continue,
        }
        // Padded varints are longer than what is written for them, never shorter.
        let found = of(field.at);
        assert!(written.len() <= found.len(), "{written:x?} for {found:x?}");
        assert!(
            written.len() < found.len() || written == found,
            "{written:x?} for {found:x?}"
        );
    }
}

fn bytes(edits: &Edits<'_>) -> Vec<u8> {
    let rope = edits.to_rope().expect("the edits fit");
    let (bytes, flaws) = rope
        .to_vec(edits.model())
        .expect("a model in memory renders");
    assert!(flaws.is_empty(), "nothing is transformed");
    bytes
}

/// A node's first input and an attribute change, and change back.
fn there_and_back(model: &Model, input: &[u8], node: &NodeView, at: usize) {
    let Some(old) = node.inputs.first() else {
        return;
    };
    let mut edits = Edits::new(model);
    edits.rename_input(node, 0, &Name::from("another name, longer than most"));
    let there = Model::from_bytes(bytes(&edits)).expect("the edited model reads");
    let mut edits = Edits::new(&there);
    edits.rename_input(&there.graph.nodes[at], 0, old);
    let back = bytes(&edits);
    match ModelProto::decode(input) {
        Ok(proto) => {
            let same = ModelProto::decode(&*back)
                .is_ok_and(|back| back.encode_to_vec() == proto.encode_to_vec());
            assert!(same, "an edit and its inverse leave a change");
            if proto.encode_to_vec() == input {
                assert!(
                    back == input,
                    "an edit and its inverse change canonical bytes"
                );
            }
        }
        Err(_) => assert!(Model::from_bytes(back).is_ok(), "the model reads no more"),
    }
}

/// A node is taken out, here and by prost.
fn without(model: &Model, input: &[u8], node: &NodeView, at: usize) {
    let mut edits = Edits::new(model);
    edits.remove_node(node).expect("nothing else is edited");
    let found = bytes(&edits);
    if let Ok(mut proto) = ModelProto::decode(input) {
        proto.graph.as_mut().expect("a graph").node.remove(at);
        let found = ModelProto::decode(&*found).expect("prost reads the output");
        assert!(
            found.encode_to_vec() == proto.encode_to_vec(),
            "more than a node is gone"
        );
    }
}
