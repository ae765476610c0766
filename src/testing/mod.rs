//! What tests and benchmarks stand on: models in one expression, and an executor to check against.
//!
//! [`builder`] writes models, [`reference`] runs them in f64 by the formulas of the ONNX standard,
//! [`random`] makes valid models from a seed, [`fuzz`] holds properties of any bytes.
//! Nothing here looks at how bnfold folds, so that an error on one side cannot hide on the other.

pub mod builder;
mod element;
pub mod fuzz;
pub mod random;
pub mod reference;
mod tensor;

pub use builder::{Graph, ToBytes, Value, model};
pub use tensor::{DataType, Storage, Tensor};
