//! bnfold folds BatchNormalization out of ONNX models and proves that the result computes the same.

pub mod affine;
pub mod apply;
pub mod batch_norm;
pub mod engine;
pub mod fold;
pub mod graph;
pub mod onnx;
pub mod plan;
pub mod report;
pub mod rules;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verify;
