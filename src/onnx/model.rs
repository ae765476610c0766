//! Views of an ONNX model: what the planner looks at, each with the span of the file it came from.
//!
//! A view never holds a tensor's elements; it holds where they are.
//! Names are bytes, because a file may hold names that are not UTF-8 and they must survive.

use std::fmt;
use std::sync::Arc;

use super::proto;
use super::wire::Span;

pub use super::load::{Model, ReadOptions};

/// A name of a value, node, operator or domain, exactly as it stands in the file.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the empty name, which stands for an absent input or output.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::borrow::Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name(Arc::from(text.as_bytes()))
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Name {
        Name(Arc::from(bytes))
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A message in the file: `field` with its tag and length, `body` without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSpan {
    /// From the first byte of the tag to the last byte of the body.
    pub field: Span,
    /// The message's own bytes.
    pub body: Span,
}

/// What the planner needs of a GraphProto.
#[derive(Clone, Debug)]
pub struct GraphView {
    /// Where the graph stands.
    pub at: MessageSpan,
    /// The graph's name.
    pub name: Name,
    /// Nodes in file order.
    pub nodes: Vec<NodeView>,
    /// Dense initializers.
    pub initializers: Vec<TensorView>,
    /// Sparse initializers: their names only (the name is that of the `values` tensor).
    pub sparse_initializers: Vec<SparseView>,
    /// Graph inputs; below IR version 4 initializers are listed here too.
    pub inputs: Vec<ValueInfoView>,
    /// Graph outputs.
    pub outputs: Vec<ValueInfoView>,
    /// Types of inner values.
    pub value_info: Vec<ValueInfoView>,
    /// Quantization annotations.
    pub annotations: Vec<AnnotationView>,
}

/// What the planner needs of a FunctionProto.
#[derive(Clone, Debug)]
pub struct FunctionView {
    /// Where the function stands.
    pub at: MessageSpan,
    /// The domain that calls it.
    pub domain: Name,
    /// The op_type that calls it.
    pub name: Name,
    /// Tells functions of one name apart.
    pub overload: Name,
    /// Names of the function's inputs.
    pub inputs: Vec<Name>,
    /// Names of the function's outputs.
    pub outputs: Vec<Name>,
    /// Nodes in file order.
    pub nodes: Vec<NodeView>,
    /// Types of inner values.
    pub value_info: Vec<ValueInfoView>,
    /// The operator sets that the body is written in.
    pub opset_imports: Vec<OperatorSet>,
}

/// An operator set a scope is written in; the domain `ai.onnx` is read as the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSet {
    /// Empty for the standard operators.
    pub domain: Name,
    /// The version.
    pub version: i64,
}

/// A NodeProto.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Where the node stands.
    pub at: MessageSpan,
    /// The node's name; may be empty, need not be unique.
    pub name: Name,
    /// The operator.
    pub op_type: Name,
    /// The operator's domain, `ai.onnx` read as the empty one.
    pub domain: Name,
    /// Tells functions of one name apart.
    pub overload: Name,
    /// Input names; an empty one is absent.
    pub inputs: Vec<Name>,
    /// Output names; an empty one is absent.
    pub outputs: Vec<Name>,
    /// Attributes in file order.
    pub attributes: Vec<AttributeView>,
}

/// An AttributeProto.
#[derive(Clone, Debug)]
pub struct AttributeView {
    /// Where the attribute stands.
    pub at: MessageSpan,
    /// The attribute's name.
    pub name: Name,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum AttributeValue {
    /// FLOAT.
    Float(f32),
    /// INT.
    Int(i64),
    /// STRING, which need not be UTF-8.
    String(Vec<u8>),
    /// FLOATS.
    Floats(Vec<f32>),
    /// INTS.
    Ints(Vec<i64>),
    /// STRINGS.
    Strings(Vec<Vec<u8>>),
    /// TENSOR.
    Tensor(Box<TensorView>),
    /// SPARSE_TENSOR.
    SparseTensor(Box<SparseView>),
    /// GRAPH.
    Graph(Box<GraphView>),
    /// GRAPHS.
    Graphs(Vec<GraphView>),
    /// In a function body: the calling node's attribute of this name.
    Reference(Name),
    /// A kind that no rule reads (TENSORS, SPARSE_TENSORS, TYPE_PROTO, TYPE_PROTOS, undefined).
    Other,
}

/// A TensorProto without its elements.
#[derive(Clone, Debug)]
pub struct TensorView {
    /// Where the tensor stands.
    pub at: MessageSpan,
    /// The tensor's name.
    pub name: Name,
    /// Extents, each checked to be non-negative and their product to fit.
    pub dims: Vec<usize>,
    /// The element type's number in the standard (`TensorProto.DataType`).
    pub data_type: i32,
    /// Where the elements are.
    pub data: TensorData,
}

/// Where a tensor's elements are.
#[derive(Clone, Debug)]
pub enum TensorData {
    /// Little-endian elements in `raw_data`; the span is the bytes alone.
    Raw(Span),
    /// In the typed repeated fields (`float_data`, `int32_data`, …), packed or not.
    Typed,
    /// In a file beside the model.
    External(ExternalData),
}

/// The entries of `TensorProto.external_data`, parsed but not yet looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalData {
    /// Path relative to the model's directory.
    pub location: String,
    /// Byte offset in that file.
    pub offset: u64,
    /// Byte count; absent means up to the end of the file.
    pub length: Option<u64>,
    /// SHA-1 of the file in hexadecimal, where the producer wrote one.
    pub checksum: Option<String>,
}

/// A SparseTensorProto.
#[derive(Clone, Debug)]
pub struct SparseView {
    /// Where the tensor stands.
    pub at: MessageSpan,
    /// The name of its `values`, which is the initializer's name.
    pub name: Name,
    /// Extents of the dense tensor.
    pub dims: Vec<usize>,
    /// The stored elements.
    pub values: TensorView,
    /// Their positions.
    pub indices: TensorView,
}

/// A ValueInfoProto.
#[derive(Clone, Debug)]
pub struct ValueInfoView {
    /// Where the entry stands.
    pub at: MessageSpan,
    /// The value's name.
    pub name: Name,
    /// The type, where the file gives one.
    pub ty: Option<proto::TypeProto>,
}

/// A TensorAnnotation.
#[derive(Clone, Debug)]
pub struct AnnotationView {
    /// Where the entry stands.
    pub at: MessageSpan,
    /// The annotated value.
    pub tensor_name: Name,
    /// The values that hold its quantization parameters.
    pub parameters: Vec<Name>,
}
