//! Integer constants, as operators take axes, bounds and extents.

use super::{Computed, Constant, Elements, inline, is_integer};
use crate::graph::shape::Dim;
use crate::graph::{Graph, Origin, ValueId};

/// The number of the element type int64.
const INT64: i32 = 7;

impl Graph<'_> {
    /// An integer constant's elements: stored, computed from static shapes, or else evaluated by the engine.
    pub fn integers(&self, value: ValueId) -> Option<Vec<i64>> {
        if let Some(extents) = self.contents.get(&value) {
            return integers_of(extents).or_else(|| self.computed_integers(value));
        }
        let node = match self.value(value).origin {
            Origin::Initializer { .. } => None,
            Origin::Node(node, 0) if &*self.node(node).op == "Constant" => self.node(node).view,
            _ => return self.computed_integers(value),
        };
        match (self.constant(value).ok()?, inline(node)) {
            (Constant::Stored(tensor), _) if is_integer(tensor.data_type) => {
                self.model.read_i64(tensor).ok()
            }
            (
                _,
                Some(Computed {
                    elements: Elements::Integers(elements),
                    ..
                }),
            ) => Some(elements),
            _ => None,
        }
    }

    /// The elements of a scalar or vector of int64 that were worked out before, and whether it is a scalar.
    pub(super) fn known_integers(&self, value: ValueId) -> Option<(Vec<i64>, bool)> {
        let rank = self.shape(value)?.numbers()?.len();
        if self.value(value).data_type != INT64 || rank > 1 {
            return None;
        }
        let integers = match self.contents.get(&value) {
            Some(extents) => integers_of(extents)?,
            None => match self.constants.computed.borrow().get(&value)? {
                Ok(computed) => match &computed.elements {
                    Elements::Integers(elements) => elements.clone(),
                    Elements::Floats(_) => return None,
                },
                Err(_) => return None,
            },
        };
        Some((integers, rank == 0))
    }

    fn computed_integers(&self, value: ValueId) -> Option<Vec<i64>> {
        if !is_integer(self.value(value).data_type) {
            return None;
        }
        match self.constant(value).ok()? {
            Constant::Stored(tensor) => self.model.read_i64(tensor).ok(),
            Constant::Computed(computed) => match &computed.elements {
                Elements::Integers(elements) => Some(elements.clone()),
                Elements::Floats(_) => None,
            },
            Constant::Made(_) => None,
        }
    }
}

/// What a list holds whose elements are known; −1 is kept as the largest number.
fn integers_of(extents: &[Dim]) -> Option<Vec<i64>> {
    let known = |dim: &Dim| Some(i64::try_from(dim.known()?).unwrap_or(-1));
    extents.iter().map(known).collect()
}
