//! A protobuf message as its records, and marks of fields that no schema knows.

/// A record of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The field's number.
    pub(crate) number: u64,
    /// Tag, length and payload.
    pub(crate) whole: &'a [u8],
    /// The payload.
    pub(crate) payload: &'a [u8],
}

/// The records of a message as prost writes it.
pub(crate) fn records(mut message: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while !message.is_empty() {
        let mut rest = message;
        let tag = varint(&mut rest);
        let before = rest.len();
        let length = match tag & 7 {
            0 => {
                varint(&mut rest);
                let length = before - rest.len();
                rest = &message[message.len() - before..];
                length
            }
            1 => 8,
            5 => 4,
            2 => varint(&mut rest) as usize,
            other => panic!("no wire type {other} was written"),
        };
        let (payload, next) = rest.split_at(length);
        records.push(Record {
            number: tag >> 3,
            whole: &message[..message.len() - next.len()],
            payload,
        });
        message = next;
    }
    records
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return value;
        }
    }
    panic!("a varint ends")
}

/// The first string of a field.
pub(crate) fn text(message: &[u8], number: u64) -> String {
    let mut records = records(message).into_iter();
    let found = records.find(|record| record.number == number);
    found.map_or(String::new(), |record| {
        String::from_utf8_lossy(record.payload).into_owned()
    })
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Graph, nodes, initializers, value_info and function as ONNX numbers them.
const MODEL_GRAPH: u64 = 7;
const MODEL_FUNCTION: u64 = 25;
const GRAPH_CHILDREN: [u64; 5] = [1, 5, 11, 12, 13];
const FUNCTION_NODE: u64 = 7;
/// A number that the standard does not use.
const UNKNOWN: u64 = 999;

/// The model with a field that no schema knows in the model, its graph, its functions, and each node, tensor and type.
pub(crate) fn marked(model: &[u8]) -> Vec<u8> {
    mark(model, &mut 0, &|number| match number {
        MODEL_GRAPH => Some(&GRAPH_CHILDREN),
        MODEL_FUNCTION => Some(&[FUNCTION_NODE]),
        _ => None,
    })
}

type Children = dyn Fn(u64) -> Option<&'static [u64]>;

fn mark(message: &[u8], count: &mut u64, children: &Children) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records(message) {
        let Some(inner) = children(record.number) else {
            out.extend(record.whole);
            continue;
        };
        let payload = mark(record.payload, count, &|number| {
            inner.contains(&number).then_some(&[])
        });
        push_varint(&mut out, record.number << 3 | 2);
        push_varint(&mut out, payload.len() as u64);
        out.extend(payload);
    }
    *count += 1;
    push_varint(&mut out, UNKNOWN << 3);
    push_varint(&mut out, *count);
    out
}
