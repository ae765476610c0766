//! Stored weights moved by one rounding, to measure what that does to the outputs.
//!
//! `w·(1 + u·r)`, u the unit roundoff of the stored type and r uniform in [−1, 1].
//! Weights that the rewritten model still holds stay; so do numbers that steer rather than weigh
//! (exponents, bounds, resize factors) and small integers such as 0 and 1, which a correct rewrite
//! keeps exactly.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Compiler, Program};
use crate::engine::graph::{Graph, Node, Slot};
use crate::engine::tensor::Tensor;
use crate::onnx::proto::NodeProto;

/// Integers up to here are left alone.
const EXACT: f64 = 16.0;

/// What identifies a tensor's type, extents and elements.
pub(in crate::engine) type Fingerprint = u64;

fn fingerprint(tensor: &Tensor) -> Option<Fingerprint> {
    let mut hasher = DefaultHasher::new();
    (tensor.element(), tensor.shape()).hash(&mut hasher);
    for number in tensor.elements::<f64>()? {
        number.to_bits().hash(&mut hasher);
    }
    Some(hasher.finish())
}

impl Program {
    /// The floating-point constants that nodes of the model read; it must be decoded in float64.
    pub(in crate::engine) fn fingerprints(&self) -> HashSet<Fingerprint> {
        let mut found = HashSet::new();
        let mut graphs: Vec<&Graph> = vec![&self.main];
        while let Some(graph) = graphs.pop() {
            let bodies: Vec<&Graph> = graph
                .nodes
                .iter()
                .flat_map(Node::bodies)
                .map(|body| &**body)
                .collect();
            let captured = bodies
                .iter()
                .flat_map(|body| &body.captures)
                .map(|(outer, _)| *outer);
            let inputs = graph
                .nodes
                .iter()
                .flat_map(|node| node.inputs.iter().flatten().copied());
            let read: HashSet<Slot> = inputs.chain(captured).collect();
            let constants = graph
                .constants
                .iter()
                .filter(|(slot, _)| read.contains(slot));
            found.extend(constants.filter_map(|(_, tensor)| fingerprint(tensor)));
            graphs.extend(bodies);
        }
        found
    }
}

#[derive(Debug)]
pub(in crate::engine) struct Perturbation {
    seed: u64,
    kept: HashSet<Fingerprint>,
    spared: HashSet<String>,
    n_moved: u64,
}

impl Compiler<'_> {
    pub(super) fn spare(&mut self, nodes: &[NodeProto]) {
        if let Some(perturbation) = &mut self.perturbation {
            perturbation.spare(nodes);
        }
    }
}

impl Perturbation {
    pub(in crate::engine) fn new(seed: u64, kept: HashSet<Fingerprint>) -> Perturbation {
        Perturbation {
            seed,
            kept,
            spared: HashSet::new(),
            n_moved: 0,
        }
    }

    /// Notes which names of a graph steer its nodes.
    fn spare(&mut self, nodes: &[NodeProto]) {
        const STEERED: [&str; 6] = ["Clip", "OneHot", "Pad", "Pow", "Resize", "Upsample"];
        for node in nodes
            .iter()
            .filter(|node| STEERED.contains(&node.op_type()))
        {
            self.spared.extend(node.input.iter().skip(1).cloned());
        }
    }

    pub(super) fn moved(&mut self, name: &str, tensor: Tensor) -> Tensor {
        let Some(roundoff) = tensor.element().unit_roundoff() else {
            return tensor;
        };
        let is_kept = fingerprint(&tensor).is_none_or(|print| self.kept.contains(&print));
        if is_kept || self.spared.contains(name) {
            return tensor;
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
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
