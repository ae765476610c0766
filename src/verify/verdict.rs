//! What a verification found: a verdict, its evidence, and the figures behind it.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// No output has numbers that could differ, and no value was to be compared.
    #[error("{}", nothing_text(names))]
    Nothing {
        /// The outputs, all of them empty or one constant.
        names: Vec<String>,
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

fn nothing_text(names: &[String]) -> String {
    match names {
        [] => "the models have no outputs, so there is nothing to compare".to_owned(),
        names => format!(
            "the outputs ({}) are empty or one constant on every sample, so equality there proves \
             nothing; give real inputs or other dimensions",
            first_few(names)
        ),
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
