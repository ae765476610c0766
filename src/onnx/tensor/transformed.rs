//! A tensor's new bytes, front to back, into buffers that may end within an element.
//!
//! A long read must start at the start of its buffer: kernel copies to odd addresses take four times as long.
//! So where the last buffer ended within an element, the next read starts that much earlier in the file,
//! and what was left over of the element overwrites the bytes read too early.

use super::{ElementStream, Elements};
use crate::onnx::error::{Flaw, ReadError};
use crate::onnx::load::Model;
use crate::onnx::transform::{Scaler, Transform};

/// No element is wider.
const WIDEST: usize = 16;

/// Reads a tensor's bytes, transformed.
#[derive(Debug)]
pub(crate) struct TransformedStream<'a> {
    stream: ElementStream<'a>,
    scaler: Option<Scaler<'a>>,
    width: usize,
    /// The rest of an element whose first bytes are out already: the last `carried` bytes of these.
    carry: [u8; WIDEST],
    carried: usize,
}

impl<'a> TransformedStream<'a> {
    /// The bytes of `elements`, of a type that the transform serves.
    pub(crate) fn new(
        model: &'a Model,
        elements: &Elements,
        data_type: i32,
        transform: Option<&'a Transform>,
    ) -> TransformedStream<'a> {
        TransformedStream {
            stream: ElementStream::new(model, elements),
            scaler: transform.and_then(|transform| Scaler::new(transform, data_type)),
            width: elements.width(data_type),
            carry: [0; WIDEST],
            carried: 0,
        }
    }

    /// What the type could not hold of what has been read.
    pub(crate) fn flaws(&self, tensor: &str) -> Vec<Flaw> {
        self.scaler
            .as_ref()
            .map_or_else(Vec::new, |scaler| scaler.flaws(tensor))
    }

    /// Fills the room as far as there are bytes, and says how many.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> Result<usize, ReadError> {
        let prefix = self.carried.min(room.len());
        let whole = prefix + (room.len() - prefix) / self.width * self.width;
        let (elements, tail) = room.split_at_mut(whole);
        let mut filled = prefix + self.stream.read_after(elements, prefix)?;
        let (carried, elements) = elements.split_at_mut(prefix);
        carried.copy_from_slice(
            self.carry
                .get(WIDEST - self.carried..)
                .and_then(|carry| carry.get(..prefix))
                .unwrap_or_default(),
        );
        self.carried -= prefix;
        if let Some(scaler) = &mut self.scaler {
            scaler.apply(elements.get_mut(..filled - prefix).unwrap_or_default());
        }
        if !tail.is_empty() && filled == whole && self.carried == 0 {
            filled += self.begin_element(tail)?;
        }
        Ok(filled)
    }

    /// Puts the first bytes of the next element into the little room that is left, and keeps the rest.
    fn begin_element(&mut self, tail: &mut [u8]) -> Result<usize, ReadError> {
        let element = self
            .carry
            .get_mut(WIDEST - self.width..)
            .unwrap_or_default();
        if self.stream.read_after(element, 0)? < self.width {
            return Ok(0);
        }
        if let Some(scaler) = &mut self.scaler {
            scaler.apply(element);
        }
        tail.copy_from_slice(element.get(..tail.len()).unwrap_or_default());
        self.carried = self.width - tail.len();
        Ok(tail.len())
    }
}
