//! Real inputs: `.npz`, `.npy`, and ONNX test data folders with the outputs they expect.
//!
//! A `.npz` is one sample, its members named like the inputs; `.npy` files are one input each, named
//! like it or in the inputs' order; a folder holds `input_*.pb` and `output_*.pb`, or `test_data_set_*`
//! folders that do, each a sample.
//! Whether names, types and shapes fit the model is asked in `resolve`, before anything is run.

mod folder;
mod npy;
mod npz;
mod resolve;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::Tensor;

pub(super) use resolve::resolve;

/// Values for one run, by name where the file gives one, else by position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Where the values come from, for messages.
    pub origin: PathBuf,
    /// Input values.
    pub inputs: Vec<(Option<String>, Tensor)>,
    /// Output values that are expected; none if the source has none.
    pub outputs: Vec<(Option<String>, Tensor)>,
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
    fn new(path: &Path, reason: impl Into<String>) -> DataError {
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
    let mut samples = Vec::new();
    let mut loose = Vec::new();
    for path in paths {
        match path.extension().and_then(OsStr::to_str) {
            _ if path.is_dir() => samples.extend(folder::read(path)?),
            Some("npz") => samples.push(npz::read(path)?),
            Some("npy") => loose.push((name_of(path), npy::read_file(path)?)),
            Some("pb") => {
                let (name, tensor) = folder::read_tensor(path)?;
                loose.push((name, tensor));
            }
            _ => {
                let reason = "it is no .npz, .npy or .pb file and no test data folder";
                return Err(DataError::new(path, reason));
            }
        }
    }
    if let Some(path) = paths.first().filter(|_| !loose.is_empty()) {
        let origin = if paths.len() == 1 {
            path.clone()
        } else {
            PathBuf::from("the .npy files")
        };
        samples.push(Sample {
            origin,
            inputs: loose,
            outputs: Vec::new(),
        });
    }
    Ok(samples)
}

/// Reads a `.npy` file.
///
/// # Errors
/// A file that cannot be read, or is no `.npy` file of a type that the engine has.
pub fn read_npy(path: &Path) -> Result<Tensor, DataError> {
    npy::read_file(path)
}

/// A file's name without its extension.
fn name_of(path: &Path) -> Option<String> {
    path.file_stem().and_then(OsStr::to_str).map(str::to_owned)
}
