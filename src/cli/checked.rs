//! How the commands have a plan settled: compared in a process of its own, unless that is turned off.

use bnfold::fold::Folded;
use bnfold::onnx::Model;
use bnfold::plan::PlanOptions;
use bnfold::settle::{OnDifferent, Settled, settle};
use clap::ValueEnum;

use super::progress::Progress;
use super::verification::{Checking, Comparer};

/// What to do when the result computes something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WhenDifferent {
    /// Write nothing, and name the fold
    Refuse,
    /// Leave that fold out, and verify the rest again
    Rollback,
}

impl From<WhenDifferent> for OnDifferent {
    fn from(when: WhenDifferent) -> OnDifferent {
        match when {
            WhenDifferent::Refuse => OnDifferent::Refuse,
            WhenDifferent::Rollback => OnDifferent::Rollback,
        }
    }
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

impl<'m> Check<'m, '_> {
    /// Compares the result with the original until it is settled.
    pub(super) fn run(
        &self,
        folded: Folded<'m>,
        options: &mut PlanOptions,
    ) -> anyhow::Result<Settled<'m>> {
        let Some(checking) = self.checking else {
            return Ok(settle(folded, options, self.on_different, None)?);
        };
        let comparer = Comparer::new(self.model, checking)?;
        self.progress.stage("verifying");
        let mut n_compared = 0;
        let settled = settle(
            folded,
            options,
            self.on_different,
            Some(&mut |bytes, applied| {
                n_compared += 1;
                if n_compared == 2 {
                    self.progress.stage("looking for the fold that differs");
                }
                comparer.compare(bytes, applied)
            }),
        )?;
        Ok(settled)
    }
}
