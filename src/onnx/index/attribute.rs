//! AttributeProto → view: `type` says which field holds the value; where it is absent, the one field that is set does.

use super::{Indexer, message};
use crate::onnx::error::ReadError;
use crate::onnx::model::{
    AttributeValue, AttributeView, GraphView, MessageSpan, Name, SparseView, TensorView,
};
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::wire::{Field, Position, Span, Value};

/// A longer string is some tool's blob, not an operator's parameter: it stays in the file.
const LONGEST_STRING: u64 = 1 << 20;

#[derive(Default)]
struct Fields {
    kind: Option<i32>,
    reference: Option<Name>,
    float: Option<f32>,
    int: Option<i64>,
    string: Option<Span>,
    tensor: Option<TensorView>,
    graph: Option<GraphView>,
    sparse: Option<SparseView>,
    floats: Vec<f32>,
    ints: Vec<i64>,
    strings: Vec<Span>,
    graphs: Vec<GraphView>,
    other: bool,
}

impl Indexer<'_> {
    pub(super) fn attribute(
        &mut self,
        at: MessageSpan,
        depth: usize,
    ) -> Result<AttributeView, ReadError> {
        let mut name = self.intern(b"");
        let mut fields = Fields::default();
        let mut position = Position::at_start_of(at.body);
        while let Some(field) = self.next(&mut position)? {
            match (field.number, field.value) {
                (1, Value::Bytes(body)) => name = self.name(body)?,
                (20, Value::Varint(kind)) => fields.kind = Some(kind as i32),
                (21, Value::Bytes(body)) => fields.reference = Some(self.name(body)?),
                _ => self.attribute_value(field, &mut fields, depth)?,
            }
        }
        let value = self.resolve(fields)?;
        Ok(AttributeView { at, name, value })
    }

    fn attribute_value(
        &mut self,
        field: Field,
        fields: &mut Fields,
        depth: usize,
    ) -> Result<(), ReadError> {
        match (field.number, field.value) {
            (2, Value::Fixed32(bits)) => fields.float = Some(f32::from_bits(bits)),
            (3, Value::Varint(value)) => fields.int = Some(value as i64),
            (4, Value::Bytes(body)) => fields.string = Some(body),
            (5, Value::Bytes(_)) if fields.tensor.is_some() => {
                return Err(self.twice("AttributeProto.t", field));
            }
            (6, Value::Bytes(_)) if fields.graph.is_some() => {
                return Err(self.twice("AttributeProto.g", field));
            }
            (22, Value::Bytes(_)) if fields.sparse.is_some() => {
                return Err(self.twice("AttributeProto.sparse_tensor", field));
            }
            (5, Value::Bytes(body)) => fields.tensor = Some(self.tensor(message(field, body))?),
            (6, Value::Bytes(body)) => {
                fields.graph = Some(self.graph(message(field, body), depth + 1)?)
            }
            (22, Value::Bytes(body)) => fields.sparse = Some(self.sparse(message(field, body))?),
            (7, Value::Fixed32(bits)) => fields.floats.push(f32::from_bits(bits)),
            (7, Value::Bytes(packed)) => self.packed_floats(packed, &mut fields.floats)?,
            (8, Value::Varint(value)) => fields.ints.push(value as i64),
            (8, Value::Bytes(packed)) => {
                self.packed_varints(packed, |value| fields.ints.push(value as i64))?
            }
            (9, Value::Bytes(body)) => fields.strings.push(body),
            (11, Value::Bytes(body)) => fields
                .graphs
                .push(self.graph(message(field, body), depth + 1)?),
            // No rule reads lists of tensors, but their data may be external.
            (10, Value::Bytes(body)) => {
                self.tensor(message(field, body))?;
                fields.other = true;
            }
            (23, Value::Bytes(body)) => {
                self.sparse(message(field, body))?;
                fields.other = true;
            }
            (14 | 15, _) => fields.other = true,
            _ => {}
        }
        Ok(())
    }

    fn resolve(&mut self, fields: Fields) -> Result<AttributeValue, ReadError> {
        if let Some(reference) = fields.reference.clone().filter(|name| !name.is_empty()) {
            return Ok(AttributeValue::Reference(reference));
        }
        let kind = fields.kind.filter(|&kind| kind != 0).map_or_else(
            || only_kind(&fields),
            |kind| AttributeType::try_from(kind).ok(),
        );
        Ok(match kind {
            Some(AttributeType::Float) => AttributeValue::Float(fields.float.unwrap_or_default()),
            Some(AttributeType::Int) => AttributeValue::Int(fields.int.unwrap_or_default()),
            Some(AttributeType::String) => match fields.string {
                Some(span) if span.len() > LONGEST_STRING => AttributeValue::Other,
                Some(span) => AttributeValue::String(self.string(span)?),
                None => AttributeValue::String(Vec::new()),
            },
            Some(AttributeType::Floats) => AttributeValue::Floats(fields.floats),
            Some(AttributeType::Ints) => AttributeValue::Ints(fields.ints),
            Some(AttributeType::Strings) => self.strings(&fields.strings)?,
            Some(AttributeType::Tensor) => fields.tensor.map_or(AttributeValue::Other, |tensor| {
                AttributeValue::Tensor(Box::new(tensor))
            }),
            Some(AttributeType::SparseTensor) => {
                fields.sparse.map_or(AttributeValue::Other, |tensor| {
                    AttributeValue::SparseTensor(Box::new(tensor))
                })
            }
            Some(AttributeType::Graph) => fields.graph.map_or(AttributeValue::Other, |graph| {
                AttributeValue::Graph(Box::new(graph))
            }),
            Some(AttributeType::Graphs) => AttributeValue::Graphs(fields.graphs),
            _ => AttributeValue::Other,
        })
    }

    fn strings(&mut self, spans: &[Span]) -> Result<AttributeValue, ReadError> {
        if spans.iter().map(Span::len).sum::<u64>() > LONGEST_STRING {
            return Ok(AttributeValue::Other);
        }
        spans
            .iter()
            .map(|&span| self.string(span))
            .collect::<Result<_, _>>()
            .map(AttributeValue::Strings)
    }

    fn string(&mut self, span: Span) -> Result<Vec<u8>, ReadError> {
        let bytes = self.reader.bytes(span).map(<[u8]>::to_vec);
        bytes.map_err(|error| self.wire(error))
    }

    fn packed_floats(&mut self, packed: Span, floats: &mut Vec<f32>) -> Result<(), ReadError> {
        let mut position = Position::at_start_of(packed);
        while let Some(value) = self
            .reader
            .next_fixed(&mut position)
            .map_err(|error| self.wire(error))?
        {
            floats.push(f32::from_le_bytes(value));
        }
        Ok(())
    }
}

/// Files of IR version 1 leave `type` out.
fn only_kind(fields: &Fields) -> Option<AttributeType> {
    let set = [
        (fields.float.is_some(), AttributeType::Float),
        (fields.int.is_some(), AttributeType::Int),
        (fields.string.is_some(), AttributeType::String),
        (fields.tensor.is_some(), AttributeType::Tensor),
        (fields.graph.is_some(), AttributeType::Graph),
        (fields.sparse.is_some(), AttributeType::SparseTensor),
        (!fields.floats.is_empty(), AttributeType::Floats),
        (!fields.ints.is_empty(), AttributeType::Ints),
        (!fields.strings.is_empty(), AttributeType::Strings),
        (!fields.graphs.is_empty(), AttributeType::Graphs),
        (fields.other, AttributeType::Undefined),
    ];
    let mut kinds = set
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, kind)| kind);
    kinds.next().filter(|_| kinds.next().is_none())
}
