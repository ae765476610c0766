//! The model under construction.
//!
//! Each scope has at most one open node: the last one, whose settings may still change.
//! Reading one of its outputs seals it: its parameters are made, its name is settled and what is
//! known of its outputs is inferred.

use std::collections::{BTreeMap, BTreeSet};

use super::attribute::Attribute;
use super::fact::Fact;
use super::infer::infer;
use super::recipe::Recipe;
use crate::onnx::proto::AttributeProto;
use crate::testing::element::is_float;
use crate::testing::{DataType, Storage, Tensor};

/// How parameters that the builder makes enter the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parameters {
    /// As initializers.
    #[default]
    Initializers,
    /// As initializers that are graph inputs too.
    OverridableInitializers,
    /// As Constant nodes.
    ConstantNodes,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) opset: i64,
    pub(super) ir_version: Option<i64>,
    pub(super) dtype: DataType,
    pub(super) storage: Storage,
    pub(super) parameters: Parameters,
    pub(super) seed: u64,
    pub(super) value_info: bool,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) domains: BTreeMap<String, i64>,
    pub(super) values: Vec<ValueState>,
    pub(super) scopes: Vec<ScopeState>,
    /// Names taken in any scope.
    taken: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct ValueState {
    pub(super) name: Option<String>,
    pub(super) fact: Fact,
    /// Whether the test stated the shape, so that inference leaves it alone.
    pub(super) stated: bool,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug)]
pub(super) enum Origin {
    Input,
    Initializer {
        tensor: Box<Tensor>,
        storage: Storage,
    },
    Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeKind {
    Main,
    Body,
    Function,
}

#[derive(Debug)]
pub(super) struct ScopeState {
    pub(super) kind: ScopeKind,
    pub(super) name: String,
    /// For a function, the domain that calls it.
    pub(super) domain: String,
    pub(super) nodes: Vec<NodeState>,
    pub(super) open: Option<NodeState>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    pub(super) initializers: Vec<usize>,
    /// For a function, attributes it requires and attributes with a default.
    pub(super) attributes: Vec<String>,
    pub(super) defaults: Vec<AttributeProto>,
}

#[derive(Clone, Debug)]
pub(super) struct NodeState {
    pub(super) name: Option<String>,
    pub(super) op_type: String,
    pub(super) domain: String,
    pub(super) doc: Option<String>,
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Option<usize>>,
    pub(super) attributes: Vec<(String, Attribute)>,
    pub(super) recipe: Recipe,
}

impl NodeState {
    pub(super) fn new(op_type: &str, inputs: Vec<Option<usize>>) -> NodeState {
        NodeState {
            name: None,
            op_type: op_type.to_string(),
            domain: String::new(),
            doc: None,
            inputs,
            outputs: Vec::new(),
            attributes: Vec::new(),
            recipe: Recipe::None,
        }
    }

    pub(super) fn set(&mut self, name: &str, value: Attribute) {
        self.attributes.retain(|(other, _)| other != name);
        self.attributes.push((name.to_string(), value));
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        match self.attribute(name) {
            Some(Attribute::Int(value)) => *value,
            _ => default,
        }
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        match self.attribute(name) {
            Some(Attribute::Ints(values)) => Some(values.clone()),
            _ => None,
        }
    }
}

impl ScopeState {
    pub(super) fn new(kind: ScopeKind, name: &str) -> ScopeState {
        ScopeState {
            kind,
            name: name.to_string(),
            domain: String::new(),
            nodes: Vec::new(),
            open: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            initializers: Vec::new(),
            attributes: Vec::new(),
            defaults: Vec::new(),
        }
    }
}

impl State {
    pub(super) fn new() -> State {
        State {
            opset: 17,
            ir_version: None,
            dtype: DataType::Float,
            storage: Storage::Raw,
            parameters: Parameters::Initializers,
            seed: 0,
            value_info: false,
            metadata: Vec::new(),
            domains: BTreeMap::new(),
            values: Vec::new(),
            scopes: vec![ScopeState::new(ScopeKind::Main, "main")],
            taken: BTreeSet::new(),
        }
    }

    pub(super) fn value(&mut self, name: Option<&str>, fact: Fact, origin: Origin) -> usize {
        self.taken.extend(name.map(str::to_string));
        let name = name.map(str::to_string);
        self.values.push(ValueState {
            name,
            fact,
            stated: false,
            origin,
        });
        self.values.len() - 1
    }

    /// Opens a node, sealing the one before it.
    pub(super) fn open(&mut self, scope: usize, mut node: NodeState) -> usize {
        self.seal(scope);
        let output = self.value(None, Fact::default(), Origin::Node);
        node.outputs.push(Some(output));
        self.scopes[scope].open = Some(node);
        output
    }

    pub(super) fn seal(&mut self, scope: usize) {
        let Some(mut node) = self.scopes[scope].open.take() else {
            return;
        };
        let name = match node.name.clone() {
            Some(name) => name,
            None => self.fresh_numbered(&stem(&node.op_type)),
        };
        node.name = Some(name.clone());
        let facts: Vec<Fact> = node.inputs.iter().map(|&id| self.fact(id)).collect();
        for (suffix, position, tensor) in node.recipe.parameters(&node, &facts, self, &name) {
            let id = self.parameter(scope, &format!("{name}.{suffix}"), tensor);
            node.inputs
                .resize((position + 1).max(node.inputs.len()), None);
            node.inputs[position] = Some(id);
        }
        self.name_outputs(&node, &name);
        let facts: Vec<Fact> = node.inputs.iter().map(|&id| self.fact(id)).collect();
        let inferred = infer(self, &node, &facts);
        for (&output, fact) in node.outputs.iter().zip(inferred) {
            let Some(id) = output else { continue };
            let value = &mut self.values[id];
            let stated = value.stated.then(|| value.fact.shape.take()).flatten();
            let dtype = value.fact.dtype.take().or(fact.dtype);
            value.fact = Fact {
                shape: stated.or(fact.shape),
                dtype,
                elements: fact.elements,
            };
        }
        self.scopes[scope].nodes.push(node);
    }

    fn name_outputs(&mut self, node: &NodeState, name: &str) {
        for (number, &output) in node.outputs.iter().enumerate() {
            let Some(id) = output else { continue };
            if self.values[id].name.is_none() {
                let suffix = if number == 0 {
                    String::new()
                } else {
                    number.to_string()
                };
                self.values[id].name = Some(self.fresh(&format!("{name}.out{suffix}")));
            }
        }
    }

    pub(super) fn fact(&self, id: Option<usize>) -> Fact {
        id.map(|id| self.values[id].fact.clone())
            .unwrap_or_default()
    }

    /// A constant of the builder's making, in the form that the settings ask for.
    pub(super) fn parameter(&mut self, scope: usize, name: &str, tensor: Tensor) -> usize {
        let name = self.fresh(name);
        let no_initializer = match self.scopes[scope].kind {
            ScopeKind::Main => false,
            ScopeKind::Body => self.ir() < 4,
            ScopeKind::Function => true,
        };
        // Constant makes floats only before opset 9.
        let constant = self.parameters == Parameters::ConstantNodes
            && (self.opset >= 9 || is_float(tensor.dtype));
        if no_initializer || constant {
            let id = self.value(Some(&name), Fact::of(&tensor), Origin::Node);
            let mut node = NodeState::new("Constant", Vec::new());
            node.name = Some(self.fresh(&format!("{name}.constant")));
            node.set("value", tensor.into());
            node.outputs = vec![Some(id)];
            self.scopes[scope].nodes.push(node);
            return id;
        }
        self.initializer(scope, &name, tensor)
    }

    pub(super) fn initializer(&mut self, scope: usize, name: &str, tensor: Tensor) -> usize {
        let (fact, storage) = (Fact::of(&tensor), self.storage);
        let origin = Origin::Initializer {
            tensor: Box::new(tensor),
            storage,
        };
        let id = self.value(Some(name), fact, origin);
        self.scopes[scope].initializers.push(id);
        id
    }

    pub(super) fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_string();
        let mut number = 1;
        while !self.taken.insert(name.clone()) {
            number += 1;
            name = format!("{wanted}_{number}");
        }
        name
    }

    fn fresh_numbered(&mut self, stem: &str) -> String {
        let free = |number: &usize| !self.taken.contains(&format!("{stem}_{number}"));
        let number = (0..).find(free).unwrap_or_default();
        self.fresh(&format!("{stem}_{number}"))
    }
}

/// What nodes of that operator are called: `conv`, `bn`, `max_pool`.
fn stem(op_type: &str) -> String {
    match op_type {
        "BatchNormalization" => return "bn".into(),
        "MatMul" => return "matmul".into(),
        _ => {}
    }
    let mut stem = String::new();
    let mut after_small = false;
    for letter in op_type.chars() {
        if letter.is_uppercase() && after_small {
            stem.push('_');
        }
        after_small = letter.is_lowercase() || letter.is_numeric();
        stem.extend(letter.to_lowercase());
    }
    stem
}
