//! A model as it is encoded, the weights apart from the rest.
//!
//! The main graph's initializers are most of a model's bytes, so each is decoded by itself when it is read, and
//! only what it becomes is held. Tensors that stand elsewhere are decoded with what is around them.

use std::path::Path;

use prost::Message;

use super::fused;
use crate::engine::ModelBytes;
use crate::engine::error::EngineError;
use crate::onnx::proto::{ModelProto, TensorProto};
use crate::onnx::wire::{Field, Position, Reader, Span, Value, WireError, put_bytes_field};

/// `ModelProto.graph`.
const GRAPH: u32 = 7;
/// `GraphProto.initializer`.
const INITIALIZER: u32 = 5;
/// `TensorProto.raw_data`.
const RAW_DATA: u32 = 9;

/// A model that can be compiled any number of times.
#[derive(Debug)]
pub(in crate::engine) struct Encoded<'a> {
    /// All but the main graph's initializers.
    pub(super) proto: ModelProto,
    /// The main graph's initializers, encoded, in their order.
    pub(super) initializers: Vec<&'a [u8]>,
    pub(super) directory: Option<&'a Path>,
}

impl<'a> Encoded<'a> {
    pub(in crate::engine) fn read(model: ModelBytes<'a>) -> Result<Encoded<'a>, EngineError> {
        let (rest, initializers) = split(model.bytes).map_err(|error| failed(&error))?;
        let mut proto = ModelProto::decode(rest.as_slice()).map_err(|error| failed(&error))?;
        fused::expand(&mut proto);
        Ok(Encoded {
            proto,
            initializers,
            directory: model.directory,
        })
    }
}

/// A tensor and its raw bytes, which are left where they are; those of a tensor that stands elsewhere are `None`.
pub(super) fn tensor(bytes: &[u8]) -> Result<(TensorProto, Option<&[u8]>), EngineError> {
    let (rest, raw) = split_tensor(bytes).map_err(|error| failed(&error))?;
    let header = TensorProto::decode(rest.as_slice()).map_err(|error| failed(&error))?;
    Ok((header, raw))
}

/// A tensor without its raw bytes, and these; of several, the last ones count, by protobuf's rules.
fn split_tensor(bytes: &[u8]) -> Result<(Vec<u8>, Option<&[u8]>), WireError> {
    let (mut rest, mut raw) = (Vec::new(), None);
    for_each_field(bytes, |field, at| match (field.number, field.value) {
        (RAW_DATA, Value::Bytes(span)) => raw = Some(at(span)),
        _ => rest.extend_from_slice(at(field.at)),
    })?;
    Ok((rest, raw))
}

pub(super) fn failed(error: &impl ToString) -> EngineError {
    EngineError::Decode {
        reason: error.to_string(),
    }
}

/// The model without its main graph's initializers, and these.
fn split(bytes: &[u8]) -> Result<(Vec<u8>, Vec<&[u8]>), WireError> {
    let (mut rest, mut graphs) = (Vec::new(), Vec::new());
    for_each_field(bytes, |field, at| match (field.number, field.value) {
        (GRAPH, Value::Bytes(span)) => graphs.push(at(span)),
        _ => rest.extend_from_slice(at(field.at)),
    })?;
    let mut initializers = Vec::new();
    for graph in graphs {
        let mut others = Vec::new();
        for_each_field(graph, |field, at| match (field.number, field.value) {
            (INITIALIZER, Value::Bytes(span)) => initializers.push(at(span)),
            _ => others.extend_from_slice(at(field.at)),
        })?;
        put_bytes_field(&mut rest, GRAPH, &others);
    }
    Ok((rest, initializers))
}

/// Shows each field of a message, with what gives a span's bytes.
fn for_each_field<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(&Field, &dyn Fn(Span) -> &'a [u8]),
) -> Result<(), WireError> {
    let at = |span: Span| -> &'a [u8] {
        let range = span.start as usize..span.end as usize;
        bytes.get(range).unwrap_or_default()
    };
    let length = bytes.len() as u64;
    let mut reader = Reader::new(&bytes, length);
    let mut position = Position::at_start_of(Span::new(0, length));
    while let Some(field) = reader.next_field(&mut position)? {
        visit(&field, &at);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::TensorProto;
    use crate::testing::{ToBytes, model};

    #[test]
    fn the_parts_of_a_model_are_the_whole() {
        let whole = model(|g| {
            let x = g.input("x", [1, 4, 6, 6]).conv(4).bias().batch_norm();
            let condition = g
                .constant("value_ints", [1])
                .cast(crate::testing::DataType::Bool);
            let branch = g.if_else(
                &condition,
                |g| g.capture(&x).conv(2).output("then"),
                |g| g.capture(&x).conv(2).output("else"),
            );
            branch.output("y")
        });
        // A message field that comes twice is one message, by protobuf's rules.
        let twice = [whole.to_bytes(), whole.to_bytes()].concat();
        for bytes in [whole.to_bytes(), twice] {
            let expected = ModelProto::decode(bytes.as_slice()).unwrap();
            let found = Encoded::read(ModelBytes::new(&bytes)).unwrap();
            let tensors = found.initializers.iter();
            let tensors: Vec<TensorProto> = tensors
                .map(|tensor| TensorProto::decode(*tensor).unwrap())
                .collect();
            let mut joined = found.proto;
            let graph = joined.graph.as_mut().unwrap();
            assert!(graph.initializer.is_empty() && !tensors.is_empty());
            graph.initializer = tensors;
            assert_eq!(joined, expected);
        }
    }

    #[test]
    fn bytes_that_are_no_model_are_an_error() {
        for bytes in [&[0x3a, 9, 1][..], &[0xff; 20], &[0x3a, 2, 0x2a, 5]] {
            let error = Encoded::read(ModelBytes::new(bytes)).unwrap_err();
            assert!(matches!(error, EngineError::Decode { .. }), "{error}");
        }
    }
}
