//! Where bytes come from: anything that reads at an offset, and the marks by which a file is known and its change noticed.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::external::directory_of;

/// Links that lead to links, as deep as systems follow them.
pub(crate) const MOST_LINKS: usize = 40;

/// Something that reads at an offset without a position of its own.
pub trait ReadAt: Send + Sync + std::fmt::Debug {
    /// Fills the buffer from `offset` on, or fails.
    fn read_exact_from(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for &[u8] {
    fn read_exact_from(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let slice = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(slice);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_from(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_exact_from(offset, buffer)
    }
}

#[cfg(unix)]
impl ReadAt for File {
    fn read_exact_from(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

#[cfg(windows)]
impl ReadAt for File {
    fn read_exact_from(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }
}

/// What tells one state of a file from another: its identity, size and time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Device and inode, where the system has them.
    pub identity: Option<(u64, u64)>,
    /// Bytes.
    pub size: u64,
    /// Time of the last change of the content.
    pub modified: Option<SystemTime>,
}

impl Stamp {
    /// The state that `metadata` describes.
    pub fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            identity: identity(metadata),
            size: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

/// What paths that lead to one file have in common, whether it exists yet or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FileIdentity {
    /// Device and inode.
    Node(u64, u64),
    /// The path with all links followed, where there is no file yet or the system has no inodes.
    Path(PathBuf),
}

impl FileIdentity {
    /// The identity of what a path leads to.
    pub fn of(path: &Path) -> FileIdentity {
        let metadata = std::fs::metadata(path).ok();
        FileIdentity::known(path, metadata.and_then(|metadata| identity(&metadata)))
    }

    /// The identity of a file whose device and inode are known, as far as the system has them.
    pub(crate) fn known(path: &Path, node: Option<(u64, u64)>) -> FileIdentity {
        match node {
            Some((device, inode)) => FileIdentity::Node(device, inode),
            None => FileIdentity::Path(canonical(path)),
        }
    }
}

/// A path with links followed, up to what does not exist.
fn canonical(path: &Path) -> PathBuf {
    let path = followed(path);
    if let Ok(canonical) = path.canonicalize() {
        return canonical;
    }
    match (directory_of(&path).canonicalize(), path.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => path,
    }
}

/// What the links at a path lead to, which need not exist.
pub fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&path) {
            Ok(next) => path = directory_of(&path).join(next),
            Err(_) => break,
        }
    }
    path
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

/// How many names a file has; 1 where the system does not say.
#[cfg(unix)]
pub(crate) fn link_count(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

/// How many names a file has; 1 where the system does not say.
#[cfg(not(unix))]
pub(crate) fn link_count(_: &Metadata) -> u64 {
    1
}

/// Whether it is a device, which may give bytes without end.
#[cfg(unix)]
pub(crate) fn is_device(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    kind.is_char_device() || kind.is_block_device()
}

/// Whether it is a device, which may give bytes without end.
#[cfg(not(unix))]
pub(crate) fn is_device(_: &Metadata) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn paths_to_one_file_are_known_as_one_before_and_after_it_exists() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        let same = |other: &str| FileIdentity::of(&at(other)) == FileIdentity::of(&at("file"));
        for exists in [false, true] {
            for other in ["link", "sub/../file", "./file"] {
                assert!(same(other), "{other}, {exists}");
            }
            assert!(!same("other") && !same("sub/file"), "{exists}");
            std::fs::write(at("file"), b"x").unwrap();
        }
        std::fs::hard_link(at("file"), at("hard")).unwrap();
        assert!(same("hard"));
    }
}
