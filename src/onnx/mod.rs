//! Bytes ↔ Model: the only room that names prost.

mod attribute;
mod checksum;
pub mod edit;
pub mod elements;
pub mod error;
mod external;
pub mod extract;
mod files;
mod index;
mod load;
pub mod model;
#[expect(missing_docs, reason = "generated from proto/onnx.proto")]
#[rustfmt::skip]
pub mod proto;
mod render;
mod rope;
mod save;
pub mod source;
mod splice;
mod tensor;
pub mod transform;
pub mod wire;

pub use edit::{Edits, NewData, NewTensor};
pub use error::{
    AttributeError, EditError, ExternalProblem, Flaw, FlawKind, ReadError, WriteError,
};
pub use files::FileId;
pub use load::{Model, ReadOptions};
pub use rope::Rope;
pub use save::{ExternalPolicy, LONGEST_MODEL, Leftover, SaveOptions, Saved, write_file};
pub use transform::Transform;
