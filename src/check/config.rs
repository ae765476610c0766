//! `bnfold.toml`: what a project decides about findings.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::code::{FindingCode, Severity};
use super::policy::{Level, Policy};

/// What a configuration decides.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// A severity per code, and the bounds.
    pub policy: Policy,
    /// The least severity that makes a check fail.
    pub fail_on: Option<Severity>,
}

/// A configuration that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ConfigError {
    /// The line that is wrong, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    fail_on: Option<Severity>,
    #[serde(default)]
    severity: BTreeMap<Spanned<String>, Level>,
    #[serde(default)]
    bounds: GivenBounds,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenBounds {
    scale: Option<Spanned<f64>>,
    growth: Option<Spanned<f64>>,
}

impl Config {
    /// Reads the text of a `bnfold.toml`.
    ///
    /// # Errors
    /// Text that is no TOML, a key, code or level that does not exist, a bound that is not above 0.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let at = |offset: usize, message: String| ConfigError {
            line: text
                .bytes()
                .take(offset)
                .filter(|&byte| byte == b'\n')
                .count()
                + 1,
            message,
        };
        let file: File = toml::from_str(text).map_err(|error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            at(offset, error.message().replace('\n', " "))
        })?;
        let mut policy = Policy::default();
        for (name, level) in file.severity {
            let code: Result<FindingCode, _> = name.get_ref().parse();
            let code = code.map_err(|error| at(name.span().start, error.to_string()))?;
            policy.levels.insert(code, level);
        }
        for (bound, given) in [
            (&mut policy.bounds.scale, file.bounds.scale),
            (&mut policy.bounds.growth, file.bounds.growth),
        ] {
            let Some(given) = given else { continue };
            let offset = given.span().start;
            *bound = given.into_inner();
            if bound.is_nan() || *bound <= 0.0 {
                return Err(at(offset, "a bound must be a number above 0".to_owned()));
            }
        }
        Ok(Config {
            policy,
            fail_on: file.fail_on,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_bounds_and_the_least_severity_are_read() {
        let text = "fail-on = \"error\"\n[severity]\ndead-channel = \"off\"\nfoldable = \"error\"\n[bounds]\nscale = 10\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.fail_on, Some(Severity::Error));
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
            let error = Config::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.message.contains(part), "{error}");
        }
    }
}
