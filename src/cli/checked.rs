//! Render and compare, again without the folds that do not fit or that change results.

use bnfold::bisect::{Culprit, culprit};
use bnfold::fold::{Folded, without_culprit, without_flaws};
use bnfold::onnx::Model;
use bnfold::plan::PlanOptions;
use bnfold::report::{FoldAtFault, Verification};
use bnfold::verify::{Verdict, Verification as Found};
use clap::ValueEnum;

use super::progress::Progress;
use super::verification::{Checking, compare};

/// What to do when the result computes something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnDifferent {
    /// Write nothing, and name the fold
    Refuse,
    /// Leave that fold out, and verify the rest again
    Rollback,
}

/// What to do with a model's folds before they are written.
#[derive(Debug)]
pub(super) struct Check<'m, 'c> {
    pub(super) model: &'m Model,
    /// Absent if the result is not to be verified.
    pub(super) checking: Option<&'c Checking>,
    pub(super) on_different: OnDifferent,
    pub(super) progress: &'c Progress,
}

/// A verification, and the folds that it cost.
#[derive(Debug)]
pub(super) struct Checked<'m> {
    pub(super) folded: Folded<'m>,
    pub(super) verification: Verification,
    /// The fold that makes the result differ, if it does.
    pub(super) at_fault: Option<FoldAtFault>,
    pub(super) rolled_back: Vec<FoldAtFault>,
}

impl<'m> Check<'m, '_> {
    /// Compares the result with the original until it is settled.
    pub(super) fn run(
        &self,
        mut folded: Folded<'m>,
        options: &mut PlanOptions,
    ) -> anyhow::Result<Checked<'m>> {
        let mut rolled_back: Vec<FoldAtFault> = Vec::new();
        loop {
            let (verification, at_fault) = match (folded.applied.edits.is_empty(), self.checking) {
                (true, _) => (Verification::Unchanged, None),
                (_, None) => (Verification::Skipped, None),
                (_, Some(checking)) => {
                    self.progress.stage("folding");
                    let (bytes, flaws) = folded.applied.edits.to_rope()?.to_vec(self.model)?;
                    if !flaws.is_empty() {
                        folded = without_flaws(folded, options, &flaws)?;
                        continue;
                    }
                    self.progress.stage("verifying");
                    let found = compare(self.model, &bytes, &folded.applied, checking)?;
                    let fault = self.fault(&folded, &found, checking)?;
                    if let (Some((culprit, fault)), OnDifferent::Rollback) =
                        (&fault, self.on_different)
                    {
                        let detail = fault.counterexample.clone();
                        folded = without_culprit(folded, options, culprit, detail)?;
                        rolled_back.push(fault.clone());
                        continue;
                    }
                    (found.into(), fault.map(|(_, fault)| fault))
                }
            };
            return Ok(Checked {
                folded,
                verification,
                at_fault,
                rolled_back,
            });
        }
    }

    /// The fold to which a difference is laid.
    fn fault(
        &self,
        folded: &Folded<'_>,
        found: &Found,
        checking: &Checking,
    ) -> anyhow::Result<Option<(Culprit, FoldAtFault)>> {
        let Verdict::Different { counterexample } = &found.verdict else {
            return Ok(None);
        };
        self.progress.stage("looking for the fold that differs");
        let suspects: Vec<&str> = found
            .values
            .iter()
            .filter(|value| !value.agrees)
            .map(|value| value.name.as_str())
            .collect();
        let culprit = culprit(folded, &suspects, |applied| -> anyhow::Result<bool> {
            let (bytes, flaws) = applied.edits.to_rope()?.to_vec(self.model)?;
            if !flaws.is_empty() {
                return Ok(false);
            }
            let found = compare(self.model, &bytes, applied, checking)?;
            Ok(matches!(found.verdict, Verdict::Different { .. }))
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
}
