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
mod formulas;
mod graph;
mod infer;
mod mark;
mod ops;
mod recipe;
mod state;
mod value;

use std::cell::RefCell;
use std::rc::Rc;

use prost::Message;

use crate::onnx::proto::ModelProto;
use state::State;

pub use attribute::{Attribute, Body};
pub use fact::{Dim, IntoShape};
pub use graph::Graph;
pub(crate) use mark::Mark;
pub use state::Parameters;
pub use value::Value;

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

#[cfg(test)]
mod tests {
    use super::fact::Fact;
    use super::*;
    use crate::onnx::proto::GraphProto;
    use crate::testing::reference::{run, run_outputs};
    use crate::testing::{DataType, Storage, Tensor};

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
