//! What can be wrong with a graph, each with the node or value and what to do.

/// A model whose nodes and values do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A value is defined twice.
    #[error("value {value} is defined twice in {scope}; give each output its own name")]
    DefinedTwice {
        /// The value.
        value: String,
        /// The scope.
        scope: String,
    },
    /// A node reads what nothing defines.
    #[error(
        "node {node} reads {value}, which nothing defines; the model is incomplete, export it again"
    )]
    Undefined {
        /// The value.
        value: String,
        /// The node that reads it.
        node: String,
    },
    /// A node reads what a later node produces.
    #[error(
        "node {node} reads {value} before it is produced: the nodes form a cycle or are not in topological order; \
         export the model again"
    )]
    NotSorted {
        /// The value.
        value: String,
        /// The node that reads it.
        node: String,
    },
    /// A node lacks a required input.
    #[error(
        "node {node}: {op} needs at least {needed} inputs and has {found}; export the model again"
    )]
    TooFewInputs {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// Inputs that the standard requires.
        needed: usize,
        /// Inputs that it has.
        found: usize,
    },
    /// A graph output that nothing defines.
    #[error("graph output {value} is defined by nothing; the model is incomplete, export it again")]
    UndefinedOutput {
        /// The output.
        value: String,
    },
}
