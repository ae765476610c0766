//! Findings that were accepted: a later check fails on new ones only.
//!
//! A finding is known again by its [`Identity`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::audit::{Audit, Audited};
use super::identity::Identity;

const SCHEMA: &str = "bnfold-baseline/1";

/// Findings that were accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    schema: String,
    accepted: BTreeSet<Identity>,
}

/// A file that is no baseline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// Not JSON, or other JSON.
    #[error("it is no baseline ({0}); write one with --write-baseline")]
    Malformed(#[from] serde_json::Error),
    /// Of another version.
    #[error(
        "it is of schema {found:?}, this program reads {SCHEMA:?}; write it again with --write-baseline"
    )]
    Schema {
        /// The version.
        found: String,
    },
}

impl Baseline {
    /// All findings of an audit.
    pub fn of(audit: &Audit) -> Baseline {
        let all = audit.models.iter().flat_map(|audited| {
            let findings = audited.findings.iter();
            findings.map(|finding| Identity::of(audited, finding))
        });
        Baseline {
            schema: SCHEMA.to_owned(),
            accepted: all.collect(),
        }
    }

    /// Reads a baseline's text.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Baseline, BaselineError> {
        let baseline: Baseline = serde_json::from_str(text)?;
        match baseline.schema == SCHEMA {
            true => Ok(baseline),
            false => Err(BaselineError::Schema {
                found: baseline.schema,
            }),
        }
    }

    /// The baseline's text, the same for the same findings.
    pub fn render(&self) -> String {
        crate::report::json::pretty(self)
    }

    /// Marks the findings that were accepted.
    pub fn accept(&self, audited: &mut Audited) {
        let known: Vec<bool> = audited
            .findings
            .iter()
            .map(|finding| self.accepted.contains(&Identity::of(audited, finding)))
            .collect();
        for (finding, is_known) in audited.findings.iter_mut().zip(known) {
            finding.is_accepted |= is_known;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Finding, FindingCode, Severity};

    fn audited(nodes: &[&str]) -> Audited {
        let finding = |node: &&str| Finding {
            code: FindingCode::Foldable,
            severity: Severity::Warning,
            node: (*node).to_owned(),
            scope: String::new(),
            message: "m".to_owned(),
            is_accepted: false,
        };
        Audited {
            path: "a.onnx".to_owned(),
            findings: nodes.iter().map(finding).collect(),
            trouble: None,
            report: None,
        }
    }

    #[test]
    fn what_was_accepted_is_known_again_and_the_rest_is_new() {
        let baseline = Baseline::of(&Audit::new(vec![audited(&["bn_0", "bn_1"])]));
        let read = Baseline::parse(&baseline.render()).unwrap();
        assert_eq!(read, baseline);
        let mut later = audited(&["bn_1", "bn_2"]);
        later.findings[0].message = "other figures".to_owned();
        read.accept(&mut later);
        let accepted: Vec<bool> = later.findings.iter().map(|f| f.is_accepted).collect();
        assert_eq!(accepted, [true, false]);
        let mut elsewhere = audited(&["bn_1"]);
        elsewhere.path = "b.onnx".to_owned();
        read.accept(&mut elsewhere);
        assert!(
            elsewhere
                .findings
                .iter()
                .all(|finding| !finding.is_accepted)
        );
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        assert!(matches!(
            Baseline::parse("{}"),
            Err(BaselineError::Malformed(_))
        ));
        let other = r#"{"schema": "bnfold-baseline/2", "accepted": []}"#;
        assert!(matches!(
            Baseline::parse(other),
            Err(BaselineError::Schema { .. })
        ));
    }
}
