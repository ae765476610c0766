//! Graph: who produces and consumes each value, over every scope of a model.
//!
//! Scopes are the main graph, the bodies of If, Loop and Scan, and model-local functions.
//! A name is resolved from the inside out, so a nested body may *capture* an outer value.
//! The graph borrows the model's views and adds what is derived from them: ids, uses, types, shapes, constants.
//!
//! Invariant: the graph never reads a weight. It reads constants that a rule asks for, through [`constant`].

pub mod constant;
pub(crate) mod edit;
mod error;
mod index;
mod order;
pub mod shape;
mod types;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use ndarray::ArrayD;

use crate::affine::Affine;
use crate::onnx::AttributeError;
use crate::onnx::model::{Model, Name, NodeView, OperatorSet, TensorView};

pub use constant::{Constant, NotConstant};
pub use edit::{Effect, Keep};
pub use error::GraphError;
pub use index::Reading;
pub use shape::{Dim, Shape};

/// Identifies a node of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Identifies a value of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Identifies a scope of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub u32);

/// What a scope is the body of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeKind {
    /// The model's graph.
    Main,
    /// A graph in an attribute of a node of the parent scope.
    Nested {
        /// The node that holds the body.
        node: NodeId,
    },
    /// The model-local function with this index.
    Function(usize),
}

/// A main graph, nested graph or function body.
#[derive(Clone, Debug)]
pub struct Scope<'m> {
    /// What this is the body of.
    pub kind: ScopeKind,
    /// The scope around a nested graph.
    pub parent: Option<ScopeId>,
    /// The operator sets that the nodes are written in.
    pub opsets: &'m [OperatorSet],
    /// Nodes in topological order.
    pub nodes: Vec<NodeId>,
    /// The scope's outputs.
    pub outputs: Vec<ValueId>,
}

/// One operator call.
#[derive(Clone, Debug)]
pub struct Node<'m> {
    /// Where the node stands.
    pub scope: ScopeId,
    /// The node in the file; absent for a node that a fold inserts.
    pub view: Option<&'m NodeView>,
    /// The standard operator that this node is; empty for any other domain.
    pub op: Rc<str>,
    /// Inputs by slot; absent optional ones are `None`.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs by slot; absent optional ones are `None`.
    pub outputs: Vec<Option<ValueId>>,
    /// Whether the node is still in the graph.
    pub alive: bool,
    /// What folds have given this node to absorb.
    pub pending: Option<Box<Pending>>,
    /// Where the node stands in topological order; an inserted node shares the first number with the one it follows.
    pub position: (u32, u32),
}

/// What a linear node has taken on so far: with `L` its linear part and `b` its bias,
/// `y = output(L(input(x)) + b) + taps·x`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pending {
    /// The affine in front of the node.
    pub input: Option<Affine>,
    /// The affine behind the node.
    pub output: Option<Affine>,
    /// Added to a convolution's centre tap, per output channel.
    pub taps: Option<Vec<f64>>,
    /// Convolutions of the same input to be added to the kernel, with their signs.
    pub merged: Vec<(NodeId, f64)>,
    /// The shift that taps and later inputs leave behind the node.
    pub residual: Option<ArrayD<f64>>,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Origin<'m> {
    /// A graph or function input.
    Input,
    /// A stored tensor; `overridable` if a caller may replace it.
    Initializer {
        /// The tensor.
        tensor: &'m TensorView,
        /// Whether it is also a graph input from IR version 4 on.
        overridable: bool,
    },
    /// A sparse stored tensor.
    Sparse,
    /// An output of a node.
    Node(NodeId, usize),
    /// A constant that a fold makes, in f64 and not yet rounded.
    Made(Rc<Made>),
    /// A name that nothing defines.
    Undefined,
}

/// A constant that a fold makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Elements, rounded once when they are written.
    pub elements: ArrayD<f64>,
    /// What its name is made from.
    pub stem: Name,
}

/// A value that nodes pass on.
#[derive(Clone, Debug)]
pub struct Value<'m> {
    /// Its name.
    pub name: Name,
    /// The scope that defines it.
    pub scope: ScopeId,
    /// Where it comes from.
    pub origin: Origin<'m>,
    /// Who reads it: node and slot, from any scope.
    pub consumers: BTreeSet<(NodeId, usize)>,
    /// Whether it is an output of its scope.
    pub is_output: bool,
    /// Whether something other than nodes names it: training_info or a quantization annotation.
    pub is_reserved: bool,
    /// The element type's number in the standard; 0 if unknown.
    pub data_type: i32,
    /// The shape as far as it is known.
    pub shape: Option<Rc<Shape>>,
}

/// An index over a model's scopes, nodes and values.
#[derive(Clone, Debug)]
pub struct Graph<'m> {
    /// The model this is an index of.
    pub model: &'m Model,
    /// Scopes; the main graph is the first.
    pub scopes: Vec<Scope<'m>>,
    /// Nodes of all scopes.
    pub nodes: Vec<Node<'m>>,
    /// Values of all scopes.
    pub values: Vec<Value<'m>>,
    pub(crate) symbols: shape::Symbols,
    pub(crate) contents: HashMap<ValueId, Rc<Vec<Dim>>>,
    pub(crate) constant: Vec<bool>,
    pub(crate) allows_precision_change: bool,
    pub(crate) constants: Rc<constant::Cache>,
}

impl<'m> Graph<'m> {
    /// The node with this id.
    pub fn node(&self, id: NodeId) -> &Node<'m> {
        &self.nodes[id.0 as usize]
    }

    /// The value with this id.
    pub fn value(&self, id: ValueId) -> &Value<'m> {
        &self.values[id.0 as usize]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node<'m> {
        &mut self.nodes[id.0 as usize]
    }

    pub(crate) fn value_mut(&mut self, id: ValueId) -> &mut Value<'m> {
        &mut self.values[id.0 as usize]
    }

    /// Ids of the nodes that are still in the graph, scope by scope in topological order.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        let ids = self
            .scopes
            .iter()
            .flat_map(|scope| scope.nodes.iter().copied());
        ids.filter(|&id| self.node(id).alive)
    }

    /// The node that produces a value, with the output slot.
    pub fn producer(&self, value: ValueId) -> Option<(NodeId, usize)> {
        match self.value(value).origin {
            Origin::Node(node, slot) => Some((node, slot)),
            _ => None,
        }
    }

    /// The value in an input slot.
    pub fn input(&self, node: NodeId, slot: usize) -> Option<ValueId> {
        self.node(node).inputs.get(slot).copied().flatten()
    }

    /// The value in an output slot.
    pub fn output(&self, node: NodeId, slot: usize) -> Option<ValueId> {
        self.node(node).outputs.get(slot).copied().flatten()
    }

    /// The shape of a value, if at least its rank is known.
    pub fn shape(&self, value: ValueId) -> Option<&Shape> {
        self.value(value).shape.as_deref()
    }

    /// The version of the standard operator set that a node is written in.
    pub fn opset(&self, node: NodeId) -> i64 {
        let opsets = self.scopes[self.node(node).scope.0 as usize].opsets;
        let standard = opsets.iter().rev().find(|opset| opset.domain.is_empty());
        standard.map_or(1, |opset| opset.version)
    }

    /// A node's name, or its op_type and first output where it has none.
    pub fn label(&self, node: NodeId) -> String {
        let node = self.node(node);
        match node.view {
            Some(view) if !view.name.is_empty() => view.name.to_string(),
            _ => {
                let output = node.outputs.iter().flatten().next();
                let output =
                    output.map_or(String::new(), |&value| self.value(value).name.to_string());
                format!("{}({output})", node.op_type())
            }
        }
    }

    /// What a node stands in, for reports: empty for the main graph.
    pub fn scope_name(&self, node: NodeId) -> String {
        match self.scopes[self.node(node).scope.0 as usize].kind {
            ScopeKind::Main => String::new(),
            ScopeKind::Nested { node } => format!("body of {}", self.label(node)),
            ScopeKind::Function(index) => format!("function {}", self.model.functions[index].name),
        }
    }

    /// Consumers that read a value's elements, not just its shape or type, in the order of their places.
    pub fn readers(&self, value: ValueId) -> impl Iterator<Item = (NodeId, usize)> + use<> {
        let consumers = self.value(value).consumers.iter().copied();
        let reads = |&(node, slot): &(NodeId, usize)| match &*self.node(node).op {
            "Shape" | "Size" | "EyeLike" | "RandomNormalLike" | "RandomUniformLike" => false,
            "CastLike" => slot == 0,
            _ => true,
        };
        let mut readers: Vec<_> = consumers.filter(reads).collect();
        readers.sort_by_key(|&(node, slot)| (self.node(node).position, node, slot));
        readers.into_iter()
    }
}

impl<'m> Node<'m> {
    /// The op_type as it stands in the file, for messages.
    pub fn op_type(&self) -> String {
        match self.view {
            Some(view) if self.op.is_empty() => match view.domain.is_empty() {
                true => view.op_type.to_string(),
                false => format!("{}::{}", view.domain, view.op_type),
            },
            _ => self.op.to_string(),
        }
    }

    /// An INT attribute, or its default.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, Malformed> {
        self.read(default, |view| view.int(name))
    }

    /// An optional INT attribute.
    pub fn optional_int(&self, name: &str) -> Result<Option<i64>, Malformed> {
        self.read(None, |view| view.int(name).map(Some))
    }

    /// A FLOAT attribute, or its default.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, Malformed> {
        self.read(default, |view| view.float(name))
    }

    /// An INTS attribute.
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Malformed> {
        self.read(None, |view| {
            let ints = view.ints(name)?;
            Ok(Some(ints.map(|ints| ints.to_vec())))
        })
    }

    /// A STRING attribute, or its default.
    pub fn string(&self, name: &str, default: &str) -> Result<String, Malformed> {
        self.read(default.to_owned(), |view| {
            let text = view.string(name)?;
            Ok(text.map(|text| String::from_utf8_lossy(text).into_owned()))
        })
    }

    /// Whether an attribute of any kind has this name.
    pub fn has(&self, name: &str) -> bool {
        self.view
            .is_some_and(|view| view.attributes.iter().any(|a| a.name == *name))
    }

    fn read<T>(
        &self,
        default: T,
        get: impl FnOnce(&'m NodeView) -> Result<Option<T>, AttributeError>,
    ) -> Result<T, Malformed> {
        match self.view {
            Some(view) => Ok(get(view)?.unwrap_or(default)),
            None => Ok(default),
        }
    }
}

/// Why an attribute says nothing of what its node computes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not as the standard has it.
    #[error("{0}")]
    Attribute(String),
    /// It stands for the attribute of a function's caller.
    #[error("{0}")]
    Callers(String),
}

impl From<AttributeError> for Malformed {
    fn from(error: AttributeError) -> Malformed {
        let text = error.to_string();
        match error {
            AttributeError::Reference { .. } => Malformed::Callers(text),
            _ => Malformed::Attribute(text),
        }
    }
}
