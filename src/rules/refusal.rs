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

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Impossible => "impossible",
            Kind::Unsafe => "unsafe",
            Kind::Policy => "policy",
            Kind::Unsupported => "unsupported",
        })
    }
}

macro_rules! codes {
    ($($variant:ident, $code:literal, $kind:ident, $summary:literal, $advice:literal;)*) => {
        /// The stable code of a reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

            /// Why that is so, and what people can do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Code::$variant => $advice),* }
            }
        }
    };
}

codes! {
    GraphInput, "graph-input", Impossible, "The value is an input of the graph: there is no weight to take the affine.",
        "Upstream of the node stands nothing but an input of the model, a function or a loop body. If what follows the node is linear it is folded there; else the node stays, or the normalisation moves into the preprocessing of the data.";
    GraphOutput, "graph-output", Impossible, "A value whose meaning would change is an output of the graph.",
        "The caller of the model sees this value, so it must stay what it is. If the output is a leftover of debugging, remove it from the outputs when exporting.";
    OtherReader, "other-reader", Impossible, "A value whose meaning would change is also read by a node outside the fold.",
        "The fold would change the value for a reader that cannot make up for it: a skip connection, or an activation beside the node. All readers take the affine, or none.";
    Captured, "captured", Impossible, "A nested graph (If, Loop, Scan) captures a value whose meaning would change.",
        "A body of If, Loop or Scan reads the value, or the node reads a value of the graph around its own. Move the normalisation and what it normalises into one scope.";
    Reserved, "reserved", Impossible, "A quantization annotation or training_info names a value whose meaning would change.",
        "The file names this value elsewhere, with parameters that hold for what it is now. Remove the stale annotation, or fold before quantizing.";
    Nonlinear, "nonlinear", Impossible, "The operator is not linear and lets no affine pass.",
        "Between the node and the nearest weight stands an operator like Sigmoid, Softmax or a training-mode normalisation: f(s·x + t) is no affine of f(x). Nothing can be done without retraining.";
    NegativeScale, "negative-scale", Impossible, "A scale that is not positive does not commute with the operator.",
        "Relu(s·x) = s·Relu(x) and max(s·x) = s·max(x) hold for positive s only, and some channels have another sign. Fold before the activation is added, or train with positive scales.";
    ShiftBlocked, "shift-blocked", Impossible, "A shift does not pass the operator, and it is not zero.",
        "The scale could pass, the shift cannot: Relu(x + t) bends elsewhere. With --reduce the node becomes one Add where its scale can go.";
    ZeroPadding, "zero-padding", Impossible, "The shift would be missing where the operator reads padded zeros.",
        "A padded zero in front of the convolution becomes t, not 0, once the normalisation is gone, so the border would change. Pad explicitly before the normalisation when exporting, or use --reduce.";
    AxesMixed, "axes-mixed", Impossible, "The operator mixes elements along an axis on which the affine varies.",
        "A convolution sums over space, a matrix product over rows, a reshape merges axes: along these the affine would have to be constant, and it is not.";
    VariableWeight, "variable-weight", Impossible, "The weight or bias that would take the affine is computed while the model runs.",
        "The fold needs a weight that is known now. A product of two computed values, as in attention, has none.";
    IndicesUsed, "indices-used", Impossible, "The operator's further outputs are in use and would change.",
        "Indices of a maximum tell where it was found; they are read here, and a fold would have to keep them for every scale.";
    NoSibling, "no-sibling", Impossible, "No convolution of the same input is summed with this branch so that its centre tap could take the affine.",
        "Beside the node there is no convolution of the same input, of stride 1, odd kernel and padding to the same size, whose output is added to it.";
    Quantized, "quantized", Unsafe, "A quantization node stands in between: a fold would move the rounding points.",
        "Quantized values are rounded at this point with stored scales. Fold the float model first and quantize it then.";
    Degenerate, "degenerate-parameters", Unsafe, "Variance plus epsilon is not positive, or a parameter is NaN or infinite.",
        "1/√(var + ε) is not a number, or infinite. The model was not trained to the end, or its file is damaged: look at the parameters with bnfold inspect.";
    NotRepresentable, "not-representable", Unsafe, "A folded weight would overflow, or lose its value to underflow, in its own type.",
        "The product of weight and scale does not fit the type of the weight (float16 ends at 65504). Fold the float32 model and convert it afterwards.";
    TrainingMode, "training-mode", Policy, "The node is in training mode: it normalises by the batch it is given.",
        "Such a node gives other answers for other batches; bnfold inspect --batch-sizes shows how far. Call eval() before exporting, and do not export with TrainingMode.TRAINING or track_running_stats=False; or estimate its statistics with bnfold calibrate; or, if the stored ones are right, take them with --assume-inference.";
    Overridable, "overridable-initializer", Policy, "The constant is also a graph input, so a caller may override it.",
        "From IR version 4 on an initializer that is listed among the inputs is only a default. If no caller overrides it, fold with --freeze-inputs, or export with keep_initializers_as_inputs=False.";
    Held, "held", Policy, "--keep or --only holds the node out.",
        "The node, or one that would have to change, matches --keep, or does not match --only.";
    Growth, "growth", Policy, "The fold would add nodes or bytes beyond what is allowed.",
        "Several Adds would take the place of one node, or an affine would only move to another Add.";
    Different, "different", Unsafe, "Verification found that the fold changes results, and it was rolled back.",
        "The rewritten model did not compute the same with this fold. That is a defect of bnfold or a very badly conditioned weight: please report it with the model.";
    UnknownOperator, "unknown-operator", Unsupported, "The operator belongs to a domain that bnfold does not know.",
        "Only operators of the standard domain have an algebra that bnfold can rely on. A custom operator may do anything with its input.";
    UnknownShape, "unknown-shape", Unsupported, "The shapes around the operator are not known well enough.",
        "A rank or extent that decides the fold is not in the file and cannot be inferred. Run ONNX shape inference, or export with static extents for all axes but the batch.";
    Unevaluated, "unevaluated-constant", Unsupported, "A constant could not be evaluated.",
        "The constant is computed by operators that the engine does not run, or is sparse or too large. Run constant folding on the model first.";
    Malformed, "unreadable-attribute", Unsupported, "An attribute is of the wrong kind, or its value comes from a function's caller.",
        "The attribute cannot be read as the standard says. In a function body it may come from the caller, which differs from call to call: inline the function first.";
    Budget, "search-budget", Unsupported, "The search for a fold met more branches than it may try.",
        "The sums and products around the node could share the affine in thousands of ways, none of which worked so far.";
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
