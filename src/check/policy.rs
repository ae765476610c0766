//! What people decide about findings: a severity per code, and the bounds beyond which something is one.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

use super::code::{FindingCode, Severity};

/// What to do with findings of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Level {
    /// Leave them out.
    Off,
    /// Report them so.
    Report(Severity),
}

/// A name that no level has.
#[derive(Debug, thiserror::Error)]
#[error("{given:?} is no level; give off, note, warning or error")]
pub struct UnknownLevel {
    given: String,
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Level, UnknownLevel> {
        let severities = [Severity::Note, Severity::Warning, Severity::Error];
        match severities.iter().find(|severity| severity.name() == name) {
            Some(&severity) => Ok(Level::Report(severity)),
            None if name == "off" => Ok(Level::Off),
            None => Err(UnknownLevel {
                given: name.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for Level {
    type Error = UnknownLevel;

    fn try_from(name: String) -> Result<Level, UnknownLevel> {
        name.parse()
    }
}

/// Beyond what something is a finding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Largest |scale/√(var + ε)|.
    pub scale: f64,
    /// Largest |s| of a folded node in units of its median |s|.
    pub growth: f64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            scale: 1e3,
            growth: 64.0,
        }
    }
}

/// What people decide about findings.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Codes whose level is not the usual one.
    pub levels: BTreeMap<FindingCode, Level>,
    /// The bounds.
    pub bounds: Bounds,
}

impl Policy {
    /// What to do with findings of a code.
    pub fn level(&self, code: FindingCode) -> Level {
        let usual = || Level::Report(code.severity());
        self.levels.get(&code).copied().unwrap_or_else(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_set_goes_before_the_usual_one() {
        let mut policy = Policy::default();
        let code = FindingCode::DeadChannel;
        assert_eq!(policy.level(code), Level::Report(Severity::Note));
        policy.levels.insert(code, Level::Off);
        assert_eq!(policy.level(code), Level::Off);
    }
}
