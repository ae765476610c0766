//! What a random model is made from.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Options;
use super::generator::Generator;
use crate::onnx::proto::ModelProto;
use crate::testing::DataType;
use crate::testing::builder::model;

/// Settings of a model, and a seed for each step in which it grows.
///
/// Any list of steps makes a valid model; [`random_inputs`](super::random_inputs) gives its inputs for `seed`.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Of inputs, weights and how they are stored.
    pub seed: u64,
    /// The version of the standard operators, 7 to 24.
    pub opset: i64,
    /// The IR version; the one that came out with the opset if none is given.
    pub ir_version: Option<i64>,
    /// The element type.
    pub dtype: DataType,
    /// What may be drawn; its ranges of nodes and opsets, and its type, are settled here.
    pub options: Options,
    /// The most nodes that the main graph may have.
    pub nodes: usize,
    /// A seed for each step; a step adds a node or a few.
    pub steps: Vec<u64>,
}

impl Recipe {
    /// The recipe that a seed stands for.
    pub fn draw(seed: u64, options: &Options) -> Recipe {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let opset = random.random_range(options.opsets.clone());
        let dtype = options
            .dtype
            .unwrap_or_else(|| Recipe::usual_type(random.random_range(0..12), opset));
        let nodes = random.random_range(options.nodes.clone());
        Recipe {
            seed,
            opset,
            ir_version: None,
            dtype,
            options: options.clone(),
            nodes,
            steps: (0..nodes).map(|_| random.random()).collect(),
        }
    }

    /// A type for a number below 12: `float` most often.
    pub fn usual_type(number: u32, opset: i64) -> DataType {
        match number {
            0 => DataType::Double,
            1 => DataType::Float16,
            // Conv and its kin take bfloat16 since opset 22.
            2 if opset >= 22 => DataType::Bfloat16,
            _ => DataType::Float,
        }
    }

    /// The model.
    ///
    /// # Panics
    ///
    /// If the options leave nothing to draw.
    pub fn model(&self) -> ModelProto {
        model(|graph| Generator::new(graph, self).generate())
    }
}
