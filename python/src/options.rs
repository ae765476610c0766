//! What Python asks for, as JSON: the keyword arguments of `bnfold.fold` and `bnfold.check`.

use std::collections::BTreeMap;
use std::time::Duration;

use bnfold::check::{Bounds, FindingCode, Level, Policy, Severity};
use bnfold::graph::Reading;
use bnfold::plan::{PlanOptions, name_patterns};
use bnfold::settle;
use bnfold::verify::isolated::{Limits, Worker};
use bnfold::verify::{Tolerance, VerifyOptions};
use serde::Deserialize;

/// The keyword arguments, with the defaults of the Python side filled in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    pub(super) verify: bool,
    pub(super) on_different: OnDifferent,
    keep: Vec<String>,
    only: Vec<String>,
    only_batch_norm: bool,
    reduce: bool,
    compensate: bool,
    merge_branches: bool,
    max_growth: Option<u64>,
    freeze_inputs: bool,
    allow_precision_change: bool,
    dims: BTreeMap<String, usize>,
    samples: usize,
    seed: u64,
    k: f64,
    floor: f64,
    atol: Option<f64>,
    rtol: Option<f64>,
    timeout: Option<f64>,
    max_memory: Option<u64>,
    severity: BTreeMap<FindingCode, LevelName>,
    max_scale: Option<f64>,
    max_spread: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnDifferent {
    Refuse,
    Rollback,
}

impl From<OnDifferent> for settle::OnDifferent {
    fn from(given: OnDifferent) -> settle::OnDifferent {
        match given {
            OnDifferent::Refuse => settle::OnDifferent::Refuse,
            OnDifferent::Rollback => settle::OnDifferent::Rollback,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LevelName {
    Off,
    Note,
    Warning,
    Error,
}

impl Options {
    pub(super) fn parse(json: &str) -> Result<Options, String> {
        let options: Options =
            serde_json::from_str(json).map_err(|error| format!("an argument is wrong: {error}"))?;
        match options.samples {
            0 => Err("samples must be at least 1".to_owned()),
            _ => Ok(options),
        }
    }

    pub(super) fn plan_options(&self) -> Result<PlanOptions, String> {
        let patterns = |given: &[String]| name_patterns(given).map_err(|error| error.to_string());
        let mut options = PlanOptions::default();
        options.keep = patterns(&self.keep)?;
        if !self.only.is_empty() {
            options.only = Some(patterns(&self.only)?);
        }
        options.only_batch_norm = self.only_batch_norm;
        options.reduce = self.reduce;
        options.compensate = self.compensate;
        options.merge_branches = self.merge_branches;
        options.max_growth = self.max_growth;
        Ok(options)
    }

    pub(super) fn reading(&self) -> Reading {
        Reading {
            evaluate: Some(bnfold::engine::constant::evaluate),
            freeze_inputs: self.freeze_inputs,
            allow_precision_change: self.allow_precision_change,
        }
    }

    pub(super) fn verify_options(&self) -> VerifyOptions {
        let mut options = VerifyOptions::default();
        options.samples = self.samples;
        options.seed = self.seed;
        options.dims.clone_from(&self.dims);
        options.tolerance = match (self.atol, self.rtol) {
            (None, None) => Tolerance::Yardstick {
                k: self.k,
                floor: self.floor,
            },
            (atol, rtol) => Tolerance::Fixed { atol, rtol },
        };
        options
    }

    /// A command line whose first word is the program.
    pub(super) fn worker(&self, command: Vec<String>) -> Result<Worker, String> {
        let seconds = self.timeout.map(Duration::try_from_secs_f64).transpose();
        let timeout = seconds.map_err(|error| format!("timeout is wrong: {error}"))?;
        let mut words = command.into_iter();
        let program = words
            .next()
            .ok_or("no Python interpreter is known to compare with")?;
        Ok(Worker {
            program: program.into(),
            arguments: words.map(Into::into).collect(),
            limits: Limits {
                timeout,
                memory: self.max_memory,
            },
        })
    }

    pub(super) fn policy(&self) -> Result<Policy, String> {
        let mut policy = Policy::default();
        for (&code, &name) in &self.severity {
            let level = match name {
                LevelName::Off => Level::Off,
                LevelName::Note => Level::Report(Severity::Note),
                LevelName::Warning => Level::Report(Severity::Warning),
                LevelName::Error => Level::Report(Severity::Error),
            };
            policy.levels.insert(code, level);
        }
        let bound = |given: Option<f64>, usual: f64| match given {
            Some(bound) if bound.is_nan() || bound <= 0.0 => {
                Err(format!("a bound of {bound} is not above 0"))
            }
            given => Ok(given.unwrap_or(usual)),
        };
        let usual = Bounds::default();
        policy.bounds = Bounds {
            scale: bound(self.max_scale, usual.scale)?,
            growth: bound(self.max_spread, usual.growth)?,
        };
        Ok(policy)
    }
}
