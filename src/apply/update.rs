//! New constants for a node, as what they are or as a change of what stands there.

use std::hash::Hasher as _;

use ndarray::ArrayD;

use crate::graph::NodeId;

/// New elements for an input slot of a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Update {
    pub(super) node: NodeId,
    pub(super) slot: usize,
    pub(super) elements: Elements,
}

/// Elements of a new constant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Elements {
    /// In full.
    Full(ArrayD<f64>),
    /// As a change of what stands in the slot.
    Scaled {
        dims: Vec<usize>,
        scale: ArrayD<f64>,
        add: Vec<(usize, f64)>,
    },
}

impl Elements {
    /// Equal elements have equal digests.
    pub(super) fn digest(&self) -> u64 {
        let (array, add) = match self {
            Elements::Full(array) => (array, &[][..]),
            Elements::Scaled { scale, add, .. } => (scale, &add[..]),
        };
        let mut hasher = std::hash::DefaultHasher::new();
        // Zeros of both signs are equal, so they must be one here.
        let elements = array.iter().chain(add.iter().map(|(_, x)| x));
        elements.for_each(|x| hasher.write_u64((x + 0.0).to_bits()));
        hasher.finish()
    }
}
