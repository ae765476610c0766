//! Where a result goes: the flags, and the writing of a model's edits.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bnfold::onnx::{Edits, ExternalPolicy, ReadOptions, SaveOptions, Saved, WriteError};
use bnfold::report::OutputSummary;
use clap::{Args, ValueEnum};

use super::output::{say, tell, tell_leftovers, write};

/// Flags of what is written.
#[derive(Args, Debug)]
pub(super) struct Writing {
    /// Where to write the result; `-` is standard output
    #[arg(
        short,
        long,
        value_name = "OUT",
        required_unless_present = "in_place",
        conflicts_with = "in_place"
    )]
    output: Option<PathBuf>,
    /// Replace the model by the result
    #[arg(long)]
    in_place: bool,
    /// Write a report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Which tensors go to a data file beside the result
    #[arg(long, value_enum, default_value_t = External::Auto, value_name = "WHICH")]
    external_data: External,
    /// Tensors of fewer bytes stay in the model file
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    size_threshold: u64,
    /// Accept data files that have further hard links
    #[arg(long)]
    allow_hard_links: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum External {
    /// Those that were; all long ones if the file would exceed 2 GiB
    Auto,
    /// All that reach the size threshold
    Always,
    /// None
    Never,
}

impl Writing {
    /// How the model is read.
    pub(super) fn reading(&self) -> ReadOptions {
        ReadOptions {
            allow_hard_links: self.allow_hard_links,
            ..ReadOptions::default()
        }
    }

    /// Refuses a target that is in no directory, before work is spent on it.
    pub(super) fn check_directory(&self) -> anyhow::Result<()> {
        let Some(target) = self.output.as_deref() else {
            return Ok(());
        };
        match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => bail!(
                "cannot write {}: {} is no directory; create it first",
                target.display(),
                parent.display()
            ),
            _ => Ok(()),
        }
    }

    /// Refuses a report that cannot be written, before the result is.
    pub(super) fn check_report(&self) -> anyhow::Result<()> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if path.is_dir() || !directory.is_dir() {
            bail!(
                "cannot write the report {}: give the name of a file in a directory that exists",
                path.display()
            );
        }
        Ok(())
    }

    /// Writes edits to the target, or over the model.
    pub(super) fn save(
        &self,
        edits: &Edits<'_>,
        model: &Path,
    ) -> anyhow::Result<Result<OutputSummary, WriteError>> {
        let target = self.output.as_deref().unwrap_or(model);
        let save = SaveOptions {
            external_data: match self.external_data {
                External::Auto => ExternalPolicy::Auto,
                External::Always => ExternalPolicy::Always,
                External::Never => ExternalPolicy::Never,
            },
            size_threshold: self.size_threshold,
            in_place: self.in_place,
            ..SaveOptions::default()
        };
        let saved = match self.is_stdout() {
            true => {
                let mut stdout =
                    std::io::BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
                let saved = edits.save_to(&mut stdout, &save);
                stdout.flush().context("cannot write to standard output")?;
                saved
            }
            false => edits.save(target, &save),
        };
        if let Ok(saved) = &saved {
            tell_leftovers(&saved.leftovers)?;
        }
        Ok(saved.map(|saved| summary(target, &saved)))
    }

    /// Shows a report's text, and writes its JSON where that is wanted.
    pub(super) fn report(&self, text: &str, json: impl FnOnce() -> String) -> anyhow::Result<()> {
        // The result itself may be on standard output.
        match self.is_stdout() {
            true => tell(text)?,
            false => say(text)?,
        }
        if let Some(path) = &self.json {
            write(path, &json())?;
        }
        Ok(())
    }

    fn is_stdout(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }
}

fn summary(target: &Path, saved: &Saved) -> OutputSummary {
    OutputSummary {
        path: target.display().to_string(),
        bytes: saved.model_bytes,
        data_bytes: saved.data.iter().map(|(_, bytes)| bytes).sum(),
    }
}
