//! The engine's own form of a model: values are numbered slots, functions are bodies of their callers.
//!
//! A graph sees the slots of the graph around it through `captures`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::element::ElementType;
use super::tensor::Tensor;

/// The place of a value in its graph's table.
pub(super) type Slot = usize;

/// An extent of a graph input or output as the model declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A number.
    Fixed(usize),
    /// A name; equal names are equal extents.
    Symbol(String),
    /// Nothing is said.
    Unknown,
}

/// A graph input or output as the model declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// The value's name.
    pub name: String,
    /// The element type, where the model gives one that the engine knows.
    pub element: Option<ElementType>,
    /// The extents, where the model gives a rank.
    pub dims: Option<Vec<Dim>>,
}

/// What a model takes and gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    /// Graph inputs that the caller must give: those without an initializer.
    pub inputs: Vec<Port>,
    /// Graph outputs.
    pub outputs: Vec<Port>,
    /// By input, the axes whose extents weights settle, with the extents.
    pub settled: HashMap<String, Vec<(usize, usize)>>,
}

/// An attribute's value.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Float(f32),
    Int(i64),
    String(Vec<u8>),
    Tensor(Tensor),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Vec<Vec<u8>>),
    Graph(Arc<Graph>),
    Type,
}

impl Attribute {
    /// Adds the value to a digest, floats bit by bit; a graph adds nothing.
    fn digest(&self, state: &mut impl Hasher) {
        std::mem::discriminant(self).hash(state);
        match self {
            Attribute::Float(x) => x.to_bits().hash(state),
            Attribute::Int(x) => x.hash(state),
            Attribute::String(x) => x.hash(state),
            Attribute::Tensor(x) => {
                (x.element(), x.shape()).hash(state);
                x.data().digest(state);
            }
            Attribute::Floats(x) => {
                x.len().hash(state);
                x.iter().for_each(|x| x.to_bits().hash(state));
            }
            Attribute::Ints(x) => x.hash(state),
            Attribute::Strings(x) => x.hash(state),
            Attribute::Graph(_) | Attribute::Type => {}
        }
    }
}

/// How a node is computed.
#[derive(Clone, Debug)]
pub(super) enum Callee {
    /// A standard operator.
    Operator,
    /// A model-local function, as a graph whose inputs are the node's inputs.
    Function(Arc<Graph>),
    /// An operator of another domain that no function of the model defines.
    Foreign,
}

/// An operator call.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Unique among all nodes of the model, nested ones included.
    #[cfg_attr(
        not(any(feature = "engine", feature = "onnxruntime")),
        expect(dead_code, reason = "the key of prepared nodes")
    )]
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) op_type: String,
    pub(super) domain: String,
    pub(super) version: i64,
    pub(super) inputs: Vec<Option<Slot>>,
    /// Which inputs are initializers or Constant nodes of the same graph.
    #[cfg_attr(not(feature = "engine"), expect(dead_code, reason = "only tract asks"))]
    pub(super) constant_inputs: Vec<bool>,
    pub(super) outputs: Vec<Option<Slot>>,
    pub(super) attributes: HashMap<String, Attribute>,
    pub(super) callee: Callee,
    /// Slots that no later node reads.
    pub(super) last_reads: Vec<Slot>,
}

impl Node {
    /// The operator with its domain, unless that is the standard one.
    pub(super) fn operator(&self) -> String {
        if self.domain.is_empty() {
            self.op_type.clone()
        } else {
            format!("{}::{}", self.domain, self.op_type)
        }
    }

    /// A digest of all that decides what the node makes of its inputs, but for graphs.
    pub(super) fn call(&self) -> u64 {
        let mut state = DefaultHasher::new();
        (self.operator(), self.version).hash(&mut state);
        let last = self.inputs.iter().rposition(Option::is_some);
        for input in &self.inputs[..last.map_or(0, |last| last + 1)] {
            input.is_some().hash(&mut state);
        }
        let attributes: BTreeMap<&String, &Attribute> = self.attributes.iter().collect();
        for (name, attribute) in attributes {
            name.hash(&mut state);
            attribute.digest(&mut state);
        }
        state.finish()
    }

    /// Whether the operator says the type of its floating-point results itself.
    pub(super) fn says_its_type(&self) -> bool {
        const SAY_THEMSELVES: [&str; 10] = [
            "Cast",
            "CastLike",
            "ConstantOfShape",
            "EyeLike",
            "OneHot",
            "RandomNormal",
            "RandomUniform",
            "RandomNormalLike",
            "RandomUniformLike",
            "Bernoulli",
        ];
        SAY_THEMSELVES.contains(&self.op_type.as_str())
    }

    /// The graphs that this node may run, with the attribute that holds each.
    pub(super) fn bodies(&self) -> impl Iterator<Item = &Arc<Graph>> {
        let function = match &self.callee {
            Callee::Function(body) => Some(body),
            Callee::Operator | Callee::Foreign => None,
        };
        let graphs = self
            .attributes
            .values()
            .filter_map(|attribute| match attribute {
                Attribute::Graph(body) => Some(body),
                _ => None,
            });
        function.into_iter().chain(graphs)
    }
}

/// A graph input of the engine's form.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) port: Port,
    pub(super) slot: Slot,
    /// Whether an initializer stands in for it.
    pub(super) has_default: bool,
}

/// A main graph, nested graph or function body.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    /// Names by slot.
    pub(super) names: Vec<String>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<(Port, Option<Slot>)>,
    pub(super) constants: Vec<(Slot, Tensor)>,
    /// In an order in which every value is given before it is read.
    pub(super) nodes: Vec<Node>,
    /// (slot of the surrounding graph, slot here).
    pub(super) captures: Vec<(Slot, Slot)>,
    /// What the model declares about inner values; it may be wrong and is only asked when a value is missing.
    pub(super) infos: HashMap<Slot, Port>,
    /// Constants, and what is computed from them alone.
    pub(super) fixed: HashSet<Slot>,
}
