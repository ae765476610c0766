//! What a verification found, in the report's terms.

use super::{Comparison, OutputFigures, Verification};
use crate::verify::{Tolerance, Verdict, Verification as Found};

impl From<Found> for Verification {
    fn from(found: Found) -> Verification {
        let (wrap, reason): (fn(Comparison) -> Verification, Option<String>) = match &found.verdict
        {
            Verdict::Equivalent => (Verification::Equivalent, None),
            Verdict::Different { counterexample } => {
                (Verification::Different, Some(counterexample.to_string()))
            }
            Verdict::Unknown { reason } => (Verification::Unknown, Some(reason.to_string())),
        };
        let outputs = found.outputs.iter().map(|output| OutputFigures {
            name: output.name.clone(),
            element: output.element.clone(),
            shape: output.shape.clone(),
            original_error: output.original.as_ref().map(|figures| figures.max_abs),
            rewritten_error: output.rewritten.as_ref().map(|figures| figures.max_abs),
            difference: output.difference.as_ref().map(|figures| figures.max_abs),
            allowed: output.allowed,
        });
        wrap(Comparison {
            reason,
            samples: found.samples,
            seed: found.seed,
            tolerance: tolerance(found.tolerance),
            outputs: outputs.collect(),
            values_compared: found.values.len(),
            notes: found.notes,
            engine: found.engine,
        })
    }
}

fn tolerance(tolerance: Tolerance) -> String {
    match tolerance {
        Tolerance::Yardstick { k, floor } => {
            format!("error against float64 at most {k} times the original's plus {floor} roundings")
        }
        Tolerance::Fixed { atol, rtol } => {
            let part =
                |part: Option<f64>| part.map_or("by type".to_owned(), |part| format!("{part:e}"));
            format!("fixed tolerance, atol {}, rtol {}", part(atol), part(rtol))
        }
    }
}
