//! Which models a check looks at: files, directories and patterns.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::walk;

/// A model to be checked.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Whether it was come across only, not named.
    is_found: bool,
}

impl Found {
    /// Refuses what is no file and was not named: a pipe may be waited for without end.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.is_found && self.path.exists() && !self.path.is_file() {
            bail!(
                "{} is no regular file; name it itself if it is a pipe that gives a model",
                self.path.display()
            );
        }
        Ok(())
    }
}

/// The models that the arguments stand for, each once, in the order of their paths.
pub(super) fn find(arguments: &[PathBuf]) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for argument in arguments {
        found.extend(stands_for(argument)?.into_iter().map(|path| Found {
            is_found: path != *argument,
            path,
        }));
    }
    found.sort();
    found.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

fn stands_for(argument: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if argument.is_dir() {
        let found = walk::models_below(argument)?;
        if found.is_empty() {
            bail!("the directory {} holds no .onnx file", argument.display());
        }
        return Ok(found);
    }
    let pattern = argument.to_str();
    let pattern = pattern.filter(|text| text.contains(walk::is_special));
    let Some(pattern) = pattern.filter(|_| !walk::is_there(argument)) else {
        return Ok(vec![argument.to_owned()]);
    };
    let found = walk::matches(pattern)?;
    if found.is_empty() {
        bail!("no file matches {pattern}");
    }
    Ok(found)
}

/// A path as it stands in reports, the same on every system.
pub(super) fn name(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
