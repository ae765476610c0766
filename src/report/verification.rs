//! What a verification found, in the report's terms.

use super::{Comparison, FigureSet, OutputFigures, Verification};
use crate::verify::{Extent, Layer, Layers, Tolerance, Verdict, Verification as Found};

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
            agrees: output.agrees,
            elements: output.n_elements,
            argmax_changes: output.argmax_changes,
            figures: FigureSet {
                original: output.original,
                rewritten: output.rewritten,
                rewrite: output.rewrite,
                difference: output.difference,
            },
        });
        let layers = found.layers.as_ref().map(layers).unwrap_or_default();
        let (left_out, unreached) = match found.extent {
            Extent::Full => Default::default(),
            Extent::Regional { cuts, unreached } => (cuts, unreached),
        };
        wrap(Comparison {
            left_out,
            unreached,
            forced: found.forced,
            layers,
            reason,
            samples: found.samples,
            seed: found.seed,
            tolerance: tolerance(found.tolerance),
            bound: Some(found.tolerance),
            dims: found.dims.into_iter().collect(),
            outputs: outputs.collect(),
            values_compared: found.values.len(),
            notes: found.notes,
            details: found.details,
            engine: found.engine,
        })
    }
}

/// The first value that diverges and those that differ most.
fn layers(layers: &Layers) -> Vec<String> {
    let line = |layer: &Layer| {
        let report = &layer.report;
        format!(
            "{} (node {}): differs by {:.1e}, {:.1} roundings of the weights",
            report.name, report.node, report.max_abs, report.in_roundings
        )
    };
    let mut lines = vec![format!("{} layers compared", layers.n_compared)];
    if let Some(first) = &layers.first_divergent {
        lines.push(format!("first that diverges: {}", line(first)));
        lines.extend(layers.counterexample.as_ref().map(ToString::to_string));
    }
    lines.extend(
        layers
            .worst
            .iter()
            .map(|layer| format!("differs most: {}", line(layer))),
    );
    lines
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
