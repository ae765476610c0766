//! A node's attributes, read by the rules of the opset that the model imports.
//!
//! | opset | training mode is | outputs | per activation |
//! |---|---|---|---|
//! | 1, 6 | `is_test` = 0 (the default) | Y, mean, var, saved_mean, saved_var | `spatial` = 0 |
//! | 7 | a named output beside Y | the same | `spatial` = 0 |
//! | 9 | a named output beside Y | the same | no |
//! | 14, 15 | `training_mode` ≠ 0 | Y, running_mean, running_var | no |
//!
//! An attribute of another opset is ignored where it asks for what happens anyway, else refused.
//! `consumed_inputs` (opset 1) has no effect.

use super::error::BatchNormError;
use super::normalizer::Normalizer;
use super::parameters::Parameters;

/// The attributes of a node, `None` where it has none of that name.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Attributes {
    /// Added to the variance; 1e-5 by default.
    pub epsilon: Option<f32>,
    /// Weight of the input statistics in the running ones; 0.9 by default.
    pub momentum: Option<f32>,
    /// Opsets 1 to 8: 0 for parameters per activation; 1 by default.
    pub spatial: Option<i64>,
    /// Opsets 1 to 6: 0, the default, for training mode.
    pub is_test: Option<i64>,
    /// Opset 14 and later: 0 by default.
    pub training_mode: Option<i64>,
}

/// Whose mean and variance normalise X.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The given ones.
    Inference,
    /// Those of the batch.
    Training,
}

/// An output of the operator, by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The normalised value.
    Y,
    /// `mean · momentum + batch mean · (1 − momentum)`.
    RunningMean,
    /// `var · momentum + batch variance · (1 − momentum)`.
    RunningVar,
    /// The batch mean (opsets 1 to 13).
    SavedMean,
    /// The batch variance (opsets 1 to 13).
    SavedVar,
}

const TRAINING_TO_13: &[Output] = &[
    Output::Y,
    Output::RunningMean,
    Output::RunningVar,
    Output::SavedMean,
    Output::SavedVar,
];
const TRAINING_FROM_14: &[Output] = &[Output::Y, Output::RunningMean, Output::RunningVar];
const INFERENCE: &[Output] = &[Output::Y];

/// A BatchNormalization node, apart from its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Whose statistics it uses.
    pub mode: Mode,
    /// The f32 attribute's exact value.
    pub epsilon: f64,
    /// The f32 attribute's exact value.
    pub momentum: f64,
    /// Parameters per channel; else per activation.
    pub spatial: bool,
    outputs: &'static [Output],
}

impl BatchNorm {
    /// Reads `attributes` by the rules of `opset_version`, the version that the model imports.
    ///
    /// `named_outputs` counts the node's outputs whose name is not empty.
    ///
    /// # Errors
    /// An opset below 1, an attribute that contradicts the opset, or too many outputs.
    pub fn new(
        opset_version: i64,
        attributes: &Attributes,
        named_outputs: usize,
    ) -> Result<Self, BatchNormError> {
        let mode = mode(opset_version, attributes, named_outputs)?;
        let outputs = match mode {
            Mode::Inference => INFERENCE,
            Mode::Training if opset_version < 14 => TRAINING_TO_13,
            Mode::Training => TRAINING_FROM_14,
        };
        if named_outputs > outputs.len() {
            return Err(BatchNormError::Outputs {
                named: named_outputs,
                allowed: outputs.len(),
                opset: opset_version,
            });
        }
        Ok(Self {
            mode,
            epsilon: f64::from(attributes.epsilon.unwrap_or(1e-5)),
            momentum: f64::from(attributes.momentum.unwrap_or(0.9)),
            spatial: spatial(opset_version, attributes)?,
            outputs,
        })
    }

    /// What the operator's outputs mean in this opset and mode, by position.
    #[must_use]
    pub fn outputs(&self) -> &'static [Output] {
        self.outputs
    }

    /// The formula of inference mode with these parameters.
    #[must_use]
    pub fn normalizer(&self, parameters: &Parameters) -> Normalizer {
        Normalizer::new(parameters, self.epsilon, self.spatial)
    }
}

fn mode(
    opset_version: i64,
    attributes: &Attributes,
    named_outputs: usize,
) -> Result<Mode, BatchNormError> {
    let training = match opset_version {
        ..=0 => return Err(BatchNormError::Opset(opset_version)),
        1..=6 => attributes.is_test.unwrap_or(0) == 0,
        7..=13 => named_outputs > 1,
        14.. => attributes.training_mode.unwrap_or(0) != 0,
    };
    if let Some(value) = attributes.is_test
        && (value == 0) != training
    {
        return Err(foreign("is_test", value, opset_version));
    }
    if let Some(value) = attributes.training_mode
        && (value != 0) != training
    {
        return Err(foreign("training_mode", value, opset_version));
    }
    Ok(if training {
        Mode::Training
    } else {
        Mode::Inference
    })
}

fn spatial(opset_version: i64, attributes: &Attributes) -> Result<bool, BatchNormError> {
    match attributes.spatial {
        Some(0) if opset_version >= 9 => Err(foreign("spatial", 0, opset_version)),
        value => Ok(value != Some(0)),
    }
}

fn foreign(name: &'static str, value: i64, opset: i64) -> BatchNormError {
    BatchNormError::ForeignAttribute { name, value, opset }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(opset: i64, attributes: Attributes, outputs: usize) -> Mode {
        BatchNorm::new(opset, &attributes, outputs).unwrap().mode
    }

    #[test]
    fn defaults_are_the_f32_values_of_the_standard() {
        for opset in [1, 6, 7, 9, 14, 15] {
            let node = BatchNorm::new(opset, &Attributes::default(), 1).unwrap();
            assert_eq!(node.epsilon, 9.999_999_747_378_752e-6);
            assert_eq!(node.momentum, 0.899_999_976_158_142_1);
            assert!(node.spatial);
        }
    }

    #[test]
    fn is_test_decides_up_to_opset_6() {
        for opset in [1, 2, 5, 6] {
            let is_test = |value| Attributes {
                is_test: value,
                ..Attributes::default()
            };
            assert_eq!(mode_of(opset, is_test(None), 1), Mode::Training);
            assert_eq!(mode_of(opset, is_test(Some(0)), 1), Mode::Training);
            assert_eq!(mode_of(opset, is_test(Some(0)), 5), Mode::Training);
            assert_eq!(mode_of(opset, is_test(Some(1)), 1), Mode::Inference);
            assert_eq!(mode_of(opset, is_test(Some(-3)), 1), Mode::Inference);
        }
    }

    #[test]
    fn named_outputs_decide_from_opset_7_to_13() {
        for opset in 7..=13 {
            let none = Attributes::default();
            assert_eq!(mode_of(opset, none, 1), Mode::Inference);
            assert_eq!(mode_of(opset, none, 2), Mode::Training);
            assert_eq!(mode_of(opset, none, 5), Mode::Training);
        }
    }

    #[test]
    fn training_mode_decides_from_opset_14() {
        for opset in [14, 15, 18, 26] {
            let training = |value| Attributes {
                training_mode: value,
                ..Attributes::default()
            };
            assert_eq!(mode_of(opset, training(None), 1), Mode::Inference);
            assert_eq!(mode_of(opset, training(Some(0)), 1), Mode::Inference);
            assert_eq!(mode_of(opset, training(Some(1)), 1), Mode::Training);
            assert_eq!(mode_of(opset, training(Some(1)), 3), Mode::Training);
        }
    }

    #[test]
    fn outputs_have_the_order_of_their_opset() {
        use Output::{RunningMean, RunningVar, SavedMean, SavedVar, Y};
        let train = Attributes {
            training_mode: Some(1),
            ..Attributes::default()
        };
        let outputs = |opset, attributes: &Attributes, named| {
            BatchNorm::new(opset, attributes, named).unwrap().outputs()
        };
        let five = [Y, RunningMean, RunningVar, SavedMean, SavedVar];
        for opset in [1, 6] {
            assert_eq!(outputs(opset, &Attributes::default(), 1), five);
        }
        for opset in [7, 9, 13] {
            assert_eq!(outputs(opset, &Attributes::default(), 3), five);
            assert_eq!(outputs(opset, &Attributes::default(), 1), [Y]);
        }
        for opset in [14, 15, 22] {
            assert_eq!(outputs(opset, &train, 1), [Y, RunningMean, RunningVar]);
            assert_eq!(outputs(opset, &Attributes::default(), 1), [Y]);
        }
    }

    #[test]
    fn spatial_zero_means_per_activation_before_opset_9_and_is_refused_after() {
        let per_activation = Attributes {
            spatial: Some(0),
            is_test: Some(1),
            ..Attributes::default()
        };
        for opset in [1, 6, 7, 8] {
            assert!(!BatchNorm::new(opset, &per_activation, 1).unwrap().spatial);
        }
        for opset in [9, 13, 14, 15] {
            assert_eq!(
                BatchNorm::new(opset, &per_activation, 1),
                Err(foreign("spatial", 0, opset))
            );
            let redundant = Attributes {
                spatial: Some(1),
                ..Attributes::default()
            };
            assert!(BatchNorm::new(opset, &redundant, 1).unwrap().spatial);
        }
    }

    #[test]
    fn attributes_of_another_opset_may_not_contradict() {
        let with = |is_test, training_mode| Attributes {
            is_test,
            training_mode,
            ..Attributes::default()
        };
        let refused = |opset, attributes: Attributes, outputs, name, value| {
            assert_eq!(
                BatchNorm::new(opset, &attributes, outputs),
                Err(foreign(name, value, opset))
            );
        };
        refused(9, with(Some(0), None), 1, "is_test", 0);
        refused(9, with(Some(1), None), 3, "is_test", 1);
        refused(9, with(None, Some(1)), 1, "training_mode", 1);
        refused(14, with(Some(0), None), 1, "is_test", 0);
        refused(6, with(Some(1), Some(1)), 1, "training_mode", 1);
        assert_eq!(mode_of(14, with(Some(1), Some(0)), 1), Mode::Inference);
        assert_eq!(mode_of(9, with(Some(1), None), 1), Mode::Inference);
    }

    #[test]
    fn outputs_beyond_the_signature_are_refused() {
        let outputs = |named, allowed, opset| {
            Err(BatchNormError::Outputs {
                named,
                allowed,
                opset,
            })
        };
        let none = Attributes::default();
        let train = Attributes {
            training_mode: Some(1),
            ..none
        };
        assert_eq!(BatchNorm::new(14, &none, 3), outputs(3, 1, 14));
        assert_eq!(BatchNorm::new(15, &train, 4), outputs(4, 3, 15));
        assert_eq!(BatchNorm::new(9, &none, 6), outputs(6, 5, 9));
        assert_eq!(BatchNorm::new(0, &none, 1), Err(BatchNormError::Opset(0)));
        assert_eq!(BatchNorm::new(-7, &none, 1), Err(BatchNormError::Opset(-7)));
    }
}
