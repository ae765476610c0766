//! Real inputs: `.npz`, `.npy`, and ONNX test data folders with the outputs they expect.
//!
//! A `.npz` is one sample, its members named like the inputs; `.npy` files are one input each, named
//! like it or in the order of the inputs that none is named like; a folder holds `input_*.pb` and
//! `output_*.pb`, or `test_data_set_*` folders that do, or `.npz`, `.npy` and `.pb` files, each a sample.
//! [`sources`] lists the samples, and each is read when it is asked for.
//! Whether names, types and shapes fit the model is asked in `resolve`, before anything is run.

mod folder;
mod npy;
mod npz;
mod resolve;
mod source;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::Tensor;

pub(super) use resolve::fits;
pub(crate) use resolve::resolve;
pub use source::{Source, sources};

/// Values for one run, by name where the file gives one, else by position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Where the values come from, for messages.
    pub origin: PathBuf,
    /// Input values.
    pub inputs: Vec<(Option<String>, Tensor)>,
    /// Output values that are expected; none if the source has none.
    pub outputs: Vec<(Option<String>, Tensor)>,
    /// Whether a name that the model lacks is wrong; else such a value belongs by its position.
    pub is_strict: bool,
}

/// Data that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct DataError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong, and what to give instead.
    pub reason: String,
}

impl DataError {
    pub(crate) fn new(path: &Path, reason: impl Into<String>) -> DataError {
        DataError {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Reads samples from one path, or one sample from several `.npy` files.
///
/// # Errors
/// A path that is none of the known kinds, or whose content is not what its kind says.
pub fn read_samples(paths: &[PathBuf]) -> Result<Vec<Sample>, DataError> {
    sources(paths, None)?.iter().map(Source::read).collect()
}

/// Reads a `.npy` file.
///
/// # Errors
/// A file that cannot be read, or is no `.npy` file of a type that the engine has.
pub fn read_npy(path: &Path) -> Result<Tensor, DataError> {
    parse_npy(path, &read_file(path)?)
}

/// The sample in the bytes of a `.npz` file, which messages call `path`.
///
/// # Errors
/// Bytes that are no such archive, or hold what the engine has no type for.
pub fn parse_npz(path: &Path, bytes: &[u8]) -> Result<Sample, DataError> {
    npz::parse(path, bytes)
}

/// The tensor in the bytes of a `.npy` file, which messages call `path`.
///
/// # Errors
/// Bytes that are no such file, or hold what the engine has no type for.
pub fn parse_npy(path: &Path, bytes: &[u8]) -> Result<Tensor, DataError> {
    npy::parse(bytes).map_err(|reason| DataError::new(path, reason))
}

/// The bytes of a regular file; a pipe could be waited for, and a device be read, without end.
fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let reason = "it is no regular file; save the data to one";
        return Err(DataError::new(path, reason));
    }
    let unreadable = |error: std::io::Error| format!("it cannot be read ({error})");
    std::fs::read(path).map_err(|error| DataError::new(path, unreadable(error)))
}
