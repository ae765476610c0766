//! Edits of a file's fields, rendered into a rope.
//!
//! A message without an edited child is one copy of its span, so whatever nobody edits comes out byte for byte.
//! A message with one keeps its tag and its other fields; its length, and that of all around it, is written anew.
//! An edit that finds no field of its span, because it lies within another edit or is none, is a conflict, never lost.

use std::collections::BTreeMap;

use super::error::EditError;
use super::files::FileId;
use super::index::wire_error;
use super::load::Model;
use super::rope::Rope;
use super::wire::{Position, Reader, Span, Value, WireError, put_varint};

/// Replacements and insertions, each at a field boundary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splices {
    /// Field spans, with what stands there instead.
    replaced: BTreeMap<Span, Rope>,
    /// Field spans, with what comes in before them.
    before: BTreeMap<Span, Rope>,
    /// Field spans, with what comes in after them.
    after: BTreeMap<Span, Rope>,
    /// Message bodies, with what comes in at their end.
    appended: BTreeMap<Span, Rope>,
}

impl Splices {
    /// Puts `rope` in the place of a field.
    pub(crate) fn replace(&mut self, field: Span, rope: Rope) -> Result<(), EditError> {
        match self.replaced.insert(field, rope) {
            None => Ok(()),
            Some(_) => Err(conflict(
                field.start,
                "the same field is replaced or removed twice",
            )),
        }
    }

    /// Takes a field out.
    pub(crate) fn remove(&mut self, field: Span) -> Result<(), EditError> {
        self.replace(field, Rope::default())
    }

    /// Puts `rope` before a field, after what was put there earlier.
    pub(crate) fn insert_before(&mut self, field: Span, rope: Rope) {
        self.before.entry(field).or_default().append(rope);
    }

    /// Puts `rope` after a field, after what was put there earlier.
    pub(crate) fn insert_after(&mut self, field: Span, rope: Rope) {
        self.after.entry(field).or_default().append(rope);
    }

    /// Puts `rope` at the end of a message's body, after what was put there earlier.
    pub(crate) fn append(&mut self, body: Span, rope: Rope) {
        self.appended.entry(body).or_default().append(rope);
    }

    /// Whether a span lies within a field that is replaced or removed.
    pub(crate) fn covers(&self, span: Span) -> bool {
        let last = Span {
            start: span.start,
            end: u64::MAX,
        };
        self.replaced
            .range(..=last)
            .next_back()
            .is_some_and(|(field, _)| field.contains(span))
    }

    fn all(&self) -> [&BTreeMap<Span, Rope>; 4] {
        [&self.replaced, &self.before, &self.after, &self.appended]
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all().iter().all(|edits| edits.is_empty())
    }

    /// The model with all edits made.
    pub(crate) fn render(&self, model: &Model) -> Result<Rope, EditError> {
        let mut renderer = Renderer {
            splices: self,
            reader: model.reader(),
            made: 0,
        };
        let rope = renderer
            .message(Span::new(0, model.len()))
            .map_err(|error| wire_error(model.files.name(), error))?;
        if renderer.made == self.all().iter().map(|edits| edits.len()).sum::<usize>() {
            return Ok(rope);
        }
        let offsets = self
            .all()
            .into_iter()
            .flat_map(BTreeMap::keys)
            .map(|span| span.start);
        Err(conflict(
            offsets.min().unwrap_or_default(),
            "one lies inside a message that another replaces or removes",
        ))
    }
}

fn conflict(offset: u64, what: &'static str) -> EditError {
    EditError::Conflict { offset, what }
}

struct Renderer<'a> {
    splices: &'a Splices,
    reader: Reader<'a>,
    made: usize,
}

impl<'a> Renderer<'a> {
    fn message(&mut self, body: Span) -> Result<Rope, WireError> {
        let mut rope = Rope::default();
        let mut copied = body.start;
        let mut position = Position::at_start_of(body);
        while let Some(field) = self.reader.next_field(&mut position)? {
            let [replacement, before, after] = self.edits_of(field.at);
            let inner = match field.value {
                Value::Bytes(inner) if replacement.is_none() && self.is_edited(inner) => {
                    Some(inner)
                }
                _ => None,
            };
            if replacement.is_none() && before.is_none() && after.is_none() && inner.is_none() {
                continue;
            }
            rope.push_copy(FileId::MODEL, Span::new(copied, field.at.start));
            copied = field.at.end;
            self.insert(before, &mut rope);
            match inner {
                Some(inner) => self.edited_field(field.at, inner, &mut rope)?,
                None if replacement.is_some() => self.insert(replacement, &mut rope),
                None => rope.push_copy(FileId::MODEL, field.at),
            }
            self.insert(after, &mut rope);
        }
        rope.push_copy(FileId::MODEL, Span::new(copied, body.end));
        self.insert(self.splices.appended.get(&body), &mut rope);
        Ok(rope)
    }

    fn edits_of(&self, field: Span) -> [Option<&'a Rope>; 3] {
        let splices = self.splices;
        [&splices.replaced, &splices.before, &splices.after].map(|edits| edits.get(&field))
    }

    fn insert(&mut self, insertion: Option<&Rope>, rope: &mut Rope) {
        if let Some(insertion) = insertion {
            rope.append(insertion.clone());
            self.made += 1;
        }
    }

    /// The field's own tag, the new length and the edited body.
    fn edited_field(&mut self, field: Span, body: Span, rope: &mut Rope) -> Result<(), WireError> {
        let edited = self.message(body)?;
        let tag_length = self.tag_length(field)?;
        rope.push_copy(
            FileId::MODEL,
            Span::new(field.start, field.start + tag_length),
        );
        let mut length = Vec::new();
        put_varint(&mut length, edited.len());
        rope.push_owned(length);
        rope.append(edited);
        Ok(())
    }

    fn tag_length(&mut self, field: Span) -> Result<u64, WireError> {
        let mut position = Position::at_start_of(field);
        self.reader.next_varint(&mut position)?;
        Ok(position.offset() - field.start)
    }

    /// Whether an edit lies within this message.
    fn is_edited(&self, body: Span) -> bool {
        let first = Span {
            start: body.start,
            end: body.start,
        };
        let inside = |edits: &BTreeMap<Span, Rope>| {
            edits
                .range(first..)
                .next()
                .is_some_and(|(span, _)| body.contains(*span))
        };
        self.splices.all().into_iter().any(inside)
    }
}
