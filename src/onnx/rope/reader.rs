//! A rope's bytes, front to back.

use super::{Piece, Rope};
use crate::onnx::error::{Flaw, ReadError};
use crate::onnx::files::FileId;
use crate::onnx::load::Model;
use crate::onnx::tensor::TransformedStream;
use crate::onnx::wire::{Reader, Span};

/// Copies shorter than this go through the window.
const SHORT_COPY: u64 = 4 << 10;
/// Bytes per buffer.
pub(super) const BUFFER: usize = 256 << 10;
pub(super) const PAGE: usize = 4096;

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
                    .map_err(|error| self.model.wire_error(error))?;
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
