//! bnfold folds BatchNormalization out of ONNX models and proves that the result computes the same.

pub mod batch_norm;
pub mod engine;
pub mod onnx;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verify;
