//! Which models a check looks at: files, directories and patterns.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use glob::Pattern;

/// The models that the arguments stand for, each once, in the order of their paths.
pub(super) fn find(arguments: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for argument in arguments {
        let path = Path::new(argument);
        if path.is_dir() {
            let pattern = format!(
                "{}/**/*.onnx",
                Pattern::escape(argument.trim_end_matches('/'))
            );
            let before = found.len();
            matches(&pattern, &mut found)?;
            if found.len() == before {
                bail!("the directory {argument} holds no .onnx file");
            }
        } else if path.exists() || !argument.contains(['*', '?', '[']) {
            found.push(path.to_owned());
        } else {
            let before = found.len();
            matches(argument, &mut found)?;
            if found.len() == before {
                bail!("no file matches {argument}");
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn matches(pattern: &str, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let paths = glob::glob(pattern).with_context(|| format!("{pattern} is no pattern"))?;
    for path in paths {
        let path = path.with_context(|| format!("cannot look through {pattern}"))?;
        if path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// A path as it stands in reports, the same on every system.
pub(super) fn name(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
