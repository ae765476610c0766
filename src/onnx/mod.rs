//! Bytes ↔ Model: the only room that names prost.

pub mod model;
#[expect(missing_docs, reason = "generated from proto/onnx.proto")]
#[rustfmt::skip]
pub mod proto;
pub mod wire;
