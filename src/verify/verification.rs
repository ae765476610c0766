//! What a verification found: a verdict, and the figures behind it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::options::Tolerance;
use super::verdict::{Counterexample, Verdict};

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
