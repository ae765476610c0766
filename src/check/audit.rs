//! Audit: the reports and findings of any number of models, as the one value that every format prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::code::Severity;
use super::finding::Finding;
use crate::report::Report;

/// The version of the JSON form; fields are only ever added under one version.
const SCHEMA: &str = "bnfold-audit/1";

/// Models that were looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Audit {
    /// `bnfold-audit/1`.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: String,
    /// The program's version.
    pub version: String,
    /// The least severity that makes the answer no, where a check decided on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<Severity>,
    /// The models, by path.
    pub models: Vec<Audited>,
}

/// A model that was looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Audited {
    /// Its path, as it was given or found, with `/` between its parts.
    pub path: String,
    /// What stands out.
    pub findings: Vec<Finding>,
    /// Why it could not be looked at, if it could not.
    pub trouble: Option<String>,
    /// What was found, if it could.
    pub report: Option<Report>,
}

/// Reports that do not go together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// Of another version.
    #[error(
        "it is of schema {found:?}, this program reads {SCHEMA:?}; make all reports with one version"
    )]
    Schema {
        /// The version.
        found: String,
    },
    /// The same model twice.
    #[error("{path} is in more than one report; give each shard's report once")]
    Twice {
        /// The model.
        path: String,
    },
}

impl Audit {
    /// Models in the order of their paths.
    pub fn new(mut models: Vec<Audited>) -> Audit {
        models.sort_by(|a, b| a.path.cmp(&b.path));
        Audit {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            fail_on: None,
            models,
        }
    }

    /// One audit of the models of several; the strictest decides which findings make the answer no.
    ///
    /// # Errors
    /// If one is of another schema, or a model is in several.
    pub fn merge(audits: Vec<Audit>) -> Result<Audit, MergeError> {
        let mut models = BTreeMap::new();
        let fail_on = audits.iter().filter_map(|audit| audit.fail_on).min();
        for audit in audits {
            if audit.schema != SCHEMA {
                let found = audit.schema;
                return Err(MergeError::Schema { found });
            }
            for audited in audit.models {
                let path = audited.path.clone();
                if models.insert(path.clone(), audited).is_some() {
                    return Err(MergeError::Twice { path });
                }
            }
        }
        Ok(Audit {
            fail_on,
            ..Audit::new(models.into_values().collect())
        })
    }

    /// Findings that the baseline does not hold, each with its model.
    pub fn open(&self) -> impl Iterator<Item = (&Audited, &Finding)> {
        let all = self.models.iter().flat_map(|audited| {
            let findings = audited.findings.iter();
            findings.map(move |finding| (audited, finding))
        });
        all.filter(|(_, finding)| !finding.is_accepted)
    }

    /// How many open findings are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        let same = |(_, finding): &(&Audited, &Finding)| finding.severity == severity;
        self.open().filter(same).count()
    }

    /// Models that could not be looked at, each with the reason.
    pub fn troubles(&self) -> impl Iterator<Item = (&Audited, &str)> {
        let models = self.models.iter();
        models.filter_map(|audited| Some((audited, audited.trouble.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(paths: &[&str]) -> Audit {
        let audited = |path: &&str| Audited {
            path: (*path).to_owned(),
            findings: Vec::new(),
            trouble: None,
            report: None,
        };
        Audit::new(paths.iter().map(audited).collect())
    }

    #[test]
    fn merged_shards_are_what_one_run_gives() {
        let merged = Audit::merge(vec![audit(&["c", "a"]), audit(&[]), audit(&["b"])]).unwrap();
        let paths: Vec<&str> = merged.models.iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, ["a", "b", "c"]);
    }

    #[test]
    fn the_strictest_of_merged_shards_decides() {
        let [mut lax, mut strict] = [audit(&["a"]), audit(&["b"])];
        (lax.fail_on, strict.fail_on) = (Some(Severity::Error), Some(Severity::Note));
        let merged = Audit::merge(vec![lax, strict, audit(&["c"])]).unwrap();
        assert_eq!(merged.fail_on, Some(Severity::Note));
    }

    #[test]
    fn a_model_in_two_reports_and_another_schema_are_refused() {
        let twice = Audit::merge(vec![audit(&["a"]), audit(&["a"])]);
        assert!(matches!(twice, Err(MergeError::Twice { path }) if path == "a"));
        let mut other = audit(&[]);
        other.schema = "bnfold-audit/9".to_owned();
        assert!(matches!(
            Audit::merge(vec![other]),
            Err(MergeError::Schema { .. })
        ));
    }
}
