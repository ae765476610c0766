//! Changed names and attributes of one node, as splices of its fields.

use std::collections::HashSet;

use prost::Message;

use super::encoded;
use crate::onnx::error::EditError;
use crate::onnx::load::Model;
use crate::onnx::model::Name;
use crate::onnx::proto::AttributeProto;
use crate::onnx::splice::Splices;
use crate::onnx::wire::{Field, Position, Span, Value};

const INPUT: u32 = 1;
const OUTPUT: u32 = 2;
const ATTRIBUTE: u32 = 5;

/// What changes in a node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeChange {
    /// New names by slot.
    pub(super) inputs: Vec<(usize, Name)>,
    /// New names by slot.
    pub(super) outputs: Vec<(usize, Name)>,
    /// How many outputs are left, if not all.
    pub(super) n_outputs: Option<usize>,
    /// New attributes by name; `None` for those that go.
    pub(super) attributes: Vec<(String, Option<AttributeProto>)>,
}

/// Sets what holds for a key; a node has few.
pub(super) fn set<K: PartialEq, V>(pairs: &mut Vec<(K, V)>, key: K, value: V) {
    match pairs.iter_mut().find(|(known, _)| *known == key) {
        Some((_, old)) => *old = value,
        None => pairs.push((key, value)),
    }
}

fn get<'a, K: PartialEq, V>(pairs: &'a [(K, V)], key: &K) -> Option<&'a V> {
    pairs
        .iter()
        .find(|(known, _)| known == key)
        .map(|(_, value)| value)
}

impl NodeChange {
    pub(super) fn splice(
        &self,
        model: &Model,
        body: Span,
        splices: &mut Splices,
    ) -> Result<(), EditError> {
        let fields = fields_of(model, body)?;
        let of = |number: u32| {
            fields.iter().filter(move |field| {
                field.number == number && matches!(field.value, Value::Bytes(_))
            })
        };
        rename(&self.inputs, INPUT, body, of(INPUT), splices)?;
        rename(&self.outputs, OUTPUT, body, of(OUTPUT), splices)?;
        for field in of(OUTPUT).skip(self.n_outputs.unwrap_or(usize::MAX)) {
            splices.remove(field.at)?;
        }
        let mut seen = HashSet::new();
        for field in of(ATTRIBUTE) {
            let Some(name) = attribute_name(model, field)? else {
                continue;
            };
            let Some(change) = get(&self.attributes, &name) else {
                continue;
            };
            match change {
                Some(new) if seen.insert(name) => {
                    splices.replace(field.at, encoded(ATTRIBUTE, &new.encode_to_vec()))?
                }
                _ => splices.remove(field.at)?,
            }
        }
        for (name, change) in &self.attributes {
            if let Some(new) = change.as_ref().filter(|_| !seen.contains(name)) {
                splices.append(body, encoded(ATTRIBUTE, &new.encode_to_vec()));
            }
        }
        Ok(())
    }
}

fn rename<'a>(
    names: &[(usize, Name)],
    number: u32,
    body: Span,
    fields: impl Iterator<Item = &'a Field>,
    splices: &mut Splices,
) -> Result<(), EditError> {
    let mut count = 0;
    for (slot, field) in fields.enumerate() {
        count = slot + 1;
        if let Some(name) = get(names, &slot) {
            splices.replace(field.at, encoded(number, name.as_bytes()))?;
        }
    }
    let last = names.iter().map(|(slot, _)| *slot).max();
    for slot in count..last.map_or(0, |last| last + 1) {
        splices.append(
            body,
            encoded(number, get(names, &slot).map_or(b"", Name::as_bytes)),
        );
    }
    Ok(())
}

fn attribute_name(model: &Model, attribute: &Field) -> Result<Option<String>, EditError> {
    let Value::Bytes(body) = attribute.value else {
        return Ok(None);
    };
    let mut name = None;
    for field in fields_of(model, body)? {
        if let (1, Value::Bytes(text)) = (field.number, field.value) {
            let mut reader = model.reader();
            let bytes = reader
                .bytes(text)
                .map_err(|error| model.wire_error(error))?;
            name = Some(String::from_utf8_lossy(bytes).into_owned());
        }
    }
    Ok(name)
}

/// The fields of a small message.
pub(super) fn fields_of(model: &Model, body: Span) -> Result<Vec<Field>, EditError> {
    let (mut reader, mut position) = (model.reader(), Position::at_start_of(body));
    let mut fields = Vec::new();
    while let Some(field) = reader
        .next_field(&mut position)
        .map_err(|error| model.wire_error(error))?
    {
        fields.push(field);
    }
    Ok(fields)
}
