//! The files of a run: what is read is not written over, no two results go to one file, and each has a directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use bnfold::onnx::source::{FileIdentity, followed};

/// The files of a run, claimed before anything is written.
#[derive(Debug, Default)]
pub(super) struct Paths {
    read: Vec<Claim>,
    written: Vec<Claim>,
}

/// A file, and what it is to the run.
#[derive(Debug)]
struct Claim {
    path: PathBuf,
    what: &'static str,
}

impl Paths {
    /// Files that are read.
    pub(super) fn reads<P: AsRef<Path>>(
        &mut self,
        what: &'static str,
        paths: impl IntoIterator<Item = P>,
    ) {
        self.read.extend(claims(what, paths));
    }

    /// A file that is written, which must have a directory.
    pub(super) fn writes(&mut self, what: &'static str, path: &Path) -> anyhow::Result<()> {
        check_place(path)?;
        self.may_write(what, [path]);
        Ok(())
    }

    /// Files that are written if there is something for them.
    pub(super) fn may_write<P: AsRef<Path>>(
        &mut self,
        what: &'static str,
        paths: impl IntoIterator<Item = P>,
    ) {
        self.written.extend(claims(what, paths));
    }

    /// Whether a file that exists is written over.
    pub(super) fn replaces_any(&self) -> bool {
        self.written.iter().any(|claim| claim.path.is_file())
    }

    /// Refuses what would replace a file that is read, or another result.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let mut taken = HashMap::new();
        for claim in &self.read {
            let identity = FileIdentity::of(&claim.path);
            taken.entry(identity).or_insert(claim.what);
        }
        for Claim { path, what } in &self.written {
            // Devices and pipes pass on what they get; nothing in them is replaced.
            if path.exists() && !path.is_file() {
                continue;
            }
            if let Some(other) = taken.insert(FileIdentity::of(path), what) {
                let path = path.display();
                bail!("{path} is not written: {what} would replace {other}; choose another name");
            }
        }
        Ok(())
    }
}

fn claims<P: AsRef<Path>>(
    what: &'static str,
    paths: impl IntoIterator<Item = P>,
) -> impl Iterator<Item = Claim> {
    paths.into_iter().map(move |path| Claim {
        path: path.as_ref().to_owned(),
        what,
    })
}

fn check_place(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!(
            "cannot write {}: it is a directory; give the name of a file in it",
            path.display()
        );
    }
    match followed(path).parent() {
        Some(parent) if parent != Path::new("") && !parent.is_dir() => bail!(
            "cannot write {}: {} is no directory; create it first",
            path.display(),
            parent.display()
        ),
        _ => Ok(()),
    }
}
