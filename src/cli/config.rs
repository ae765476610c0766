//! `bnfold.toml`: what a project decides about findings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use bnfold::check::{FindingCode, Level, Policy, Severity};
use clap::ValueEnum;
use serde::Deserialize;
use toml::Spanned;

/// The name that is looked for.
const NAME: &str = "bnfold.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    fail_on: Option<FailOn>,
    #[serde(default)]
    severity: BTreeMap<Spanned<String>, LevelName>,
    #[serde(default)]
    bounds: Bounds,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    scale: Option<Spanned<f64>>,
    growth: Option<Spanned<f64>>,
}

/// A severity, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LevelName {
    /// Leave findings of this code out
    Off,
    /// Worth knowing
    Note,
    /// Should be looked at
    Warning,
    /// Must not be deployed
    Error,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Level {
        match name {
            LevelName::Off => Level::Off,
            LevelName::Note => Level::Report(Severity::Note),
            LevelName::Warning => Level::Report(Severity::Warning),
            LevelName::Error => Level::Report(Severity::Error),
        }
    }
}

/// The least severity that makes a check fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
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

/// What a configuration decides.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) policy: Policy,
    pub(super) fail_on: Option<FailOn>,
}

impl Config {
    /// The file that is given, else the nearest `bnfold.toml` from the working directory up, else nothing.
    pub(super) fn load(given: Option<&Path>) -> anyhow::Result<Config> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => match nearest()? {
                Some(path) => path,
                None => return Ok(Config::default()),
            },
        };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        parse(&text).map_err(|(at, message)| {
            let line = text[..at.min(text.len())].matches('\n').count() + 1;
            anyhow!("{}, line {line}: {message}", path.display())
        })
    }
}

fn nearest() -> anyhow::Result<Option<PathBuf>> {
    let here = std::env::current_dir().context("cannot tell the working directory")?;
    let mut candidates = here.ancestors().map(|directory| directory.join(NAME));
    Ok(candidates.find(|path| path.is_file()))
}

/// The configuration, or the byte at which it is wrong and how.
fn parse(text: &str) -> Result<Config, (usize, String)> {
    let file: File = toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, error.message().replace('\n', " "))
    })?;
    let mut policy = Policy::default();
    for (name, level) in file.severity {
        let code = code(name.get_ref()).map_err(|message| (name.span().start, message))?;
        policy.levels.insert(code, level.into());
    }
    for (bound, given) in [
        (&mut policy.bounds.scale, file.bounds.scale),
        (&mut policy.bounds.growth, file.bounds.growth),
    ] {
        let Some(given) = given else { continue };
        let at = given.span().start;
        *bound = given.into_inner();
        if bound.is_nan() || *bound <= 0.0 {
            return Err((at, "a bound must be a number above 0".to_owned()));
        }
    }
    Ok(Config {
        policy,
        fail_on: file.fail_on,
    })
}

/// The finding's code of this name.
pub(super) fn code(name: &str) -> Result<FindingCode, String> {
    let known = FindingCode::ALL.iter().find(|code| code.name() == name);
    let unknown = || {
        let names: Vec<&str> = FindingCode::ALL.iter().map(|code| code.name()).collect();
        format!(
            "{name:?} is no finding's code; those are {}",
            names.join(", ")
        )
    };
    known.copied().ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_bounds_and_the_least_severity_are_read() {
        let text = "fail-on = \"error\"\n[severity]\ndead-channel = \"off\"\nfoldable = \"error\"\n[bounds]\nscale = 10\n";
        let config = parse(text).unwrap();
        assert_eq!(config.fail_on, Some(FailOn::Error));
        assert_eq!(config.policy.level(FindingCode::DeadChannel), Level::Off);
        assert_eq!(
            config.policy.level(FindingCode::Foldable),
            Level::Report(Severity::Error)
        );
        assert!((config.policy.bounds.scale - 10.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, line, part) in [
            ("[severity]\n\nfoldabel = \"off\"\n", 3, "no finding's code"),
            ("[severity]\nfoldable = \"fatal\"\n", 2, "fatal"),
            ("x = 1\n", 1, "x"),
            ("a = \n", 1, ""),
            ("[bounds]\nscale = -1.0\n", 2, "above 0"),
            ("[bounds]\nscale = \"big\"\n", 2, "big"),
        ] {
            let (at, message) = parse(text).unwrap_err();
            assert_eq!(text[..at].matches('\n').count() + 1, line, "{message}");
            assert!(message.contains(part), "{message}");
        }
    }
}
