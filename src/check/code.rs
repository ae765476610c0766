//! The stable code of every finding, and how grave it is unless people say otherwise.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Should be looked at.
    Warning,
    /// Must not be deployed.
    Error,
}

impl Severity {
    /// The severity's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

macro_rules! codes {
    ($($variant:ident, $code:literal, $severity:ident, $summary:literal;)*) => {
        /// The stable code of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[non_exhaustive]
        pub enum FindingCode {
            $(#[doc = $summary] #[serde(rename = $code)] $variant,)*
        }

        impl FindingCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [FindingCode] = &[$(FindingCode::$variant),*];

            /// The code as it stands in reports and configuration.
            pub fn name(self) -> &'static str {
                match self { $(FindingCode::$variant => $code),* }
            }

            /// The severity unless a policy says otherwise.
            pub fn severity(self) -> Severity {
                match self { $(FindingCode::$variant => Severity::$severity),* }
            }

            /// What it means, in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(FindingCode::$variant => $summary),* }
            }

            /// Its page, as Markdown: what it means, why it matters, an example, what to do.
            pub fn page(self) -> &'static str {
                match self {
                    $(FindingCode::$variant => include_str!(concat!("../explain/findings/", $code, ".md"))),*
                }
            }
        }
    };
}

codes! {
    Foldable, "foldable", Warning, "A BatchNormalization is left that algebra allows to fold away.";
    TrainingMode, "training-batch-norm", Error, "A BatchNormalization is in training mode: answers depend on the batch.";
    NotFinite, "non-finite-parameter", Error, "A parameter of a BatchNormalization is NaN or infinite, or makes its scale so.";
    Malformed, "malformed-batch-norm", Error, "A BatchNormalization is not as the standard has it: runtimes refuse it, or read it differently.";
    NegativeVariance, "negative-variance", Error, "A stored variance is negative.";
    LargeScale, "large-scale", Warning, "Variance plus epsilon is so small that the scale exceeds a bound.";
    DeadChannel, "dead-channel", Note, "A scale is zero: the channel gives the same number for every input.";
    HalfOverflow, "float16-overflow", Note, "A parameter or the affine exceeds the range of float16.";
    OverridableInitializer, "overridable-parameter", Note, "A parameter is also a graph input, so a caller may override it.";
    RangeGrowth, "range-growth", Note, "Folding widens one channel's weights far beyond the others'.";
    NotEquivalent, "not-equivalent", Error, "The folded model does not compute what the original does.";
    NotVerifiable, "not-verifiable", Warning, "It could not be told whether the folded model computes the same.";
}

/// A name that no finding's code has.
#[derive(Debug, thiserror::Error)]
#[error("{given:?} is no finding's code; those are {}", names())]
pub struct UnknownCode {
    given: String,
}

fn names() -> String {
    let names: Vec<&str> = FindingCode::ALL.iter().map(|code| code.name()).collect();
    names.join(", ")
}

impl FromStr for FindingCode {
    type Err = UnknownCode;

    fn from_str(name: &str) -> Result<FindingCode, UnknownCode> {
        let known = FindingCode::ALL.iter().find(|code| code.name() == name);
        let given = || UnknownCode {
            given: name.to_owned(),
        };
        known.copied().ok_or_else(given)
    }
}

impl fmt::Display for FindingCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
