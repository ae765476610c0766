//! Each mutant before the oracle and before `verify`.

use std::collections::BTreeSet;

use bnfold::engine::ModelBytes;
use bnfold::onnx::proto::ModelProto;
use bnfold::testing::ToBytes;
use bnfold::verify::{Counterexample, Verdict, Verification, VerifyOptions, verify};

use super::oracle::Oracle;
use super::subject::Mutant;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It changes an output, and `verify` names the fold.
    Killed,
    /// It changes no output; the largest change in units of what is rounding, and what `verify` says of it.
    Equivalent { change: f64, is_told: bool },
    /// It cannot be made here.
    Inapplicable(&'static str),
    /// `verify` gets it wrong.
    Missed(String),
}

/// A mutant and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) what: String,
    pub(crate) outcome: Outcome,
}

/// Two models compared where folds end, on so many samples.
pub(crate) fn compared(
    original: &ModelProto,
    rewritten: &ModelProto,
    ends: &[String],
    samples: usize,
) -> Verification {
    let mut options = VerifyOptions::default();
    options.compare_values = ends.to_vec();
    options.samples = samples;
    let (before, after) = (original.to_bytes(), rewritten.to_bytes());
    verify(ModelBytes::new(&before), ModelBytes::new(&after), &options)
}

/// What mutants are held against.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    pub(crate) original: &'a ModelProto,
    /// The values where folds end.
    pub(crate) ends: &'a [String],
    pub(crate) oracle: Oracle<'a>,
    /// How many samples `verify` draws.
    pub(crate) samples: usize,
}

/// Tries a mutant.
pub(crate) fn tried(trial: &Trial<'_>, mutant: &Mutant<'_>) -> Tried {
    let outcome = match (mutant.make)() {
        Err(why) => Outcome::Inapplicable(why),
        Ok(model) => {
            let change = trial.oracle.change(&model);
            let found = compared(trial.original, &model, trial.ends, trial.samples);
            match change > 1.0 {
                true => named(&found, &mutant.shown_at)
                    .map_or_else(Outcome::Missed, |()| Outcome::Killed),
                false => Outcome::Equivalent {
                    change,
                    is_told: found.verdict != Verdict::Equivalent,
                },
            }
        }
    };
    Tried {
        what: mutant.what.clone(),
        outcome,
    }
}

/// Whether a verification names one of these values and blames no other.
fn named(found: &Verification, shown_at: &BTreeSet<String>) -> Result<(), String> {
    let counterexample = match &found.verdict {
        Verdict::Different { counterexample } => counterexample,
        Verdict::Equivalent => {
            let values = found
                .values
                .iter()
                .map(|value| format!("{}: {:.3}", value.name, value.in_roundings));
            let outputs = found
                .outputs
                .iter()
                .map(|output| format!("{:?} allowed {:e}", output.rewrite, output.allowed));
            return Err(format!(
                "equivalent; {:?} {:?}",
                values.collect::<Vec<_>>(),
                outputs.collect::<Vec<_>>()
            ));
        }
        verdict => return Err(format!("{verdict:?}")),
    };
    let name = match counterexample {
        Counterexample::Element { name, .. } => name,
        other => return Err(format!("no element is named: {other}")),
    };
    // A value in a nested graph has the names of the nodes around it in front of its own.
    let is_meant = |name: &str| {
        shown_at
            .iter()
            .any(|wanted| name == wanted || name.ends_with(&format!("/{wanted}")))
    };
    if !is_meant(name) {
        return Err(format!(
            "{name:?} is named, not one of {shown_at:?}: {counterexample}"
        ));
    }
    let blamed = found
        .values
        .iter()
        .find(|value| !value.agrees && !is_meant(&value.name));
    match blamed {
        Some(value) => Err(format!("{:?} is blamed too", value.name)),
        None => Ok(()),
    }
}
