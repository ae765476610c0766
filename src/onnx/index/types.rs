//! TypeProto by prost, from the concatenation of all its occurrences, which is protobuf's merge.
//!
//! prost refuses strings that are not UTF-8, and known fields of a foreign wire type, which protobuf reads as unknown fields.
//! A second try replaces the ones and leaves out the others.

use prost::Message;

use super::Indexer;
use crate::onnx::error::ReadError;
use crate::onnx::proto::TypeProto;
use crate::onnx::wire::{MAX_DEPTH, Position, Reader, Span, Value, WireError, put_bytes_field};

impl Indexer<'_> {
    pub(super) fn type_proto(
        &mut self,
        occurrences: &[Span],
    ) -> Result<Option<TypeProto>, ReadError> {
        let Some(first) = occurrences.first() else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        for &span in occurrences {
            let more = self
                .reader
                .bytes(span)
                .map(|found| bytes.extend_from_slice(found));
            more.map_err(|error| self.wire(error))?;
        }
        if let Ok(decoded) = TypeProto::decode(bytes.as_slice()) {
            return Ok(Some(decoded));
        }
        let cleaned = readable(&bytes, TYPE, 0).map_err(|_| ());
        let decoded = cleaned.and_then(|bytes| TypeProto::decode(bytes.as_slice()).map_err(|_| ()));
        decoded
            .map(Some)
            .map_err(|()| self.damaged(format!("the type at byte {} cannot be read", first.start)))
    }
}

/// The fields of a message, by number.
type Kind = &'static [(u32, Part)];

#[derive(Clone, Copy)]
enum Part {
    Number,
    Text,
    Message(fn() -> Kind),
}

const TYPE: Kind = &[
    (1, Part::Message(|| TENSOR)),
    (4, Part::Message(|| ELEMENT)),
    (5, Part::Message(|| MAP)),
    (6, Part::Text),
    (7, Part::Message(|| OPAQUE)),
    (8, Part::Message(|| TENSOR)),
    (9, Part::Message(|| ELEMENT)),
];
const TENSOR: Kind = &[(1, Part::Number), (2, Part::Message(|| SHAPE))];
const ELEMENT: Kind = &[(1, Part::Message(|| TYPE))];
const MAP: Kind = &[(1, Part::Number), (2, Part::Message(|| TYPE))];
const OPAQUE: Kind = &[(1, Part::Text), (2, Part::Text)];
const SHAPE: Kind = &[(1, Part::Message(|| DIMENSION))];
const DIMENSION: Kind = &[(1, Part::Number), (2, Part::Text), (3, Part::Text)];

fn readable(bytes: &[u8], kind: Kind, depth: usize) -> Result<Vec<u8>, WireError> {
    let slice = |span: Span| {
        bytes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    };
    let mut reader = Reader::new(&bytes, bytes.len() as u64);
    let mut position = Position::at_start_of(Span::new(0, bytes.len() as u64));
    let mut out = Vec::with_capacity(bytes.len());
    while let Some(field) = reader.next_field(&mut position)? {
        let part = kind
            .iter()
            .find(|(number, _)| *number == field.number)
            .map(|(_, part)| *part);
        match (field.value, part) {
            (Value::Bytes(body), Some(Part::Text)) => {
                put_bytes_field(
                    &mut out,
                    field.number,
                    String::from_utf8_lossy(slice(body)).as_bytes(),
                );
            }
            (Value::Bytes(body), Some(Part::Message(kind))) if depth < MAX_DEPTH => {
                put_bytes_field(
                    &mut out,
                    field.number,
                    &readable(slice(body), kind(), depth + 1)?,
                );
            }
            (Value::Varint(_), Some(Part::Number)) | (_, None) => {
                out.extend_from_slice(slice(field.at));
            }
            _ => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{tensor_shape_proto::dimension, type_proto};

    #[test]
    fn a_symbol_that_is_not_utf8_is_replaced_and_the_rest_kept() {
        let bytes = b"\x0a\x0e\x08\x01\x12\x0a\x0a\x04\x12\x02\xff\x41\x0a\x02\x08\x05";
        assert!(TypeProto::decode(&bytes[..]).is_err());
        let decoded = TypeProto::decode(readable(bytes, TYPE, 0).unwrap().as_slice()).unwrap();
        let Some(type_proto::Value::TensorType(tensor)) = decoded.value else {
            panic!("a tensor type")
        };
        let dims: Vec<_> = tensor
            .shape
            .unwrap()
            .dim
            .into_iter()
            .map(|dim| dim.value)
            .collect();
        assert_eq!(
            dims,
            [
                Some(dimension::Value::DimParam("\u{fffd}A".to_owned())),
                Some(dimension::Value::DimValue(5))
            ]
        );
    }
}
