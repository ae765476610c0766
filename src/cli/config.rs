//! `bnfold.toml`: where it is found, and the words of its severities as flags.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bnfold::check::{Config, Severity};
use clap::ValueEnum;

/// The name that is looked for.
const NAME: &str = "bnfold.toml";

/// The least severity that makes a check fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Every finding
    Note,
    /// Warnings and errors
    Warning,
    /// Errors
    Error,
}

impl From<FailOn> for Severity {
    fn from(least: FailOn) -> Severity {
        match least {
            FailOn::Note => Severity::Note,
            FailOn::Warning => Severity::Warning,
            FailOn::Error => Severity::Error,
        }
    }
}

/// The file that is given, else the nearest `bnfold.toml` from the working directory up, else nothing.
pub(super) fn find(given: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    match given {
        Some(path) => Ok(Some(path.to_owned())),
        None => nearest(),
    }
}

/// What a file decides, if there is one.
pub(super) fn load(path: Option<&Path>) -> anyhow::Result<Config> {
    let Some(path) = path else {
        return Ok(Config::default());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    Config::parse(&text).map_err(|error| anyhow!("{}, {error}", path.display()))
}

fn nearest() -> anyhow::Result<Option<PathBuf>> {
    let here = std::env::current_dir().context("cannot tell the working directory")?;
    let mut candidates = here.ancestors().map(|directory| directory.join(NAME));
    Ok(candidates.find(|path| path.is_file()))
}
