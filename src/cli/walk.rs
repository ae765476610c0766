//! The files that a pattern stands for: a walk through directories that ends, whatever links they hold.
//!
//! What is there by name counts, though it may be a link to nothing or have a name that is not UTF-8.
//! A directory is looked through once for each part of the pattern, under the name that no link gives it where it has one.

use std::collections::{HashSet, VecDeque};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use bnfold::onnx::source::FileIdentity;
use glob::{MatchOptions, Pattern};

/// A part of a pattern.
#[derive(Debug)]
enum Part {
    /// A name as it stands.
    Literal(PathBuf),
    /// `**`: any number of directories.
    AnyDepth,
    /// Names that match, in small and capital letters alike or as the pattern has them.
    Matching { pattern: Pattern, any_case: bool },
}

/// The files below a directory that are called `*.onnx`, in small or capital letters.
pub(super) fn models_below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut parts = literals(directory);
    let models = Part::Matching {
        pattern: Pattern::new("*.onnx")?,
        any_case: true,
    };
    parts.extend([Part::AnyDepth, models]);
    Walk::new(&parts).run()
}

/// The files that match a pattern.
pub(super) fn matches(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let wrong = || format!("{pattern} is no pattern");
    let mut parts = Vec::new();
    for literal in literals(Path::new(pattern)) {
        let Part::Literal(path) = literal else {
            continue;
        };
        let text = path.to_string_lossy();
        parts.push(match Pattern::new(&text).with_context(wrong)? {
            _ if text == "**" => Part::AnyDepth,
            pattern if text.contains(is_special) => Part::Matching {
                pattern,
                any_case: false,
            },
            _ => Part::Literal(path),
        });
    }
    Walk::new(&parts).run()
}

/// Whether a text is a pattern.
pub(super) fn is_special(character: char) -> bool {
    matches!(character, '*' | '?' | '[')
}

fn literals(path: &Path) -> Vec<Part> {
    let parts = path.components();
    let parts = parts.filter(|part| *part != Component::CurDir);
    parts
        .map(|part| Part::Literal(PathBuf::from(part.as_os_str())))
        .collect()
}

/// A walk that goes on.
#[derive(Debug)]
struct Walk<'p> {
    parts: &'p [Part],
    /// Directories that were looked through, each with the part that was looked for.
    seen: HashSet<(FileIdentity, usize)>,
    /// Directories behind links, which wait until all others were looked through.
    links: VecDeque<(PathBuf, usize)>,
    found: Vec<PathBuf>,
}

impl<'p> Walk<'p> {
    fn new(parts: &'p [Part]) -> Walk<'p> {
        Walk {
            parts,
            seen: HashSet::new(),
            links: VecDeque::new(),
            found: Vec::new(),
        }
    }

    fn run(mut self) -> anyhow::Result<Vec<PathBuf>> {
        self.links.push_back((PathBuf::new(), 0));
        while let Some((directory, at)) = self.links.pop_front() {
            self.look(&directory, at)?;
        }
        Ok(self.found)
    }

    /// Looks in a directory for a part of the pattern, and for those behind it.
    fn look(&mut self, directory: &Path, at: usize) -> anyhow::Result<()> {
        let parts = self.parts;
        let Some(part) = parts.get(at) else {
            return Ok(());
        };
        if !self.seen.insert((FileIdentity::of(here(directory)), at)) {
            return Ok(());
        }
        let (names, next) = match part {
            Part::Literal(name) => (vec![name.clone()], at + 1),
            Part::Matching { pattern, any_case } => {
                let options = MatchOptions {
                    case_sensitive: !any_case,
                    ..MatchOptions::new()
                };
                let mut names = names(directory)?;
                names.retain(|name| pattern.matches_with(&name.to_string_lossy(), options));
                (names, at + 1)
            }
            Part::AnyDepth => {
                self.look(directory, at + 1)?;
                (names(directory)?, at)
            }
        };
        for name in names {
            self.enter(directory.join(name), at, next)?;
        }
        Ok(())
    }

    /// Takes a file that ends the pattern, and goes on in a directory.
    fn enter(&mut self, path: PathBuf, at: usize, next: usize) -> anyhow::Result<()> {
        if !path.is_dir() {
            let is_end = next > at && next == self.parts.len();
            self.found
                .extend((is_end && is_there(&path)).then_some(path));
        } else if path.is_symlink() {
            self.links.push_back((path, next));
        } else {
            self.look(&path, next)?;
        }
        Ok(())
    }
}

/// Whether something has that name, be it a link to nothing.
pub(super) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The names in a directory, in their order.
fn names(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let failed = || format!("cannot look through {}", here(directory).display());
    let entries = std::fs::read_dir(here(directory)).with_context(failed)?;
    let names = entries.map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())));
    let mut names = names
        .collect::<Result<Vec<PathBuf>, _>>()
        .with_context(failed)?;
    names.sort();
    Ok(names)
}

/// No directory is the working directory.
fn here(directory: &Path) -> &Path {
    match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    }
}
