//! The graph that a closure builds in.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use super::attribute::{Attribute, Body};
use super::fact::{Dim, Fact, IntoShape};
use super::recipe;
use super::state::{NodeState, Origin, Parameters, ScopeKind, ScopeState, State};
use super::value::Value;
use crate::onnx::proto::AttributeProto;
use crate::testing::{DataType, Storage, Tensor};

/// A graph under construction: the main graph, the body of a node or a model-local function.
#[derive(Clone)]
pub struct Graph {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) scope: usize,
}

impl fmt::Debug for Graph {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Graph({})", self.scope)
    }
}

impl Graph {
    pub(super) fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    pub(super) fn state_mut(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    pub(super) fn handle(&self, id: usize) -> Value {
        Value {
            graph: self.clone(),
            id: Some(id),
        }
    }

    pub(super) fn open(&self, node: NodeState) -> Value {
        let id = self.state_mut().open(self.scope, node);
        self.handle(id)
    }

    /// The version of the default operator set; 17 unless stated.
    pub fn opset(&self, version: i64) -> &Graph {
        self.state_mut().opset = version;
        self
    }

    /// The IR version; the one that came out with the opset unless stated.
    pub fn ir_version(&self, version: i64) -> &Graph {
        self.state_mut().ir_version = Some(version);
        self
    }

    /// The element type of inputs and weights from here on; `float` unless stated.
    pub fn dtype(&self, dtype: DataType) -> &Graph {
        self.state_mut().dtype = dtype;
        self
    }

    /// How tensors from here on are stored; in `raw_data` unless stated.
    pub fn storage(&self, storage: Storage) -> &Graph {
        self.state_mut().storage = storage;
        self
    }

    /// How parameters enter the model; as initializers unless stated.
    pub fn parameters(&self, parameters: Parameters) -> &Graph {
        self.state_mut().parameters = parameters;
        self
    }

    /// Changes every weight that is made from here on.
    pub fn seed(&self, seed: u64) -> &Graph {
        self.state_mut().seed = seed;
        self
    }

    /// Writes value_info for every inner value whose type and rank are known.
    pub fn with_value_info(&self) -> &Graph {
        self.state_mut().value_info = true;
        self
    }

    /// Adds an entry to the model's metadata.
    pub fn metadata(&self, key: &str, value: &str) -> &Graph {
        self.state_mut().metadata.push((key.into(), value.into()));
        self
    }

    /// Imports an operator domain at a version.
    pub fn import(&self, domain: &str, version: i64) -> &Graph {
        self.state_mut().domains.insert(domain.into(), version);
        self
    }

    /// A graph input of the current element type, or a function's or body's input.
    pub fn input(&self, name: &str, shape: impl IntoShape) -> Value {
        let dtype = self.state().dtype;
        self.typed_input(name, dtype, shape)
    }

    /// A graph input of any element type.
    pub fn typed_input(&self, name: &str, dtype: DataType, shape: impl IntoShape) -> Value {
        let mut state = self.state_mut();
        let id = state.value(
            Some(name),
            Fact::new(dtype, shape.into_shape()),
            Origin::Input,
        );
        state.scopes[self.scope].inputs.push(id);
        drop(state);
        self.handle(id)
    }

    /// An initializer with these elements.
    pub fn initializer(&self, name: &str, tensor: Tensor) -> Value {
        let id = self.state_mut().initializer(self.scope, name, tensor);
        self.handle(id)
    }

    /// An initializer of the current element type, drawn from ±1 by its name.
    pub fn weight(&self, name: &str, shape: impl IntoShape) -> Value {
        self.weight_between(name, shape, -1.0, 1.0)
    }

    /// An initializer of the current element type, drawn from a range by its name.
    pub fn weight_between(&self, name: &str, shape: impl IntoShape, low: f64, high: f64) -> Value {
        let shape = shape.into_shape();
        let sizes: Option<Vec<usize>> = shape.iter().map(Dim::size).collect();
        let sizes = sizes.expect("a weight has known extents");
        let state = self.state();
        let tensor = recipe::uniform(name, state.seed, state.dtype, &sizes, low..high);
        drop(state);
        self.initializer(name, tensor)
    }

    /// Lists an initializer among the graph inputs too, so that callers may override it.
    pub fn also_input(&self, initializer: &Value) -> &Graph {
        let id = initializer.id.expect("an absent value is no input");
        self.state_mut().scopes[self.scope].inputs.push(id);
        self
    }

    /// An initializer of int64 elements on one axis, with an automatic name.
    pub fn ints(&self, values: &[i64]) -> Value {
        self.constant_parameter(
            "ints",
            Tensor::ints(&[values.len()], values.iter().copied()),
        )
    }

    /// A tensor with an automatic name, in the form that [`Graph::parameters`] chose.
    pub fn constant_parameter(&self, stem: &str, tensor: Tensor) -> Value {
        let mut state = self.state_mut();
        // A node that is still open may be the one that will read it, so it stays open.
        let id = state.parameter(self.scope, stem, tensor);
        drop(state);
        self.handle(id)
    }

    /// A Constant node with one attribute: `g.constant("value_floats", [1.0, 2.0])`.
    pub fn constant(&self, attribute: &str, value: impl Into<Attribute>) -> Value {
        self.op("Constant", &[]).attr(attribute, value)
    }

    /// A node with one output; `.outputs(n)` gives it more, `.attr(…)` its attributes.
    pub fn op(&self, op_type: &str, inputs: &[&Value]) -> Value {
        for input in inputs {
            self.state_mut().seal(input.graph.scope);
        }
        self.open(NodeState::new(
            op_type,
            inputs.iter().map(|value| value.id).collect(),
        ))
    }

    /// An absent optional input, written as the empty name.
    pub fn absent(&self) -> Value {
        Value {
            graph: self.clone(),
            id: None,
        }
    }

    /// A value of an outer graph, so that this graph's nodes may read it by chaining.
    pub fn capture(&self, outer: &Value) -> Value {
        self.state_mut().seal(outer.graph.scope);
        Value {
            graph: self.clone(),
            id: outer.id,
        }
    }

    /// A nested graph, to be given to an attribute.
    ///
    /// Its inputs and outputs are declared as those of the main graph are.
    pub fn body<R>(&self, build: impl FnOnce(&Graph) -> R) -> Body {
        let scope = self.scope(ScopeKind::Body, "body");
        build(&scope);
        self.state_mut().seal(scope.scope);
        Body(scope.scope)
    }

    /// An If whose branches have one output each.
    pub fn if_else<T, E>(
        &self,
        condition: &Value,
        then: impl FnOnce(&Graph) -> T,
        otherwise: impl FnOnce(&Graph) -> E,
    ) -> Value {
        self.state_mut().seal(condition.graph.scope);
        let (then, otherwise) = (self.body(then), self.body(otherwise));
        self.op("If", &[condition])
            .attr("then_branch", then)
            .attr("else_branch", otherwise)
    }

    /// A model-local function; `g.op(name, …).domain(domain)` calls it.
    pub fn function<R>(&self, domain: &str, name: &str, build: impl FnOnce(&Graph) -> R) -> &Graph {
        let scope = self.scope(ScopeKind::Function, name);
        self.state_mut().scopes[scope.scope].domain = domain.into();
        self.state_mut()
            .domains
            .entry(domain.to_string())
            .or_insert(1);
        build(&scope);
        self.state_mut().seal(scope.scope);
        self
    }

    /// In a function: an attribute that calls have to give.
    pub fn attribute(&self, name: &str) -> &Graph {
        self.state_mut().scopes[self.scope]
            .attributes
            .push(name.into());
        self
    }

    /// In a function: an attribute with a default.
    pub fn attribute_default(&self, name: &str, value: impl Into<Attribute>) -> &Graph {
        let storage = self.state().storage;
        let proto: AttributeProto = value.into().to_proto(name, storage, |_| Default::default());
        self.state_mut().scopes[self.scope].defaults.push(proto);
        self
    }

    fn scope(&self, kind: ScopeKind, name: &str) -> Graph {
        let mut state = self.state_mut();
        let number = state.scopes.len();
        let name = if kind == ScopeKind::Body {
            format!("{name}_{number}")
        } else {
            name.into()
        };
        state.scopes.push(ScopeState::new(kind, &name));
        Graph {
            state: self.state.clone(),
            scope: number,
        }
    }
}
