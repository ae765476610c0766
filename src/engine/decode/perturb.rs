//! Stored weights moved by one rounding, to measure what that does to the outputs.
//!
//! `w·(1 + u·r)`, u the unit roundoff of the stored type and r uniform in [−1, 1].
//! Numbers that steer rather than weigh (exponents, bounds, resize factors) stay, and so do small
//! integers such as 0 and 1, which a correct rewrite keeps exactly.

use std::collections::HashSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::engine::Precision;
use crate::engine::tensor::Tensor;
use crate::onnx::proto::NodeProto;

/// Integers up to here are left alone.
const EXACT: f64 = 16.0;

#[derive(Debug)]
pub(super) struct Perturbation {
    seed: Option<u64>,
    spared: HashSet<String>,
    n_moved: u64,
}

impl Perturbation {
    pub(super) fn new(precision: Precision) -> Perturbation {
        let seed = match precision {
            Precision::Perturbed { seed } => Some(seed),
            Precision::Declared | Precision::Double => None,
        };
        Perturbation {
            seed,
            spared: HashSet::new(),
            n_moved: 0,
        }
    }

    /// Notes which names of a graph steer its nodes.
    pub(super) fn spare(&mut self, nodes: &[NodeProto]) {
        const STEERED: [&str; 6] = ["Clip", "OneHot", "Pad", "Pow", "Resize", "Upsample"];
        if self.seed.is_none() {
            return;
        }
        for node in nodes
            .iter()
            .filter(|node| STEERED.contains(&node.op_type()))
        {
            self.spared.extend(node.input.iter().skip(1).cloned());
        }
    }

    pub(super) fn moved(&mut self, name: &str, tensor: Tensor) -> Tensor {
        let (Some(seed), Some(roundoff)) = (self.seed, tensor.element().unit_roundoff()) else {
            return tensor;
        };
        if self.spared.contains(name) || tensor.elements::<f64>().is_none() {
            return tensor;
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(self.n_moved);
        self.n_moved += 1;
        let (shape, element) = (tensor.shape().to_vec(), tensor.element());
        let kept = tensor.clone();
        let Ok(mut numbers) = tensor.into_elements::<f64>() else {
            return kept;
        };
        for number in &mut numbers {
            let is_exact = number.fract() == 0.0 && number.abs() <= EXACT;
            if !is_exact {
                *number *= 1.0 + roundoff * random.random_range(-1.0..=1.0);
            }
        }
        Tensor::new(shape, numbers).map_or(kept, |moved| moved.declared(element))
    }
}
