//! What can go wrong with a file, each with what, where and what to do next.

use std::io;
use std::path::PathBuf;

/// A model, or a data file that it names, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system refused.
    #[error("cannot read {}: {source}; check the path and its permissions", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is no file may have no end.
    #[error("cannot read {}: it {problem}; save the model to a file, and give that", file.display())]
    Endless {
        /// The device or pipe.
        file: PathBuf,
        /// What it is or does.
        problem: String,
    },
    /// The file is no ONNX model.
    #[error("{} is not an ONNX model: {reason}; export it as .onnx, or fetch it again if it was cut off on the way", file.display())]
    NotAModel {
        /// The file.
        file: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The bytes contradict the format.
    #[error("{} is damaged: {problem}; export it again, or fetch it again if it was cut off on the way", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where and how.
        problem: String,
    },
    /// A message that may stand once stands twice, and its meaning would be the merge of both.
    #[error("{} holds the field {field} twice at byte {offset}; load and save it once with the onnx Python package, which merges them", file.display())]
    Repeated {
        /// The file.
        file: PathBuf,
        /// The field, as `Message.field`.
        field: &'static str,
        /// Where the second one starts.
        offset: u64,
    },
    /// A tensor's description and its elements do not fit together, or are of no use here.
    #[error("{tensor} in {}: {problem}", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor, with the node that holds it where one does.
        tensor: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A tensor's external data cannot be had, or not safely.
    #[error("{tensor} in {} keeps its data in {location:?}: {problem}", file.display())]
    External {
        /// The model's file.
        file: PathBuf,
        /// The tensor, with the node that holds it where one does.
        tensor: String,
        /// The path that the model gives.
        location: String,
        /// What is wrong with it.
        problem: Box<ExternalProblem>,
    },
    /// The file is not what it was when it was opened.
    #[error("{} changed while it was being read; run again once nothing writes to it", file.display())]
    Changed {
        /// The file.
        file: PathBuf,
    },
}

/// Why external data is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalProblem {
    /// An entry is missing, stands twice or cannot be understood.
    #[error("{0}; export the model again")]
    Entry(String),
    /// The path is empty, absolute, climbs out of the directory or has a drive.
    #[error(
        "the path {0}, which could reach files that are not the model's; move the data beside the model and save it again"
    )]
    Path(&'static str),
    /// The model came from memory, so nothing is beside it.
    #[error(
        "the model was not read from a file, so nothing is beside it; give the model as a file"
    )]
    NoDirectory,
    /// The path resolves to somewhere else.
    #[error("the path leads out of the model's directory, to {}; copy the data there in place of the link", .0.display())]
    Outside(PathBuf),
    /// A directory, device, pipe or socket.
    #[error("it is not a regular file; put the data file there")]
    NotAFile,
    /// Another name of the file may be anywhere.
    #[error("the file has other hard links; copy it, or allow hard links")]
    HardLink,
    /// Nothing is there.
    #[error("cannot open {}: {source}; put the data file beside the model", path.display())]
    Io {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file ends before the tensor does.
    #[error(
        "the file has {size} bytes, but the tensor reaches to byte {end}; fetch the data file again"
    )]
    TooShort {
        /// Bytes in the file.
        size: u64,
        /// Where the tensor would end.
        end: u64,
    },
    /// The stored length is not what the dims need.
    #[error(
        "the entry promises {length} bytes, but its dims need {needed}; export the model again"
    )]
    Length {
        /// What the model says.
        length: u64,
        /// What dims and type need.
        needed: u64,
    },
    /// The file's digest is not the one in the model.
    #[error("its SHA-1 is {found}, not {expected} as the model says; fetch the data file again")]
    Checksum {
        /// What the model says.
        expected: String,
        /// What the file has.
        found: String,
    },
}

/// An attribute is not of the kind that the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// The value is of another kind.
    #[error(
        "attribute {attribute} of node {node} is {found}, not {expected}; export the model again"
    )]
    Kind {
        /// The node, by name or by what it is.
        node: String,
        /// The attribute.
        attribute: String,
        /// What the operator asks for.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// In a function body: the value is the calling node's, so it is not known here.
    #[error(
        "attribute {attribute} of node {node} is the caller's {reference}, which is not known inside the function"
    )]
    Reference {
        /// The node.
        node: String,
        /// The attribute.
        attribute: String,
        /// The caller's attribute.
        reference: String,
    },
    /// The attribute stands more than once.
    #[error("node {node} has the attribute {attribute} twice; export the model again")]
    Twice {
        /// The node.
        node: String,
        /// The attribute.
        attribute: String,
    },
}

/// An edit cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The file had to be looked at again and could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Two edits want different things of the same bytes.
    #[error("two edits meet at byte {offset} of the model: {what}")]
    Conflict {
        /// Where in the file.
        offset: u64,
        /// Which edits.
        what: &'static str,
    },
    /// The edit asks for something that the format cannot say.
    #[error("{0}")]
    Unsupported(String),
    /// New values do not fit the tensor's type.
    #[error("{0}")]
    Unrepresentable(#[from] Flaw),
}

/// New elements of a tensor that its type cannot hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{tensor} cannot hold its new values: {kind} (element {index})")]
pub struct Flaw {
    /// The tensor's name.
    pub tensor: String,
    /// What happens to them.
    pub kind: FlawKind,
    /// Flat index of the first element that shows it, or of the first that shares its factor.
    pub index: usize,
}

/// What happens to elements that their type cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlawKind {
    /// A finite value would become infinite.
    #[error("a finite value would overflow")]
    Overflow,
    /// All values that share a factor would fall to zero or into the subnormal range.
    #[error("values would underflow")]
    Underflow,
    /// The value was infinite or not a number before.
    #[error("a value is infinite or not a number")]
    NotFinite,
}

/// A model cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// What is copied could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The edits contradict each other.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The operating system refused.
    #[error("cannot write {}: {source}; {advice}", file.display())]
    Io {
        /// The target.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do next.
        advice: &'static str,
    },
    /// The target may not be written.
    #[error("{} is not written: {reason}", file.display())]
    Refused {
        /// The target.
        file: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Folded weights that their type cannot hold; nothing was written.
    #[error("{} is not written: {}", file.display(), flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Unrepresentable {
        /// The target.
        file: PathBuf,
        /// Which weights, and how.
        flaws: Vec<Flaw>,
    },
}
