//! What a verification found, in the report's terms.

use serde::{Deserialize, Serialize};

use super::{Comparison, FigureSet, OutputFigures, Verification};
use crate::verify::{
    Extent, Layer, LayerErrors, Layers, Tolerance, ValueReport, Verdict, Verification as Found,
    number,
};

/// How close an inner value is in both models, run in float64 from the same values before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ValueFigures {
    /// The value, with the names of the nodes around it if it is nested.
    pub name: String,
    /// The node of the original that gives it.
    pub node: String,
    /// The largest error that the rewrite makes there, without the rounding of a run in the models' own type.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub error: f64,
    /// That error in units of what rounding the weights once may do.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub roundings: f64,
    /// Whether it is within what is allowed.
    pub agrees: bool,
}

/// How far a value is from the float64 truth in both models, run in their own types.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LayerFigures {
    /// The value, with the names of the nodes around it if it is nested.
    pub name: String,
    /// The node of the original that gives it.
    pub node: String,
    /// Largest error of the original.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub original_error: f64,
    /// Largest error of the rewritten model.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub rewritten_error: f64,
}

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
        let lines = found.layers.as_ref().map(layers).unwrap_or_default();
        let layer_errors = found.layers.into_iter().flat_map(|layers| layers.errors);
        let (left_out, unreached) = match found.extent {
            Extent::Full => Default::default(),
            Extent::Regional { cuts, unreached } => (cuts, unreached),
        };
        wrap(Comparison {
            left_out,
            unreached,
            forced: found.forced,
            layers: lines,
            layer_errors: layer_errors.map(layer_figures).collect(),
            reason,
            samples: found.samples,
            seed: found.seed,
            tolerance: tolerance(found.tolerance),
            bound: Some(found.tolerance),
            dims: found.dims.into_iter().collect(),
            outputs: outputs.collect(),
            values_compared: found.values.len(),
            values: found.values.into_iter().map(value).collect(),
            notes: found.notes,
            details: found.details,
            engine: found.engine,
        })
    }
}

fn value(value: ValueReport) -> ValueFigures {
    ValueFigures {
        name: value.name,
        node: value.node,
        error: value.max_abs,
        roundings: value.in_roundings,
        agrees: value.agrees,
    }
}

fn layer_figures(layer: LayerErrors) -> LayerFigures {
    LayerFigures {
        name: layer.name,
        node: layer.node,
        original_error: layer.original,
        rewritten_error: layer.rewritten,
    }
}

/// The first value that diverges and those that differ most.
fn layers(layers: &Layers) -> Vec<String> {
    let line = |layer: &Layer| {
        let report = &layer.report;
        let place = layer.worst.as_ref().map(|worst| {
            format!(
                "; most at {:?}: {:e} and {:e} (sample {}, seed {})",
                worst.index, worst.original, worst.rewritten, worst.sample, layer.seed
            )
        });
        format!(
            "{} (node {}): differs by {:.1e}, {:.1} roundings of the weights{}",
            report.name,
            report.node,
            report.max_abs,
            report.in_roundings,
            place.unwrap_or_default()
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
