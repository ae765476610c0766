//! What the nodes drawn so far give.

use crate::testing::{Tensor, Value};

/// A value that nodes may read, with what it is on the sample.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) value: Value,
    pub(super) sample: Tensor,
    /// How many nodes read it.
    pub(super) uses: usize,
}

impl Live {
    pub(super) fn shape(&self) -> &[usize] {
        &self.sample.shape
    }

    pub(super) fn rank(&self) -> usize {
        self.sample.rank()
    }

    /// Extents after batch and channel.
    pub(super) fn spatial(&self) -> &[usize] {
        self.sample.shape.get(2..).unwrap_or_default()
    }

    /// Whether each of that many equal parts has elements far enough apart to divide by their
    /// deviation.
    pub(super) fn spreads_over(&self, parts: usize) -> bool {
        let length = (self.sample.data.len() / parts.max(1)).max(1);
        self.sample.data.chunks(length).all(spreads)
    }

    /// Whether the elements of each channel are far enough apart.
    pub(super) fn channels_spread(&self) -> bool {
        let inner: usize = self.spatial().iter().product::<usize>().max(1);
        let channels = self.channels();
        let of = |channel: usize| -> Vec<f64> {
            let elements = self.sample.data.iter().enumerate();
            let own = elements.filter(|(at, _)| at / inner % channels == channel);
            own.map(|(_, &element)| element).collect()
        };
        (0..channels).all(|channel| spreads(&of(channel)))
    }

    pub(super) fn channels(&self) -> usize {
        self.sample.shape.get(1).copied().unwrap_or(1)
    }
}

fn spreads(part: &[f64]) -> bool {
    let length = part.len() as f64;
    let mean = part.iter().sum::<f64>() / length;
    part.len() >= 5 && part.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / length > 0.01
}
