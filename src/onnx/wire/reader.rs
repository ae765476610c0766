//! The cursor: fields of a source, read through a window.

use super::{
    END_GROUP, FIXED32, FIXED64, Field, LENGTH_DELIMITED, MAX_DEPTH, START_GROUP, Span, VARINT,
    Value, WireError,
};
use crate::onnx::source::ReadAt;

const MAX_VARINT: usize = 10;
pub(super) const FIRST_WINDOW: usize = 4 << 10;
const LARGEST_WINDOW: usize = 64 << 10;

/// Where in a message the cursor stands.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    next: u64,
    end: u64,
}

impl Position {
    /// Where the next read starts.
    pub fn offset(&self) -> u64 {
        self.next
    }

    /// The first field of the message whose body is `body`.
    pub fn at_start_of(body: Span) -> Position {
        Position {
            next: body.start,
            end: body.end,
        }
    }
}

/// Reads fields of a source through a window that grows while reading stays sequential.
#[derive(Debug)]
pub struct Reader<'a> {
    source: &'a dyn ReadAt,
    length: u64,
    window: Vec<u8>,
    start: u64,
    next_size: usize,
}

impl<'a> Reader<'a> {
    /// A reader of a source of `length` bytes.
    pub fn new(source: &'a dyn ReadAt, length: u64) -> Reader<'a> {
        Reader {
            source,
            length,
            window: Vec::new(),
            start: 0,
            next_size: FIRST_WINDOW,
        }
    }

    /// The next field, or `None` at the end of the message.
    pub fn next_field(&mut self, position: &mut Position) -> Result<Option<Field>, WireError> {
        if position.next >= position.end {
            return Ok(None);
        }
        let start = position.next;
        let (number, wire_type) = self.tag(position)?;
        let value = match wire_type {
            VARINT => Value::Varint(self.varint(position)?),
            FIXED64 => Value::Fixed64(u64::from_le_bytes(self.fixed(position)?)),
            FIXED32 => Value::Fixed32(u32::from_le_bytes(self.fixed(position)?)),
            LENGTH_DELIMITED => Value::Bytes(self.payload(position)?),
            START_GROUP => Value::Group(self.group(number, position)?),
            END_GROUP => return Err(malformed(start, "a group ends that never started")),
            _ => return Err(malformed(start, "stands a wire type that does not exist")),
        };
        Ok(Some(Field {
            number,
            at: Span::new(start, position.next),
            value,
        }))
    }

    /// The next element of a packed run of varints.
    pub fn next_varint(&mut self, position: &mut Position) -> Result<Option<u64>, WireError> {
        if position.next >= position.end {
            return Ok(None);
        }
        self.varint(position).map(Some)
    }

    /// The next element of a packed run of fixed-size values.
    pub fn next_fixed<const N: usize>(
        &mut self,
        position: &mut Position,
    ) -> Result<Option<[u8; N]>, WireError> {
        if position.next >= position.end {
            return Ok(None);
        }
        self.fixed(position).map(Some)
    }

    /// The bytes of a span, borrowed from the window where they fit it.
    pub fn bytes(&mut self, span: Span) -> Result<&[u8], WireError> {
        let size = usize::try_from(span.len())
            .map_err(|_| malformed(span.start, "stands more than memory can hold"))?;
        if span.end > self.length {
            return Err(malformed(
                span.start,
                "stands a length that reaches past the end of the file",
            ));
        }
        let Some(offset) = self.offset_in_window(span.start, size) else {
            self.refill(span.start, size)?;
            return Ok(self.window.get(..size).unwrap_or_default());
        };
        Ok(self.window.get(offset..offset + size).unwrap_or_default())
    }

    fn tag(&mut self, position: &mut Position) -> Result<(u32, u32), WireError> {
        let start = position.next;
        let tag = u32::try_from(self.varint(position)?)
            .map_err(|_| malformed(start, "stands a field number that is too large"))?;
        match tag >> 3 {
            0 => Err(malformed(
                start,
                "stands field number 0, which does not exist",
            )),
            number => Ok((number, tag & 7)),
        }
    }

    fn varint(&mut self, position: &mut Position) -> Result<u64, WireError> {
        let start = position.next;
        let available = (position.end - start).min(MAX_VARINT as u64) as usize;
        let bytes = self.bytes(Span::new(start, start + available as u64))?;
        let mut value = 0u64;
        for (index, &byte) in bytes.iter().enumerate() {
            if index == MAX_VARINT - 1 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                position.next = start + index as u64 + 1;
                return Ok(value);
            }
        }
        Err(malformed(
            start,
            if available < MAX_VARINT {
                "a number is cut off"
            } else {
                "stands a number of more than 64 bits"
            },
        ))
    }

    fn fixed<const N: usize>(&mut self, position: &mut Position) -> Result<[u8; N], WireError> {
        let span = Span::new(position.next, position.next + N as u64);
        if span.end > position.end {
            return Err(malformed(span.start, "a number is cut off"));
        }
        position.next = span.end;
        let mut value = [0; N];
        value.copy_from_slice(self.bytes(span)?);
        Ok(value)
    }

    fn payload(&mut self, position: &mut Position) -> Result<Span, WireError> {
        let at = position.next;
        let length = self.varint(position)?;
        if length > position.end - position.next {
            return Err(malformed(
                at,
                "stands a length that reaches past the end of what holds it",
            ));
        }
        let span = Span::new(position.next, position.next + length);
        position.next = span.end;
        Ok(span)
    }

    fn group(&mut self, number: u32, position: &mut Position) -> Result<Span, WireError> {
        let start = position.next;
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let at = position.next;
            if at >= position.end {
                return Err(malformed(at, "a group never ends"));
            }
            let (number, wire_type) = self.tag(position)?;
            match wire_type {
                VARINT => drop(self.varint(position)?),
                FIXED64 => drop(self.fixed::<8>(position)?),
                FIXED32 => drop(self.fixed::<4>(position)?),
                LENGTH_DELIMITED => drop(self.payload(position)?),
                START_GROUP if open.len() < MAX_DEPTH => open.push(number),
                START_GROUP => return Err(malformed(at, "groups nest too deep")),
                END_GROUP if number == innermost => drop(open.pop()),
                END_GROUP => return Err(malformed(at, "a group ends that never started")),
                _ => return Err(malformed(at, "stands a wire type that does not exist")),
            }
            if open.is_empty() {
                return Ok(Span::new(start, at));
            }
        }
        Err(malformed(start, "a group never ends"))
    }

    fn offset_in_window(&self, start: u64, size: usize) -> Option<usize> {
        let offset = usize::try_from(start.checked_sub(self.start)?).ok()?;
        (offset.checked_add(size)? <= self.window.len()).then_some(offset)
    }

    fn refill(&mut self, start: u64, size: usize) -> Result<(), WireError> {
        let window_end = self.start + self.window.len() as u64;
        let sequential = start <= window_end && start >= self.start && !self.window.is_empty();
        self.next_size = if sequential {
            (self.next_size * 2).min(LARGEST_WINDOW)
        } else {
            FIRST_WINDOW
        };
        let available = usize::try_from(self.length - start).unwrap_or(usize::MAX);
        let wanted = self.next_size.max(size).min(available);
        self.window.resize(wanted, 0);
        self.start = start;
        if let Err(error) = self.source.read_exact_from(start, &mut self.window) {
            self.window.clear();
            return Err(error.into());
        }
        Ok(())
    }
}

fn malformed(offset: u64, problem: &'static str) -> WireError {
    WireError::Malformed { offset, problem }
}
