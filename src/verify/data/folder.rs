//! ONNX test data folders: `input_0.pb`, `input_1.pb`, … and `output_0.pb`, …

use std::path::{Path, PathBuf};

use super::{DataError, Sample, read_file};
use crate::engine::{EngineError, Tensor, decode_tensor};

/// The `test_data_set_*` folders inside the folder, in their order, or the folder itself if it is one.
pub(super) fn sets(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| DataError::new(folder, error.to_string()))?;
    let is_set = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        name.starts_with("test_data_set_") && path.is_dir()
    };
    let mut sets: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_set)
        .collect();
    let number = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.rsplit('_')
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(u64::MAX)
    };
    sets.sort_by_key(|path| (number(path), path.clone()));
    if sets.is_empty() && folder.join("input_0.pb").exists() {
        sets.push(folder.to_owned());
    }
    Ok(sets)
}

pub(super) fn read_set(folder: &Path) -> Result<Sample, DataError> {
    let inputs = numbered(folder, "input")?;
    if inputs.is_empty() {
        return Err(DataError::new(folder, "it holds no input_0.pb"));
    }
    Ok(Sample {
        origin: folder.to_owned(),
        inputs,
        outputs: numbered(folder, "output")?,
        is_strict: false,
    })
}

/// `KIND_0.pb`, `KIND_1.pb`, …; a gap before a higher number is an error.
fn numbered(folder: &Path, kind: &str) -> Result<Vec<(Option<String>, Tensor)>, DataError> {
    let path_of = |index: usize| folder.join(format!("{kind}_{index}.pb"));
    let mut tensors = Vec::new();
    while path_of(tensors.len()).exists() {
        tensors.push(read_tensor(&path_of(tensors.len()))?);
    }
    let entries =
        std::fs::read_dir(folder).map_err(|error| DataError::new(folder, error.to_string()))?;
    let is_of_kind = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(&format!("{kind}_")) && name.ends_with(".pb")
    };
    let n_files = entries.flatten().map(is_of_kind).filter(|&is| is).count();
    if n_files > tensors.len() {
        let missing = path_of(tensors.len());
        return Err(DataError::new(
            &missing,
            "this file is missing among its numbered siblings",
        ));
    }
    Ok(tensors)
}

pub(super) fn read_tensor(path: &Path) -> Result<(Option<String>, Tensor), DataError> {
    let bytes = read_file(path)?;
    if bytes.is_empty() {
        return Err(DataError::new(path, "it is empty"));
    }
    let (name, tensor) = decode_tensor(&bytes).map_err(|error| {
        let why = match error {
            EngineError::Decode { reason } | EngineError::Tensor { reason, .. } => reason,
            other => other.to_string(),
        };
        DataError::new(path, format!("it holds no tensor that can be used ({why})"))
    })?;
    Ok(((!name.is_empty()).then_some(name), tensor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Storage, Tensor as Reference};

    fn write(folder: &Path, file: &str, name: &str, values: [f32; 2]) {
        use crate::testing::ToBytes;
        let proto = Reference::floats(&[2], values).to_proto(name, Storage::Raw);
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(file), proto.to_bytes()).unwrap();
    }

    #[test]
    fn sets_are_read_in_numeric_order_with_names_and_expected_outputs() {
        let root = tempfile::tempdir().unwrap();
        for number in [0, 2, 10] {
            let set = root.path().join(format!("test_data_set_{number}"));
            write(&set, "input_0.pb", "x", [number as f32, 0.0]);
            write(&set, "input_1.pb", "", [1.0, 0.0]);
            write(&set, "output_0.pb", "y", [2.0, 0.0]);
        }
        let sets = sets(root.path()).unwrap();
        let samples: Vec<Sample> = sets.iter().map(|set| read_set(set).unwrap()).collect();
        let firsts: Vec<f64> = samples
            .iter()
            .map(|s| s.inputs[0].1.to_f64().unwrap()[0])
            .collect();
        assert_eq!(firsts, [0.0, 2.0, 10.0]);
        let names: Vec<Option<&str>> = samples[0]
            .inputs
            .iter()
            .map(|(n, _)| n.as_deref())
            .collect();
        assert_eq!(names, [Some("x"), None]);
        assert_eq!(samples[0].outputs[0].0.as_deref(), Some("y"));
    }

    #[test]
    fn missing_files_are_named() {
        let root = tempfile::tempdir().unwrap();
        assert!(
            read_set(root.path())
                .unwrap_err()
                .to_string()
                .contains("input_0.pb")
        );
        write(root.path(), "input_0.pb", "x", [0.0, 0.0]);
        write(root.path(), "input_2.pb", "z", [0.0, 0.0]);
        let error = read_set(root.path()).unwrap_err();
        assert!(error.path.ends_with("input_1.pb"), "{error}");
        std::fs::write(root.path().join("input_1.pb"), b"\xff\xff").unwrap();
        let error = read_set(root.path()).unwrap_err();
        assert!(error.path.ends_with("input_1.pb"), "{error}");
    }
}
