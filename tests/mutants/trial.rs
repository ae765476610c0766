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

/// Two models compared where folds end.
pub(crate) fn compared(original: &ModelProto, rewritten: &ModelProto, ends: &[String]) -> Verification {
    let mut options = VerifyOptions::default();
    options.compare_values = ends.to_vec();
    let (before, after) = (original.to_bytes(), rewritten.to_bytes());
    verify(ModelBytes::new(&before), ModelBytes::new(&after), &options)
}

/// Tries a mutant.
pub(crate) fn tried(original: &ModelProto, ends: &[String], oracle: &Oracle, mutant: &Mutant) -> Tried {
    let outcome = match &mutant.model {
        Err(why) => Outcome::Inapplicable(why),
        Ok(model) => {
            let change = oracle.change(model);
            let found = compared(original, model, ends);
            match change > 1.0 {
                true => named(&found, &mutant.shown_at).map_or_else(Outcome::Missed, |()| Outcome::Killed),
                false => Outcome::Equivalent { change, is_told: found.verdict != Verdict::Equivalent },
            }
        }
    };
    Tried { what: mutant.what.clone(), outcome }
}

/// Whether a verification names one of these values and blames no other.
fn named(found: &Verification, shown_at: &BTreeSet<String>) -> Result<(), String> {
    let counterexample = match &found.verdict {
        Verdict::Different { counterexample } => counterexample,
        Verdict::Equivalent => {
            let values = found.values.iter().map(|value| format!("{}: {:.3}", value.name, value.in_roundings));
            let outputs = found.outputs.iter().map(|output| format!("{:?} allowed {:e}", output.rewrite, output.allowed));
            return Err(format!("equivalent; {:?} {:?}", values.collect::<Vec<_>>(), outputs.collect::<Vec<_>>()));
        }
        verdict => return Err(format!("{verdict:?}")),
    };
    let name = match counterexample {
        Counterexample::Element { name, .. } => name,
        other => return Err(format!("no element is named: {other}")),
    };
    if !shown_at.contains(name) {
        return Err(format!("{name:?} is named, not one of {shown_at:?}: {counterexample}"));
    }
    let blamed = found.values.iter().find(|value| !value.agrees && !shown_at.contains(&value.name));
    match blamed {
        Some(value) => Err(format!("{:?} is blamed too", value.name)),
        None => Ok(()),
    }
}
