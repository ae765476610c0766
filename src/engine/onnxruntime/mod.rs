//! ONNX Runtime, loaded at run time: the only room that names ort.
//!
//! What runs there is the models as they are declared, the original and the rewritten one alike: node by
//! node under the interpreter, so that If, Loop, Scan and functions are served and BatchNormalization
//! keeps this crate's kernel; or, with BatchNormalization, as whole models.
//! Its graph optimisations are disabled, and each operator runs on one thread, so that results do not depend
//! on the number of cores.
//! float64 runs, perturbed weights and the comparison of single folds are the built-in engine's: the CPU
//! provider of ONNX Runtime has no float64 Conv.

mod convert;
mod library;
mod node;
mod runtime;
mod whole;

pub(super) use library::find as find_library;

use super::error::EngineError;
use super::interpret::Interpreter;
use super::{Budget, BuiltIn, Engine, ModelBytes, Precision, Session, decode};
use node::Nodes;
use runtime::Runtime;
use whole::Whole;

/// ONNX Runtime for declared precision, the built-in engine for float64.
#[derive(Debug)]
pub(super) struct OnnxRuntime {
    runtime: &'static Runtime,
    built_in: BuiltIn,
    /// Whether BatchNormalization is its too, and so the whole model.
    batch_norm: bool,
    name: String,
}

impl OnnxRuntime {
    /// Finds and loads the library, once per process.
    pub(super) fn open(budget: Budget, batch_norm: bool) -> Result<OnnxRuntime, EngineError> {
        let runtime = Runtime::get()?;
        let built_in = BuiltIn { budget };
        let how = match batch_norm {
            true => "whole models as they are",
            false => "BatchNormalization in bnfold's kernel",
        };
        let name = format!(
            "ONNX Runtime {}, {how}; the float64 truth and the check of each fold: {}",
            runtime.version(),
            built_in.name()
        );
        Ok(OnnxRuntime {
            runtime,
            built_in,
            batch_norm,
            name,
        })
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(
        &self,
        model: ModelBytes<'_>,
        precision: Precision,
    ) -> Result<Box<dyn Session>, EngineError> {
        if precision == Precision::Double {
            return self.built_in.load(model, precision);
        }
        let budget = self.built_in.budget;
        let program = decode::decode(model, precision, budget, None)?;
        let nodes = Box::new(Nodes::new(self.runtime, self.batch_norm));
        let is_random = node::has_random(&program.main);
        let interpreter = Interpreter::new(program, precision, budget, nodes);
        Ok(match self.batch_norm && !is_random {
            true => Box::new(Whole::new(self.runtime, model, interpreter)),
            false => Box::new(interpreter),
        })
    }

    fn load_perturbed(
        &self,
        model: ModelBytes<'_>,
        rewritten: ModelBytes<'_>,
        seed: u64,
    ) -> Result<Box<dyn Session>, EngineError> {
        self.built_in.load_perturbed(model, rewritten, seed)
    }
}
