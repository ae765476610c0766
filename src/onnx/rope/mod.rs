//! An output as a rope over the input: spans to copy, new bytes, and tensors to transform on the way.
//!
//! Its length is known before the first byte is read, and reading it takes memory for one buffer, whatever its length.
//! Short spans are read through a window; long ones straight into the buffer they leave by.
//! Buffers start on a page of memory and are filled to the end, so that each leaves for the start of a page of the file:
//! kernel copies to odd addresses take more than twice as long.

mod reader;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::error::{Flaw, ReadError, WriteError};
use super::files::FileId;
use super::load::Model;
use super::tensor::Elements;
use super::transform::Transform;
use super::wire::Span;
pub(crate) use reader::{PageBuffer, RopeReader};

/// Bytes to be: pieces of a model's files and new ones, in order.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    pieces: Vec<Piece>,
    length: u64,
}

#[derive(Clone, Debug)]
enum Piece {
    Copy(FileId, Span),
    Owned(Vec<u8>),
    Zeros(u64),
    Tensor(Box<TensorPiece>),
}

#[derive(Clone, Debug)]
struct TensorPiece {
    /// What to call it in a message.
    name: String,
    data_type: i32,
    elements: Elements,
    transform: Option<Arc<Transform>>,
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Copy(_, span) => span.len(),
            Piece::Owned(bytes) => bytes.len() as u64,
            Piece::Zeros(count) => *count,
            Piece::Tensor(tensor) => tensor.elements.len(),
        }
    }
}

impl From<Vec<u8>> for Rope {
    fn from(bytes: Vec<u8>) -> Rope {
        let mut rope = Rope::default();
        rope.push_owned(bytes);
        rope
    }
}

impl Rope {
    /// A span of one of the model's files.
    pub fn copy(file: FileId, span: Span) -> Rope {
        let mut rope = Rope::default();
        rope.push_copy(file, span);
        rope
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The span of the model's own file that this is, if it is one.
    pub fn as_copy(&self) -> Option<Span> {
        match self.pieces.as_slice() {
            [Piece::Copy(FileId::MODEL, span)] => Some(*span),
            _ => None,
        }
    }

    /// Appends a span of one of the model's files.
    pub fn push_copy(&mut self, file: FileId, span: Span) {
        if let Some(Piece::Copy(last_file, last)) = self.pieces.last_mut()
            && *last_file == file
            && last.end == span.start
        {
            last.end = span.end;
            self.length += span.len();
        } else if !span.is_empty() {
            self.push(Piece::Copy(file, span));
        }
    }

    /// Appends new bytes.
    pub fn push_owned(&mut self, bytes: Vec<u8>) {
        if let Some(Piece::Owned(last)) = self.pieces.last_mut() {
            self.length += bytes.len() as u64;
            last.extend_from_slice(&bytes);
        } else if !bytes.is_empty() {
            self.push(Piece::Owned(bytes));
        }
    }

    /// Appends zeros.
    pub(crate) fn push_zeros(&mut self, count: u64) {
        if count > 0 {
            self.push(Piece::Zeros(count));
        }
    }

    /// Appends a tensor's dense bytes, transformed on the way if there is a transform.
    pub(crate) fn push_tensor(
        &mut self,
        name: String,
        data_type: i32,
        elements: Elements,
        transform: Option<Arc<Transform>>,
    ) {
        match (elements, transform) {
            (Elements::Dense(file, span), None) => self.push_copy(file, span),
            (elements, transform) if elements.len() > 0 => {
                self.push(Piece::Tensor(Box::new(TensorPiece {
                    name,
                    data_type,
                    elements,
                    transform,
                })));
            }
            _ => {}
        }
    }

    /// Appends another rope.
    pub fn append(&mut self, other: Rope) {
        for piece in other.pieces {
            match piece {
                Piece::Copy(file, span) => self.push_copy(file, span),
                Piece::Owned(bytes) => self.push_owned(bytes),
                other => self.push(other),
            }
        }
    }

    fn push(&mut self, piece: Piece) {
        self.length += piece.len();
        if self.pieces.is_empty() {
            // Most ropes are a single piece of a larger one.
            self.pieces.reserve_exact(1);
        }
        self.pieces.push(piece);
    }

    /// Writes everything, and says which tensors could not hold their new values.
    ///
    /// # Errors
    /// If the model's files cannot be read, or the target cannot be written.
    pub fn write_to(&self, model: &Model, target: &mut dyn Write) -> Result<Vec<Flaw>, WriteError> {
        let mut reader = RopeReader::new(model, self);
        let mut buffer = PageBuffer::new();
        loop {
            let filled = reader.fill(buffer.bytes())?;
            if filled == 0 {
                return Ok(reader.flaws);
            }
            target
                .write_all(buffer.bytes().get(..filled).unwrap_or_default())
                .map_err(target_error)?;
        }
    }

    /// Everything in memory, and which tensors could not hold their new values.
    ///
    /// # Errors
    /// If the model's files cannot be read, or memory does not suffice.
    pub fn to_vec(&self, model: &Model) -> Result<(Vec<u8>, Vec<Flaw>), WriteError> {
        let mut bytes = Vec::new();
        let room = usize::try_from(self.length).unwrap_or(usize::MAX);
        bytes
            .try_reserve_exact(room)
            .map_err(|_| target_error(io::ErrorKind::OutOfMemory.into()))?;
        let flaws = self.write_to(model, &mut bytes)?;
        Ok((bytes, flaws))
    }
}

impl Rope {
    /// What the transformed tensors could not hold, found without writing anything.
    pub(crate) fn flaws(&self, model: &Model) -> Result<Vec<Flaw>, ReadError> {
        let is_transformed =
            |piece: &&Piece| matches!(piece, Piece::Tensor(tensor) if tensor.transform.is_some());
        let mut rope = Rope::default();
        self.pieces
            .iter()
            .filter(is_transformed)
            .for_each(|piece| rope.push(piece.clone()));
        let mut reader = RopeReader::new(model, &rope);
        let mut buffer = PageBuffer::new();
        while reader.fill(buffer.bytes())? > 0 {}
        Ok(reader.flaws)
    }
}

fn target_error(source: io::Error) -> WriteError {
    super::save::io_error(Path::new("the output"), source)
}

#[cfg(test)]
mod tests {
    use super::reader::{BUFFER, PAGE};
    use super::*;
    use crate::onnx::{Edits, NewData, proto};
    use ndarray::ArrayD;
    use prost::Message;

    /// A model with a weight of each width, all scaled and with something added, and another that is copied.
    fn folded(model: &Model) -> Rope {
        let mut edits = Edits::new(model);
        for tensor in &model.graph.initializers[..4] {
            let scale = ArrayD::from_shape_fn(vec![1, 7], |index| index[1] as f64 - 2.5);
            let transform =
                Arc::new(Transform::new(vec![11, 7], scale, vec![(3, 0.5), (70, -4.0)]).unwrap());
            edits
                .replace_tensor(
                    tensor,
                    NewData::Transformed {
                        from: tensor.clone(),
                        transform,
                    },
                )
                .unwrap();
        }
        edits.to_rope().unwrap()
    }

    fn model() -> Model {
        let initializer = [(1, 4), (10, 2), (11, 8), (16, 2), (1, 4)].map(|(data_type, width)| {
            proto::TensorProto {
                data_type: Some(data_type),
                dims: vec![11, 7],
                name: Some(format!("type {data_type}")),
                raw_data: Some(
                    (0..77 * width)
                        .map(|index| {
                            if index % width + 1 == width {
                                0x3c
                            } else {
                                index as u8
                            }
                        })
                        .collect(),
                ),
                ..Default::default()
            }
        });
        let graph = Some(proto::GraphProto {
            initializer: initializer.to_vec(),
            ..Default::default()
        });
        let opset_import = vec![proto::OperatorSetIdProto {
            version: Some(17),
            ..Default::default()
        }];
        let message = proto::ModelProto {
            ir_version: Some(8),
            graph,
            opset_import,
            ..Default::default()
        };
        Model::from_bytes(message.encode_to_vec()).unwrap()
    }

    #[test]
    fn buffers_of_any_length_give_the_same_bytes() {
        let model = model();
        let rope = folded(&model);
        let (whole, _) = rope.to_vec(&model).unwrap();
        assert_eq!(whole.len() as u64, rope.len());
        for size in (1..40).chain([77, 300]) {
            let mut reader = RopeReader::new(&model, &rope);
            let (mut bytes, mut buffer) = (Vec::new(), vec![0; size]);
            loop {
                let count = reader.fill(&mut buffer).unwrap();
                bytes.extend_from_slice(&buffer[..count]);
                if count < size {
                    break;
                }
            }
            assert!(bytes == whole, "buffers of {size} bytes");
        }
    }

    #[test]
    fn adjacent_pieces_are_one() {
        let mut rope = Rope::copy(FileId::MODEL, Span::new(0, 4));
        rope.append(Rope::copy(FileId::MODEL, Span::new(4, 9)));
        rope.append(Rope::copy(FileId::MODEL, Span::new(9, 9)));
        assert_eq!((rope.as_copy(), rope.len()), (Some(Span::new(0, 9)), 9));
        rope.append(Rope::from(vec![1]));
        rope.append(Rope::from(vec![2]));
        assert_eq!(
            (rope.pieces.len(), rope.len(), rope.is_empty()),
            (2, 11, false)
        );
    }

    #[test]
    fn a_page_buffer_starts_on_a_page() {
        for _ in 0..8 {
            let mut buffer = PageBuffer::new();
            assert_eq!(
                (buffer.bytes().len(), buffer.bytes().as_ptr().addr() % PAGE),
                (BUFFER, 0)
            );
        }
    }
}
