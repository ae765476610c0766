//! An output as a rope over the input: spans to copy, new bytes, and tensors to transform on the way.
//!
//! Its length is known before the first byte is read, and reading it takes memory for one buffer, whatever its length.
//! Short spans are read through a window; long ones straight into the buffer they leave by.
//! Buffers start on a page of memory and are filled to the end, so that each leaves for the start of a page of the file:
//! kernel copies to odd addresses take more than twice as long.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::error::{Flaw, ReadError, WriteError};
use super::files::FileId;
use super::index::wire_error;
use super::load::Model;
use super::tensor::{Elements, TransformedStream};
use super::transform::Transform;
use super::wire::{Reader, Span};

/// Copies shorter than this go through the window.
const SHORT_COPY: u64 = 4 << 10;
/// Bytes per buffer.
pub(crate) const BUFFER: usize = 256 << 10;
const PAGE: usize = 4096;

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

/// A buffer that starts on a page.
#[derive(Debug)]
pub(crate) struct PageBuffer {
    memory: Vec<u8>,
    start: usize,
}

impl PageBuffer {
    pub(crate) fn new() -> PageBuffer {
        let memory = vec![0; BUFFER + PAGE];
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
        PageBuffer { memory, start }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.memory
            .get_mut(self.start..self.start + BUFFER)
            .unwrap_or_default()
    }
}

/// Reads a rope from front to back.
#[derive(Debug)]
pub(crate) struct RopeReader<'a> {
    model: &'a Model,
    pieces: std::slice::Iter<'a, Piece>,
    window: Reader<'a>,
    current: Option<Current<'a>>,
    /// What the tensors read so far could not hold.
    pub(crate) flaws: Vec<Flaw>,
}

#[derive(Debug)]
enum Current<'a> {
    Copy(FileId, Span),
    Owned(&'a [u8]),
    Zeros(u64),
    Tensor {
        name: &'a str,
        left: u64,
        stream: Box<TransformedStream<'a>>,
    },
}

impl Current<'_> {
    fn left(&self) -> u64 {
        match self {
            Current::Copy(_, span) => span.len(),
            Current::Owned(bytes) => bytes.len() as u64,
            Current::Zeros(left) | Current::Tensor { left, .. } => *left,
        }
    }
}

impl<'a> RopeReader<'a> {
    pub(crate) fn new(model: &'a Model, rope: &'a Rope) -> RopeReader<'a> {
        RopeReader {
            model,
            pieces: rope.pieces.iter(),
            window: model.reader(),
            current: None,
            flaws: Vec::new(),
        }
    }

    /// Puts the next bytes into the buffer and says how many; 0 at the end.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let Some(mut current) = self
                .current
                .take()
                .or_else(|| self.pieces.next().map(|piece| self.enter(piece)))
            else {
                break;
            };
            filled += self.read(&mut current, buffer.get_mut(filled..).unwrap_or_default())?;
            match &current {
                current_piece if current_piece.left() > 0 => self.current = Some(current),
                Current::Tensor { name, stream, .. } => self.flaws.extend(stream.flaws(name)),
                _ => {}
            }
        }
        Ok(filled)
    }

    fn enter(&self, piece: &'a Piece) -> Current<'a> {
        match piece {
            Piece::Copy(file, span) => Current::Copy(*file, *span),
            Piece::Owned(bytes) => Current::Owned(bytes),
            Piece::Zeros(count) => Current::Zeros(*count),
            Piece::Tensor(tensor) => Current::Tensor {
                name: &tensor.name,
                left: tensor.elements.len(),
                stream: Box::new(TransformedStream::new(
                    self.model,
                    &tensor.elements,
                    tensor.data_type,
                    tensor.transform.as_deref(),
                )),
            },
        }
    }

    fn read(&mut self, current: &mut Current<'a>, room: &mut [u8]) -> Result<usize, ReadError> {
        let count = usize::try_from(current.left()).map_or(room.len(), |left| left.min(room.len()));
        let room = room.get_mut(..count).unwrap_or_default();
        match current {
            Current::Copy(FileId::MODEL, span) if span.len() < SHORT_COPY => {
                let part = Span::new(span.start, span.start + count as u64);
                let bytes = self
                    .window
                    .bytes(part)
                    .map_err(|error| wire_error(self.model.files.name(), error))?;
                room.copy_from_slice(bytes);
                span.start = part.end;
            }
            Current::Copy(file, span) => {
                self.model.files.read(*file, span.start, room)?;
                span.start += count as u64;
            }
            Current::Owned(bytes) => {
                let (now, later) = bytes.split_at(count);
                room.copy_from_slice(now);
                *bytes = later;
            }
            Current::Zeros(left) => {
                room.fill(0);
                *left -= count as u64;
            }
            Current::Tensor { name, left, stream } => {
                let read = stream.read(room)?;
                if read < count {
                    return Err(ReadError::Tensor {
                        file: self.model.files.name().to_owned(),
                        tensor: (*name).to_owned(),
                        problem: "its data ends early; export the model again".to_owned(),
                    });
                }
                *left -= read as u64;
            }
        }
        Ok(count)
    }
}
