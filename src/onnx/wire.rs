//! The protobuf wire format: a cursor that yields fields with their spans, and the encoders of single fields.
//!
//! A field is a varint tag (number, wire type) and a value; a message is a run of fields and carries no length of its own.
//! The cursor reads through a small window and steps over payloads, so its cost follows the number of fields, not of bytes.
//! Every length is checked against the span of the message around it, in u64; varints may be padded, up to ten bytes.
//! It knows no schema: what a field means is `index`'s business.

use std::io;

use super::source::ReadAt;

/// Messages may nest as deep as protobuf's own readers allow.
pub const MAX_DEPTH: usize = 100;

/// Wire type 0.
pub const VARINT: u32 = 0;
/// Wire type 1.
pub const FIXED64: u32 = 1;
/// Wire type 2.
pub const LENGTH_DELIMITED: u32 = 2;
/// Wire type 3.
pub const START_GROUP: u32 = 3;
/// Wire type 4.
pub const END_GROUP: u32 = 4;
/// Wire type 5.
pub const FIXED32: u32 = 5;

const MAX_VARINT: usize = 10;
const FIRST_WINDOW: usize = 4 << 10;
const LARGEST_WINDOW: usize = 64 << 10;

/// A range of bytes of a file, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Span {
    /// The span from `start` to `end`, which must not lie before it.
    pub fn new(start: u64, end: u64) -> Span {
        debug_assert!(start <= end, "a span ends where it starts or later");
        Span { start, end }
    }

    /// How many bytes the span has.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the span has no bytes.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether `inner` lies within this span.
    pub fn contains(&self, inner: Span) -> bool {
        self.start <= inner.start && inner.end <= self.end
    }
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// The field's number in the schema.
    pub number: u32,
    /// From the first byte of the tag to the last of the value.
    pub at: Span,
    /// The value, or where it stands.
    pub value: Value,
}

/// The value of a field as far as the wire format knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: the payload without its length.
    Bytes(Span),
    /// Wire types 3 and 4: what stands between the two tags.
    Group(Span),
    /// Wire type 5.
    Fixed32(u32),
}

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

/// Why bytes could not be read as fields.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not protobuf.
    #[error("at byte {offset} {problem}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
    },
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

/// Appends a varint in its shortest form.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag.
pub fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

/// Appends a whole varint field.
pub fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, VARINT);
    put_varint(out, value);
}

/// Appends tag and length of a length-delimited field whose payload of `length` bytes follows.
pub fn put_length(out: &mut Vec<u8>, number: u32, length: u64) {
    put_tag(out, number, LENGTH_DELIMITED);
    put_varint(out, length);
}

/// Appends a whole length-delimited field.
pub fn put_bytes_field(out: &mut Vec<u8>, number: u32, payload: &[u8]) {
    put_length(out, number, payload.len() as u64);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<Field>, WireError> {
        let mut reader = Reader::new(&bytes, bytes.len() as u64);
        let mut position = Position::at_start_of(Span::new(0, bytes.len() as u64));
        let mut fields = Vec::new();
        while let Some(field) = reader.next_field(&mut position)? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn every_wire_type_yields_its_value_and_span() {
        let bytes =
            b"\x08\x96\x01\x11\x01\0\0\0\0\0\0\0\x1a\x02hi\x25\x07\0\0\0\x2b\x08\x01\x33\x34\x2c";
        let found = fields(bytes).unwrap();
        let values: Vec<_> = found
            .iter()
            .map(|field| (field.number, field.at.start, field.at.end, field.value))
            .collect();
        assert_eq!(
            values,
            [
                (1, 0, 3, Value::Varint(150)),
                (2, 3, 12, Value::Fixed64(1)),
                (3, 12, 16, Value::Bytes(Span::new(14, 16))),
                (4, 16, 21, Value::Fixed32(7)),
                (5, 21, 27, Value::Group(Span::new(22, 26))),
            ]
        );
    }

    #[test]
    fn padded_varints_are_read() {
        let found = fields(b"\x88\x80\x00\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00").unwrap();
        assert_eq!((found[0].number, found[0].value), (1, Value::Varint(1)));
    }

    #[test]
    fn malformed_bytes_are_refused_with_their_offset() {
        for (bytes, offset) in [
            (&b"\x08"[..], 1),
            (b"\x08\x80", 1),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 1),
            (b"\x00\x01", 0),
            (b"\x0e", 0),
            (b"\x0a\x05abc", 1),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1),
            (b"\x09\x00\x00", 1),
            (b"\x0b\x08\x01", 3),
            (b"\x0b\x14", 1),
            (b"\x0c", 0),
        ] {
            match fields(bytes) {
                Err(WireError::Malformed { offset: found, .. }) => {
                    assert_eq!(found, offset, "{bytes:x?}")
                }
                other => panic!("{bytes:x?} gives {other:?}"),
            }
        }
    }

    #[test]
    fn groups_nest_only_so_deep() {
        let deep = |depth: usize| [vec![0x0b; depth], vec![0x0c; depth]].concat();
        assert_eq!(fields(&deep(MAX_DEPTH)).unwrap().len(), 1);
        assert!(fields(&deep(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn payloads_are_stepped_over_without_being_read() {
        #[derive(Debug)]
        struct Counting(Vec<u8>, std::sync::atomic::AtomicU64);
        impl ReadAt for Counting {
            fn read_exact_from(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
                self.1
                    .fetch_add(buffer.len() as u64, std::sync::atomic::Ordering::Relaxed);
                self.0.as_slice().read_exact_from(offset, buffer)
            }
        }
        let mut bytes = Vec::new();
        for _ in 0..10 {
            put_bytes_field(&mut bytes, 3, &vec![7; 1 << 20]);
        }
        let source = Counting(bytes, 0.into());
        let length = source.0.len() as u64;
        let mut reader = Reader::new(&source, length);
        let mut position = Position::at_start_of(Span::new(0, length));
        while reader.next_field(&mut position).unwrap().is_some() {}
        assert!(source.1.load(std::sync::atomic::Ordering::Relaxed) <= 10 * FIRST_WINDOW as u64);
    }

    #[test]
    fn encoders_are_read_back() {
        let mut bytes = Vec::new();
        put_varint_field(&mut bytes, 536_870_911, u64::MAX);
        put_bytes_field(&mut bytes, 2, b"abc");
        let found = fields(&bytes).unwrap();
        assert_eq!(
            (found[0].number, found[0].value),
            (536_870_911, Value::Varint(u64::MAX))
        );
        assert_eq!(
            found[1].value,
            Value::Bytes(Span::new(bytes.len() as u64 - 3, bytes.len() as u64))
        );
    }
}
