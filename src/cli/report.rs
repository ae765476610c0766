//! `bnfold report merge`: the reports of a check's shards as one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bnfold::check::{Audit, Severity};
use clap::{Args, Subcommand};

use super::Exit;
use super::check::answer;
use super::config::FailOn;
use super::paths::Paths;
use super::reports::Reports;

/// Arguments of `bnfold report`.
#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    #[command(subcommand)]
    command: ReportCommand,
}

#[derive(Debug, Subcommand)]
enum ReportCommand {
    /// Join the JSON reports of a check's shards; answers as one check of all models would
    Merge(MergeArgs),
}

#[derive(Args, Debug)]
struct MergeArgs {
    /// JSON reports of bnfold check
    #[arg(required = true, value_name = "REPORT")]
    shards: Vec<PathBuf>,
    /// The least severity that makes the answer no; else what the checks were told
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
    #[command(flatten)]
    reports: Reports,
}

pub(super) fn run(arguments: &ReportArgs) -> anyhow::Result<Exit> {
    let ReportCommand::Merge(merge) = &arguments.command;
    let mut paths = Paths::default();
    merge.reports.files.claim(&mut paths)?;
    paths.reads("a report that is read", &merge.shards);
    paths.check()?;
    let shards = merge.shards.iter().map(|path| read(path));
    let mut audit = Audit::merge(shards.collect::<anyhow::Result<Vec<Audit>>>()?)?;
    audit.fail_on = merge.fail_on.map(Severity::from).or(audit.fail_on);
    let is_whole = merge.reports.give(&audit)?;
    Ok(answer(&audit, is_whole))
}

fn read(path: &Path) -> anyhow::Result<Audit> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the report {}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        anyhow!(
            "{} is no report of bnfold check ({error}); make one with --report FILE.json",
            path.display()
        )
    })
}
