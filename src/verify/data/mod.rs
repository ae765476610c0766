//! Real inputs: `.npz`, `.npy`, and ONNX test data folders with the outputs they expect.
//!
//! A `.npz` is one sample, its members named like the inputs; `.npy` files are one input each, named
//! like it or in the order of the inputs that none is named like; a folder holds `input_*.pb` and `output_*.pb`, or `test_data_set_*`
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

pub(super) use resolve::{fits, resolve};

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
            _ if !path.exists() => return Err(DataError::new(path, "it does not exist")),
            _ if path.is_dir() => samples.extend(folder::read(path)?),
            Some("npz") => samples.push(npz::read(path)?),
            Some("npy") => loose.push((shown(path), (name_of(path), npy::read_file(path)?))),
            Some("pb") => loose.push((shown(path), folder::read_tensor(path)?)),
            _ => {
                let reason = "it is no .npz, .npy or .pb file and no test data folder";
                return Err(DataError::new(path, reason));
            }
        }
    }
    if !loose.is_empty() {
        let (origins, inputs): (Vec<String>, _) = loose.into_iter().unzip();
        samples.push(Sample {
            origin: origins.join(", ").into(),
            inputs,
            outputs: Vec::new(),
            is_strict: false,
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

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The bytes of a file.
fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let unreadable = |error: std::io::Error| format!("it cannot be read ({error})");
    std::fs::read(path).map_err(|error| DataError::new(path, unreadable(error)))
}

/// A file's name without its extension.
fn name_of(path: &Path) -> Option<String> {
    path.file_stem().and_then(OsStr::to_str).map(str::to_owned)
}
