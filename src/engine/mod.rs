//! Runs ONNX models: the only room that names tract or ONNX Runtime.
//!
//! A model is run node by node on concrete tensors, so nothing is folded, fused or rewritten on the way:
//! what is compared later is what the model says.
//! BatchNormalization runs on the project's own kernel, the truth (`Precision::Double`) on own float64 kernels,
//! float32 convolutions and matrix products over many positions and the operators without an own kernel on
//! tract, one node at a time.
//! float16 and bfloat16 are computed in float32.
//! An [`EngineChoice`] puts ONNX Runtime in tract's and most own kernels' place, or gives it whole models.
//!
//! The number of threads changes no bit of a result. The processor may: products are summed with or without
//! fused multiplication and addition, so last bits of the figures that are reported differ between processors.
//! Constants, which end in weights that are written, are computed in one order everywhere.

#[cfg(test)]
mod agreement;
mod assume;
mod call;
mod choice;
pub mod constant;
mod control;
mod data;
mod decode;
mod delegate;
mod element;
mod error;
mod graph;
mod guard;
mod interpret;
mod kernels;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod partial;
mod ranges;
mod rows;
mod run;
mod tensor;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

pub use choice::EngineChoice;
pub use element::ElementType;
pub use error::EngineError;
pub use graph::{Dim, Port, Signature};
pub use tensor::{Data, Element, ShapeError, Tensor};

/// An encoded model and where its external data lies.
#[derive(Clone, Copy, Debug)]
pub struct ModelBytes<'a> {
    /// The file's bytes.
    pub bytes: &'a [u8],
    /// The directory that external data is relative to; without one, external data is an error.
    pub directory: Option<&'a Path>,
}

impl<'a> ModelBytes<'a> {
    /// A model without external data.
    pub fn new(bytes: &'a [u8]) -> ModelBytes<'a> {
        ModelBytes {
            bytes,
            directory: None,
        }
    }
}

/// What floating-point values are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// float32 and float64 as declared, float16 and bfloat16 in float32.
    Declared,
    /// All of them in float64; casts between floating-point types do not round.
    Double,
}

impl Precision {
    /// The type that values declared as `element` are held in.
    pub fn compute_type(self, element: ElementType) -> ElementType {
        match (self, element) {
            (Precision::Double, element) if element.is_float() => ElementType::Float64,
            (_, ElementType::Float16 | ElementType::BFloat16) => ElementType::Float32,
            _ => element,
        }
    }
}

/// What a model may take before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Budget {
    /// Nodes, with functions expanded at every call.
    pub nodes: usize,
    /// Bytes of all stored tensors, and eight times the elements of any single result.
    pub bytes: u64,
    /// Eight times the elements of all results of one run, whether or not they are in memory at one time.
    pub results: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            nodes: 1 << 20,
            bytes: 32 << 30,
            results: u64::MAX,
        }
    }
}

/// A value that a node has just given.
#[derive(Clone, Copy, Debug)]
pub struct Produced<'a> {
    /// Empty in the main graph, else the names of the nodes that lead to the nested graph or function.
    pub scope: &'a str,
    /// The value's name.
    pub name: &'a str,
    /// The node's name.
    pub node: &'a str,
    /// The node's operator.
    pub operator: &'a str,
    /// The value.
    pub tensor: &'a Tensor,
    /// Where it is seen; at a node that could not be run, `name` says which input and which output of it.
    pub place: Place,
    /// Whether it is read by a node that could not be run, and the same whatever the model is given.
    pub is_fixed: bool,
}

/// Where a value is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A node gave it.
    Given,
    /// A node whose operator the engine lacks would have read it.
    Gap,
    /// A node that could not be run on what it was given would have read it.
    Stumble,
}

/// A value that a partial run lacks.
#[derive(Clone, Copy, Debug)]
pub struct Missing<'a> {
    /// Empty in the main graph, else the names of the nodes that lead to the nested graph or function.
    pub scope: &'a str,
    /// The value's name.
    pub name: &'a str,
    /// The node that could not be run, where the value is one of its outputs.
    pub cut: Option<Cut<'a>>,
    /// What the model declares about the value.
    pub port: Option<&'a Port>,
    /// A type and extents that its neighbours suggest.
    pub assumed: Option<&'a (ElementType, Vec<usize>)>,
}

/// A node that could not be run.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    /// Its name.
    pub node: &'a str,
    /// A digest of operator, version and attributes: where it differs, nodes may make different things of the same inputs.
    pub call: u64,
    /// Why it could not be run.
    pub error: &'a EngineError,
}

/// What an observer wants done with a value.
#[derive(Clone, Debug)]
pub enum Step {
    /// Go on.
    Keep,
    /// Go on with this value in its place.
    Replace(Tensor),
    /// End the run with [`EngineError::Stopped`].
    Stop,
}

/// Sees every value as it is given, without holding it.
pub trait Observer {
    /// Called once per value and evaluation.
    fn value(&mut self, produced: &Produced<'_>) -> Step;

    /// Called in a partial run for each value that it lacks; a value given here lets it go on.
    fn missing(&mut self, missing: &Missing<'_>) -> Option<Tensor> {
        let _ = missing;
        None
    }

    /// Whether a partial run shall also run, for this observer alone, each body of an If, Loop or Scan
    /// that it does not enter.
    fn explores(&self) -> bool {
        false
    }
}

/// An observer that looks at nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn value(&mut self, _: &Produced<'_>) -> Step {
        Step::Keep
    }
}

/// A model that is ready to run any number of times.
pub trait Session: fmt::Debug + Send {
    /// What the model takes and gives.
    fn signature(&self) -> &Signature;

    /// What a reader of a report should know about how this model is run.
    fn notes(&self) -> Vec<String>;

    /// Runs the model on named inputs and gives its outputs in the model's order.
    ///
    /// In [`Precision::Double`] floating-point outputs are held in float64; their `element` is the declared type.
    fn run(
        &mut self,
        inputs: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<Vec<(String, Tensor)>, EngineError>;

    /// Like `run`, but goes on where a node cannot be run, with what the observer gives for its outputs.
    ///
    /// Outputs that could not be reached are `None`.
    fn run_partial(
        &mut self,
        inputs: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<Vec<(String, Option<Tensor>)>, EngineError> {
        let _ = (inputs, observer);
        Err(EngineError::Lacking {
            what: "partial runs",
        })
    }

    /// Names of all values that nodes give, those of nested graphs and functions included.
    fn value_names(&self) -> Vec<&str>;

    /// For each integer input, the smallest and the largest number that its consumers can use.
    fn integer_ranges(&self) -> HashMap<String, (i64, i64)> {
        HashMap::new()
    }
}

/// Something that runs ONNX models.
pub trait Engine: fmt::Debug + Send + Sync {
    /// The engine's name and version, for reports.
    fn name(&self) -> &str;

    /// Reads a model.
    fn load(
        &self,
        model: ModelBytes<'_>,
        precision: Precision,
    ) -> Result<Box<dyn Session>, EngineError>;

    /// Reads a model once for both precisions: [`Precision::Declared`] first, then [`Precision::Double`].
    fn load_both(&self, model: ModelBytes<'_>) -> Result<[Box<dyn Session>; 2], EngineError> {
        Ok([
            self.load(model, Precision::Declared)?,
            self.load(model, Precision::Double)?,
        ])
    }

    /// Reads a model in float64 with each weight that `rewritten` no longer holds moved at random, by up
    /// to one rounding of its stored type.
    ///
    /// What the outputs move by is what rounding the rewritten weights once may do to them.
    fn load_perturbed(
        &self,
        model: ModelBytes<'_>,
        rewritten: ModelBytes<'_>,
        seed: u64,
    ) -> Result<Box<dyn Session>, EngineError> {
        let _ = (model, rewritten, seed);
        Err(EngineError::Lacking {
            what: "weights moved by a rounding",
        })
    }
}

/// The engine of this crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn {
    /// What a model may take.
    pub budget: Budget,
}

impl Engine for BuiltIn {
    fn name(&self) -> &str {
        delegate::NAME
    }

    fn load(
        &self,
        model: ModelBytes<'_>,
        precision: Precision,
    ) -> Result<Box<dyn Session>, EngineError> {
        Ok(self.session(self.program(model)?, precision))
    }

    fn load_both(&self, model: ModelBytes<'_>) -> Result<[Box<dyn Session>; 2], EngineError> {
        let program = self.program(model)?;
        Ok([
            self.session(program.clone(), Precision::Declared),
            self.session(program, Precision::Double),
        ])
    }

    fn load_perturbed(
        &self,
        model: ModelBytes<'_>,
        rewritten: ModelBytes<'_>,
        seed: u64,
    ) -> Result<Box<dyn Session>, EngineError> {
        let precision = Precision::Double;
        let rewritten = decode::Encoded::read(rewritten)?;
        let kept = decode::compile(&rewritten, precision, self.budget, None)?.fingerprints();
        let moves = decode::Perturbation::new(seed, kept);
        let model = decode::Encoded::read(model)?;
        let program = decode::compile(&model, precision, self.budget, Some(moves))?;
        Ok(self.session(program, precision))
    }
}

impl BuiltIn {
    /// A model with its tensors as they are stored, halves in float32, for any number of sessions.
    fn program(&self, model: ModelBytes<'_>) -> Result<decode::Program, EngineError> {
        let model = decode::Encoded::read(model)?;
        decode::compile(&model, Precision::Declared, self.budget, None)
    }

    fn session(&self, program: decode::Program, precision: Precision) -> Box<dyn Session> {
        let delegate = delegate::built_in();
        Box::new(interpret::Interpreter::new(
            program,
            precision,
            self.budget,
            delegate,
        ))
    }
}

/// What a model without inputs gives within a budget: the value of a constant subgraph.
///
/// It ends in weights that are written, so it is computed in float64, with sums in one order on every processor,
/// and rounded once to the declared type. Of exp, log, pow and their kin the last bit is the platform's.
pub fn evaluate_constants(
    model: ModelBytes<'_>,
    budget: Budget,
) -> Result<Vec<(String, Tensor)>, EngineError> {
    let mut session = BuiltIn { budget }.load(model, Precision::Double)?;
    let outputs = kernels::product::in_order(|| session.run(&[], &mut NoObserver))?;
    let rounded = |(name, tensor): (String, Tensor)| {
        let element = tensor.element();
        (name, tensor.rounded_to(element))
    };
    Ok(outputs.into_iter().map(rounded).collect())
}

/// Decodes one encoded tensor (a `.pb` file of a test data set): its name and value.
pub fn decode_tensor(bytes: &[u8]) -> Result<(String, Tensor), EngineError> {
    decode::decode_tensor(bytes)
}
