//! `bnfold MODEL -o OUT`: fold, verify, write.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bnfold::fold::{Folded, fold, without_flaws};
use bnfold::onnx::{ExternalPolicy, Model, ReadOptions, SaveOptions, WriteError};
use bnfold::plan::PlanOptions;
use bnfold::report::text::Detail;
use bnfold::report::{OutputSummary, Report, Verification, json, text};
use clap::{Args, ValueEnum};

use super::Exit;
use super::output::{say, tell};
use super::progress::Progress;
use super::selection::Selection;
use super::verification::{Checking, compare};

/// Arguments of `bnfold MODEL -o OUT`.
#[derive(Args, Debug)]
pub(super) struct FoldArgs {
    /// The model to fold
    #[arg(required = true)]
    model: Option<PathBuf>,
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
    /// Write without verifying
    #[arg(long, conflicts_with_all = ["layers", "inputs", "input"])]
    no_verify: bool,
    #[command(flatten)]
    checking: Checking,
    #[command(flatten)]
    selection: Selection,
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
    /// Print the verdict only
    #[arg(short, long)]
    quiet: bool,
    /// Say every way that was tried for every node
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
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

pub(super) fn run(arguments: &FoldArgs) -> anyhow::Result<Exit> {
    let Some(path) = &arguments.model else {
        bail!("no model is given; try bnfold MODEL -o OUT");
    };
    check_report_path(arguments.json.as_deref())?;
    let progress = Progress::new(!arguments.quiet);
    progress.stage("reading");
    let reading = ReadOptions {
        allow_hard_links: arguments.allow_hard_links,
        ..ReadOptions::default()
    };
    let model = Model::open_with(path, &reading)?;
    progress.stage("planning");
    let mut options = arguments.selection.plan_options()?;
    let named = || path.display().to_string();
    let folded = fold(&model, arguments.selection.reading(), &options).with_context(named)?;
    let (folded, verification) = verified(&model, folded, &mut options, arguments, &progress)?;
    let exit = match &verification {
        Verification::Different(_) => Exit::No,
        Verification::Unknown(_) => Exit::Trouble,
        _ => Exit::Yes,
    };
    let (folded, output) = match exit {
        Exit::Yes => {
            progress.stage("writing");
            written(folded, &mut options, arguments, path)?
        }
        _ => (folded, None),
    };
    drop(progress);
    let mut report = Report::new(&named(), &folded);
    report.verification = verification;
    report.output = output;
    finish(arguments, &report)?;
    Ok(exit)
}

/// A report that cannot be written must be known before the result is.
fn check_report_path(report: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = report else { return Ok(()) };
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

/// Renders and compares, again without a fold whose weights do not fit their type.
fn verified<'m>(
    model: &'m Model,
    mut folded: Folded<'m>,
    options: &mut PlanOptions,
    arguments: &FoldArgs,
    progress: &Progress,
) -> anyhow::Result<(Folded<'m>, Verification)> {
    loop {
        if folded.applied.edits.is_empty() {
            return Ok((folded, Verification::Unchanged));
        }
        if arguments.no_verify {
            return Ok((folded, Verification::Skipped));
        }
        progress.stage("folding");
        let (bytes, flaws) = folded.applied.edits.to_rope()?.to_vec(model)?;
        if flaws.is_empty() {
            progress.stage("verifying");
            let verification = compare(model, &bytes, &folded, &arguments.checking)?;
            return Ok((folded, verification));
        }
        folded = without_flaws(folded, options, &flaws)?;
    }
}

fn written<'m>(
    mut folded: Folded<'m>,
    options: &mut PlanOptions,
    arguments: &FoldArgs,
    model: &Path,
) -> anyhow::Result<(Folded<'m>, Option<OutputSummary>)> {
    let target = arguments.output.as_deref().unwrap_or(model);
    let save = SaveOptions {
        external_data: match arguments.external_data {
            External::Auto => ExternalPolicy::Auto,
            External::Always => ExternalPolicy::Always,
            External::Never => ExternalPolicy::Never,
        },
        size_threshold: arguments.size_threshold,
        in_place: arguments.in_place,
        ..SaveOptions::default()
    };
    loop {
        let saved = match target == Path::new("-") {
            true => {
                let mut stdout =
                    std::io::BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
                let saved = folded.applied.edits.save_to(&mut stdout, &save);
                stdout.flush().context("cannot write to standard output")?;
                saved
            }
            false => folded.applied.edits.save(target, &save),
        };
        match saved {
            Ok(saved) => {
                let output = OutputSummary {
                    path: target.display().to_string(),
                    bytes: saved.model_bytes,
                    data_bytes: saved.data.iter().map(|(_, bytes)| bytes).sum(),
                };
                return Ok((folded, Some(output)));
            }
            Err(WriteError::Unrepresentable { flaws, .. }) => {
                folded = without_flaws(folded, options, &flaws)?
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn finish(arguments: &FoldArgs, report: &Report) -> anyhow::Result<()> {
    let detail = match (arguments.quiet, arguments.verbose) {
        (true, _) => Detail::Short,
        (_, true) => Detail::Full,
        _ => Detail::Normal,
    };
    let text = text::render(report, detail);
    // The result itself may be on standard output.
    match arguments.output.as_deref() == Some(Path::new("-")) {
        true => tell(&text)?,
        false => say(&text)?,
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, json::render(report))
            .with_context(|| format!("cannot write the report {}", path.display()))?;
    }
    Ok(())
}
