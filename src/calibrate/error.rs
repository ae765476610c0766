//! Why a model cannot be calibrated, each with the node or file and what to do.

use crate::apply::ApplyError;
use crate::engine::EngineError;
use crate::onnx::{ReadError, WriteError};
use crate::verify::data::DataError;

/// A model that cannot be calibrated, or data that it cannot be calibrated on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// There is nothing to calibrate.
    #[error("there is nothing to calibrate: {0}")]
    Nothing(&'static str),
    /// A node that has no form with stored statistics.
    #[error("node {node} cannot be calibrated: {reason}")]
    Node {
        /// The node.
        node: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Data that cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Data that do not fit the model.
    #[error("{0}")]
    Misfit(String),
    /// The model could not be run.
    #[error("the model does not run on {origin}: {error}")]
    Run {
        /// Where the data come from.
        origin: String,
        /// What the engine says.
        error: EngineError,
    },
    /// A node before one to be measured that the engine has no operator for.
    #[error(
        "node {node} needs operator {operator}, which the engine lacks, so what comes behind it cannot be measured; \
         hold those BatchNormalizations out with --keep, or calibrate a model without that operator"
    )]
    Operator {
        /// The operator.
        operator: String,
        /// The node.
        node: String,
    },
    /// The model could not be loaded into the engine.
    #[error("the model cannot be run: {0}")]
    Load(EngineError),
    /// A type cannot hold its new statistics, or the model cannot be read.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The model could not be rendered for a pass.
    #[error(transparent)]
    Render(#[from] WriteError),
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl CalibrateError {
    pub(super) fn node(node: impl Into<String>, reason: impl Into<String>) -> CalibrateError {
        CalibrateError::Node {
            node: node.into(),
            reason: reason.into(),
        }
    }
}
