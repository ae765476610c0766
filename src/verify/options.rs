//! What a verification is asked to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::data::Sample;
use super::draw::Draw;
use crate::engine::{Budget, ElementType, EngineChoice};

/// How close is close enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Tolerance {
    /// `err(rewritten) ≤ k·err(original) + floor·u·scale`, both errors against the float64 truth.
    ///
    /// u is the unit roundoff of the output's type, scale the truth's largest magnitude.
    Yardstick {
        /// How many times the original's own error the rewritten model may have.
        k: f64,
        /// How many roundings of the largest output it may have beside that.
        floor: f64,
    },
    /// `|rewritten − original| ≤ atol + rtol·|original|`, with defaults by type where none is given.
    Fixed {
        /// Absolute part.
        atol: Option<f64>,
        /// Relative part.
        rtol: Option<f64>,
    },
}

impl Default for Tolerance {
    fn default() -> Tolerance {
        Tolerance::Yardstick { k: 8.0, floor: 8.0 }
    }
}

/// The fixed tolerance for outputs of a type, where the caller gives none: (atol, rtol).
pub(super) fn default_fixed(element: ElementType) -> (f64, f64) {
    match element {
        ElementType::Float64 => (1e-10, 1e-9),
        ElementType::Float16 => (1e-2, 1e-2),
        ElementType::BFloat16 => (1e-1, 5e-2),
        _ => (1e-5, 1e-4),
    }
}

/// What a verification is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// How many input samples are drawn.
    pub samples: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// Extents of symbolic dimensions; an unnamed one is `INPUT.AXIS`.
    pub dims: BTreeMap<String, usize>,
    /// How close is close enough.
    pub tolerance: Tolerance,
    /// Names of values that both graphs give and that must agree: where each fold ends.
    ///
    /// Each is compared on its own, computed from the original's values at the ones before it.
    pub compare_values: Vec<String>,
    /// How inputs are made, by name; the others are made as usual for their type and consumers.
    pub draws: BTreeMap<String, Draw>,
    /// Real inputs; where there are any, they are the samples.
    pub data: Vec<Sample>,
    /// Whether to compare every value that both graphs name, beside `compare_values`.
    pub layers: bool,
    /// Values that are named alike and mean different things, so that `layers` leaves them out.
    pub changed_values: Vec<String>,
    /// What a model may take before it is refused.
    pub budget: Budget,
    /// Which engine runs the models as they are; the float64 truth is the built-in engine's.
    pub engine: EngineChoice,
}

impl Default for VerifyOptions {
    fn default() -> VerifyOptions {
        VerifyOptions {
            samples: 3,
            seed: 0,
            dims: BTreeMap::new(),
            tolerance: Tolerance::default(),
            compare_values: Vec::new(),
            draws: BTreeMap::new(),
            data: Vec::new(),
            layers: false,
            changed_values: Vec::new(),
            budget: Budget::default(),
            engine: EngineChoice::default(),
        }
    }
}
