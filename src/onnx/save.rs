//! Writing a model: whole under its name, or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::FileId;
use super::edit::Edits;
use super::error::WriteError;
use super::external::directory_of;
use super::rope::Rope;
use super::wire::Span;

/// The longest file that protobuf readers accept.
pub const LONGEST_MODEL: u64 = i32::MAX as u64;

/// Which tensors are written to a data file beside the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalPolicy {
    /// Those that were external; if the model would be too long for protobuf readers, all long initializers.
    #[default]
    Auto,
    /// All initializers that reach the size threshold, and those that were external.
    Always,
    /// None.
    Never,
}

/// How a model is written.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// Which tensors go to a data file.
    pub external_data: ExternalPolicy,
    /// Initializers of fewer bytes stay in the model.
    pub size_threshold: u64,
    /// Allow the target to be the model itself.
    pub in_place: bool,
    /// The longest model file to write; longer ones get a data file.
    pub longest_model: u64,
}

impl Default for SaveOptions {
    fn default() -> SaveOptions {
        SaveOptions {
            external_data: ExternalPolicy::Auto,
            size_threshold: 1024,
            in_place: false,
            longest_model: LONGEST_MODEL,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Bytes of the model.
    pub model_bytes: u64,
    /// The data file and its bytes, if there is one.
    pub data: Option<(PathBuf, u64)>,
}

impl Edits<'_> {
    /// Writes the edited model to a file.
    ///
    /// # Errors
    /// If edits contradict each other, a tensor cannot hold its new values, or anything cannot be read or written;
    /// the target then is what it was.
    pub fn save(&self, target: &Path, _options: &SaveOptions) -> Result<Saved, WriteError> {
        let rope = match self.is_empty() {
            true => Rope::copy(FileId::MODEL, Span::new(0, self.model.len())),
            false => self.to_rope()?,
        };
        let failed = |source: io::Error| WriteError::Io {
            file: target.to_owned(),
            source,
            advice: "check the directory and its space",
        };
        let mut file = tempfile::NamedTempFile::new_in(directory_of(target)).map_err(failed)?;
        let flaws = rope.write_to(
            self.model,
            file.as_file_mut() as &mut File as &mut dyn Write,
        )?;
        if !flaws.is_empty() {
            return Err(WriteError::Unrepresentable {
                file: target.to_owned(),
                flaws,
            });
        }
        self.model.check_unchanged()?;
        file.persist(target).map_err(|error| failed(error.error))?;
        Ok(Saved {
            model_bytes: rope.len(),
            data: None,
        })
    }
}
