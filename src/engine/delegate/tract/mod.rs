//! Nodes that tract computes, each as a model of its own.
//!
//! Of tract's passes only code generation runs, never declutter or fuse.
//! Constant inputs are given as constants, so that weights are packed once; a prepared node serves
//! until the shapes of its inputs change.

mod convert;
mod prepare;

use std::collections::HashMap;

use super::Delegate;
use crate::engine::Precision;
use crate::engine::call::Call;
use crate::engine::element::ElementType;
use crate::engine::guard;
use crate::engine::tensor::Tensor;

/// Fewer elements than this are done sooner than handed over.
const WORTHWHILE: usize = 1 << 12;

/// A weight that fewer positions are multiplied by is used up sooner than it is packed: packing takes some
/// passes over it through fresh memory, which as many samples as a verification has do not earn back.
const POSITIONS: usize = 256;

/// The prepared nodes of one model.
#[derive(Debug, Default)]
pub(super) struct Tract {
    prepared: HashMap<usize, Option<prepare::Prepared>>,
}

impl Delegate for Tract {
    /// float32 products and convolutions.
    fn is_preferred(&self, call: &Call<'_>) -> bool {
        let is_heavy = matches!(call.node.op_type.as_str(), "Conv" | "Gemm" | "MatMul");
        let is_f32 = |tensor: &Tensor| tensor.data().element() == ElementType::Float32;
        let mut inputs = call.inputs.iter().flatten();
        is_heavy
            && call.precision == Precision::Declared
            && inputs.clone().all(is_f32)
            && inputs.clone().all(|tensor| !tensor.is_empty())
            && inputs.any(|tensor| tensor.len() > WORTHWHILE)
            && positions(call) >= POSITIONS
    }

    fn run(&mut self, call: &Call<'_>) -> Option<Vec<Tensor>> {
        // tract looks operators up by name, without the domain.
        if !call.node.domain.is_empty() {
            return None;
        }
        let prepared = self.prepared.entry(call.node.id).or_insert(None);
        if !prepared
            .as_ref()
            .is_some_and(|prepared| prepared.fits(call))
        {
            *prepared = guard::catch(|| prepare::Prepared::new(call)).ok().flatten();
        }
        let ready = prepared.as_ref()?;
        let outputs = guard::catch(|| ready.run(call)).ok().flatten();
        if outputs.is_none() {
            *prepared = None;
        }
        outputs
    }
}

/// How many columns of its first input a product or a convolution of stride 1 multiplies its weight by.
fn positions(call: &Call<'_>) -> usize {
    let Some(Some(x)) = call.inputs.first() else {
        return 0;
    };
    let channels = match call.node.op_type.as_str() {
        "Conv" => x.shape().get(1),
        _ => x.shape().last(),
    };
    channels.map_or(0, |&channels| x.len() / channels.max(1))
}
