//! Nodes that tract computes, each as a model of its own.
//!
//! One node at a time leaves tract nothing to fold across nodes; of its passes only code generation runs,
//! never declutter or fuse.
//! Constant inputs are given as constants, so that weights are packed once; a prepared node serves
//! until the shapes of its inputs change.
//! A crash or a refusal of tract counts as an operator of this form that it lacks.

#[cfg(feature = "engine")]
mod convert;
#[cfg(feature = "engine")]
mod prepare;

use super::Precision;
use super::call::{Call, Fault};
use super::element::ElementType;
use super::tensor::Tensor;

/// What reports call the engine.
pub(super) const NAME: &str = if cfg!(feature = "engine") {
    "built-in, with tract 0.23.9"
} else {
    "built-in"
};

/// Fewer multiplications than this are done sooner than handed over.
const WORTHWHILE: usize = 1 << 12;

/// The prepared nodes of one model.
#[derive(Debug, Default)]
pub(super) struct Delegate {
    #[cfg(feature = "engine")]
    prepared: std::collections::HashMap<usize, Option<prepare::Prepared>>,
}

impl Delegate {
    /// Whether tract goes before the own kernel: float32 products and convolutions.
    pub(super) fn is_preferred(&self, call: &Call<'_>) -> bool {
        let is_heavy = matches!(call.node.op_type.as_str(), "Conv" | "Gemm" | "MatMul");
        let is_f32 = |tensor: &Tensor| tensor.data().element() == ElementType::Float32;
        cfg!(feature = "engine")
            && is_heavy
            && call.precision == Precision::Declared
            && call.inputs.iter().flatten().all(is_f32)
            && call
                .inputs
                .iter()
                .flatten()
                .all(|tensor| !tensor.is_empty())
            && call
                .inputs
                .iter()
                .flatten()
                .any(|tensor| tensor.len() > WORTHWHILE)
    }

    /// Computes a node on tract; `None` if tract lacks its operator or this form of it.
    #[cfg(feature = "engine")]
    pub(super) fn run(&mut self, call: &Call<'_>) -> Result<Option<Vec<Tensor>>, Fault> {
        let prepared = self.prepared.entry(call.node.id).or_insert(None);
        if !prepared
            .as_ref()
            .is_some_and(|prepared| prepared.fits(call))
        {
            *prepared = super::guard::catch(|| prepare::Prepared::new(call))
                .ok()
                .flatten();
        }
        let Some(ready) = prepared else {
            return Ok(None);
        };
        match super::guard::catch(|| ready.run(call)) {
            Ok(Some(outputs)) => Ok(Some(outputs)),
            Ok(None) | Err(_) => {
                *prepared = None;
                Ok(None)
            }
        }
    }

    /// Without tract nothing is computed here.
    #[cfg(not(feature = "engine"))]
    pub(super) fn run(&mut self, _: &Call<'_>) -> Result<Option<Vec<Tensor>>, Fault> {
        Ok(None)
    }
}
