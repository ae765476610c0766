//! One method for each operator that tests use often.
//!
//! Parameters that are not given are made by the builder, with names like `conv_0.W`.
//! Attribute or input form is chosen by the model's opset.

use std::borrow::Borrow;

use super::recipe::Recipe;
use super::state::NodeState;
use super::value::Value;
use crate::testing::{DataType, Tensor};

impl Value {
    fn with_recipe(&self, op_type: &str, recipe: Recipe) -> Value {
        let mut node = NodeState::new(op_type, vec![self.id]);
        node.recipe = recipe;
        self.graph.open(node)
    }

    /// Before opset 7 operands of different shapes need to be told to broadcast.
    fn arithmetic(&self, op_type: &str, other: &Value) -> Value {
        let node = self.with(op_type, other);
        let state = self.graph.state();
        let differ = state.fact(self.id).shape != state.fact(other.id).shape;
        let told = state.opset < 7 && differ;
        drop(state);
        if told {
            node.attr("broadcast", 1)
        } else {
            node
        }
    }

    fn with(&self, op_type: &str, other: impl Borrow<Value>) -> Value {
        self.graph.op(op_type, &[self, other.borrow()])
    }

    /// Conv with that many output channels, kernel 3 unless `.kernel(…)` says else, no bias.
    pub fn conv(&self, outputs: usize) -> Value {
        self.with_recipe(
            "Conv",
            Recipe::Conv {
                outputs,
                bias: false,
            },
        )
    }

    /// ConvTranspose with that many output channels, kernel 3 unless `.kernel(…)` says else.
    pub fn conv_transpose(&self, outputs: usize) -> Value {
        self.with_recipe(
            "ConvTranspose",
            Recipe::ConvTranspose {
                outputs,
                bias: false,
            },
        )
    }

    /// Gemm with that many columns, with a C of shape [N].
    pub fn gemm(&self, outputs: usize) -> Value {
        self.with_recipe(
            "Gemm",
            Recipe::Gemm {
                outputs,
                bias: true,
            },
        )
    }

    /// Gemm as exporters write a fully connected layer: `transB=1`.
    pub fn linear(&self, outputs: usize) -> Value {
        self.gemm(outputs).attr("transB", 1)
    }

    /// MatMul by a constant of that many columns.
    pub fn matmul(&self, outputs: usize) -> Value {
        self.with_recipe("MatMul", Recipe::MatMul { outputs })
    }

    /// MatMul by another value, this one on the left.
    pub fn matmul_by(&self, other: impl Borrow<Value>) -> Value {
        self.with("MatMul", other)
    }

    /// BatchNormalization in inference mode.
    pub fn batch_norm(&self) -> Value {
        let old = self.graph.state().opset < 7;
        let node = self.with_recipe("BatchNormalization", Recipe::BatchNorm { negative: false });
        if old { node.attr("is_test", 1) } else { node }
    }

    /// InstanceNormalization.
    pub fn instance_norm(&self) -> Value {
        self.with_recipe("InstanceNormalization", Recipe::Norm)
    }

    /// GroupNormalization (opset 18).
    pub fn group_norm(&self, groups: i64) -> Value {
        self.with_recipe("GroupNormalization", Recipe::Norm)
            .attr("num_groups", groups)
    }

    /// LayerNormalization over the last axis.
    pub fn layer_norm(&self) -> Value {
        self.with_recipe("LayerNormalization", Recipe::Norm)
    }

    /// LSTM over [sequence, batch, features].
    pub fn lstm(&self, hidden: i64) -> Value {
        self.recurrent("LSTM", 4, hidden)
    }

    /// GRU over [sequence, batch, features].
    pub fn gru(&self, hidden: i64) -> Value {
        self.recurrent("GRU", 3, hidden)
    }

    /// RNN over [sequence, batch, features].
    pub fn rnn(&self, hidden: i64) -> Value {
        self.recurrent("RNN", 1, hidden)
    }

    fn recurrent(&self, op_type: &str, gates: usize, hidden: i64) -> Value {
        let recipe = Recipe::Recurrent { gates, bias: true };
        self.with_recipe(op_type, recipe)
            .attr("hidden_size", hidden)
    }

    /// PRelu with a slope for each channel.
    pub fn prelu(&self) -> Value {
        self.with_recipe("PRelu", Recipe::Slope)
    }

    /// Relu.
    pub fn relu(&self) -> Value {
        self.op("Relu")
    }

    /// LeakyRelu.
    pub fn leaky_relu(&self, alpha: f32) -> Value {
        self.op("LeakyRelu").attr("alpha", alpha)
    }

    /// Sigmoid.
    pub fn sigmoid(&self) -> Value {
        self.op("Sigmoid")
    }

    /// Tanh.
    pub fn tanh(&self) -> Value {
        self.op("Tanh")
    }

    /// Identity.
    pub fn identity(&self) -> Value {
        self.op("Identity")
    }

    /// Dropout without mask.
    pub fn dropout(&self) -> Value {
        self.op("Dropout")
    }

    /// Softmax over the last axis.
    pub fn softmax(&self) -> Value {
        self.op("Softmax").axis(-1)
    }

    /// Cast.
    pub fn cast(&self, to: DataType) -> Value {
        self.op("Cast").attr("to", i64::from(i32::from(to)))
    }

    /// Add.
    pub fn add(&self, other: impl Borrow<Value>) -> Value {
        self.arithmetic("Add", other.borrow())
    }

    /// Sub.
    pub fn sub(&self, other: impl Borrow<Value>) -> Value {
        self.arithmetic("Sub", other.borrow())
    }

    /// Mul.
    pub fn mul(&self, other: impl Borrow<Value>) -> Value {
        self.arithmetic("Mul", other.borrow())
    }

    /// Div.
    pub fn div(&self, other: impl Borrow<Value>) -> Value {
        self.arithmetic("Div", other.borrow())
    }

    /// Concat of this value and others.
    pub fn concat(&self, others: &[&Value], axis: i64) -> Value {
        self.graph
            .op("Concat", &[&[self], others].concat())
            .axis(axis)
    }

    /// Split into parts of these sizes.
    pub fn split(&self, axis: i64, sizes: impl AsRef<[i64]>) -> Vec<Value> {
        let count = sizes.as_ref().len();
        self.with_ints("Split", "split", 13, sizes)
            .axis(axis)
            .outputs(count)
    }

    /// MaxPool with that kernel on both sides and as stride.
    pub fn max_pool(&self, kernel: impl AsRef<[i64]>) -> Value {
        self.op("MaxPool").kernel(&kernel).strides(kernel)
    }

    /// AveragePool with that kernel, also as stride.
    pub fn average_pool(&self, kernel: impl AsRef<[i64]>) -> Value {
        self.op("AveragePool").kernel(&kernel).strides(kernel)
    }

    /// GlobalAveragePool.
    pub fn global_average_pool(&self) -> Value {
        self.op("GlobalAveragePool")
    }

    /// GlobalMaxPool.
    pub fn global_max_pool(&self) -> Value {
        self.op("GlobalMaxPool")
    }

    /// Flatten at axis 1.
    pub fn flatten(&self) -> Value {
        self.op("Flatten")
    }

    /// Transpose.
    pub fn transpose(&self, perm: impl AsRef<[i64]>) -> Value {
        self.op("Transpose").attr("perm", perm.as_ref())
    }

    /// Reshape to a constant shape.
    pub fn reshape(&self, shape: impl AsRef<[i64]>) -> Value {
        self.with_ints("Reshape", "shape", 5, shape)
    }

    /// Squeeze.
    pub fn squeeze(&self, axes: impl AsRef<[i64]>) -> Value {
        self.with_ints("Squeeze", "axes", 13, axes)
    }

    /// Unsqueeze.
    pub fn unsqueeze(&self, axes: impl AsRef<[i64]>) -> Value {
        self.with_ints("Unsqueeze", "axes", 13, axes)
    }

    /// ReduceMean over axes, which stay with extent 1.
    pub fn reduce_mean(&self, axes: impl AsRef<[i64]>) -> Value {
        self.reduce("ReduceMean", axes)
    }

    /// Any of the Reduce operators over axes, which stay with extent 1.
    pub fn reduce(&self, op_type: &str, axes: impl AsRef<[i64]>) -> Value {
        let input_since = if op_type == "ReduceSum" { 13 } else { 18 };
        self.with_ints(op_type, "axes", input_since, axes)
    }

    /// Pad with zeros: all beginnings, then all ends.
    pub fn pad(&self, pads: impl AsRef<[i64]>) -> Value {
        self.with_ints("Pad", "pads", 11, pads)
    }

    /// Slice on one axis.
    pub fn slice(&self, axis: i64, start: i64, end: i64) -> Value {
        if self.graph.state().opset < 10 {
            let node = self.op("Slice").attr("starts", [start]).attr("ends", [end]);
            return node.attr("axes", [axis]);
        }
        let [start, end, axis] = [start, end, axis].map(|value| self.graph.ints(&[value]));
        self.graph.op("Slice", &[self, &start, &end, &axis])
    }

    /// Resize by constant scales (Upsample below opset 10).
    pub fn resize(&self, scales: impl AsRef<[f32]>) -> Value {
        let opset = self.graph.state().opset;
        let scales = scales.as_ref();
        if opset < 9 {
            return self.op("Upsample").attr("scales", scales.to_vec());
        }
        let tensor = Tensor::floats(&[scales.len()], scales.iter().copied());
        let scales = self.graph.constant_parameter("scales", tensor);
        match opset {
            9 => self.with("Upsample", scales),
            10 => self.with("Resize", scales),
            // Input roi may be absent since opset 13 only.
            11 | 12 => {
                let roi = self
                    .graph
                    .constant_parameter("roi", Tensor::floats(&[0], []));
                self.graph.op("Resize", &[self, &roi, &scales])
            }
            _ => self
                .graph
                .op("Resize", &[self, &self.graph.absent(), &scales]),
        }
    }

    /// Clip between two bounds.
    pub fn clip(&self, least: f32, greatest: f32) -> Value {
        if self.graph.state().opset < 11 {
            return self.op("Clip").attr("min", least).attr("max", greatest);
        }
        let [least, greatest] = [("min", least), ("max", greatest)].map(|(name, bound)| {
            let dtype = self
                .graph
                .state()
                .fact(self.id)
                .dtype
                .unwrap_or(DataType::Float);
            self.graph
                .constant_parameter(name, Tensor::scalar(dtype, bound.into()))
        });
        self.graph.op("Clip", &[self, &least, &greatest])
    }

    /// An attribute in old opsets, an int64 input since `input_since`.
    fn with_ints(
        &self,
        op_type: &str,
        name: &str,
        input_since: i64,
        values: impl AsRef<[i64]>,
    ) -> Value {
        if self.graph.state().opset < input_since {
            return self.op(op_type).attr(name, values.as_ref());
        }
        let values = values.as_ref();
        let input = self
            .graph
            .constant_parameter(name, Tensor::ints(&[values.len()], values.iter().copied()));
        self.with(op_type, input)
    }
}
