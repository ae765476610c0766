//! Which models a check looks at: files, directories and patterns.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::walk;

/// The models that the arguments stand for, each once, in the order of their paths.
pub(super) fn find(arguments: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for argument in arguments {
        found.extend(stands_for(argument)?);
    }
    found.sort();
    found.dedup();
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
