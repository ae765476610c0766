//! Where reports go: standard output in one format, files in the formats of their endings.

use std::path::PathBuf;

use bnfold::check::Audit;
use bnfold::format::Format;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use super::output::{note, say, sentence, write};
use super::paths::Paths;

/// How many nodes of a model have the graph around them in its report.
pub(super) const PICTURES: usize = 300;

/// Flags of the reports.
#[derive(Args, Debug)]
pub(super) struct Reports {
    /// What is printed
    #[arg(long, default_value = "text", value_name = "FORMAT", value_parser = format())]
    format: Format,
    #[command(flatten)]
    pub(super) files: ReportFiles,
}

/// Files that take reports.
#[derive(Args, Debug)]
pub(super) struct ReportFiles {
    /// Write a report to a file too, in the format of its ending (may be repeated)
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
}

fn format() -> impl clap::builder::TypedValueParser<Value = Format> {
    let names = Format::ALL.iter().map(|(_, name, _)| *name);
    PossibleValuesParser::new(names).map(|given| {
        let known = Format::ALL.iter().find(|(_, name, _)| *name == given);
        known.map_or(Format::Text, |(format, _, _)| *format)
    })
}

impl Reports {
    /// Whether a report shows the graph around nodes.
    pub(super) fn has_pictures(&self) -> bool {
        self.format == Format::Html || self.files.has_pictures()
    }

    /// Prints and writes all reports, and says whether all could be written.
    pub(super) fn give(&self, audit: &Audit) -> anyhow::Result<bool> {
        say(&self.format.render(audit))?;
        self.files.write(audit)
    }
}

impl ReportFiles {
    /// Whether a file shows the graph around nodes.
    pub(super) fn has_pictures(&self) -> bool {
        let mut formats = self.report.iter().map(|path| Format::of(path));
        formats.any(|format| matches!(format, Ok(Format::Html)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.report.is_empty()
    }

    /// Claims the files, and refuses those whose ending no format has or that have no directory, before anything is done.
    pub(super) fn claim(&self, paths: &mut Paths) -> anyhow::Result<()> {
        for path in &self.report {
            Format::of(path)?;
            paths.writes("a report", path)?;
        }
        Ok(())
    }

    /// Writes all reports; those that cannot be written are told, and keep no other from being written.
    pub(super) fn write(&self, audit: &Audit) -> anyhow::Result<bool> {
        let mut is_whole = true;
        for path in &self.report {
            let rendered =
                anstream::adapter::strip_str(&Format::of(path)?.render(audit)).to_string();
            if let Err(error) = write(path, &rendered) {
                note(&sentence(&error))?;
                is_whole = false;
            }
        }
        Ok(is_whole)
    }
}
