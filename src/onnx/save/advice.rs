//! What to do about a write that failed.

use std::io;
use std::path::Path;

use crate::onnx::error::WriteError;

/// The error of a write that the system refused, with what to do about it.
pub(crate) fn io_error(file: &Path, source: io::Error) -> WriteError {
    let advice = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space, or choose another place"
        }
        io::ErrorKind::FileTooLarge => "choose a place that takes files of this size",
        io::ErrorKind::NotFound => "create the directory first",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a place that you may write to"
        }
        io::ErrorKind::BrokenPipe => "the reader of the output has gone",
        _ => "choose another place",
    };
    WriteError::Io {
        file: file.to_owned(),
        source,
        advice,
    }
}

impl WriteError {
    /// The same error, where the result stands all the same, with its data in another file than its own.
    pub(super) fn but_stands(self, data: &Path) -> WriteError {
        match self {
            WriteError::Io { file, source, .. } => WriteError::Refused {
                file,
                reason: format!(
                    "{source}; the model is written and complete, but keeps its data in {}, so run again",
                    data.display()
                ),
            },
            other => other,
        }
    }

    /// The same error with the name of the target in it.
    pub(super) fn at(mut self, target: &Path) -> WriteError {
        if let WriteError::Io { file, .. }
        | WriteError::Refused { file, .. }
        | WriteError::Unrepresentable { file, .. } = &mut self
        {
            *file = target.to_owned();
        }
        self
    }
}
