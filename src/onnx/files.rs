//! The files of a model: the model itself and the data files beside it, each opened once and read at offsets.
//!
//! The first data files stay open; a model with very many of them has the rest opened anew for each read,
//! and every handle must show the same stamp as the first one did.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::{ExternalProblem, ReadError};
use super::external;
use super::save::LONGEST_MODEL;
use super::source::{ReadAt, Stamp, is_device};

/// Data files kept open at a time.
const OPEN_FILES: usize = 128;

/// One of a model's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(usize);

impl FileId {
    /// The model's own file.
    pub const MODEL: FileId = FileId(0);
}

#[derive(Debug)]
enum Main {
    /// With the stamp of the file that the bytes stand for, if there is one.
    Memory(Vec<u8>, Option<Stamp>),
    File(File, Stamp),
}

#[derive(Debug)]
struct DataFile {
    path: PathBuf,
    stamp: Stamp,
    handle: Option<File>,
}

/// The files of one model.
#[derive(Debug)]
pub(crate) struct Files {
    /// What messages call the model.
    name: PathBuf,
    /// Where the model stands, if it is a file.
    path: Option<PathBuf>,
    main: Main,
    length: u64,
    data: Vec<DataFile>,
    by_location: HashMap<String, FileId>,
}

impl Files {
    /// A model in memory; data files are looked for beside `path`, if there is one.
    pub(crate) fn in_memory(bytes: Vec<u8>, path: Option<PathBuf>) -> Files {
        Files {
            name: path
                .clone()
                .unwrap_or_else(|| PathBuf::from("the model in memory")),
            path,
            length: bytes.len() as u64,
            main: Main::Memory(bytes, None),
            data: Vec::new(),
            by_location: HashMap::new(),
        }
    }

    /// A model's file. What is no regular file (a pipe) is read into memory, as far as models go; devices are not opened.
    pub(crate) fn open(path: &Path) -> Result<Files, ReadError> {
        let failed = |source| ReadError::Io {
            file: path.to_owned(),
            source,
        };
        if is_device(&std::fs::metadata(path).map_err(failed)?) {
            return Err(ReadError::Endless {
                file: path.to_owned(),
                problem: "is a device".to_owned(),
            });
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(ReadError::NotAModel {
                file: path.to_owned(),
                reason: "it is a directory".to_owned(),
            });
        }
        if !metadata.is_file() {
            let bytes = read_stream(file, LONGEST_MODEL).map_err(failed)?;
            let bytes = bytes.ok_or_else(|| ReadError::Endless {
                file: path.to_owned(),
                problem: format!("gives more than {LONGEST_MODEL} bytes"),
            })?;
            return Ok(Files::in_memory(bytes, Some(path.to_owned())));
        }
        let stamp = Stamp::of(&metadata);
        Ok(Files {
            name: path.to_owned(),
            path: Some(path.to_owned()),
            length: stamp.size,
            main: Main::File(file, stamp),
            data: Vec::new(),
            by_location: HashMap::new(),
        })
    }

    /// Other bytes that stand for the same file, beside which its data files are.
    pub(crate) fn with_bytes(&self, bytes: Vec<u8>) -> Files {
        let stamp = match &self.main {
            Main::Memory(_, stamp) => *stamp,
            Main::File(_, stamp) => Some(*stamp),
        };
        let mut files = Files::in_memory(bytes, self.path.clone());
        if let Main::Memory(_, kept) = &mut files.main {
            *kept = stamp;
        }
        files
    }

    /// The model's own bytes, if they are in memory.
    pub(crate) fn memory(&self) -> Option<&[u8]> {
        match &self.main {
            Main::Memory(bytes, _) => Some(bytes),
            Main::File(..) => None,
        }
    }

    pub(crate) fn name(&self) -> &Path {
        &self.name
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Bytes in the model's own file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The model's own bytes.
    pub(crate) fn main(&self) -> &dyn ReadAt {
        match &self.main {
            Main::Memory(bytes, _) => bytes,
            Main::File(file, _) => file,
        }
    }

    /// Finds the file at `location`, safely, and opens it if that has not happened yet.
    pub(crate) fn add(
        &mut self,
        location: &str,
        options: &super::ReadOptions,
    ) -> Result<FileId, ExternalProblem> {
        if let Some(&known) = self.by_location.get(location) {
            return Ok(known);
        }
        let model = self.path.as_deref().ok_or(ExternalProblem::NoDirectory)?;
        let path = external::resolve(model, location)?;
        let (handle, stamp) = external::open(&path, options.allow_hard_links)?;
        let handle = (self.data.len() < OPEN_FILES).then_some(handle);
        self.data.push(DataFile {
            path,
            stamp,
            handle,
        });
        let id = FileId(self.data.len());
        self.by_location.insert(location.to_owned(), id);
        Ok(id)
    }

    /// The file at a location that has been added.
    pub(crate) fn at(&self, location: &str) -> Option<FileId> {
        self.by_location.get(location).copied()
    }

    /// Bytes in a file, as it was when it was opened.
    pub(crate) fn size(&self, file: FileId) -> u64 {
        self.data_file(file)
            .map_or(self.length, |data| data.stamp.size)
    }

    /// Fills the buffer from a file.
    pub(crate) fn read(
        &self,
        file: FileId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), ReadError> {
        let result = match self.data_file(file) {
            None => self.main().read_exact_from(offset, buffer),
            Some(DataFile {
                handle: Some(handle),
                ..
            }) => handle.read_exact_from(offset, buffer),
            Some(data) => match File::open(&data.path)
                .and_then(|again| Ok((Stamp::of(&again.metadata()?), again)))
            {
                Ok((stamp, again)) if stamp == data.stamp => again.read_exact_from(offset, buffer),
                Ok(_) => {
                    return Err(ReadError::Changed {
                        file: data.path.clone(),
                    });
                }
                Err(error) => Err(error),
            },
        };
        result.map_err(|source| match source.kind() {
            // Spans were checked against the size at opening, so the file has become shorter.
            io::ErrorKind::UnexpectedEof => ReadError::Changed {
                file: self.path_of(file).to_owned(),
            },
            _ => ReadError::Io {
                file: self.path_of(file).to_owned(),
                source,
            },
        })
    }

    /// The path of one of the files.
    pub(crate) fn path_of(&self, file: FileId) -> &Path {
        self.data_file(file).map_or(&self.name, |data| &data.path)
    }

    /// Every file on disk, with what tells its present state from others.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (&Path, Stamp)> {
        let main = match (&self.main, &self.path) {
            (Main::File(_, stamp) | Main::Memory(_, Some(stamp)), Some(path)) => {
                Some((path.as_path(), *stamp))
            }
            _ => None,
        };
        main.into_iter().chain(
            self.data
                .iter()
                .map(|data| (data.path.as_path(), data.stamp)),
        )
    }

    /// Fails if any file is not what it was when it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), ReadError> {
        for (path, stamp) in self.stamps() {
            if std::fs::metadata(path)
                .map(|metadata| Stamp::of(&metadata))
                .ok()
                != Some(stamp)
            {
                return Err(ReadError::Changed {
                    file: path.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn data_file(&self, file: FileId) -> Option<&DataFile> {
        self.data.get(file.0.checked_sub(1)?)
    }
}

/// All that a pipe gives, unless that is more than the longest that is wanted.
fn read_stream(stream: impl Read, longest: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    stream.take(longest + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= longest).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_to_its_end_or_to_what_is_too_long() {
        assert_eq!(read_stream(&b"model"[..], 5).unwrap().unwrap(), b"model");
        assert!(read_stream(&b"model"[..], 4).unwrap().is_none());
        assert!(read_stream(io::repeat(0), 1000).unwrap().is_none());
    }
}
