//! Where samples come from, listed before any is read, so that one at a time is in memory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{DataError, Sample, folder, parse_npz, read_file, read_npy};
use crate::engine::Tensor;

/// One sample that has not been read yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// A `.npz` file.
    Archive(PathBuf),
    /// A folder of `input_*.pb` files.
    Set(PathBuf),
    /// `.npy` and `.pb` files of one input each.
    Loose(Vec<PathBuf>),
    /// A sample in memory.
    Given(Sample),
}

/// The samples that paths lead to, in their order; those in a folder are ordered by name.
///
/// Loose `.npy` and `.pb` files are together one sample, unless the model has one input: then each is one.
///
/// # Errors
/// A path that is none of the known kinds, or a folder that cannot be listed.
pub fn sources(paths: &[PathBuf], n_inputs: Option<usize>) -> Result<Vec<Source>, DataError> {
    let mut found = Vec::new();
    let mut loose = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(DataError::new(path, "it does not exist"));
        }
        match path.is_dir() {
            true => list(path, &mut found, &mut loose)?,
            false => sort(path, &mut found, &mut loose)?,
        }
    }
    match n_inputs {
        _ if loose.is_empty() => {}
        Some(1) => found.extend(loose.into_iter().map(|path| Source::Loose(vec![path]))),
        _ => found.push(Source::Loose(loose)),
    }
    Ok(found)
}

fn list(
    directory: &Path,
    found: &mut Vec<Source>,
    loose: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    let sets = folder::sets(directory)?;
    if !sets.is_empty() {
        found.extend(sets.into_iter().map(Source::Set));
        return Ok(());
    }
    let files = data_files(directory)?;
    if files.is_empty() {
        let reason = "it holds neither .npz, .npy or .pb files nor test_data_set_* folders";
        return Err(DataError::new(directory, reason));
    }
    files.iter().try_for_each(|file| sort(file, found, loose))
}

/// The files in a folder that may hold data, by name.
fn data_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error: std::io::Error| DataError::new(folder, error.to_string());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_data = matches!(extension(&path), Some("npz" | "npy" | "pb"));
        files.extend(is_data.then_some(path));
    }
    files.sort();
    Ok(files)
}

fn sort(path: &Path, found: &mut Vec<Source>, loose: &mut Vec<PathBuf>) -> Result<(), DataError> {
    match extension(path) {
        Some("npz") => found.push(Source::Archive(path.to_owned())),
        Some("npy" | "pb") => loose.push(path.to_owned()),
        _ => {
            let reason = "it is no .npz, .npy or .pb file and no test data folder";
            return Err(DataError::new(path, reason));
        }
    }
    Ok(())
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(OsStr::to_str)
}

impl Source {
    /// The files that the sample is read from.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>, DataError> {
        match self {
            Source::Archive(path) => Ok(vec![path.clone()]),
            Source::Set(folder) => data_files(folder),
            Source::Loose(paths) => Ok(paths.clone()),
            Source::Given(_) => Ok(Vec::new()),
        }
    }

    /// Reads the sample.
    ///
    /// # Errors
    /// A file whose content is not what its kind says.
    pub fn read(&self) -> Result<Sample, DataError> {
        match self {
            Source::Archive(path) => parse_npz(path, &read_file(path)?),
            Source::Set(folder) => folder::read_set(folder),
            Source::Given(sample) => Ok(sample.clone()),
            Source::Loose(paths) => {
                let inputs = paths.iter().map(|path| read_one(path));
                let origins: Vec<String> = paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                Ok(Sample {
                    origin: origins.join(", ").into(),
                    inputs: inputs.collect::<Result<_, _>>()?,
                    outputs: Vec::new(),
                    is_strict: false,
                })
            }
        }
    }
}

fn read_one(path: &Path) -> Result<(Option<String>, Tensor), DataError> {
    match extension(path) {
        Some("pb") => folder::read_tensor(path),
        _ => {
            let name = path.file_stem().and_then(OsStr::to_str).map(str::to_owned);
            Ok((name, read_npy(path)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(paths: &[PathBuf], n_inputs: Option<usize>) -> Vec<String> {
        let describe = |source: &Source| match source {
            Source::Archive(path) | Source::Set(path) => path.display().to_string(),
            Source::Loose(paths) => format!("{} loose", paths.len()),
            Source::Given(_) => "given".to_owned(),
        };
        let found = sources(paths, n_inputs).unwrap();
        found.iter().map(describe).collect()
    }

    #[test]
    fn a_folder_of_files_is_listed_by_name_and_nothing_is_read() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b.npz", "a.npz", "notes.txt", "x.npy", "y.npy"] {
            std::fs::write(root.path().join(name), b"not read").unwrap();
        }
        let folder = [root.path().to_owned()];
        let archives = ["a.npz", "b.npz"].map(|name| root.path().join(name).display().to_string());
        let with = |loose: &[&str]| {
            let loose = loose.iter().map(|&text| text.to_owned());
            archives
                .iter()
                .cloned()
                .chain(loose)
                .collect::<Vec<String>>()
        };
        assert_eq!(said(&folder, Some(1)), with(&["1 loose", "1 loose"]));
        assert_eq!(said(&folder, Some(2)), with(&["2 loose"]));
        assert_eq!(said(&folder, None), with(&["2 loose"]));
    }

    #[test]
    fn what_holds_no_data_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let empty = sources(&[root.path().to_owned()], None).unwrap_err();
        assert!(empty.to_string().contains("holds neither"), "{empty}");
        let text = root.path().join("notes.txt");
        std::fs::write(&text, b"text").unwrap();
        let other = sources(&[text], None).unwrap_err();
        assert!(other.to_string().contains("no .npz"), "{other}");
    }
}
