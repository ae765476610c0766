//! The numbers of an effect, one array at a time, so that one table of corruptions serves every rule.

use bnfold::affine::Affine;
use bnfold::graph::Effect;
use ndarray::{Array1, ArrayD, IxDyn, arr0};

/// What an array of an effect means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Multiplies a weight.
    Scale,
    /// Is added behind or in front of a weight.
    Shift,
    /// Takes the place of a constant.
    Constant,
    /// Is added to a centre tap.
    Tap,
    /// How a merged convolution counts.
    Sign,
}

impl Kind {
    /// The array's name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Scale => "scale",
            Kind::Shift => "shift",
            Kind::Constant => "constant",
            Kind::Tap => "tap",
            Kind::Sign => "sign",
        }
    }
}

/// The arrays of an effect; none where it only moves nodes.
pub(crate) fn parts(effect: &Effect) -> Vec<(Kind, ArrayD<f64>)> {
    match effect {
        Effect::AbsorbOutput { affine, .. } | Effect::AbsorbInput { affine, .. } => vec![
            (Kind::Scale, affine.scale().clone()),
            (Kind::Shift, affine.shift().clone()),
        ],
        Effect::InsertAdd { shift, .. } | Effect::BecomeAdd { shift, .. } => {
            vec![(Kind::Shift, shift.clone())]
        }
        Effect::Tap { scale, .. } => {
            vec![(Kind::Tap, Array1::from(scale.clone()).into_dyn())]
        }
        Effect::SetConstant { elements, .. } => vec![(Kind::Constant, elements.clone())],
        Effect::Merge { sign, .. } => vec![(Kind::Sign, arr0(*sign).into_dyn())],
        Effect::Remove { .. } | Effect::RemoveOperand { .. } | Effect::BecomeGemm { .. } => {
            Vec::new()
        }
    }
}

/// The effect with another array in the place of one of its own.
pub(crate) fn with_part(effect: &Effect, kind: Kind, array: ArrayD<f64>) -> Effect {
    let mut effect = effect.clone();
    match &mut effect {
        Effect::AbsorbOutput { affine, .. } | Effect::AbsorbInput { affine, .. } => {
            *affine = match kind {
                Kind::Scale => Affine::new(array, affine.shift().clone()),
                _ => Affine::new(affine.scale().clone(), array),
            };
        }
        Effect::InsertAdd { shift, .. } | Effect::BecomeAdd { shift, .. } => *shift = array,
        Effect::Tap { scale, .. } => *scale = array.into_iter().collect(),
        Effect::SetConstant { elements, .. } => *elements = array,
        Effect::Merge { sign, .. } => *sign = array[IxDyn(&[])],
        Effect::Remove { .. } | Effect::RemoveOperand { .. } | Effect::BecomeGemm { .. } => {}
    }
    effect
}
