//! `bnfold MODEL -o OUT`: fold, verify, write.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bnfold::check::{Audit, Audited, Policy, findings_of_result};
use bnfold::fold::{Folded, fold, without_flaws};
use bnfold::onnx::{Model, WriteError};
use bnfold::plan::PlanOptions;
use bnfold::report::text::Detail;
use bnfold::report::{OutputSummary, Report, Verification, json, text};
use clap::Args;

use super::Exit;
use super::assume::Assumption;
use super::checked::{Check, WhenDifferent};
use super::config;
use super::paths::Paths;
use super::progress::Progress;
use super::reports::{PICTURES, ReportFiles};
use super::selection::Selection;
use super::verification::Checking;
use super::writing::Writing;

/// Arguments of `bnfold MODEL -o OUT`.
#[derive(Args, Debug)]
pub(super) struct FoldArgs {
    /// The model to fold
    #[arg(required = true)]
    model: Option<PathBuf>,
    #[command(flatten)]
    writing: Writing,
    /// Take nodes in training mode as inference mode with their stored statistics
    #[arg(long)]
    assume_inference: bool,
    #[command(flatten)]
    folding: Folding,
    #[command(flatten)]
    reports: ReportFiles,
    /// Print the verdict only
    #[arg(short, long)]
    quiet: bool,
    /// Say every way that was tried for every node
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

/// Flags of folding and of its proof.
#[derive(Args, Debug)]
pub(super) struct Folding {
    /// Write without verifying
    #[arg(long, conflicts_with_all = ["layers", "inputs", "input"])]
    no_verify: bool,
    /// What to do when the result computes something else
    #[arg(long, value_enum, default_value_t = WhenDifferent::Refuse, value_name = "WHAT")]
    on_different: WhenDifferent,
    #[command(flatten)]
    pub(super) checking: Checking,
    #[command(flatten)]
    pub(super) selection: Selection,
}

pub(super) fn run(arguments: &FoldArgs) -> anyhow::Result<Exit> {
    let Some(path) = &arguments.model else {
        bail!("no model is given; try bnfold MODEL -o OUT");
    };
    let mut paths = Paths::default();
    arguments.writing.claim(&mut paths)?;
    let policy = policy(arguments, &mut paths)?;
    // What cannot be had is said before the work.
    arguments.folding.checking.engine()?;
    arguments.folding.checking.claim(&mut paths)?;
    let progress = Progress::new(!arguments.quiet);
    progress.stage("reading");
    let reading = arguments.writing.reading();
    let model = Model::open_with(path, &reading)?;
    arguments.writing.check(&model, paths)?;
    let Folding {
        selection,
        checking,
        ..
    } = &arguments.folding;
    let assumption = match arguments.assume_inference {
        true => Assumption::of(
            &model,
            &selection.choice(false)?,
            selection.reading(),
            &reading,
        )?,
        false => None,
    };
    let read = assumption
        .as_ref()
        .map_or(&model, |assumption| &assumption.model);
    let work = Work {
        model: read,
        path,
        folding: &arguments.folding,
        writing: &arguments.writing,
        has_pictures: arguments.reports.has_pictures(),
        progress: &progress,
    };
    let (mut report, exit) = work.run()?;
    if let Some(assumption) = assumption {
        progress.stage("comparing both readings");
        report.assumed = Some(assumption.measured(&model, checking)?);
    } else if arguments.assume_inference {
        let note = "--assume-inference changes nothing: no node that is taken is in training mode";
        report.notes.push(note.to_owned());
    }
    drop(progress);
    match finish(arguments, report, &policy)? {
        true => Ok(exit),
        false => Ok(Exit::Trouble),
    }
}

/// What people decided about findings, where there will be any.
fn policy(arguments: &FoldArgs, paths: &mut Paths) -> anyhow::Result<Policy> {
    arguments.reports.claim(paths)?;
    if arguments.reports.is_empty() {
        return Ok(Policy::default());
    }
    let config = config::find(None)?;
    paths.reads("the configuration", &config);
    Ok(config::load(config.as_deref())?.policy)
}

/// Prints and writes all reports, and says whether all could be written.
fn finish(arguments: &FoldArgs, report: Report, policy: &Policy) -> anyhow::Result<bool> {
    let detail = match (arguments.quiet, arguments.verbose) {
        (true, _) => Detail::Short,
        (_, true) => Detail::Full,
        _ => Detail::Normal,
    };
    let text = text::render(&report, detail);
    arguments.writing.report(&text, || json::render(&report))?;
    let audited = Audited {
        path: report.model.path.replace('\\', "/"),
        findings: findings_of_result(&report, policy),
        trouble: None,
        report: Some(report),
    };
    arguments.reports.write(&Audit::new(vec![audited]))
}

/// A model to fold and to write.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) model: &'a Model,
    /// Where it comes from.
    pub(super) path: &'a Path,
    pub(super) folding: &'a Folding,
    pub(super) writing: &'a Writing,
    /// Whether the report shows the graph around nodes.
    pub(super) has_pictures: bool,
    pub(super) progress: &'a Progress,
}

impl Work<'_> {
    /// Folds, verifies, and writes what is equivalent.
    pub(super) fn run(&self) -> anyhow::Result<(Report, Exit)> {
        self.progress.stage("planning");
        let selection = &self.folding.selection;
        let mut options = selection.plan_options()?;
        let named = || self.path.display().to_string();
        let folded = fold(self.model, selection.reading(), &options).with_context(named)?;
        let check = Check {
            model: self.model,
            checking: (!self.folding.no_verify).then_some(&self.folding.checking),
            on_different: self.folding.on_different.into(),
            progress: self.progress,
        };
        let mut checked = check.run(folded, &mut options)?;
        let exit = match &checked.verification {
            Verification::Different(_) => Exit::No,
            Verification::Unknown(_) => Exit::Trouble,
            _ => Exit::Yes,
        };
        let output = match exit {
            Exit::Yes => {
                self.progress.stage("writing");
                let (folded, output) = self.written(checked.folded, &mut options)?;
                checked.folded = folded;
                output
            }
            _ => None,
        };
        let mut report = checked.report(&named());
        report.output = output;
        if self.has_pictures {
            report.draw(&checked.folded, PICTURES);
        }
        Ok((report, exit))
    }

    fn written<'m>(
        &self,
        mut folded: Folded<'m>,
        options: &mut PlanOptions,
    ) -> anyhow::Result<(Folded<'m>, Option<OutputSummary>)> {
        loop {
            match self.writing.save(&folded.applied.edits, self.path)? {
                Ok(output) => return Ok((folded, Some(output))),
                Err(WriteError::Unrepresentable { flaws, .. }) => {
                    folded = without_flaws(folded, options, &flaws)?
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
