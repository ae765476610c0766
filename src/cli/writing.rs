//! Where a result goes: the flags, and the writing of a model's edits.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bnfold::onnx::source::FileIdentity;
use bnfold::onnx::{Edits, ExternalPolicy, Model, ReadOptions, SaveOptions, Saved, WriteError};
use bnfold::report::OutputSummary;
use clap::{Args, ValueEnum};

use super::output::{say, tell, tell_leftovers, write};
use super::paths::Paths;

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

    /// Claims the files that are named, before work is spent on them.
    pub(super) fn claim(&self, paths: &mut Paths) -> anyhow::Result<()> {
        if let Some(target) = self.output.as_deref().filter(|_| !self.is_stdout()) {
            paths.writes("the result", target)?;
        }
        if let Some(path) = &self.json {
            paths.writes("the JSON report", path)?;
        }
        Ok(())
    }

    /// Claims the model's files and those that its name brings with it, and refuses what would replace another.
    pub(super) fn check(&self, model: &Model, mut paths: Paths) -> anyhow::Result<()> {
        paths.reads("the model that is read", model.path());
        paths.reads("a data file of the model that is read", model.paths());
        let target = match &self.output {
            Some(target) if !self.is_stdout() => {
                model.check_target(target, false)?;
                Some(target.as_path())
            }
            Some(_) => None,
            None => model.path(),
        };
        let data = target.map(|target| model.data_targets(target, self.external()));
        // Which data file of the model may be replaced is settled when it is saved.
        let own: Vec<FileIdentity> = model.paths().map(FileIdentity::of).collect();
        let mut data = data.unwrap_or_default();
        data.retain(|path| !own.contains(&FileIdentity::of(path)));
        paths.may_write("the result's data file", data);
        paths.check()
    }

    fn external(&self) -> ExternalPolicy {
        match self.external_data {
            External::Auto => ExternalPolicy::Auto,
            External::Always => ExternalPolicy::Always,
            External::Never => ExternalPolicy::Never,
        }
    }

    /// Writes edits to the target, or over the model.
    pub(super) fn save(
        &self,
        edits: &Edits<'_>,
        model: &Path,
    ) -> anyhow::Result<Result<OutputSummary, WriteError>> {
        let target = self.output.as_deref().unwrap_or(model);
        let save = SaveOptions {
            external_data: self.external(),
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
            false => say(text).context("cannot print the report to standard output")?,
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
