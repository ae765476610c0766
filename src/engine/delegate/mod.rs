//! What computes single nodes beside or in the place of the own kernels.
//!
//! One node at a time leaves a delegate nothing to fold across nodes.
//! A crash or a refusal of a delegate counts as an operator of this form that it lacks.

#[cfg(any(feature = "engine", feature = "onnxruntime"))]
pub(super) mod proto;
#[cfg(feature = "engine")]
mod tract;

use std::fmt;

use super::call::Call;
use super::tensor::Tensor;

/// What reports call the engine.
pub(super) const NAME: &str = if cfg!(feature = "engine") {
    "built-in, with tract 0.23.9"
} else {
    "built-in"
};

/// Computes single nodes of one model.
pub(super) trait Delegate: fmt::Debug + Send {
    /// Whether it goes before the own kernel, where there is one.
    fn is_preferred(&self, call: &Call<'_>) -> bool;

    /// `None` if it lacks the operator or this form of it.
    fn run(&mut self, call: &Call<'_>) -> Option<Vec<Tensor>>;

    /// What a reader of a report should know about what was run so far.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The delegate of the built-in engine.
#[cfg(feature = "engine")]
pub(super) fn built_in() -> Box<dyn Delegate> {
    Box::new(tract::Tract::default())
}

/// Without tract nothing is delegated.
#[cfg(not(feature = "engine"))]
pub(super) fn built_in() -> Box<dyn Delegate> {
    #[derive(Debug)]
    struct Nobody;

    impl Delegate for Nobody {
        fn is_preferred(&self, _: &Call<'_>) -> bool {
            false
        }

        fn run(&mut self, _: &Call<'_>) -> Option<Vec<Tensor>> {
            None
        }
    }

    Box::new(Nobody)
}
