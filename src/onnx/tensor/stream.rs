//! A tensor's dense bytes, front to back.

use crate::onnx::elements::TypedField;
use crate::onnx::error::ReadError;
use crate::onnx::files::FileId;
use crate::onnx::load::Model;
use crate::onnx::wire::{Position, Reader, Span, Value, WireError};

use super::Elements;

/// Reads a tensor's dense bytes from front to back.
#[derive(Debug)]
pub(crate) struct ElementStream<'a> {
    model: &'a Model,
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Dense {
        file: FileId,
        span: Span,
    },
    Decoded {
        reader: Box<Reader<'a>>,
        body: Position,
        run: Option<Position>,
        field: TypedField,
        left: u64,
    },
}

impl<'a> ElementStream<'a> {
    /// The dense bytes of `elements`.
    pub(crate) fn new(model: &'a Model, elements: &Elements) -> ElementStream<'a> {
        let source = match *elements {
            Elements::Dense(file, span) => Source::Dense { file, span },
            Elements::Decoded(body, field, length) => Source::Decoded {
                reader: Box::new(model.reader()),
                body: Position::at_start_of(body),
                run: None,
                field,
                left: length,
            },
        };
        ElementStream { model, source }
    }

    /// Fills as much of the buffer as there are bytes left, and says how many; whole elements if the buffer holds such.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.read_after(buffer, 0)
    }

    /// The same from `prefix` on; the bytes before that, at most as many as were read last, are undefined afterwards.
    pub(crate) fn read_after(
        &mut self,
        buffer: &mut [u8],
        prefix: usize,
    ) -> Result<usize, ReadError> {
        let room = buffer.len() - prefix;
        match &mut self.source {
            Source::Dense { file, span } => {
                let count = usize::try_from(span.len()).map_or(room, |left| left.min(room));
                let bytes = buffer.get_mut(..prefix + count).unwrap_or_default();
                self.model
                    .files
                    .read(*file, span.start - prefix as u64, bytes)?;
                span.start += count as u64;
                Ok(count)
            }
            Source::Decoded {
                reader,
                body,
                run,
                field,
                left,
            } => {
                let mut count = 0;
                let entries = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .div_ceil(field.width);
                let slots = buffer
                    .get_mut(prefix..)
                    .unwrap_or_default()
                    .chunks_exact_mut(field.width);
                for slot in slots.take(entries) {
                    let entry = next_entry(reader, body, run, *field);
                    let Some(bits) = entry.map_err(|error| self.model.wire_error(error))? else {
                        break;
                    };
                    slot.copy_from_slice(bits.to_le_bytes().get(..field.width).unwrap_or_default());
                    count += field.width;
                }
                *left -= count as u64;
                Ok(count)
            }
        }
    }
}

/// The next entry of a typed field, packed or not, as the low bits of a u64.
fn next_entry(
    reader: &mut Reader<'_>,
    body: &mut Position,
    run: &mut Option<Position>,
    field: TypedField,
) -> Result<Option<u64>, WireError> {
    loop {
        if let Some(inside) = run {
            let entry = match (field.fixed, field.width) {
                (false, _) => reader.next_varint(inside)?,
                (true, 4) => reader
                    .next_fixed(inside)?
                    .map(|bytes| u32::from_le_bytes(bytes).into()),
                (true, _) => reader.next_fixed(inside)?.map(u64::from_le_bytes),
            };
            if entry.is_some() {
                return Ok(entry);
            }
            *run = None;
        }
        match reader.next_field(body)? {
            None => return Ok(None),
            Some(found) if found.number != field.number => {}
            Some(found) => match found.value {
                Value::Bytes(packed) => *run = Some(Position::at_start_of(packed)),
                Value::Varint(bits) | Value::Fixed64(bits) => return Ok(Some(bits)),
                Value::Fixed32(bits) => return Ok(Some(bits.into())),
                Value::Group(_) => {}
            },
        }
    }
}
