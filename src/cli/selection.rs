//! Which nodes to fold, and how: the flags that `bnfold` and `bnfold inspect` share.

use anyhow::Context as _;
use bnfold::calibrate::Choice;
use bnfold::graph::Reading;
use bnfold::plan::{PlanOptions, name_patterns};
use clap::Args;
use globset::GlobSet;

/// Flags that decide what is folded.
#[derive(Args, Debug)]
pub(super) struct Selection {
    /// Leave nodes alone whose names match this pattern (may be repeated)
    #[arg(long, value_name = "GLOB")]
    keep: Vec<String>,
    /// Fold only nodes whose names match this pattern (may be repeated)
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Leave Mul, Add, Sub and Div by constants alone unless they sit on a BatchNormalization's path
    #[arg(long)]
    only_batch_norm: bool,
    /// Where a scale can go but its shift cannot, make the BatchNormalization one Add
    #[arg(long)]
    reduce: bool,
    /// Where a value has other readers that are linear, let them make up for its change
    #[arg(long)]
    compensate: bool,
    /// Let sums of convolutions of the same value become one convolution
    #[arg(long)]
    merge_branches: bool,
    /// How many bytes the model may grow by copies of shared weights
    #[arg(long, value_name = "BYTES")]
    max_growth: Option<u64>,
    /// Take initializers that are also graph inputs as constant, although a caller could override them
    #[arg(long)]
    freeze_inputs: bool,
    /// Fold through a Cast between float types too, which moves the rounding
    #[arg(long)]
    allow_precision_change: bool,
}

impl Selection {
    /// The planner's options.
    pub(super) fn plan_options(&self) -> anyhow::Result<PlanOptions> {
        Ok(PlanOptions {
            keep: globs(&self.keep)?,
            only: if self.only.is_empty() {
                None
            } else {
                Some(globs(&self.only)?)
            },
            only_batch_norm: self.only_batch_norm,
            reduce: self.reduce,
            compensate: self.compensate,
            merge_branches: self.merge_branches,
            max_growth: self.max_growth,
            ..PlanOptions::default()
        })
    }

    /// How constants are read.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            freeze_inputs: self.freeze_inputs,
            allow_precision_change: self.allow_precision_change,
            ..engine_reading()
        }
    }

    /// Which nodes are calibrated.
    pub(super) fn choice(&self, all: bool) -> anyhow::Result<Choice> {
        let PlanOptions { keep, only, .. } = self.plan_options()?;
        Ok(Choice { all, keep, only })
    }
}

/// Constants that a model computes are evaluated by the engine.
pub(super) fn engine_reading() -> Reading {
    Reading {
        evaluate: Some(bnfold::engine::constant::evaluate),
        freeze_inputs: false,
        allow_precision_change: false,
    }
}

fn globs(patterns: &[String]) -> anyhow::Result<GlobSet> {
    name_patterns(patterns).context("it is no pattern; use * and ? for any characters")
}
