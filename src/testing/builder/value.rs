//! A value of the model under construction, and the settings of the node that writes it.

use std::fmt;

use super::Graph;
use super::attribute::Attribute;
use super::fact::IntoShape;
use super::state::{NodeState, Origin};
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::testing::DataType;
use crate::testing::builder::recipe::Recipe;

/// A value: a graph input, an initializer or a node's output.
///
/// Methods named after operators append a node that reads it.
/// Methods named after settings (`.group(2)`, `.pads(…)`, `.name("stem")`) change the node that
/// writes it, and have to come before anything else reads it.
#[derive(Clone)]
pub struct Value {
    pub(super) graph: Graph,
    pub(super) id: Option<usize>,
}

impl Value {
    /// The graph that the value is used in.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The value's name in the model.
    pub fn to_name(&self) -> String {
        self.sealed();
        self.graph.state().name(self.id)
    }

    /// The known extents, if all are.
    pub fn sizes(&self) -> Option<Vec<usize>> {
        self.sealed();
        self.graph.state().fact(self.id).sizes()
    }

    /// Makes the value an output of its graph or function, under that name.
    ///
    /// A graph input, an initializer, an outer value or one that is an output already goes through
    /// an Identity node.
    pub fn output(&self, name: &str) -> Value {
        let state = self.graph.state();
        let id = self.id.expect("an absent value is no output");
        let scope = self.graph.scope;
        let open = |nodes: &[NodeState]| nodes.iter().any(|node| node.outputs.contains(&self.id));
        let own = state.scopes[scope].open.as_ref();
        let own = own.is_some_and(|node| open(std::slice::from_ref(node)))
            || open(&state.scopes[scope].nodes);
        let free = own && !state.scopes[scope].outputs.contains(&id);
        drop(state);
        if !free {
            return self.op("Identity").output(name);
        }
        let mut state = self.graph.state_mut();
        state.values[id].name = Some(name.to_string());
        state.scopes[scope].outputs.push(id);
        drop(state);
        self.clone()
    }

    /// Names the value itself, where `.name` names the node.
    pub fn value_name(&self, name: &str) -> Value {
        let id = self.id.expect("an absent value has no name");
        self.graph.state_mut().values[id].name = Some(name.to_string());
        self.clone()
    }

    /// States the extents, where they cannot be inferred or should be symbolic.
    pub fn shape(&self, shape: impl IntoShape) -> Value {
        let id = self.id.expect("an absent value has no shape");
        let mut state = self.graph.state_mut();
        state.values[id].fact.shape = Some(shape.into_shape());
        state.values[id].stated = true;
        drop(state);
        self.clone()
    }

    /// States the element type.
    pub fn dtype(&self, dtype: DataType) -> Value {
        let id = self.id.expect("an absent value has no element type");
        self.graph.state_mut().values[id].fact.dtype = Some(dtype);
        self.clone()
    }

    /// Appends a node that reads this value alone.
    pub fn op(&self, op_type: &str) -> Value {
        self.graph.op(op_type, &[self])
    }

    /// An input of the node that writes this value: a weight that another node shall share.
    pub fn operand(&self, index: usize) -> Value {
        self.sealed();
        let state = self.graph.state();
        let nodes = &state.scopes[self.graph.scope].nodes;
        let node = nodes.iter().find(|node| node.outputs.contains(&self.id));
        let id = node
            .and_then(|node| node.inputs.get(index).copied())
            .flatten();
        assert!(
            id.is_some(),
            "`{}` has no operand {index}",
            state.name(self.id)
        );
        drop(state);
        Value {
            graph: self.graph.clone(),
            id,
        }
    }

    /// Sets an attribute of the node.
    pub fn attr(&self, name: &str, value: impl Into<Attribute>) -> Value {
        self.amend(|node| node.set(name, value.into()))
    }

    /// In a function, takes an attribute's value from the calling node's attribute `wanted`.
    pub fn attr_ref(&self, name: &str, kind: AttributeType, wanted: &str) -> Value {
        self.attr(name, Attribute::Reference(kind, wanted.to_string()))
    }

    /// Names the node; its parameters and outputs take their names from it.
    pub fn name(&self, name: &str) -> Value {
        self.amend(|node| node.name = Some(name.to_string()))
    }

    /// Documents the node.
    pub fn doc(&self, text: &str) -> Value {
        self.amend(|node| node.doc = Some(text.to_string()))
    }

    /// Puts the node into another operator domain, which the model then imports at version 1.
    pub fn domain(&self, domain: &str) -> Value {
        self.graph
            .state_mut()
            .domains
            .entry(domain.to_string())
            .or_insert(1);
        self.amend(|node| node.domain = domain.to_string())
    }

    /// `kernel_shape`.
    pub fn kernel(&self, extents: impl AsRef<[i64]>) -> Value {
        self.attr("kernel_shape", extents.as_ref())
    }

    /// `strides`.
    pub fn strides(&self, strides: impl AsRef<[i64]>) -> Value {
        self.attr("strides", strides.as_ref())
    }

    /// `dilations`.
    pub fn dilations(&self, dilations: impl AsRef<[i64]>) -> Value {
        self.attr("dilations", dilations.as_ref())
    }

    /// `pads`: all beginnings, then all ends.
    pub fn pads(&self, pads: impl AsRef<[i64]>) -> Value {
        self.attr("pads", pads.as_ref())
    }

    /// `auto_pad`.
    pub fn auto_pad(&self, mode: &str) -> Value {
        self.attr("auto_pad", mode)
    }

    /// `group`.
    pub fn group(&self, group: i64) -> Value {
        self.attr("group", group)
    }

    /// `axis`.
    pub fn axis(&self, axis: i64) -> Value {
        self.attr("axis", axis)
    }

    /// `epsilon`.
    pub fn epsilon(&self, epsilon: f32) -> Value {
        self.attr("epsilon", epsilon)
    }

    /// Gives the node an input: a shared weight, an optional input that it lacks.
    pub fn with_input(&self, index: usize, value: &Value) -> Value {
        let id = value.id;
        if value.graph.scope == self.graph.scope {
            assert!(!self.is_open_in(id), "a node cannot read its own output");
        }
        self.amend(|node| {
            node.inputs.resize((index + 1).max(node.inputs.len()), None);
            node.inputs[index] = id;
        })
    }

    /// A shared weight, as input 1.
    pub fn weight(&self, weight: &Value) -> Value {
        self.with_input(1, weight)
    }

    /// Adds a bias of the builder's making to a Conv, ConvTranspose, Gemm or RNN.
    pub fn bias(&self) -> Value {
        self.set_bias(true)
    }

    /// Leaves the bias away.
    pub fn no_bias(&self) -> Value {
        self.set_bias(false)
    }

    /// Some scales of the BatchNormalization are negative, the first one always.
    pub fn negative_scales(&self) -> Value {
        self.amend(|node| node.recipe = Recipe::BatchNorm { negative: true })
    }

    /// The node has that many outputs; they come back in order, this value first.
    pub fn outputs(&self, count: usize) -> Vec<Value> {
        let mut state = self.graph.state_mut();
        let new: Vec<Option<usize>> = (1..count)
            .map(|_| Some(state.value(None, super::fact::Fact::default(), Origin::Node)))
            .collect();
        drop(state);
        self.amend(|node| node.outputs.extend(&new));
        let others = new.into_iter().map(|id| Value {
            graph: self.graph.clone(),
            id,
        });
        [self.clone()].into_iter().chain(others).collect()
    }

    /// Whether the value was not undone.
    pub(crate) fn exists(&self) -> bool {
        self.id
            .is_some_and(|id| id < self.graph.state().values.len())
    }

    /// Whether the node, which must still be open, has the attribute.
    pub(crate) fn has_attribute(&self, name: &str) -> bool {
        let mut found = false;
        self.amend(|node| found = node.attribute(name).is_some());
        found
    }

    fn set_bias(&self, wanted: bool) -> Value {
        self.amend(|node| match &mut node.recipe {
            Recipe::Conv { bias, .. }
            | Recipe::ConvTranspose { bias, .. }
            | Recipe::Gemm { bias, .. }
            | Recipe::Recurrent { bias, .. } => *bias = wanted,
            _ => panic!("{} takes no bias of the builder's making", node.op_type),
        })
    }

    /// Changes the node that writes this value.
    pub(super) fn amend(&self, change: impl FnOnce(&mut NodeState)) -> Value {
        assert!(
            self.is_open_in(self.id),
            "settings of a node come before anything else is added to its graph"
        );
        let mut state = self.graph.state_mut();
        if let Some(node) = state.scopes[self.graph.scope].open.as_mut() {
            change(node);
        }
        drop(state);
        self.clone()
    }

    fn is_open_in(&self, id: Option<usize>) -> bool {
        let state = self.graph.state();
        let open = state.scopes[self.graph.scope].open.as_ref();
        open.is_some_and(|node| node.outputs.contains(&id))
    }

    fn sealed(&self) {
        if self.is_open_in(self.id) {
            self.graph.state_mut().seal(self.graph.scope);
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Value({:?})", self.id)
    }
}
