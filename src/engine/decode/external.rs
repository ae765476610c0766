//! Elements that lie in a file beside the model, read without ever leaving the model's directory.
//!
//! The location is relative, without a `..` component, and its canonical path lies under the canonical directory;
//! the file is opened once and must be a regular one; offset and length are checked before anything is allocated.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use crate::engine::error::EngineError;
use crate::onnx::proto::TensorProto;

pub(super) fn read(
    proto: &TensorProto,
    directory: Option<&Path>,
    expected: usize,
) -> Result<Vec<u8>, EngineError> {
    read_inner(proto, directory, expected).map_err(|reason| EngineError::Tensor {
        tensor: proto.name().to_owned(),
        reason,
    })
}

fn read_inner(
    proto: &TensorProto,
    directory: Option<&Path>,
    expected: usize,
) -> Result<Vec<u8>, String> {
    let entry = |key: &str| {
        let mut entries = proto
            .external_data
            .iter()
            .filter(|entry| entry.key() == key);
        let value = entries.next().map(|entry| entry.value());
        if entries.next().is_some() {
            return Err(format!("its external data gives {key:?} twice"));
        }
        Ok(value)
    };
    let number = |key: &str| match entry(key)? {
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| format!("its external data's {key} is {text:?}, which is no byte count")),
        None => Ok(None),
    };
    let directory = directory.ok_or("it lies in another file and no directory was given")?;
    let location = entry("location")?.unwrap_or_default();
    let offset = number("offset")?.unwrap_or(0);
    let mut file = open(directory, location)?;
    let size = file
        .metadata()
        .map_err(|error| format!("{location:?}: {error}"))?
        .len();
    let length = match number("length")? {
        Some(length) => length,
        None => size.saturating_sub(offset),
    };
    if length != expected as u64 {
        return Err(format!(
            "{location:?} holds {length} bytes for it, its extents need {expected}"
        ));
    }
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(format!(
            "{location:?} ends before its bytes do ({size} bytes)"
        ));
    }
    file.seek(SeekFrom::Start(offset))
        .map_err(|error| format!("{location:?}: {error}"))?;
    let mut bytes = vec![0; expected];
    file.read_exact(&mut bytes)
        .map_err(|error| format!("{location:?}: {error}"))?;
    Ok(bytes)
}

fn open(directory: &Path, location: &str) -> Result<File, String> {
    let relative = Path::new(location);
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || !relative.components().all(is_plain) {
        return Err(format!(
            "its location {location:?} is no path inside the model's directory"
        ));
    }
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let base = directory
        .canonicalize()
        .map_err(|error| format!("{directory:?}: {error}"))?;
    let path = base.join(relative);
    let path = path
        .canonicalize()
        .map_err(|error| format!("{location:?}: {error}"))?;
    if !path.starts_with(&base) {
        return Err(format!(
            "its location {location:?} leads out of the model's directory"
        ));
    }
    // Opening a FIFO would wait for a writer, so the kind is looked at before and after.
    let is_file =
        |metadata: std::io::Result<std::fs::Metadata>| metadata.is_ok_and(|m| m.is_file());
    if !is_file(path.metadata()) {
        return Err(format!("{location:?} is no regular file"));
    }
    let file = File::open(&path).map_err(|error| format!("{location:?}: {error}"))?;
    if !is_file(file.metadata()) {
        return Err(format!("{location:?} is no regular file"));
    }
    Ok(file)
}
