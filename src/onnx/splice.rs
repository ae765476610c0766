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
}

fn conflict(offset: u64, what: &'static str) -> EditError {
    EditError::Conflict { offset, what }
}

/// The model with the edits of all layers made; what several layers insert in one place comes in their order.
pub(crate) fn render(model: &Model, layers: &[&Splices]) -> Result<Rope, EditError> {
    let of = |kind: Kind, edits: fn(&Splices) -> &BTreeMap<Span, Rope>| {
        layers
            .iter()
            .flat_map(move |layer| edits(layer))
            .map(move |(&span, rope)| (span, kind, rope))
    };
    let mut fields: Vec<Edit<'_>> = of(Kind::Before, |layer| &layer.before)
        .chain(of(Kind::Replace, |layer| &layer.replaced))
        .chain(of(Kind::After, |layer| &layer.after))
        .collect();
    let mut bodies: Vec<Edit<'_>> = of(Kind::Append, |layer| &layer.appended).collect();
    // The sort is stable, which keeps the order of the layers.
    fields.sort_by_key(|&(span, kind, _)| (span.start, kind, span.end));
    bodies.sort_by_key(|&(span, ..)| span);
    let twice = |pair: &&[Edit<'_>]| matches!(pair, [(first, Kind::Replace, _), (second, Kind::Replace, _)] if first == second);
    if let Some([(span, ..), ..]) = fields.windows(2).find(twice) {
        return Err(conflict(
            span.start,
            "the same field is replaced or removed twice",
        ));
    }
    let mut renderer = Renderer {
        reader: model.reader(),
        fields: &fields,
        bodies: &bodies,
    };
    let rope = renderer
        .message(Span::new(0, model.len()))
        .map_err(|error| wire_error(model.files.name(), error))?;
    match renderer
        .fields
        .iter()
        .chain(renderer.bodies)
        .map(|(span, ..)| span.start)
        .min()
    {
        None => Ok(rope),
        Some(offset) => Err(conflict(
            offset,
            "one lies inside a message that another replaces or removes",
        )),
    }
}

/// Which edit of a field comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Before,
    Replace,
    After,
    Append,
}

type Edit<'a> = (Span, Kind, &'a Rope);

/// Walks the model's fields and the sorted edits side by side.
struct Renderer<'a> {
    reader: Reader<'a>,
    /// Edits of fields that are still to come.
    fields: &'a [Edit<'a>],
    /// Edits of bodies that are still to come.
    bodies: &'a [Edit<'a>],
}

impl<'a> Renderer<'a> {
    fn message(&mut self, body: Span) -> Result<Rope, WireError> {
        let appended = take(&mut self.bodies, |edit| edit.0 == body);
        let mut rope = Rope::default();
        let mut copied = body.start;
        let mut position = Position::at_start_of(body);
        while let Some(field) = self.reader.next_field(&mut position)? {
            let before = take(&mut self.fields, |edit| {
                edit.0 == field.at && edit.1 == Kind::Before
            });
            let replaced = take(&mut self.fields, |edit| {
                edit.0 == field.at && edit.1 == Kind::Replace
            });
            let after = take(&mut self.fields, |edit| {
                edit.0 == field.at && edit.1 == Kind::After
            });
            let inner = match field.value {
                Value::Bytes(inner) if replaced.is_empty() && self.is_edited(inner) => Some(inner),
                _ => None,
            };
            if before.is_empty() && replaced.is_empty() && after.is_empty() && inner.is_none() {
                continue;
            }
            rope.push_copy(FileId::MODEL, Span::new(copied, field.at.start));
            copied = field.at.end;
            append(before, &mut rope);
            match inner {
                Some(inner) => self.edited_field(field.at, inner, &mut rope)?,
                None if replaced.is_empty() => rope.push_copy(FileId::MODEL, field.at),
                None => append(replaced, &mut rope),
            }
            append(after, &mut rope);
        }
        rope.push_copy(FileId::MODEL, Span::new(copied, body.end));
        append(appended, &mut rope);
        Ok(rope)
    }

    /// The field's own tag, the new length and the edited body.
    fn edited_field(&mut self, field: Span, body: Span, rope: &mut Rope) -> Result<(), WireError> {
        let edited = self.message(body)?;
        let mut tag = Position::at_start_of(field);
        self.reader.next_varint(&mut tag)?;
        rope.push_copy(FileId::MODEL, Span::new(field.start, tag.offset()));
        let mut length = Vec::new();
        put_varint(&mut length, edited.len());
        rope.push_owned(length);
        rope.append(edited);
        Ok(())
    }

    /// Whether the next edit lies within this message; those before it have been made.
    fn is_edited(&self, body: Span) -> bool {
        [self.fields, self.bodies]
            .iter()
            .any(|edits| edits.first().is_some_and(|edit| body.contains(edit.0)))
    }
}

/// Takes the edits off the front that are wanted.
fn take<'a>(edits: &mut &'a [Edit<'a>], wanted: impl Fn(&Edit<'a>) -> bool) -> &'a [Edit<'a>] {
    let count = edits.iter().take_while(|edit| wanted(edit)).count();
    let (taken, rest) = edits.split_at(count);
    *edits = rest;
    taken
}

fn append(edits: &[Edit<'_>], rope: &mut Rope) {
    for (_, _, edit) in edits {
        rope.append((*edit).clone());
    }
}
