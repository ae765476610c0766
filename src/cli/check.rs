//! `bnfold check MODEL…`: plans, verifies, and applies a policy; writes no model.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;
use bnfold::check::{
    Audit, Audited, Baseline, FindingCode, Level, Policy, Severity, Shard, UnknownCode,
    UnknownLevel, findings,
};
use bnfold::fold::fold;
use bnfold::onnx::source::FileIdentity;
use bnfold::onnx::{Model, ReadOptions};
use bnfold::report::Report;
use bnfold::settle::OnDifferent;
use clap::Args;

use super::Exit;
use super::checked::Check;
use super::config::{self, FailOn};
use super::models::{self, Found};
use super::output::{sentence, write};
use super::paths::Paths;
use super::progress::Progress;
use super::reports::{PICTURES, Reports};
use super::selection::Selection;
use super::verification::Checking;

/// Arguments of `bnfold check`.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// Models, directories that hold some, or patterns like 'zoo/**/*.onnx'
    #[arg(required = true, value_name = "MODEL|DIR|GLOB")]
    models: Vec<PathBuf>,
    /// The configuration; else the nearest bnfold.toml from the working directory up
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How grave findings of a code are: off, note, warning or error (may be repeated)
    #[arg(long, value_name = "CODE=LEVEL", value_parser = severity)]
    severity: Vec<(FindingCode, Level)>,
    /// The least severity that makes the check fail; warning, unless the configuration says otherwise
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
    /// Findings that were accepted before; only new ones count
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Accept today's findings: write them to a file for --baseline
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// How many models are checked side by side; they share what --max-memory gives
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Check a part of the models only: I of N, the same models on every run
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Keep the graph around nodes in JSON reports, so that a merged report can show it; HTML reports always do
    #[arg(long)]
    pictures: bool,
    /// Plan only
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    reports: Reports,
    #[command(flatten)]
    checking: Checking,
    #[command(flatten)]
    selection: Selection,
}

fn severity(text: &str) -> Result<(FindingCode, Level), String> {
    let wrong = || format!("{text:?} is not CODE=LEVEL, like dead-channel=off");
    let (name, level) = text.split_once('=').ok_or_else(wrong)?;
    let level: Level = level
        .parse()
        .map_err(|error: UnknownLevel| error.to_string())?;
    let code: FindingCode = name
        .parse()
        .map_err(|error: UnknownCode| error.to_string())?;
    Ok((code, level))
}

pub(super) fn run(arguments: &CheckArgs) -> anyhow::Result<Exit> {
    arguments.checking.engine()?;
    let config = config::find(arguments.config.as_deref())?;
    let mut models = models::find(&arguments.models)?;
    claim(arguments, config.as_deref(), &models)?.check()?;
    let mut config = config::load(config.as_deref())?;
    for &(code, level) in &arguments.severity {
        config.policy.levels.insert(code, level);
    }
    let baseline = arguments
        .baseline
        .as_deref()
        .map(read_baseline)
        .transpose()?;
    if let Some(shard) = arguments.shard {
        models.retain(|model| shard.holds(&models::name(&model.path)));
    }
    let job = Job {
        arguments,
        policy: &config.policy,
        checking: arguments.checking.shared_by(arguments.jobs.into()),
    };
    let mut audit = Audit::new(job.all(&models));
    let written = arguments
        .write_baseline
        .as_ref()
        .map(|_| Baseline::of(&audit));
    for baseline in baseline.iter().chain(&written) {
        audit
            .models
            .iter_mut()
            .for_each(|audited| baseline.accept(audited));
    }
    let least = arguments.fail_on.map(Severity::from).or(config.fail_on);
    audit.fail_on = Some(least.unwrap_or(LEAST));
    let is_whole = arguments.reports.give(&audit)?;
    if let (Some(path), Some(baseline)) = (&arguments.write_baseline, written) {
        write(path, &baseline.render())?;
    }
    Ok(answer(&audit, is_whole))
}

/// The files that are named, and the data files of the models where one of them could be written over.
fn claim(arguments: &CheckArgs, config: Option<&Path>, models: &[Found]) -> anyhow::Result<Paths> {
    let models = models.iter().map(|model| &model.path);
    let mut paths = Paths::default();
    arguments.reports.files.claim(&mut paths)?;
    arguments.checking.claim(&mut paths)?;
    paths.reads("the configuration", config);
    paths.reads("a model that is read", models.clone());
    let baseline = arguments.baseline.as_deref();
    if let Some(path) = &arguments.write_baseline {
        paths.writes("the new baseline", path)?;
        // A baseline may be brought up to date.
        let identity = FileIdentity::of(path);
        let other = baseline.filter(|baseline| FileIdentity::of(baseline) != identity);
        paths.reads("the baseline", other);
    } else {
        paths.reads("the baseline", baseline);
    }
    if paths.replaces_any() {
        for path in models.filter(|path| path.is_file()) {
            // What cannot be read is told of when it is checked.
            if let Ok(model) = Model::open_with(path, &GLANCE) {
                paths.reads("a data file of a model that is read", model.paths());
            }
        }
    }
    Ok(paths)
}

/// How a model is read for the names of its files alone.
const GLANCE: ReadOptions = ReadOptions {
    allow_hard_links: true,
    verify_checksums: false,
};

/// The least severity that fails unless people say otherwise.
const LEAST: Severity = Severity::Warning;

/// Trouble goes before findings; what is accepted, or less grave than the least severity, does not count.
pub(super) fn answer(audit: &Audit, is_whole: bool) -> Exit {
    if !is_whole || audit.troubles().next().is_some() {
        return Exit::Trouble;
    }
    let least = audit.fail_on.unwrap_or(LEAST);
    match audit.open().any(|(_, finding)| finding.severity >= least) {
        true => Exit::No,
        false => Exit::Yes,
    }
}

fn read_baseline(path: &Path) -> anyhow::Result<Baseline> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the baseline {}", path.display()))?;
    Baseline::parse(&text).with_context(|| path.display().to_string())
}

/// What is the same for all models of a check.
struct Job<'a> {
    arguments: &'a CheckArgs,
    policy: &'a Policy,
    checking: Checking,
}

impl Job<'_> {
    /// All models, as many side by side as there are jobs.
    fn all(&self, models: &[Found]) -> Vec<Audited> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let progress = Progress::counting(models.len());
        thread::scope(|scope| {
            for _ in 0..usize::from(self.arguments.jobs).min(models.len()) {
                scope.spawn(|| {
                    while let Some(model) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let audited = self.one(model);
                        progress.step();
                        let mut done = done.lock().unwrap_or_else(|broken| broken.into_inner());
                        done.push(audited);
                    }
                });
            }
        });
        done.into_inner()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    fn one(&self, model: &Found) -> Audited {
        let mut audited = Audited {
            path: models::name(&model.path),
            findings: Vec::new(),
            trouble: None,
            report: None,
        };
        match model.check().and_then(|()| self.report(&model.path)) {
            Ok(report) => {
                audited.findings = findings(&report, self.policy);
                audited.report = Some(report);
            }
            Err(error) => audited.trouble = Some(sentence(&error)),
        }
        audited
    }

    fn report(&self, path: &Path) -> anyhow::Result<Report> {
        let model = Model::open(path)?;
        let selection = &self.arguments.selection;
        let mut options = selection.plan_options()?;
        let folded = fold(&model, selection.reading(), &options)?;
        let check = Check {
            model: &model,
            checking: (!self.arguments.no_verify).then_some(&self.checking),
            on_different: OnDifferent::Refuse,
            progress: &Progress::new(false),
        };
        let checked = check.run(folded, &mut options)?;
        let mut report = checked.report(&models::name(path));
        if self.arguments.pictures || self.arguments.reports.has_pictures() {
            report.draw(&checked.folded, PICTURES);
        }
        Ok(report)
    }
}
