//! bnfold folds BatchNormalization out of ONNX models and proves that the result computes the same.

pub mod batch_norm;
pub mod onnx;
