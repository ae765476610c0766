//! Temporary files beside a target, and what runs that were ended left of theirs.
//!
//! The names of a target's temporary files begin alike, and whoever writes one holds a lock on it.
//! The system takes the lock away with its owner, so a file that can be locked is nobody's and goes, and a link to one
//! with it; one that cannot be judged (no locks there, another user's) is named instead.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::gate::{Gate, Step};
use super::io_error;
use crate::onnx::error::WriteError;
use crate::onnx::external::directory_of;
use crate::onnx::source::Stamp;

/// How often a new temporary file may be taken for a leftover before it is locked.
const ATTEMPTS: usize = 16;

/// What a temporary file is for, which its name ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be renamed; no file refers to it.
    Output,
    /// To be referred to by the target until its own data file is there.
    Detour,
}

impl Purpose {
    fn suffix(self) -> &'static str {
        match self {
            Purpose::Output => ".tmp",
            Purpose::Detour => ".data",
        }
    }
}

/// A temporary file that a run left when it was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is or was.
    pub path: PathBuf,
    /// Whether it is gone; if not, it could not be told whether its run still goes on, or it could not be removed.
    pub is_removed: bool,
}

/// The temporary files of one target.
pub(super) struct Place<'a> {
    /// How their names begin.
    prefix: String,
    /// The file whose mode they get.
    like: Option<&'a Path>,
    gate: &'a Gate<'a>,
}

impl<'a> Place<'a> {
    pub(super) fn new(target: &Path, like: Option<&'a Path>, gate: &'a Gate<'a>) -> Place<'a> {
        let name = target.file_name().unwrap_or_default();
        let digest = Sha1::digest(name.as_encoded_bytes());
        // The name itself may be as long as names may be.
        let tag: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        Place {
            prefix: format!(".bnfold-{tag}-"),
            like,
            gate,
        }
    }

    /// A locked temporary file in the directory of what it will be.
    pub(super) fn create(
        &self,
        target: PathBuf,
        purpose: Purpose,
    ) -> Result<Temporary<'a>, WriteError> {
        let failed = |source| io_error(&target, source);
        let make = |path: &Path| {
            (self.gate)(Step::Create)?;
            File::options().write(true).create_new(true).open(path)
        };
        for _ in 0..ATTEMPTS {
            let (file, path) = self.make(&target, purpose, make).map_err(failed)?;
            let temporary = Temporary {
                file,
                path,
                target: target.clone(),
                gate: self.gate,
                remains: false,
            };
            if temporary.is_held() {
                let mode = self.like.and_then(|path| fs::metadata(path).ok());
                if let Some(mode) = mode.filter(fs::Metadata::is_file) {
                    (self.gate)(Step::SetMode)
                        .and_then(|()| set_mode(&temporary.file, &mode))
                        .map_err(failed)?;
                }
                return Ok(temporary);
            }
        }
        Err(failed(io::ErrorKind::ResourceBusy.into()))
    }

    /// Gives a temporary file a name that the next run leaves until its end, so that the target may refer to it.
    pub(super) fn keep(&self, mut data: Temporary<'a>) -> Result<Temporary<'a>, WriteError> {
        let make = |path: &Path| match fs::symlink_metadata(path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => (self.gate)(Step::Rename).and_then(|()| fs::rename(&data.path, path)),
        };
        let made = self.make(&data.target, Purpose::Detour, make);
        let ((), path) = made.map_err(|source| io_error(&data.target, source))?;
        data.path = path;
        Ok(data)
    }

    /// A link to another temporary file, to be renamed to what that file will be.
    pub(super) fn link(&self, data: &Temporary<'a>) -> io::Result<Temporary<'a>> {
        let name = data.path.file_name().unwrap_or_default();
        let make = |path: &Path| {
            (self.gate)(Step::Link)?;
            symlink(Path::new(name), path)
        };
        let ((), path) = self.make(&data.target, Purpose::Output, make)?;
        Ok(Temporary {
            file: data.file.try_clone()?,
            path,
            target: data.target.clone(),
            gate: self.gate,
            remains: false,
        })
    }

    fn make<T>(
        &self,
        target: &Path,
        purpose: Purpose,
        make: impl FnMut(&Path) -> io::Result<T>,
    ) -> io::Result<(T, PathBuf)> {
        let made = tempfile::Builder::new()
            .prefix(&self.prefix)
            .suffix(purpose.suffix())
            .make_in(directory_of(target), make)?;
        made.keep().map_err(|error| error.error)
    }

    /// Removes what ended runs left in a directory, as far as that can be told, and links that lead to it.
    pub(super) fn sweep(&self, directory: &Path, purpose: Purpose) -> Vec<Leftover> {
        let mut left = Vec::new();
        for path in sorted(directory, |path| self.is_ours(path, purpose)) {
            let _held = match self.owner(&path) {
                Owner::Nobody(held) => held,
                Owner::Other => continue,
                Owner::Unknown => {
                    left.push(Leftover {
                        path,
                        is_removed: false,
                    });
                    continue;
                }
            };
            let leads_here = |link: &Path| led_to(link).as_ref() == Some(&path);
            let links = sorted(directory, leads_here);
            let remove = |path: PathBuf| {
                let removed = (self.gate)(Step::Remove).and_then(|()| fs::remove_file(&path));
                // Its run has given it its name meanwhile.
                let is_renamed = removed.as_ref().is_err_and(is_missing);
                (!is_renamed).then_some(Leftover {
                    path,
                    is_removed: removed.is_ok(),
                })
            };
            left.extend(links.into_iter().chain([path.clone()]).filter_map(remove));
        }
        left
    }

    fn is_ours(&self, path: &Path, purpose: Purpose) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&self.prefix) && name.ends_with(purpose.suffix()))
    }

    /// Who has a temporary file; a link belongs to whoever has the file that it leads to.
    fn owner(&self, path: &Path) -> Owner {
        let link = led_to(path);
        let file = link.as_deref().unwrap_or(path);
        let is_link = link.is_some();
        if is_link && !(self.is_ours(file, Purpose::Detour) && file.parent() == path.parent()) {
            return Owner::Other;
        }
        match fs::symlink_metadata(file) {
            Ok(metadata) if metadata.is_file() => {}
            Err(error) if is_link && is_missing(&error) => return Owner::Nobody(None),
            Ok(_) | Err(_) => return Owner::Other,
        }
        match File::open(file).map(|file| (file.try_lock(), file)) {
            Ok((Ok(()), file)) => Owner::Nobody(Some(file)),
            Ok((Err(TryLockError::WouldBlock), _)) => Owner::Other,
            Err(error) if is_missing(&error) => Owner::Other,
            Ok((Err(TryLockError::Error(_)), _)) | Err(_) => Owner::Unknown,
        }
    }
}

/// Who has a temporary file.
enum Owner {
    /// The run that made it has ended; its lock is held now, unless it is a link to nothing.
    Nobody(Option<File>),
    /// A run that goes on, or it is no temporary file.
    Other,
    /// That cannot be told.
    Unknown,
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// What a link leads to, looked at from where it stands; nothing if it is none.
fn led_to(path: &Path) -> Option<PathBuf> {
    fs::read_link(path).ok().map(|to| path.with_file_name(to))
}

fn sorted(directory: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| wanted(path)).collect();
    paths.sort();
    paths
}

#[cfg(unix)]
fn symlink(to: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, path)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives a new file the mode of another; its owner may write it, or the next run could not replace it.
#[cfg(unix)]
fn set_mode(file: &File, like: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(
        like.permissions().mode() & 0o777 | 0o200,
    ))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// A file under a temporary name, which goes unless it gets its own.
pub(super) struct Temporary<'a> {
    file: File,
    path: PathBuf,
    target: PathBuf,
    gate: &'a Gate<'a>,
    /// Whether it outlives this value.
    remains: bool,
}

impl Temporary<'_> {
    /// What it will be called.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// What it is called.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the file, unless another run has locked it to remove it, or has removed it.
    fn is_held(&self) -> bool {
        if matches!(self.file.try_lock(), Err(TryLockError::WouldBlock)) {
            return false;
        }
        let identity = |metadata: fs::Metadata| Stamp::of(&metadata).identity;
        match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(held), Ok(named)) => identity(held) == identity(named),
            _ => false,
        }
    }

    pub(super) fn sync(&self) -> Result<(), WriteError> {
        (self.gate)(Step::Sync)
            .and_then(|()| self.file.sync_all())
            .map_err(|source| io_error(&self.target, source))
    }

    /// Gives it its name, in the place of what has it.
    pub(super) fn publish(mut self) -> Result<PathBuf, WriteError> {
        (self.gate)(Step::Rename)
            .and_then(|()| fs::rename(&self.path, &self.target))
            .map_err(|source| io_error(&self.target, source))?;
        self.remains = true;
        Ok(self.target.clone())
    }

    /// Keeps it under its temporary name, or lets it go with this value.
    pub(super) fn set_remains(&mut self, remains: bool) {
        self.remains = remains;
    }
}

impl Write for Temporary<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.gate)(Step::Write)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.remains && (self.gate)(Step::Remove).is_ok() {
            // The error that led here is the one to report, and the next run for this target sweeps.
            drop(fs::remove_file(&self.path));
        }
    }
}
