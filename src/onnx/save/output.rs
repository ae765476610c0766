//! Targets: what may be written, how it comes to stand there, and how it is undone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::io_error;
use crate::onnx::error::WriteError;
use crate::onnx::external::directory_of;
use crate::onnx::load::Model;
use crate::onnx::source::Stamp;

/// Links that lead to links, as deep as systems follow them.
const MOST_LINKS: usize = 40;

/// What stands at a target's path.
pub(super) enum Destination {
    /// A regular file or nothing; the path with links followed.
    File(PathBuf),
    /// A device or pipe, opened for writing.
    Stream(File),
}

/// Follows links, and tells what can be renamed over from what has to be written to.
pub(super) fn destination(target: &Path) -> Result<Destination, WriteError> {
    let mut path = target.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                let next = fs::read_link(&path).map_err(|source| io_error(target, source))?;
                path = directory_of(&path).join(next);
            }
            Ok(metadata) if metadata.is_dir() => {
                return Err(refused(
                    target,
                    "it is a directory; give the name of a file in it",
                ));
            }
            Ok(metadata) if !metadata.is_file() => {
                let opened = File::options().write(true).open(&path);
                return opened
                    .map(Destination::Stream)
                    .map_err(|source| io_error(target, source));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(target, error));
            }
            Ok(_) | Err(_) => return Ok(Destination::File(path)),
        }
    }
    Err(refused(
        target,
        "its links lead in a circle; choose another name",
    ))
}

fn refused(file: &Path, reason: &str) -> WriteError {
    WriteError::Refused {
        file: file.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Refuses targets that are a file of the model, unless it is the model itself and that is allowed.
pub(super) fn check_target(model: &Model, target: &Path, in_place: bool) -> Result<(), WriteError> {
    match model_file(model, target) {
        Some(path) if Some(path) != model.path() => Err(refused(
            target,
            "it is the model's own data file; choose another name",
        )),
        Some(_) if !in_place => Err(refused(
            target,
            "it is the model that is read; choose another name, or allow writing in place",
        )),
        _ => Ok(()),
    }
}

/// The file of the model that a path leads to, if it leads to one.
fn model_file<'a>(model: &'a Model, target: &Path) -> Option<&'a Path> {
    let metadata = fs::metadata(target).ok()?;
    let identity = Stamp::of(&metadata).identity;
    let canonical = target.canonicalize().ok();
    let same = |path: &Path, stamp: &Stamp| match identity {
        Some(_) => stamp.identity == identity,
        None => path.canonicalize().ok() == canonical,
    };
    model
        .files
        .stamps()
        .find(|(path, stamp)| same(path, stamp))
        .map(|(path, _)| path)
}

/// What the data file of a target is called.
pub(super) fn data_name(target: &Path) -> Result<String, WriteError> {
    let name = target.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        refused(
            target,
            "its name is not UTF-8, so no model can name its data file; choose another name",
        )
    })?;
    Ok(format!("{name}.data"))
}

/// Where a data file goes, which must be within the target's directory and no file of the model's.
pub(super) fn data_path(
    model: &Model,
    target: &Path,
    data: &Path,
    in_place: bool,
) -> Result<PathBuf, WriteError> {
    let directory = directory_of(target);
    let path = directory.join(data);
    fs::create_dir_all(directory_of(&path)).map_err(|source| io_error(&path, source))?;
    let canonical = |path: &Path| path.canonicalize().map_err(|source| io_error(path, source));
    if !canonical(directory_of(&path))?.starts_with(canonical(directory)?) {
        return Err(refused(
            &path,
            "it leads out of the target's directory; choose another directory",
        ));
    }
    if fs::symlink_metadata(&path)
        .is_ok_and(|metadata| !metadata.is_file() && !metadata.is_symlink())
    {
        return Err(refused(
            &path,
            "it is not a regular file; choose another name for the model",
        ));
    }
    if model_file(model, &path).is_some() && !in_place {
        return Err(refused(
            &path,
            "it is a file of the model that is read; choose another name for the output",
        ));
    }
    Ok(path)
}

/// A file under a temporary name, which vanishes unless it is published.
#[derive(Debug)]
pub(super) struct Output {
    temporary: NamedTempFile,
    target: PathBuf,
}

impl Output {
    /// A temporary file beside the target, with the mode of the file that `like` is.
    pub(super) fn create(target: PathBuf, like: Option<&Path>) -> Result<Output, WriteError> {
        let failed = |source| io_error(&target, source);
        let mut builder = tempfile::Builder::new();
        builder.prefix(".bnfold-").suffix(".tmp");
        let mode = like
            .and_then(|path| fs::metadata(path).ok())
            .filter(fs::Metadata::is_file);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // The system takes the umask off, as for any new file.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let temporary = builder.tempfile_in(directory_of(&target)).map_err(failed)?;
        if let Some(metadata) = mode {
            set_mode(temporary.as_file(), &metadata).map_err(failed)?;
        }
        Ok(Output { temporary, target })
    }

    /// The file to write to, and what it will be called.
    pub(super) fn parts(&mut self) -> (&mut File, &Path) {
        (self.temporary.as_file_mut(), &self.target)
    }

    /// What it will be called.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }
}

#[cfg(unix)]
fn set_mode(file: &File, like: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(
        like.permissions().mode() & 0o777,
    ))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// Gives all files their names, in order; if one cannot have its name, those before it lose theirs again.
pub(super) fn publish(outputs: Vec<Output>) -> Result<(), WriteError> {
    if outputs
        .iter()
        .any(|output| fs::symlink_metadata(&output.target).is_ok())
    {
        for output in &outputs {
            output
                .temporary
                .as_file()
                .sync_all()
                .map_err(|source| io_error(&output.target, source))?;
        }
    }
    let mut published = Vec::new();
    let last = outputs.len().saturating_sub(1);
    for (index, Output { temporary, target }) in outputs.into_iter().enumerate() {
        let before = if index < last {
            Before::keep(&target)
        } else {
            None
        };
        match temporary.persist(&target) {
            Ok(_) => published.push((target, before)),
            Err(error) => {
                drop(before);
                published
                    .into_iter()
                    .rev()
                    .for_each(|(target, before)| undo(&target, before));
                return Err(io_error(&target, error.error));
            }
        }
    }
    Ok(())
}

/// What stood at a target, under another name until it is known whether it is needed again.
struct Before(Option<tempfile::TempPath>);

impl Before {
    fn keep(target: &Path) -> Option<Before> {
        fs::symlink_metadata(target).ok()?;
        let kept = tempfile::Builder::new()
            .prefix(".bnfold-")
            .suffix(".old")
            .make_in(directory_of(target), |name| fs::hard_link(target, name));
        Some(Before(kept.ok().map(NamedTempFile::into_temp_path)))
    }
}

fn undo(target: &Path, before: Option<Before>) {
    // There is nothing left to try if this fails too; the error that led here is the one to report.
    match before {
        None => drop(fs::remove_file(target)),
        Some(Before(Some(kept))) => drop(kept.persist(target)),
        Some(Before(None)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn output(target: PathBuf, content: &str) -> Output {
        let mut output = Output::create(target, None).unwrap();
        output.parts().0.write_all(content.as_bytes()).unwrap();
        output
    }

    /// Publishes a data file and a model whose name cannot be had, and tells what is there afterwards.
    fn after_failure(old: Option<&str>) -> (Vec<String>, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let [data, model] = ["m.data", "m"].map(|name| directory.path().join(name));
        if let Some(old) = old {
            fs::write(&data, old).unwrap();
        }
        let outputs = vec![output(data.clone(), "new"), output(model.clone(), "new")];
        fs::create_dir(&model).unwrap();
        assert!(publish(outputs).is_err());
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        (names, fs::read_to_string(data).ok())
    }

    #[test]
    fn a_model_whose_name_cannot_be_had_gives_the_old_data_back() {
        assert_eq!(
            after_failure(Some("old")),
            (
                vec!["m".to_owned(), "m.data".to_owned()],
                Some("old".to_owned())
            )
        );
        assert_eq!(after_failure(None), (vec!["m".to_owned()], None));
    }

    #[test]
    fn what_is_published_in_the_place_of_old_files_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["m.data", "m"].map(|name| directory.path().join(name));
        for content in ["first", "second"] {
            publish(
                paths
                    .iter()
                    .map(|path| output(path.clone(), content))
                    .collect(),
            )
            .unwrap();
            assert!(
                paths
                    .iter()
                    .all(|path| fs::read_to_string(path).unwrap() == content)
            );
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        }
    }
}
