//! The protobuf wire format: a cursor that yields fields with their spans, and the encoders of single fields.
//!
//! A field is a varint tag (number, wire type) and a value; a message is a run of fields and carries no length of its own.
//! The cursor reads through a small window and steps over payloads, so its cost follows the number of fields, not of bytes.
//! Every length is checked against the span of the message around it, in u64; varints may be padded, up to ten bytes.
//! It knows no schema: what a field means is `index`'s business.

mod reader;

use std::io;

pub use reader::{Position, Reader};

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
    use crate::onnx::source::ReadAt;

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
        assert!(
            source.1.load(std::sync::atomic::Ordering::Relaxed) <= 10 * reader::FIRST_WINDOW as u64
        );
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
