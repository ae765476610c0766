//! What a verification found: a verdict, its evidence, and the figures behind it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::options::Tolerance;

/// What is known about two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// On every sample the rewritten model is as close to the truth as the original.
    Equivalent,
    /// It is not, and this shows it.
    Different {
        /// What differs.
        counterexample: Counterexample,
    },
    /// It could not be told.
    Unknown {
        /// Why.
        reason: Unknown,
    },
}

/// What differs between two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Counterexample {
    /// Names, types or shapes of inputs or outputs.
    Interface {
        /// What, in words.
        what: String,
    },
    /// One element of one value.
    Element {
        /// The value's name.
        name: String,
        /// Whether it is a graph output; else one of the values that were to agree.
        is_output: bool,
        /// The node of the original that gives it, where known.
        node: Option<String>,
        /// Where in the value.
        index: Vec<usize>,
        /// The original's number there.
        original: f64,
        /// The rewritten model's number there.
        rewritten: f64,
        /// The difference that would have been accepted there.
        allowed: f64,
        /// The sample that shows it, counted from 0.
        sample: usize,
        /// The seed that the sample is drawn with.
        seed: u64,
    },
    /// One element of an output that misses what came with the inputs.
    Expected {
        /// The output's name.
        name: String,
        /// Where in it.
        index: Vec<usize>,
        /// The number that came with the inputs.
        expected: f64,
        /// The model's number.
        found: f64,
        /// The difference that would have been accepted there.
        allowed: f64,
        /// The sample, counted from 0.
        sample: usize,
    },
    /// One element of an output whose elements must be equal and are no floating-point numbers.
    Unequal {
        /// The output's name.
        name: String,
        /// Where in it.
        index: Vec<usize>,
        /// The original's element.
        original: String,
        /// The rewritten model's element.
        rewritten: String,
        /// The sample that shows it, counted from 0.
        sample: usize,
        /// The seed that the sample is drawn with.
        seed: u64,
    },
}

impl fmt::Display for Counterexample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Counterexample::Interface { what } => formatter.write_str(what),
            Counterexample::Element {
                name,
                is_output,
                node,
                index,
                original,
                rewritten,
                allowed,
                sample,
                seed,
            } => {
                let what = if *is_output { "output" } else { "value" };
                write!(
                    formatter,
                    "{what} {name:?}{index:?} is {original:e} in the original and "
                )?;
                write!(formatter, "{rewritten:e} in the rewritten model ")?;
                write!(
                    formatter,
                    "(allowed difference {allowed:.3e}, sample {sample}, seed {seed}"
                )?;
                match node {
                    Some(node) => write!(formatter, ", node {node})"),
                    None => formatter.write_str(")"),
                }
            }
            Counterexample::Expected {
                name,
                index,
                expected,
                found,
                allowed,
                sample,
            } => write!(
                formatter,
                "output {name:?}{index:?} is {found:e}, expected is {expected:e} \
                 (allowed difference {allowed:.3e}, sample {sample})"
            ),
            Counterexample::Unequal {
                name,
                index,
                original,
                rewritten,
                sample,
                seed,
            } => write!(
                formatter,
                "output {name:?}{index:?} is {original} in the original and {rewritten} in the \
                 rewritten model (sample {sample}, seed {seed})"
            ),
        }
    }
}

/// Which of the two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The model before rewriting.
    Original,
    /// The model after rewriting.
    Rewritten,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Side::Original => "the original",
            Side::Rewritten => "the rewritten model",
        })
    }
}

/// Why a verification could not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Unknown {
    /// The engine has no such operator.
    #[error(
        "the engine has no operator {operator} (opset {version}), which node {node} of {side} needs"
    )]
    Operator {
        /// Which model.
        side: Side,
        /// The operator.
        operator: String,
        /// The opset version it is written in.
        version: i64,
        /// The node.
        node: String,
    },
    /// The engine could not run a model.
    #[error("{side} did not run: {message}")]
    Engine {
        /// Which model.
        side: Side,
        /// What the engine said.
        message: String,
    },
    /// The engine that was asked for cannot be had.
    #[error("{message}")]
    NoEngine {
        /// Why, and what to do.
        message: String,
    },
    /// A value that says nothing on every sample.
    #[error(
        "{name:?} is {how} on every sample, so equality there proves nothing; \
         give real inputs or other dimensions"
    )]
    Uninformative {
        /// The value.
        name: String,
        /// What it is.
        how: String,
    },
    /// The original's own rounding error hides any difference.
    #[error(
        "float32 rounding alone moves output {name:?} by {percent:.0} % of its size, \
         which hides what a rewrite may do; compare layers, or give real inputs"
    )]
    Insensitive {
        /// The output.
        name: String,
        /// RMS error of the original against the truth, in percent of the output's RMS.
        percent: f64,
    },
    /// Values that were to be compared and were not reached.
    #[error("{} could not be compared{}", first_few(names), cut_text(cuts))]
    Unreached {
        /// Their names.
        names: Vec<String>,
        /// The nodes that were left out, each with its reason.
        cuts: Vec<String>,
    },
    /// The engine's process ended or was ended before it gave a verdict.
    #[error("the engine's process {how}; raise the limit, or verify on smaller dimensions")]
    Ended {
        /// How, and the limit if it was one.
        how: String,
    },
    /// The models' inputs or outputs do not correspond.
    #[error("the models cannot be compared: {what}")]
    Interface {
        /// What does not, in words.
        what: String,
    },
    /// The original itself does not give the outputs that came with the inputs.
    #[error(
        "the original itself misses what is expected: {what}; give the data of this model, \
         or inputs without expected outputs"
    )]
    Expectation {
        /// Where, in words.
        what: String,
    },
    /// Inputs could not be made.
    #[error("{message}")]
    Inputs {
        /// Why, and what to give.
        message: String,
    },
}

fn cut_text(cuts: &[String]) -> String {
    match cuts {
        [] => ", because no sample reaches them or one of the models does not give them".to_owned(),
        cuts => format!(" behind what the engine lacks ({})", first_few(cuts)),
    }
}

/// What a sentence can hold of a list.
fn first_few(list: &[String]) -> String {
    const FEW: usize = 3;
    let shown = list
        .iter()
        .take(FEW)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match list.len().saturating_sub(FEW) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// How much of the models was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "extent", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Extent {
    /// All of them.
    #[default]
    Full,
    /// All but nodes that the engine lacks; random values stand for what those would give.
    Regional {
        /// The nodes that were left out, each with its reason.
        cuts: Vec<String>,
        /// Values that could not be compared.
        unreached: Vec<String>,
    },
}

/// One value of a comparison of all layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// What was found at the value.
    pub report: ValueReport,
    /// Where it differs most.
    pub worst: Option<Furthest>,
    /// Seed of the samples.
    pub seed: u64,
}

/// The element of a value in which two models differ most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Furthest {
    /// Where in the value.
    pub index: Vec<usize>,
    /// The original's number there.
    pub original: f64,
    /// The rewritten model's number there.
    pub rewritten: f64,
    /// The sample, counted from 0.
    pub sample: usize,
}

/// A comparison of all values that both graphs name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layers {
    /// How many values were compared.
    pub n_compared: usize,
    /// The first value, in execution order, that differs by more than rounding.
    pub first_divergent: Option<Layer>,
    /// The element that shows it.
    pub counterexample: Option<Counterexample>,
    /// The values that differ most, in units of what rounding the weights does.
    pub worst: Vec<Layer>,
    /// Both models in their own types against the float64 truth, in execution order.
    #[serde(default)]
    pub errors: Vec<LayerErrors>,
}

/// How far a value is from the float64 truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerErrors {
    /// The value's name, with the names of the nodes around it if it is nested.
    pub name: String,
    /// The node of the original that gives it.
    pub node: String,
    /// Largest error of the original.
    pub original: f64,
    /// Largest error of the rewritten model.
    pub rewritten: f64,
}

/// An output's evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputReport {
    /// The output's name.
    pub name: String,
    /// Its element type.
    pub element: String,
    /// Its extents in the run.
    pub shape: Vec<usize>,
    /// The original's run against the float64 truth.
    pub original: Option<Figures>,
    /// The rewritten model's run against the float64 truth.
    pub rewritten: Option<Figures>,
    /// The rewritten model run in float64 against the truth: the rewrite alone, without rounding in the run;
    /// none where that run is compared at the ends of folds, and goes on with the original's values there.
    pub rewrite: Option<Figures>,
    /// The rewritten model's run against the original's.
    pub difference: Option<Figures>,
    /// The largest error that is accepted.
    pub allowed: f64,
    /// Rows along the last axis whose largest element is another one than in the original's run.
    pub argmax_changes: usize,
    /// Elements compared, all samples together.
    pub n_elements: usize,
    /// Whether the tolerance accepts it.
    pub agrees: bool,
}

/// The evidence at a value that both graphs name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueReport {
    /// The value's name, with the names of the nodes around it if it is nested.
    pub name: String,
    /// The node of the original that gives it.
    pub node: String,
    /// Largest difference between the two models, both in float64 and from the same values before it.
    pub max_abs: f64,
    /// That difference in units of what rounding the weights once may do.
    pub in_roundings: f64,
    /// Whether it is within what is allowed.
    pub agrees: bool,
}

/// Wall-clock time by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Reading the models.
    pub load: Duration,
    /// The runs in the models' own types.
    pub runs: Duration,
    /// The runs in float64.
    pub truth: Duration,
}

/// All that a verification found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verification {
    /// The verdict.
    pub verdict: Verdict,
    /// Per output, in the model's order; empty where nothing could be run.
    pub outputs: Vec<OutputReport>,
    /// Per value of `compare_values`, in execution order.
    pub values: Vec<ValueReport>,
    /// How much of the models was run.
    pub extent: Extent,
    /// Values in bodies of If, Loop and Scan that no sample enters, compared by running those all the same.
    pub forced: Vec<String>,
    /// All values that both graphs name, where that was asked for.
    pub layers: Option<Layers>,
    /// How many samples were run.
    pub samples: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// The tolerance that was applied.
    pub tolerance: Tolerance,
    /// Extents that symbolic dimensions were given.
    pub dims: Vec<(String, usize)>,
    /// The engine.
    pub engine: String,
    /// What a reader should know about how the verdict came about.
    pub notes: Vec<String>,
    /// What only a reader of the figures asks for.
    pub details: Vec<String>,
    /// Where the time went.
    pub timings: Timings,
}
