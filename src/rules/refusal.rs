//! Every reason why a BatchNormalization stays, as data.
//!
//! A code says what kind of reason it is: *impossible* (the algebra forbids it), *unsafe* (numbers would change or
//! overflow), *policy* (a flag would allow it), *unsupported* (not built).
//! The codes are stable: they stand in reports, in `bnfold explain`, and in people's configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A reason, where it arose, and in what words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The reason's stable code.
    pub code: Code,
    /// The node at which the affine could not go on.
    pub node: String,
    /// What was found there.
    pub detail: String,
}

impl Refusal {
    /// A reason found at a node.
    pub fn new(code: Code, node: impl Into<String>, detail: impl Into<String>) -> Refusal {
        Refusal {
            code,
            node: node.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {}: {}", self.code, self.node, self.detail)
    }
}

/// What a reason rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The algebra forbids it.
    Impossible,
    /// It would change or overflow numbers.
    Unsafe,
    /// A flag would allow it.
    Policy,
    /// It is not built.
    Unsupported,
}

impl Kind {
    /// The kind's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Impossible => "impossible",
            Kind::Unsafe => "unsafe",
            Kind::Policy => "policy",
            Kind::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

macro_rules! codes {
    ($($variant:ident, $code:literal, $kind:ident, $summary:literal;)*) => {
        /// The stable code of a reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $summary] #[serde(rename = $code)] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The code as it stands in reports.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $code),* }
            }

            /// What the reason rests on.
            pub fn kind(self) -> Kind {
                match self { $(Code::$variant => Kind::$kind),* }
            }

            /// The reason in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Code::$variant => $summary),* }
            }

            /// Its page, as Markdown: what it means, why it matters, an example, what to do.
            pub fn page(self) -> &'static str {
                match self {
                    $(Code::$variant => include_str!(concat!("../explain/refusals/", $code, ".md"))),*
                }
            }
        }
    };
}

codes! {
    GraphInput, "graph-input", Impossible, "The value is an input of the graph: there is no weight to take the affine.";
    GraphOutput, "graph-output", Impossible, "A value whose meaning would change is an output of the graph.";
    OtherReader, "other-reader", Impossible, "A value whose meaning would change is also read by a node outside the fold.";
    Captured, "captured", Impossible, "A nested graph (If, Loop, Scan) captures a value whose meaning would change.";
    Reserved, "reserved", Impossible, "A quantization annotation or training_info names a value whose meaning would change.";
    Nonlinear, "nonlinear", Impossible, "The operator is not linear and lets no affine pass.";
    NegativeScale, "negative-scale", Impossible, "A scale that is not positive does not commute with the operator.";
    ShiftBlocked, "shift-blocked", Impossible, "A shift does not pass the operator, and it is not zero.";
    ZeroPadding, "zero-padding", Impossible, "The shift would be missing where the operator reads padded zeros.";
    AxesMixed, "axes-mixed", Impossible, "The operator mixes elements along an axis on which the affine varies.";
    VariableWeight, "variable-weight", Impossible, "The weight or bias that would take the affine is computed while the model runs.";
    IndicesUsed, "indices-used", Impossible, "The operator's further outputs are in use and would change.";
    NoSibling, "no-sibling", Impossible, "No convolution of the same input is summed with this branch so that its centre tap could take the affine.";
    Quantized, "quantized", Unsafe, "A quantization node stands in between: a fold would move the rounding points.";
    Degenerate, "degenerate-parameters", Unsafe, "Variance plus epsilon is not positive, or a parameter is NaN or infinite.";
    NotRepresentable, "not-representable", Unsafe, "A folded weight would overflow, or lose its value to underflow, in its own type.";
    TrainingMode, "training-mode", Policy, "The node is in training mode: it normalises by the batch it is given.";
    Overridable, "overridable-initializer", Policy, "The constant is also a graph input, so a caller may override it.";
    Held, "held", Policy, "--keep or --only holds the node out.";
    Precision, "precision-change", Policy, "A Cast between float types stands in between: a fold would move the rounding.";
    Growth, "growth", Policy, "The fold would add nodes or bytes beyond what is allowed.";
    Different, "different", Unsafe, "Verification found that the fold changes results, and it was rolled back.";
    UnknownOperator, "unknown-operator", Unsupported, "The operator belongs to a domain that bnfold does not know.";
    Unruled, "no-rule", Unsupported, "The operator is linear, or may be, and bnfold has no rule for it.";
    UnknownShape, "unknown-shape", Unsupported, "The shapes around the operator are not known well enough.";
    Unevaluated, "unevaluated-constant", Unsupported, "A constant could not be evaluated.";
    Malformed, "unreadable-attribute", Unsupported, "An attribute is not as the standard has it.";
    Callers, "callers-attribute", Unsupported, "An attribute's value comes from a function's caller.";
    Budget, "search-budget", Unsupported, "The search for a fold met more branches than it may try.";
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
