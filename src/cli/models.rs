//! Which models a check looks at: files, directories and patterns.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::walk;

/// The models that the arguments stand for, each once, in the order of their paths.
pub(super) fn find(arguments: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for argument in arguments {
        found.extend(stands_for(argument)?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn stands_for(argument: &str) -> anyhow::Result<Vec<PathBuf>> {
    let path = Path::new(argument);
    if path.is_dir() {
        let found = walk::models_below(path)?;
        if found.is_empty() {
            bail!("the directory {argument} holds no .onnx file");
        }
        return Ok(found);
    }
    if path.exists() || !argument.contains(walk::is_special) {
        return Ok(vec![path.to_owned()]);
    }
    let found = walk::matches(argument)?;
    if found.is_empty() {
        bail!("no file matches {argument}");
    }
    Ok(found)
}

/// A path as it stands in reports, the same on every system.
pub(super) fn name(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
