//! Which engine runs the models as they are declared; the float64 truth is always the built-in engine's.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::EngineError;
use super::{Budget, BuiltIn, Engine};

/// Which engine runs the models as they are declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineChoice {
    /// The engine of this crate.
    #[default]
    BuiltIn,
    /// ONNX Runtime, where this crate was built with its feature `onnxruntime`.
    ///
    /// Its library is loaded at run time. It is the file that the variable `ORT_DYLIB_PATH` names; else
    /// that of the package `onnxruntime` in the Python installation of `VIRTUAL_ENV`, of `CONDA_PREFIX`,
    /// of a directory of `PATH`, or of the user; else the one in a directory of `LD_LIBRARY_PATH`
    /// (`DYLD_LIBRARY_PATH`, `PATH`), or of the system.
    OnnxRuntime {
        /// Whether it computes BatchNormalization too, and so whole models, its graph optimisations disabled.
        ///
        /// float16 is then what ONNX Runtime makes of it, and what it cannot run as a whole runs node by node.
        /// Else both models do: BatchNormalization in this crate's kernel, float16 and bfloat16 in float32,
        /// operators that ONNX Runtime lacks in the built-in engine where that has them, which a note says.
        batch_norm: bool,
    },
}

impl EngineChoice {
    /// Whether the engine can be had, without loading it.
    ///
    /// # Errors
    /// [`EngineError::NotBuilt`], [`EngineError::NoLibrary`], or [`EngineError::Library`].
    pub fn check(self) -> Result<(), EngineError> {
        match self {
            EngineChoice::BuiltIn => Ok(()),
            #[cfg(feature = "onnxruntime")]
            EngineChoice::OnnxRuntime { .. } => super::onnxruntime::find_library().map(drop),
            #[cfg(not(feature = "onnxruntime"))]
            EngineChoice::OnnxRuntime { .. } => Err(EngineError::NotBuilt),
        }
    }

    /// The engine, its library loaded.
    ///
    /// # Errors
    /// Those of [`check`](EngineChoice::check), and [`EngineError::Library`] if the library does not load.
    pub fn open(self, budget: Budget) -> Result<Box<dyn Engine>, EngineError> {
        match self {
            EngineChoice::BuiltIn => Ok(Box::new(BuiltIn { budget })),
            #[cfg(feature = "onnxruntime")]
            EngineChoice::OnnxRuntime { batch_norm } => {
                let engine = super::onnxruntime::OnnxRuntime::open(budget, batch_norm)?;
                Ok(Box::new(engine))
            }
            #[cfg(not(feature = "onnxruntime"))]
            EngineChoice::OnnxRuntime { .. } => Err(EngineError::NotBuilt),
        }
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            EngineChoice::BuiltIn => "built-in",
            EngineChoice::OnnxRuntime { .. } => "ONNX Runtime",
        })
    }
}
