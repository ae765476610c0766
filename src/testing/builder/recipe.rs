//! Parameters that the builder makes for a node, from a generator seeded by their names.
//!
//! Weights have variance 1/fan-in, so that a value keeps its magnitude from op to op.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::fact::{Dim, Fact};
use super::state::{NodeState, State};
use crate::testing::{DataType, Tensor};

/// Which parameters a node lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipe {
    /// All inputs are given.
    None,
    /// W (and B) of a Conv with that many output channels.
    Conv { outputs: usize, bias: bool },
    /// W (and B) of a ConvTranspose with that many output channels.
    ConvTranspose { outputs: usize, bias: bool },
    /// B (and C) of a Gemm with that many columns.
    Gemm { outputs: usize, bias: bool },
    /// B of a MatMul with that many columns.
    MatMul { outputs: usize },
    /// scale, B, mean and var; some scales negative if asked for.
    BatchNorm { negative: bool },
    /// scale and B, per channel, per group or over the last axis.
    Norm,
    /// W, R and B of an RNN with that many gates.
    Recurrent { gates: usize, bias: bool },
    /// A slope for each channel.
    Slope,
}

/// Suffix of the name, place among the inputs, elements.
type Parameter = (&'static str, usize, Tensor);

impl Recipe {
    /// The parameters that are not given as inputs already.
    pub(super) fn parameters(
        self,
        node: &NodeState,
        facts: &[Fact],
        state: &State,
        name: &str,
    ) -> Vec<Parameter> {
        if self == Recipe::None {
            return Vec::new();
        }
        let x = &facts[0];
        let dtype = x.dtype.unwrap_or(state.dtype);
        let source = Source {
            seed: state.seed,
            name,
            dtype,
        };
        let made = match self {
            Recipe::None => Vec::new(),
            Recipe::Conv { outputs, bias } => source.conv(node, x, outputs, bias),
            Recipe::ConvTranspose { outputs, bias } => {
                source.conv_transpose(node, x, outputs, bias)
            }
            Recipe::Gemm { outputs, bias } => source.gemm(node, x, outputs, bias),
            Recipe::MatMul { outputs } => {
                let inner = extent(x, rank(x, name) - 1, name);
                vec![("B", 1, source.weight("B", &[inner, outputs], inner))]
            }
            Recipe::BatchNorm { negative } => source.batch_norm(node, x, state.opset, negative),
            Recipe::Norm => source.norm(node, x, state.opset),
            Recipe::Recurrent { gates, bias } => source.recurrent(node, x, gates, bias),
            Recipe::Slope => {
                let mut shape = vec![1; rank(x, name).saturating_sub(1)];
                shape[0] = extent(x, 1, name);
                vec![("slope", 1, source.uniform("slope", &shape, 0.05, 0.4))]
            }
        };
        let given = |position: usize| node.inputs.get(position).copied().flatten().is_some();
        made.into_iter()
            .filter(|&(_, position, _)| !given(position))
            .collect()
    }
}

fn rank(fact: &Fact, node: &str) -> usize {
    match &fact.shape {
        Some(shape) => shape.len(),
        None => panic!("{node}: the rank of its input is unknown; state it with .shape(\"…\")"),
    }
}

fn extent(fact: &Fact, axis: usize, node: &str) -> usize {
    let dim = fact.shape.as_ref().and_then(|shape| shape.get(axis));
    match dim.and_then(Dim::size) {
        Some(size) => size,
        None => panic!(
            "{node}: extent {axis} of its input is unknown ({:?}); state it with .shape(\"…\")",
            fact.shape
        ),
    }
}

/// Elements for the parameters of one node.
struct Source<'a> {
    seed: u64,
    name: &'a str,
    dtype: DataType,
}

impl Source<'_> {
    fn uniform(&self, suffix: &str, shape: &[usize], low: f64, high: f64) -> Tensor {
        uniform(
            &format!("{}.{suffix}", self.name),
            self.seed,
            self.dtype,
            shape,
            low..high,
        )
    }

    fn weight(&self, suffix: &str, shape: &[usize], fan_in: usize) -> Tensor {
        let bound = (3.0 / fan_in.max(1) as f64).sqrt();
        self.uniform(suffix, shape, -bound, bound)
    }

    fn kernel(&self, node: &NodeState, x: &Fact) -> Vec<usize> {
        match node.ints("kernel_shape") {
            Some(kernel) => kernel.iter().map(|&extent| extent as usize).collect(),
            None => vec![3; rank(x, self.name).saturating_sub(2)],
        }
    }

    fn conv(&self, node: &NodeState, x: &Fact, outputs: usize, bias: bool) -> Vec<Parameter> {
        let per_group = extent(x, 1, self.name) / node.int("group", 1) as usize;
        let kernel = self.kernel(node, x);
        let shape = [&[outputs, per_group], &kernel[..]].concat();
        let weight = self.weight("W", &shape, shape[1..].iter().product());
        self.with_bias(("W", 1, weight), bias.then_some("B"), &[outputs])
    }

    fn conv_transpose(
        &self,
        node: &NodeState,
        x: &Fact,
        outputs: usize,
        bias: bool,
    ) -> Vec<Parameter> {
        let channels = extent(x, 1, self.name);
        let group = node.int("group", 1) as usize;
        let kernel = self.kernel(node, x);
        let shape = [&[channels, outputs / group], &kernel[..]].concat();
        let weight = self.weight("W", &shape, channels / group * 2);
        self.with_bias(("W", 1, weight), bias.then_some("B"), &[outputs])
    }

    fn gemm(&self, node: &NodeState, x: &Fact, outputs: usize, bias: bool) -> Vec<Parameter> {
        let inner = extent(x, usize::from(node.int("transA", 0) == 0), self.name);
        let across = node.int("transB", 0) != 0;
        let shape = if across {
            [outputs, inner]
        } else {
            [inner, outputs]
        };
        let weight = self.weight("B", &shape, inner);
        self.with_bias(("B", 1, weight), bias.then_some("C"), &[outputs])
    }

    fn with_bias(
        &self,
        weight: Parameter,
        bias: Option<&'static str>,
        shape: &[usize],
    ) -> Vec<Parameter> {
        let bias = bias.map(|suffix| (suffix, 2, self.uniform(suffix, shape, -0.5, 0.5)));
        [weight].into_iter().chain(bias).collect()
    }

    fn batch_norm(&self, node: &NodeState, x: &Fact, opset: i64, negative: bool) -> Vec<Parameter> {
        let shape: Vec<usize> = match rank(x, self.name) {
            0 | 1 => vec![1],
            rank if opset < 9 && node.int("spatial", 1) == 0 => {
                (1..rank).map(|axis| extent(x, axis, self.name)).collect()
            }
            _ => vec![extent(x, 1, self.name)],
        };
        let mut scale = self.uniform("scale", &shape, 0.5, 1.5);
        if negative {
            let signs = self.uniform("scale.sign", &shape, -1.0, 1.0);
            for (number, (scale, sign)) in scale.data.iter_mut().zip(signs.data).enumerate() {
                *scale *= if number == 0 { -1.0 } else { sign.signum() };
            }
        }
        vec![
            ("scale", 1, scale),
            ("B", 2, self.uniform("B", &shape, -1.0, 1.0)),
            ("mean", 3, self.uniform("mean", &shape, -1.0, 1.0)),
            ("var", 4, self.uniform("var", &shape, 0.5, 2.0)),
        ]
    }

    fn norm(&self, node: &NodeState, x: &Fact, opset: i64) -> Vec<Parameter> {
        let extents = match node.op_type.as_str() {
            "LayerNormalization" => extent(x, rank(x, self.name) - 1, self.name),
            "GroupNormalization" if opset < 21 => node.int("num_groups", 1) as usize,
            _ => extent(x, 1, self.name),
        };
        let (scale, bias) = ("scale", "B");
        vec![
            (scale, 1, self.uniform(scale, &[extents], 0.5, 1.5)),
            (bias, 2, self.uniform(bias, &[extents], -1.0, 1.0)),
        ]
    }

    fn recurrent(&self, node: &NodeState, x: &Fact, gates: usize, bias: bool) -> Vec<Parameter> {
        let bidirectional = matches!(
            node.attribute("direction"),
            Some(super::Attribute::String(direction)) if direction == "bidirectional"
        );
        let directions = if bidirectional { 2 } else { 1 };
        let (inputs, hidden) = (extent(x, 2, self.name), node.int("hidden_size", 1) as usize);
        let w = self.weight("W", &[directions, gates * hidden, inputs], inputs);
        let r = self.weight("R", &[directions, gates * hidden, hidden], hidden);
        let b = bias.then(|| self.uniform("B", &[directions, 2 * gates * hidden], -0.5, 0.5));
        let b = b.map(|b| ("B", 3, b));
        [("W", 1, w), ("R", 2, r)].into_iter().chain(b).collect()
    }
}

/// Elements drawn uniformly from a range, the same for the same name and seed everywhere.
pub(super) fn uniform(
    name: &str,
    seed: u64,
    dtype: DataType,
    shape: &[usize],
    range: std::ops::Range<f64>,
) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(hash(name) ^ seed);
    let count = shape.iter().product();
    let data = (0..count)
        .map(|_| random.random_range(range.clone()))
        .collect();
    Tensor::new(dtype, shape, data)
}

/// FNV-1a, which is the same on every platform and in every release.
fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
