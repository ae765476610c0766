//! What can be wrong with a BatchNormalization node and what it is given.

use thiserror::Error;

/// A node, parameters or a value that the standard's BatchNormalization does not allow.
///
/// The caller knows the node's name and adds it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchNormError {
    /// The default domain has no such opset.
    #[error("BatchNormalization has no opset {0}; import opset 1 or later of the default domain")]
    Opset(i64),
    /// An attribute of another opset asks for what this opset would not do.
    #[error(
        "attribute {name} = {value} has no meaning in opset {opset} of BatchNormalization; \
         remove it, or declare the opset that it belongs to"
    )]
    ForeignAttribute {
        /// The attribute's name.
        name: &'static str,
        /// Its value.
        value: i64,
        /// The opset version that the model imports.
        opset: i64,
    },
    /// More outputs than the opset's signature has in this mode.
    #[error(
        "BatchNormalization has {named} outputs, where opset {opset} allows {allowed} in this mode; \
         remove the others"
    )]
    Outputs {
        /// Outputs with a name.
        named: usize,
        /// Outputs that the standard allows.
        allowed: usize,
        /// The opset version that the model imports.
        opset: i64,
    },
    /// A parameter's length is not the number of channels.
    #[error("{name} has {found} elements for {expected} channels; make them equal")]
    ParameterLength {
        /// The input's name in the standard.
        name: &'static str,
        /// Its length.
        found: usize,
        /// The number of channels.
        expected: usize,
    },
    /// A value without axes.
    #[error("X is a scalar; BatchNormalization needs at least the batch axis")]
    Scalar,
    /// The target's shape is not that of X.
    #[error("the target's shape {target:?} is not the shape {x:?} of X; make them equal")]
    TargetShape {
        /// Shape of X.
        x: Vec<usize>,
        /// Shape of the target.
        target: Vec<usize>,
    },
    /// Training mode on a batch without elements.
    #[error(
        "X of shape {0:?} holds no elements, so training mode has no mean to take; \
         give it at least one sample"
    )]
    EmptyBatch(Vec<usize>),
    /// Statistics of different numbers of channels cannot be merged.
    #[error("statistics of {left} and of {right} channels cannot be merged; gather them per node")]
    MomentChannels {
        /// Channels on the one side.
        left: usize,
        /// Channels on the other.
        right: usize,
    },
}
