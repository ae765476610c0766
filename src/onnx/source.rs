//! Where bytes come from: anything that reads at an offset, and the marks by which a changed file is noticed.

use std::fs::{File, Metadata};
use std::io;
use std::time::SystemTime;

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
