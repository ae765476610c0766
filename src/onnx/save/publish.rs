//! From temporary names to their own: model and data as a pair, so that the target is whole at every moment.
//!
//! A new data file goes first, then the model: until then nothing refers to it.
//! A data file that stands already may be what the target refers to, so it is replaced by a detour:
//! the new model first refers to its data under a name of its own, then the data file is replaced, then the model again.
//! Runs that publish pairs in one directory take turns.

use std::fs::{self, File};
use std::path::Path;

use super::place::Temporary;
use crate::onnx::error::WriteError;
use crate::onnx::external::directory_of;

/// A model that refers to its data under a temporary name, and that data.
pub(super) struct Detour<'a> {
    pub(super) data: Temporary<'a>,
    pub(super) model: Temporary<'a>,
}

/// Whether something has the name that a file will have.
pub(super) fn replaces(output: &Temporary<'_>) -> bool {
    fs::symlink_metadata(output.target()).is_ok()
}

/// Waits until no other run publishes a pair in the target's directory, where the system can tell.
pub(super) fn turn(target: &Path) -> Option<File> {
    let directory = File::open(directory_of(target)).ok()?;
    directory.lock().ok()?;
    Some(directory)
}

/// Publishes data files that replace nothing, and the model; if one cannot have its name, those before it go.
pub(super) fn directly(data: Vec<Temporary<'_>>, model: Temporary<'_>) -> Result<(), WriteError> {
    let mut published = Vec::new();
    let outcome = data
        .into_iter()
        .chain([model])
        .try_for_each(|output| output.publish().map(|path| published.push(path)));
    if outcome.is_err() {
        // There is nothing left to try if this fails too; the error that led here is the one to report.
        published
            .iter()
            .for_each(|path| drop(fs::remove_file(path)));
    }
    outcome
}

/// Publishes data files that replace others, and the model.
pub(super) fn by_detour(
    detour: Detour<'_>,
    data: Vec<Temporary<'_>>,
    model: Temporary<'_>,
) -> Result<(), WriteError> {
    let mut bridge = detour.data;
    detour.model.publish()?;
    bridge.set_remains(true);
    data.into_iter()
        .chain([model])
        .try_for_each(|output| output.publish().map(drop))
        .map_err(|error| error.but_stands(bridge.path()))?;
    bridge.set_remains(false);
    Ok(())
}
