//! Why the engine could not run a model.

/// A failure of the engine; it never says that a model is wrong, only that it was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The bytes are no model.
    #[error("the model does not decode: {reason}")]
    Decode {
        /// What is wrong.
        reason: String,
    },
    /// An operator that the engine lacks.
    #[error(
        "the engine has no operator {operator} (opset {version}), which node {node} needs; \
         verify by regions, or give another engine"
    )]
    UnsupportedOperator {
        /// The operator, with its domain unless it is the standard one.
        operator: String,
        /// The operator set version that the node is written in.
        version: i64,
        /// The node.
        node: String,
    },
    /// A node could not be run: its inputs or attributes are invalid or of a form that the engine lacks.
    #[error("{operator} node {node}: {reason}")]
    Node {
        /// The operator.
        operator: String,
        /// The node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// The engine crashed in a node.
    #[error("the engine crashed in {operator} node {node}: {message}")]
    Panic {
        /// The operator.
        operator: String,
        /// The node.
        node: String,
        /// The engine's last words.
        message: String,
    },
    /// A value that no node, input or initializer gives.
    #[error("node {node} reads {value:?}, which nothing before it gives")]
    DanglingValue {
        /// The value.
        value: String,
        /// The node that reads it, or the word for the graph's outputs.
        node: String,
    },
    /// Nodes that wait for each other.
    #[error("node {node} is part of a cycle")]
    Cycle {
        /// One of them.
        node: String,
    },
    /// A stored tensor that cannot be read.
    #[error("tensor {tensor:?}: {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// An input that is missing, unknown, or of a type, rank or extent that the model excludes.
    #[error("input {input:?}: {reason}")]
    Input {
        /// The input.
        input: String,
        /// What is wrong.
        reason: String,
    },
    /// The model or a value in it is larger than the budget.
    #[error("{what}: {found} exceeds the engine's budget of {limit}")]
    Budget {
        /// What was counted.
        what: String,
        /// The count.
        found: u64,
        /// The budget.
        limit: u64,
    },
    /// Something that this engine does not do.
    #[error("the engine has no {what}")]
    Lacking {
        /// What.
        what: &'static str,
    },
    /// An engine that this build was made without.
    #[error(
        "this build of bnfold has no ONNX Runtime; make one with `cargo build --release --features onnxruntime`"
    )]
    NotBuilt,
    /// An engine's library is in none of the places where it is looked for.
    #[error(
        "no ONNX Runtime library is found; `pip install onnxruntime`, or set {variable} to the path of its {file}"
    )]
    NoLibrary {
        /// The environment variable that names it.
        variable: &'static str,
        /// What the library is called.
        file: &'static str,
    },
    /// A file that is no library of the engine, or none that this build can use.
    #[error(
        "{path} cannot be used as the library of ONNX Runtime ({reason}); \
         set {variable} to another one"
    )]
    Library {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
        /// The environment variable that names it.
        variable: &'static str,
    },
    /// The observer asked for the run to end.
    #[error("the run was stopped by its observer")]
    Stopped,
}
