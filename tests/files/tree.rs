//! A protobuf message as a tree that knows how each field is written, so that bytes can be planted and predicted.

use rand::Rng;
use rand::seq::SliceRandom;

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) tag_padding: usize,
    /// Whether the schema says that the last occurrence wins.
    pub(crate) singular: bool,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Varint(u64, usize),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    /// Payload and padding of the length.
    Bytes(Vec<u8>, usize),
    /// A packed run of varints.
    Packed(Vec<(u64, usize)>, usize),
    Message(Vec<Field>, usize),
    Group(Vec<Field>),
}

fn field(number: u32, value: Value) -> Field {
    Field {
        number,
        tag_padding: 0,
        singular: false,
        value,
    }
}

pub(crate) fn int(number: u32, value: i64) -> Field {
    field(number, Value::Varint(value as u64, 0))
}

pub(crate) fn float(number: u32, value: f32) -> Field {
    field(number, Value::Fixed32(value.to_le_bytes()))
}

pub(crate) fn double(number: u32, value: f64) -> Field {
    field(number, Value::Fixed64(value.to_le_bytes()))
}

pub(crate) fn bytes(number: u32, value: &[u8]) -> Field {
    field(number, Value::Bytes(value.to_vec(), 0))
}

pub(crate) fn text(number: u32, value: &str) -> Field {
    bytes(number, value.as_bytes())
}

pub(crate) fn message(number: u32, fields: Vec<Field>) -> Field {
    field(number, Value::Message(fields, 0))
}

pub(crate) fn packed(number: u32, values: &[u64]) -> Field {
    field(
        number,
        Value::Packed(values.iter().map(|&value| (value, 0)).collect(), 0),
    )
}

impl Field {
    pub(crate) fn singular(mut self) -> Field {
        self.singular = true;
        self
    }
}

/// A varint that is `padding` bytes longer than it need be, but no longer than ten.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64, padding: usize) {
    let start = out.len();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    for _ in 0..padding.min(10 - (out.len() - start)) {
        if let Some(last) = out.last_mut() {
            *last |= 0x80;
        }
        out.push(0);
    }
}

pub(crate) fn encode(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        let tag = |out: &mut Vec<u8>, wire_type: u64| {
            varint(
                out,
                u64::from(field.number) << 3 | wire_type,
                field.tag_padding,
            )
        };
        let payload = |out: &mut Vec<u8>, bytes: &[u8], padding: usize| {
            tag(out, 2);
            varint(out, bytes.len() as u64, padding);
            out.extend_from_slice(bytes);
        };
        match &field.value {
            Value::Varint(value, padding) => {
                tag(&mut out, 0);
                varint(&mut out, *value, *padding);
            }
            Value::Fixed64(bytes) => {
                tag(&mut out, 1);
                out.extend_from_slice(bytes);
            }
            Value::Fixed32(bytes) => {
                tag(&mut out, 5);
                out.extend_from_slice(bytes);
            }
            Value::Bytes(bytes, padding) => payload(&mut out, bytes, *padding),
            Value::Packed(values, padding) => {
                let mut run = Vec::new();
                values
                    .iter()
                    .for_each(|&(value, padding)| varint(&mut run, value, padding));
                payload(&mut out, &run, *padding);
            }
            Value::Message(fields, padding) => payload(&mut out, &encode(fields), *padding),
            Value::Group(fields) => {
                tag(&mut out, 3);
                out.extend(encode(fields));
                tag(&mut out, 4);
            }
        }
    }
    out
}

/// How wild the noise may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Noise {
    /// What prost reads as well.
    Legal,
    /// Also strings that are not UTF-8 and fields of a wire type that the schema does not give them.
    Foreign,
}

/// Unknown fields, another order, padded varints and earlier values of singular fields, at every level.
pub(crate) fn disturb(fields: &mut Vec<Field>, noise: Noise, rng: &mut impl Rng) {
    for index in (0..fields.len()).rev() {
        if fields[index].singular && rng.random_bool(0.2) {
            let mut earlier = fields[index].clone();
            match &mut earlier.value {
                Value::Varint(value, _) => *value = rng.random_range(0..9),
                Value::Bytes(bytes, _) => *bytes = b"earlier".to_vec(),
                _ => continue,
            }
            fields.insert(index, earlier);
        }
    }
    shuffle(fields, rng);
    for _ in 0..rng.random_range(0..3) {
        let at = rng.random_range(0..=fields.len());
        fields.insert(at, unknown(noise, rng, 2));
    }
    for field in fields.iter_mut() {
        let mut padding = || {
            if rng.random_bool(0.15) {
                rng.random_range(1..8)
            } else {
                0
            }
        };
        field.tag_padding = padding().min(3);
        match &mut field.value {
            Value::Varint(_, pad) | Value::Bytes(_, pad) => *pad = padding(),
            Value::Packed(values, pad) => {
                *pad = padding();
                values.iter_mut().for_each(|(_, pad)| *pad = padding());
            }
            Value::Message(children, pad) => {
                *pad = padding();
                disturb(children, noise, rng);
            }
            Value::Fixed32(_) | Value::Fixed64(_) | Value::Group(_) => {}
        }
    }
}

/// Another order, in which fields of one number keep theirs.
fn shuffle(fields: &mut Vec<Field>, rng: &mut impl Rng) {
    let mut order: Vec<u32> = fields.iter().map(|field| field.number).collect();
    if rng.random_bool(0.7) {
        order.shuffle(rng);
    }
    let mut rest = std::mem::take(fields);
    for number in order {
        let next = rest
            .iter()
            .position(|field| field.number == number)
            .unwrap();
        fields.push(rest.remove(next));
    }
}

fn unknown(noise: Noise, rng: &mut impl Rng, depth: usize) -> Field {
    let number = [60, 999, 536_870_911][rng.random_range(0..3)];
    let kinds = if depth == 0 { 4 } else { 6 };
    match rng.random_range(0..kinds) {
        0 => int(number, rng.random()),
        1 => float(number, rng.random()),
        2 => double(number, rng.random()),
        3 => bytes(
            number,
            &(0..rng.random_range(0..40))
                .map(|_| rng.random())
                .collect::<Vec<u8>>(),
        ),
        4 => field(
            number,
            Value::Group(
                (0..rng.random_range(0..3))
                    .map(|_| unknown(noise, rng, depth - 1))
                    .collect(),
            ),
        ),
        // No message of the schema has a varint or group of these numbers that would mean something else.
        _ if noise == Noise::Foreign => field(1, Value::Group(vec![int(1, 5)])),
        _ => message(number, Vec::new()),
    }
}
