//! What a verification found, in the report's terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verify::{
    Extent, Figures, Layer, LayerErrors, Layers, Tolerance, ValueReport, Verdict,
    Verification as Found, number,
};

/// What the comparison of both models said.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verification {
    /// There was nothing to compare: the output is the input, byte for byte.
    Unchanged,
    /// The comparison was turned off.
    Skipped,
    /// Both models compute the same.
    Equivalent(Comparison),
    /// They do not.
    Different(Comparison),
    /// It could not be told.
    Unknown(Comparison),
}

/// A comparison of two models on samples.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Comparison {
    /// The verdict's grounds in words: a counterexample, or why it could not be told.
    pub reason: Option<String>,
    /// How many samples were run.
    pub samples: usize,
    /// The seed of the samples.
    pub seed: u64,
    /// The tolerance in words.
    pub tolerance: String,
    /// The tolerance in numbers.
    pub bound: Option<Tolerance>,
    /// Extents that symbolic dimensions were given.
    pub dims: BTreeMap<String, usize>,
    /// What ran the models.
    pub engine: String,
    /// Figures per output.
    pub outputs: Vec<OutputFigures>,
    /// How many inner values were compared as well.
    pub values_compared: usize,
    /// Figures per inner value, in the order in which the models compute them.
    #[serde(default)]
    pub values: Vec<ValueFigures>,
    /// Nodes that the engine lacks and that were left out, each with its reason; empty if all was run.
    pub left_out: Vec<String>,
    /// Values that could not be compared because of that.
    pub unreached: Vec<String>,
    /// Values in nested graphs that no sample enters, compared by running those graphs all the same.
    pub forced: Vec<String>,
    /// The comparison of all layers, line by line, where it was asked for.
    pub layers: Vec<String>,
    /// Figures per value that both models name, in execution order, where all layers were asked for.
    #[serde(default)]
    pub layer_errors: Vec<LayerFigures>,
    /// What a reader should know of how the models were run.
    pub notes: Vec<String>,
    /// What only a reader of the figures asks for.
    pub details: Vec<String>,
}

/// How close an output is in both models.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OutputFigures {
    /// The output.
    pub name: String,
    /// Its element type.
    pub element: String,
    /// Its shape on the samples.
    pub shape: Vec<usize>,
    /// Largest error of the original against the float64 truth.
    #[serde(with = "number::optional")]
    #[cfg_attr(test, schemars(with = "Option<number::Number>"))]
    pub original_error: Option<f64>,
    /// Largest error of the rewritten model against the float64 truth.
    #[serde(with = "number::optional")]
    #[cfg_attr(test, schemars(with = "Option<number::Number>"))]
    pub rewritten_error: Option<f64>,
    /// Largest difference between the two models.
    #[serde(with = "number::optional")]
    #[cfg_attr(test, schemars(with = "Option<number::Number>"))]
    pub difference: Option<f64>,
    /// The difference that is allowed.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub allowed: f64,
    /// Whether it is within what is allowed; equal, where it holds no floating-point numbers.
    pub agrees: bool,
    /// Elements compared, of all samples together.
    pub elements: usize,
    /// Rows along the last axis whose largest element is another one.
    pub argmax_changes: usize,
    /// Every figure, where the output holds floating-point numbers.
    pub figures: FigureSet,
}

/// The distances between the runs of two models; none where there is no float64 truth.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FigureSet {
    /// The original against the float64 truth.
    pub original: Option<Figures>,
    /// The rewritten model against the float64 truth.
    pub rewritten: Option<Figures>,
    /// The rewritten model in float64 against the truth: the rewrite without rounding in the run; none where
    /// each fold is compared by itself.
    pub rewrite: Option<Figures>,
    /// The rewritten model against the original.
    pub difference: Option<Figures>,
}

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
