//! Settle: fold, compare, and go back, until what is left of the plan is proved or refused.
//!
//! A fold whose new weights do not fit their type is left out; one that changes results is found and, where that is
//! wanted, left out too, and the rest is compared again.
//! How two models are compared is the caller's: in this process, in another one, or not at all.

use crate::apply::{Applied, ApplyError};
use crate::bisect::{Culprit, culprit};
use crate::fold::{FoldError, Folded, without_culprit, without_flaws};
use crate::onnx::{Flaw, Model, WriteError};
use crate::plan::PlanOptions;
use crate::report::{FoldAtFault, Report, Verification};
use crate::verify::{Verdict, Verification as Found};

/// What to do when the result computes something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDifferent {
    /// Say so, and name the fold.
    #[default]
    Refuse,
    /// Leave that fold out, and compare the rest again.
    Rollback,
}

/// Compares the original with rewritten bytes.
pub type Compare<'c> = &'c mut dyn FnMut(&[u8], &Applied<'_>) -> Found;

/// What became of a plan.
#[derive(Debug)]
pub struct Settled<'m> {
    /// What is left of it.
    pub folded: Folded<'m>,
    /// What the comparison said.
    pub verification: Verification,
    /// The fold that makes the result differ, if it does.
    pub at_fault: Option<FoldAtFault>,
    /// Folds that were left out because with them the result differed.
    pub rolled_back: Vec<FoldAtFault>,
}

/// A plan that cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// What is left of it cannot be planned or applied.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The rewritten model cannot be put together.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Settled<'_> {
    /// The report, with nothing written.
    pub fn report(&self, path: &str) -> Report {
        let mut report = Report::new(path, &self.folded);
        report.verification.clone_from(&self.verification);
        report.at_fault.clone_from(&self.at_fault);
        report.rolled_back.clone_from(&self.rolled_back);
        report
    }
}

/// Compares the result with the original until it is settled; without `compare`, only what does not fit is left out.
///
/// # Errors
/// If a weight cannot be read, or what is left of the plan cannot be carried out.
pub fn settle<'m>(
    mut folded: Folded<'m>,
    options: &mut PlanOptions,
    on_different: OnDifferent,
    mut compare: Option<Compare<'_>>,
) -> Result<Settled<'m>, SettleError> {
    let mut rolled_back = Vec::new();
    loop {
        let (verification, at_fault) = match &mut compare {
            _ if folded.applied.edits.is_empty() => (Verification::Unchanged, None),
            None => (Verification::Skipped, None),
            Some(compare) => {
                let (bytes, flaws) = rendered(folded.graph.model, &folded.applied)?;
                if !flaws.is_empty() {
                    folded = without_flaws(folded, options, &flaws)?;
                    continue;
                }
                let found = compare(&bytes, &folded.applied);
                drop(bytes);
                let fault = fault(&folded, &found, *compare)?;
                if let (Some((culprit, fault)), OnDifferent::Rollback) = (&fault, on_different) {
                    let detail = fault.counterexample.clone();
                    folded = without_culprit(folded, options, culprit, detail)?;
                    rolled_back.push(fault.clone());
                    continue;
                }
                (found.into(), fault.map(|(_, fault)| fault))
            }
        };
        return Ok(Settled {
            folded,
            verification,
            at_fault,
            rolled_back,
        });
    }
}

fn rendered(model: &Model, applied: &Applied<'_>) -> Result<(Vec<u8>, Vec<Flaw>), SettleError> {
    let rope = applied.edits.to_rope();
    let rope = rope.map_err(|error| FoldError::Apply(ApplyError::Edit(error)))?;
    Ok(rope.to_vec(model)?)
}

/// The fold to which a difference is laid.
fn fault(
    folded: &Folded<'_>,
    found: &Found,
    compare: Compare<'_>,
) -> Result<Option<(Culprit, FoldAtFault)>, SettleError> {
    let Verdict::Different { counterexample } = &found.verdict else {
        return Ok(None);
    };
    let suspects: Vec<&str> = found
        .values
        .iter()
        .filter(|value| !value.agrees)
        .map(|value| value.name.as_str())
        .collect();
    let culprit = culprit(folded, &suspects, |applied| {
        let (bytes, flaws) = rendered(folded.graph.model, applied)?;
        let is_whole = flaws.is_empty();
        let verdict = is_whole.then(|| compare(&bytes, applied).verdict);
        Ok::<bool, SettleError>(matches!(verdict, Some(Verdict::Different { .. })))
    })?;
    Ok(culprit.map(|culprit| {
        let fault = FoldAtFault {
            node: culprit.label.clone(),
            sites: culprit.sites.clone(),
            counterexample: counterexample.to_string(),
        };
        (culprit, fault)
    }))
}
