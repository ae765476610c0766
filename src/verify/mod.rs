//! Whether a rewritten model computes what the original does.
//!
//! The truth is the original run in float64. On seeded inputs,
//! 1. each value where a fold ends is compared in float64, from the original's values before it:
//!    the difference may be what rounding that fold's weights once does (`slices`);
//! 2. each output of the rewritten model, run as it is, may be off the truth by
//!    `k·err(original) + floor·u·max|truth|`, in its largest and in its root mean square error,
//! 3. and, where no ends of folds are known, each output of the rewritten model, run in float64, by a
//!    sixteenth of k and an eighth of floor, or by half of k times what rounding the original's weights does.
//!
//! A float64 output has 32 times the floor, since the truth, which is its original, rounds as much as the result does.
//! 1 and 3 see the rewrite without the engine's rounding, 2 sees what a user will see. Where an error
//! is only just too large, what perturbed weights do to the original is measured, more samples are run,
//! and only then is the verdict given. Types and shapes must agree exactly, other than float outputs be equal.
//! Where ONNX Runtime is chosen it runs both models of 2; the truth, 1 and 3 stay with the built-in engine.
//! Not covered: inputs that no sample resembles.

mod border;
pub mod data;
mod dims;
mod draw;
mod figures;
mod gauges;
mod interface;
pub mod isolated;
mod judge;
mod layers;
mod local;
pub(crate) mod number;
mod options;
mod outputs;
mod run;
mod scan;
mod session;
mod slices;
mod supply;
#[cfg(test)]
mod teeth;
mod verdict;
mod verification;

pub use draw::Draw;
pub use figures::Figures;
pub(crate) use figures::difference;
pub(crate) use figures::unravel;
pub use options::{Tolerance, VerifyOptions};
pub(crate) use supply::Supply;
pub use verdict::{Counterexample, Side, Unknown, Verdict};
pub use verification::{
    Extent, Furthest, Layer, LayerErrors, Layers, OutputReport, Timings, ValueReport, Verification,
};

use crate::engine::{Engine, EngineError, ModelBytes};
use run::Failed;

/// Compares two models on the engine that the options choose.
///
/// Never fails: what hinders the comparison is an [`Verdict::Unknown`].
/// Not to be called on a rayon worker: it waits for threads whose kernels need the same pool.
pub fn verify(
    original: ModelBytes<'_>,
    rewritten: ModelBytes<'_>,
    options: &VerifyOptions,
) -> Verification {
    match options.engine.open(options.budget) {
        Ok(engine) => verify_with(engine.as_ref(), original, rewritten, options),
        Err(error) => {
            let message = error.to_string();
            blank(options, Unknown::NoEngine { message })
        }
    }
}

/// Compares two models on an engine.
pub fn verify_with(
    engine: &dyn Engine,
    original: ModelBytes<'_>,
    rewritten: ModelBytes<'_>,
    options: &VerifyOptions,
) -> Verification {
    let how = "was not started".to_owned();
    let mut verification = blank(options, Unknown::Ended { how });
    engine.name().clone_into(&mut verification.engine);
    verification.verdict =
        match session::compare(engine, [original, rewritten], options, &mut verification) {
            Ok(verdict) => verdict,
            Err(reason) => Verdict::Unknown { reason },
        };
    verification
}

/// What is known where nothing was run.
fn blank(options: &VerifyOptions, reason: Unknown) -> Verification {
    Verification {
        verdict: Verdict::Unknown { reason },
        outputs: Vec::new(),
        values: Vec::new(),
        extent: Extent::Full,
        forced: Vec::new(),
        layers: None,
        samples: 0,
        seed: options.seed,
        tolerance: options.tolerance,
        dims: Vec::new(),
        engine: options.engine.to_string(),
        notes: Vec::new(),
        details: Vec::new(),
        timings: Timings::default(),
    }
}

fn unknown(failed: Failed) -> Unknown {
    let side = failed.side;
    match failed.error {
        EngineError::UnsupportedOperator {
            operator,
            version,
            node,
        } => Unknown::Operator {
            side,
            operator,
            version,
            node,
        },
        other => Unknown::Engine {
            side,
            message: other.to_string(),
        },
    }
}
