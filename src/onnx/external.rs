//! External data, read safely: a model names files, and must not be able to name any but its own.
//!
//! A location is a relative path without `..` among its components and without a drive.
//! What it resolves to lies under the model's directory, or under the directory that the model's own link leads to,
//! since content stores link a model and its data to the same place.
//! The file is opened once and judged by its handle: regular, and without other hard links unless they are allowed.
//! Offset and length are checked against that file, and against dims × width, before anything is allocated.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use super::elements::byte_count;
use super::error::ExternalProblem;
use super::model::{ExternalData, TensorView};
use super::source::{Stamp, link_count};
use super::wire::Span;

/// Where the data file of a model is, all links followed.
pub(crate) fn resolve(model: &Path, location: &str) -> Result<PathBuf, ExternalProblem> {
    check_location(location)?;
    let directory = directory_of(model);
    let asked = directory.join(location);
    let failed = |source| ExternalProblem::Io {
        path: asked.clone(),
        source,
    };
    let found = asked.canonicalize().map_err(failed)?;
    let beside_the_path = directory.canonicalize().map_err(failed)?;
    let beside_the_file = model
        .canonicalize()
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned));
    let inside = found.starts_with(&beside_the_path)
        || beside_the_file.is_some_and(|directory| found.starts_with(directory));
    if inside {
        Ok(found)
    } else {
        Err(ExternalProblem::Outside(found))
    }
}

/// The directory that holds a file.
pub(crate) fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Both separators are looked at on every system, so that a model means the same everywhere.
fn check_location(location: &str) -> Result<(), ExternalProblem> {
    let parts = || location.split(['/', '\\']);
    let drive = location.as_bytes().get(1) == Some(&b':')
        && location
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphabetic);
    let problem = if location.is_empty() {
        "is empty"
    } else if location.contains('\0') {
        "holds a NUL"
    } else if location.starts_with(['/', '\\']) || drive || Path::new(location).is_absolute() {
        "is absolute"
    } else if parts().any(|part| part == "..")
        || Path::new(location)
            .components()
            .any(|part| part == Component::ParentDir)
    {
        "climbs out of its directory with \"..\""
    } else {
        return Ok(());
    };
    Err(ExternalProblem::Path(problem))
}

/// Opens a resolved path and judges what it is by the handle.
pub(crate) fn open(path: &Path, allow_hard_links: bool) -> Result<(File, Stamp), ExternalProblem> {
    let failed = |source| ExternalProblem::Io {
        path: path.to_owned(),
        source,
    };
    // Opening a FIFO would wait for a writer, so the path is looked at first and the handle again.
    let before = std::fs::symlink_metadata(path).map_err(failed)?;
    if !before.is_file() {
        return Err(ExternalProblem::NotAFile);
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let stamp = Stamp::of(&metadata);
    if !metadata.is_file() || stamp.identity != Stamp::of(&before).identity {
        return Err(ExternalProblem::NotAFile);
    }
    if link_count(&metadata) > 1 && !allow_hard_links {
        return Err(ExternalProblem::HardLink);
    }
    Ok((file, stamp))
}

/// The bytes of a tensor in a data file of `size` bytes.
pub(crate) fn span(
    tensor: &TensorView,
    data: &ExternalData,
    size: u64,
) -> Result<Span, ExternalProblem> {
    let needed = byte_count(tensor.data_type, tensor.len());
    let length = match (needed, data.length) {
        (Some(needed), Some(length)) if needed != length => {
            return Err(ExternalProblem::Length { length, needed });
        }
        (Some(needed), _) => needed,
        (None, Some(length)) => length,
        (None, None) => size.saturating_sub(data.offset),
    };
    match data.offset.checked_add(length) {
        Some(end) if end <= size => Ok(Span::new(data.offset, end)),
        end => Err(ExternalProblem::TooShort {
            size,
            end: end.unwrap_or(u64::MAX),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_must_stay_below() {
        for bad in [
            "",
            "/etc/passwd",
            "../w",
            "a/../../w",
            "a\\..\\w",
            "..",
            "C:w",
            "c:\\w",
            "\\\\host\\w",
            "\\w",
            "a\0b",
        ] {
            assert!(check_location(bad).is_err(), "{bad:?}");
        }
        for good in ["w", "a/w", "./w", "a..b.data", "..w", "w..", "...", "a:b"] {
            assert_eq!(check_location(good).is_ok(), good != "a:b", "{good:?}");
        }
    }
}
