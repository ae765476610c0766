//! Writes ONNX models in one expression each.
//!
//! ```
//! use bnfold::testing::model;
//!
//! let chain = model(|g| g.input("x", [1, 4, 8, 8]).conv(6).group(2).batch_norm().relu().output("y"));
//! let graph = chain.graph.as_ref().unwrap();
//! assert_eq!(graph.node[1].input[1], "bn_0.scale");
//!
//! let branches = model(|g| {
//!     let x = g.input("x", "N,4,8,8");
//!     let left = x.conv(4).pads([1, 1, 1, 1]);
//!     let right = x.batch_norm();
//!     left.add(right).relu().output("y")
//! });
//! assert_eq!(branches.graph.unwrap().node.len(), 4);
//! ```
//!
//! Nodes are named `conv_0`, `bn_0`, `bn_1`; their parameters `bn_0.scale`, their outputs
//! `bn_0.out`, `split_0.out1`.
//! Parameters are drawn from a generator seeded by their names, so that a test which adds a node
//! changes no other weight.
//! The builder panics where a test asks for something senseless; it does not check models.

mod attribute;
mod emit;
mod fact;
mod infer;
mod ops;
mod recipe;
mod state;
mod value;

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

pub use attribute::{Attribute, Body};
pub use fact::{Dim, IntoShape};
pub use state::Parameters;
pub use value::Value;

use super::tensor::{DataType, Storage, Tensor};
use crate::onnx::proto::{AttributeProto, ModelProto};
use fact::Fact;
use prost::Message;
use state::{NodeState, Origin, ScopeKind, ScopeState, State};

/// Builds a model; what the closure gives back is dropped, so a chain may end in `.output("y")`.
///
/// # Panics
///
/// If the closure asks for a parameter whose shape cannot be known.
pub fn model<R>(build: impl FnOnce(&Graph) -> R) -> ModelProto {
    let graph = Graph {
        state: Rc::new(RefCell::new(State::new())),
        scope: 0,
    };
    build(&graph);
    let mut state = graph.state_mut();
    state.seal(0);
    state.to_model()
}

/// A message as the bytes of a file.
pub trait ToBytes {
    /// The encoded message.
    fn to_bytes(&self) -> Vec<u8>;
}

impl<M: Message> ToBytes for M {
    fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// A graph under construction: the main graph, the body of a node or a model-local function.
#[derive(Clone)]
pub struct Graph {
    state: Rc<RefCell<State>>,
    scope: usize,
}

impl fmt::Debug for Graph {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Graph({})", self.scope)
    }
}

impl Graph {
    fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    fn state_mut(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    fn handle(&self, id: usize) -> Value {
        Value {
            graph: self.clone(),
            id: Some(id),
        }
    }

    fn open(&self, node: NodeState) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::GraphProto;
    use crate::testing::reference::{run, run_outputs};

    fn nodes(graph: &GraphProto) -> Vec<String> {
        let text = |node: &crate::onnx::proto::NodeProto| {
            format!(
                "{}: {}({}) -> {}",
                node.name(),
                node.op_type(),
                node.input.join(", "),
                node.output.join(", ")
            )
        };
        graph.node.iter().map(text).collect()
    }

    #[test]
    fn names_follow_the_operators() {
        let built = model(|g| {
            g.input("x", [1, 4, 8, 8])
                .conv(6)
                .group(2)
                .bias()
                .batch_norm()
                .relu()
                .conv(2)
                .output("y")
        });
        assert_eq!(
            nodes(&built.graph.unwrap()),
            [
                "conv_0: Conv(x, conv_0.W, conv_0.B) -> conv_0.out",
                "bn_0: BatchNormalization(conv_0.out, bn_0.scale, bn_0.B, bn_0.mean, bn_0.var) -> bn_0.out",
                "relu_0: Relu(bn_0.out) -> relu_0.out",
                "conv_1: Conv(relu_0.out, conv_1.W) -> y",
            ]
        );
    }

    #[test]
    fn weights_depend_on_their_names_alone() {
        let short = model(|g| g.input("x", [1, 2, 5, 5]).conv(3).name("stem").output("y"));
        let long = model(|g| {
            g.input("x", [1, 2, 5, 5])
                .relu()
                .conv(3)
                .name("stem")
                .output("y")
        });
        let other = model(|g| {
            g.seed(1);
            g.input("x", [1, 2, 5, 5]).conv(3).name("stem").output("y")
        });
        let weight = |model: ModelProto| model.graph.unwrap().initializer.remove(0);
        let (short, long, other) = (weight(short), weight(long), weight(other));
        assert_eq!(short, long);
        assert_ne!(short.raw_data, other.raw_data);
        assert_eq!(short.name(), "stem.W");
    }

    #[test]
    fn known_shapes_agree_with_the_executor() {
        let built = model(|g| {
            g.with_value_info();
            let x = g.input("x", [2, 4, 9, 8]);
            let a = x.conv(6).strides([2, 1]).pads([1, 0, 1, 2]).group(2);
            let b = a
                .conv_transpose(3)
                .strides([2, 2])
                .attr("output_padding", [1, 0]);
            let c = b
                .max_pool([2, 3])
                .attr("ceil_mode", 1)
                .prelu()
                .transpose([0, 2, 3, 1]);
            let d = c
                .matmul(5)
                .reshape([0, -1, 5])
                .reduce_mean([1])
                .squeeze([1]);
            let parts = d.linear(6).unsqueeze([2]).split(1, [2, 4]);
            parts[0].concat(&[&parts[1]], 1).flatten().output("y");
            x.slice(2, 1, -2).pad([0, 0, 1, 0, 0, 0, 0, 3]).output("z")
        });
        let shape = Tensor::floats(&[2, 4, 9, 8], vec![0.5; 576]);
        let values = run(&built, &[("x", shape)]).unwrap();
        let graph = built.graph.unwrap();
        assert_eq!(
            graph.value_info.len() + graph.output.len(),
            graph.node.len() + 1
        );
        for info in graph.value_info.iter().chain(&graph.output) {
            let value = &values[info.name()];
            let stated = Fact::new(value.dtype, value.shape.as_slice().into_shape());
            assert_eq!(*info, stated.to_value_info(info.name()));
        }
    }

    #[test]
    fn parameters_take_the_form_that_is_asked_for() {
        let build = |parameters, storage| {
            model(|g| {
                g.dtype(DataType::Float16)
                    .storage(storage)
                    .parameters(parameters);
                g.input("x", [1, 2, 4, 4]).conv(2).batch_norm().output("y")
            })
        };
        let x = Tensor::new(
            DataType::Float16,
            &[1, 2, 4, 4],
            (0..32).map(f64::from).collect(),
        );
        let plain = build(Parameters::Initializers, Storage::Raw);
        let expected = run_outputs(&plain, &[("x", x.clone())]).unwrap();
        assert_eq!(plain.graph.as_ref().unwrap().initializer.len(), 5);

        let constants = build(Parameters::ConstantNodes, Storage::Typed);
        assert_eq!(
            run_outputs(&constants, &[("x", x.clone())]).unwrap(),
            expected
        );
        assert_eq!(constants.graph.unwrap().node.len(), 7);

        let overridable = build(Parameters::OverridableInitializers, Storage::Typed);
        assert_eq!(run_outputs(&overridable, &[("x", x)]).unwrap(), expected);
        assert_eq!(overridable.graph.unwrap().input.len(), 6);
    }

    #[test]
    fn bodies_capture_and_functions_take_attributes() {
        let built = model(|g| {
            g.function("local", "Leak", |f| {
                f.attribute_default("slope", 0.5);
                let x = f.input("x", [2, 2]);
                x.op("LeakyRelu")
                    .attr_ref(
                        "alpha",
                        crate::onnx::proto::attribute_proto::AttributeType::Float,
                        "slope",
                    )
                    .output("y")
            });
            let x = g.input("x", [2, 2]);
            let leaked = x.op("Leak").domain("local").attr("slope", 0.25);
            let condition = g.typed_input("condition", DataType::Bool, []);
            let chosen = g.if_else(
                &condition,
                |then| then.capture(&leaked).add(&x).output("sum"),
                |other| other.capture(&x).op("Leak").domain("local").output("again"),
            );
            chosen.output("y")
        });
        let x = || ("x", Tensor::floats(&[2, 2], [1.0, -4.0, 2.0, -8.0]));
        let run = |yes| run_outputs(&built, &[x(), ("condition", Tensor::bools(&[], [yes]))]);
        assert_eq!(run(true).unwrap()[0].data, [2.0, -5.0, 4.0, -10.0]);
        assert_eq!(run(false).unwrap()[0].data, [1.0, -2.0, 2.0, -4.0]);
    }

    #[test]
    fn a_shared_weight_is_one_initializer() {
        let built = model(|g| {
            let x = g.input("x", [1, 2, 4, 4]);
            let first = x.conv(2).pads([1, 1, 1, 1]);
            let second = first.conv(2).weight(&first.operand(1));
            second.output("y")
        });
        let graph = built.graph.unwrap();
        assert_eq!(graph.initializer.len(), 1);
        assert_eq!(graph.node[1].input, ["conv_0.out", "conv_0.W"]);
    }

    #[test]
    fn old_opsets_get_old_forms() {
        let built = model(|g| {
            g.opset(8);
            let x = g
                .input("x", [1, 2, 4, 4])
                .batch_norm()
                .unsqueeze([0])
                .squeeze([0]);
            x.pad([0, 0, 1, 1, 0, 0, 1, 1])
                .resize([1.0, 1.0, 2.0, 2.0])
                .output("y")
        });
        assert_eq!(built.ir_version, Some(3));
        let graph = built.graph.unwrap();
        assert_eq!(
            graph.input.len(),
            5,
            "initializers are inputs below IR version 4"
        );
        assert_eq!(graph.node[4].op_type(), "Upsample");
        assert!(graph.node[1..].iter().all(|node| node.input.len() == 1));
    }

    #[test]
    fn batch_norm_is_its_formula() {
        let built = model(|g| {
            g.input("x", [1, 2, 1, 1])
                .batch_norm()
                .negative_scales()
                .output("y")
        });
        let values = run(&built, &[("x", Tensor::floats(&[1, 2, 1, 1], [3.0, -2.0]))]).unwrap();
        let of = |name: &str, at: usize| values[&format!("bn_0.{name}")].data[at];
        for (at, x) in [3.0, -2.0].into_iter().enumerate() {
            let epsilon = f64::from(1e-5f32);
            let expected = of("scale", at) * (x - of("mean", at))
                / (of("var", at) + epsilon).sqrt()
                + of("B", at);
            assert_eq!(values["y"].data[at], expected);
        }
        assert!(of("scale", 0) < 0.0);
    }
}
