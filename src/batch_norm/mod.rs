//! BatchNormalization as the standard defines it, opsets 1 to 15, on ndarray views.
//!
//! `Y = (X − mean) · scale/√(var + ε) + B` per channel: with the given statistics in inference mode,
//! with those of the batch in training mode.
//! [`BatchNorm`] reads a node's attributes, [`Parameters`] holds its four vectors in f64, a
//! [`Normalizer`] applies the formula, [`Moments`] gathers mean and variance and merges them.
//!
//! The channel axis is 1; a value of rank 1 is one channel (opset 9).
//! With `spatial = 0` (opsets 1 to 8) every activation has parameters of its own.
//! Knows nothing of files, graphs or engines.

mod attributes;
mod block;
mod columns;
mod element;
mod error;
mod factors;
mod fused;
mod gather;
mod geometry;
mod lanes;
mod moments;
mod normalizer;
mod parameters;
mod real;
mod simd;
mod sums;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tile;
mod training;
mod walk;

pub use attributes::{Attributes, BatchNorm, Mode, Output};
pub use element::Element;
pub use error::BatchNormError;
pub use moments::Moments;
pub use normalizer::Normalizer;
pub use parameters::{Parameters, ScaleShiftError, scale_shift};
pub use training::Statistics;
