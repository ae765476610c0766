//! Targets: what may be written, and where.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{ExternalPolicy, copies, io_error};
use crate::onnx::error::WriteError;
use crate::onnx::external::directory_of;
use crate::onnx::load::Model;
use crate::onnx::source::{FileIdentity, MOST_LINKS, followed};

/// What stands at a target's path.
pub(super) enum Destination {
    /// A regular file or nothing; the path with links followed.
    File(PathBuf),
    /// A device or pipe, opened for writing.
    Stream(File),
}

/// Follows links, and tells what can be renamed over from what has to be written to.
pub(super) fn destination(target: &Path) -> Result<Destination, WriteError> {
    let mut path = target.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                let next = fs::read_link(&path).map_err(|source| io_error(target, source))?;
                path = directory_of(&path).join(next);
            }
            Ok(metadata) if metadata.is_dir() => {
                return Err(refused(
                    target,
                    "it is a directory; give the name of a file in it",
                ));
            }
            Ok(metadata) if !metadata.is_file() => {
                let opened = File::options().write(true).open(&path);
                return opened
                    .map(Destination::Stream)
                    .map_err(|source| io_error(target, source));
            }
            // Renaming over it would ask for the directory's permission alone.
            Ok(metadata) if metadata.permissions().readonly() => return Err(protected(target)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(target, error));
            }
            Ok(_) | Err(_) => return Ok(Destination::File(path)),
        }
    }
    Err(refused(
        target,
        "its links lead in a circle; choose another name",
    ))
}

fn refused(file: &Path, reason: &str) -> WriteError {
    WriteError::Refused {
        file: file.to_owned(),
        reason: reason.to_owned(),
    }
}

fn protected(file: &Path) -> WriteError {
    refused(
        file,
        "it is write-protected; allow writing it, or choose another name",
    )
}

impl Model {
    /// Refuses targets that are a file of the model, unless it is the model itself and that is allowed.
    ///
    /// # Errors
    /// [`WriteError::Refused`], with what the target is.
    pub fn check_target(&self, target: &Path, in_place: bool) -> Result<(), WriteError> {
        match model_file(self, target) {
            Some(path) if Some(path) != self.path() => Err(refused(
                target,
                "it is the model's own data file; choose another name",
            )),
            Some(_) if !in_place => Err(refused(
                target,
                "it is the model that is read; choose another name, or allow writing in place",
            )),
            _ => Ok(()),
        }
    }

    /// Where the data of what is saved to a target may go.
    pub fn data_targets(&self, target: &Path, which: ExternalPolicy) -> Vec<PathBuf> {
        if which == ExternalPolicy::Never {
            return Vec::new();
        }
        let target = followed(target);
        let copied = copies(self, &target).into_iter().map(|(path, _)| path);
        let new = data_name(&target).ok().map(PathBuf::from);
        let paths = copied.chain(new);
        paths.map(|path| target.with_file_name(path)).collect()
    }
}

/// The file of the model that a path leads to, if it leads to one.
fn model_file<'a>(model: &'a Model, target: &Path) -> Option<&'a Path> {
    let wanted = FileIdentity::of(target);
    let mut files = model.files.stamps();
    files
        .find(|(path, stamp)| FileIdentity::known(path, stamp.identity) == wanted)
        .map(|(path, _)| path)
}

/// What the data file of a target is called.
pub(super) fn data_name(target: &Path) -> Result<String, WriteError> {
    Ok(format!("{}.data", file_name(target)?))
}

/// What a model calls a file beside it.
pub(super) fn file_name(file: &Path) -> Result<&str, WriteError> {
    let name = file.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| {
        refused(
            file,
            "its name is not UTF-8, so no model can name its data file; choose another name",
        )
    })
}

/// Where a data file goes, which must be within the target's directory and no file of the model's.
pub(super) fn data_path(
    model: &Model,
    target: &Path,
    data: &Path,
    in_place: bool,
) -> Result<PathBuf, WriteError> {
    let directory = directory_of(target);
    let path = directory.join(data);
    // Directories within the target's are made, that itself is not.
    let home = directory.canonicalize();
    let home = home.map_err(|source| io_error(target, source))?;
    let failed = |source| io_error(&path, source);
    fs::create_dir_all(directory_of(&path)).map_err(failed)?;
    let place = directory_of(&path).canonicalize().map_err(failed)?;
    if !place.starts_with(home) {
        return Err(refused(
            &path,
            "it leads out of the target's directory; choose another directory",
        ));
    }
    if fs::symlink_metadata(&path)
        .is_ok_and(|metadata| !metadata.is_file() && !metadata.is_symlink())
    {
        return Err(refused(
            &path,
            "it is not a regular file; choose another name for the model",
        ));
    }
    if fs::metadata(&path).is_ok_and(|metadata| metadata.permissions().readonly()) {
        return Err(protected(&path));
    }
    if model_file(model, &path).is_some() && !in_place {
        return Err(refused(
            &path,
            "it is a file of the model that is read; choose another name for the output",
        ));
    }
    Ok(path)
}
