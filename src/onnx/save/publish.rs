//! From temporary names to their own: model and data as a pair, so that the target is whole at every moment.
//!
//! A new data file goes first, then the model: until then nothing refers to it.
//! A data file that stands already may be what the target refers to, so it is replaced by a detour:
//! the new model first refers to its data under a name of its own, then the data file is replaced, then the model again.
//! What replaces it first is a link to the data under that name, and at last the data: at no moment has a file two names,
//! and none is written twice. Where links cannot be made, or there are several data files, the data is written twice.
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
    /// Whether the data gets its own name in the end, rather than going.
    pub(super) is_moved: bool,
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

/// Publishes data files that replace others (or a link to the data of the detour), and the model.
pub(super) fn by_detour(
    detour: Detour<'_>,
    data: Vec<Temporary<'_>>,
    model: Temporary<'_>,
) -> Result<(), WriteError> {
    let mut bridge = detour.data;
    let path = bridge.path().to_owned();
    detour.model.publish()?;
    bridge.set_remains(true);
    let replaced = data
        .into_iter()
        .chain([model])
        .try_for_each(|output| output.publish().map(drop));
    let done = replaced.and_then(|()| match detour.is_moved {
        true => bridge.publish().map(drop),
        false => {
            bridge.set_remains(false);
            Ok(())
        }
    });
    done.map_err(|error| error.but_stands(&path))
}
