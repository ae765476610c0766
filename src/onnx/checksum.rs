//! SHA-1 of data files, where a model states it.

use std::collections::HashMap;

use sha1::{Digest, Sha1};

use super::error::{ExternalProblem, ReadError};
use super::files::FileId;
use super::load::Model;
use super::model::TensorData;

const CHUNK: usize = 256 << 10;

/// Compares every data file that has a stated checksum with it, reading each file once.
pub(crate) fn verify(model: &Model) -> Result<(), ReadError> {
    let mut digests: HashMap<FileId, String> = HashMap::new();
    for tensor in &model.external {
        let TensorData::External(data) = &tensor.data else {
            continue;
        };
        let (Some(expected), Some(file)) = (&data.checksum, model.files.at(&data.location)) else {
            continue;
        };
        let found = match digests.get(&file) {
            Some(found) => found.clone(),
            None => digest(model, file)?,
        };
        if !found.eq_ignore_ascii_case(expected) {
            return Err(ReadError::External {
                file: model.files.name().to_owned(),
                tensor: model.describe(tensor),
                location: data.location.clone(),
                problem: Box::new(ExternalProblem::Checksum {
                    expected: expected.clone(),
                    found,
                }),
            });
        }
        digests.insert(file, found);
    }
    Ok(())
}

fn digest(model: &Model, file: FileId) -> Result<String, ReadError> {
    let mut hasher = Sha1::new();
    let mut buffer = vec![0; CHUNK];
    let size = model.files.size(file);
    let mut offset = 0;
    while offset < size {
        let count = usize::try_from(size - offset).unwrap_or(CHUNK).min(CHUNK);
        let chunk = buffer.get_mut(..count).unwrap_or_default();
        model.files.read(file, offset, chunk)?;
        hasher.update(&*chunk);
        offset += count as u64;
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
