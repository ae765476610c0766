//! BatchNormalization on the project's own kernel.

use ndarray::{ArrayViewMut, IxDyn};

use super::each::{Real, for_real};
use crate::batch_norm::{Attributes, BatchNorm, Mode, Parameters};
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::Tensor;

pub(super) fn batch_normalization(call: &mut Call<'_>) -> Outcome {
    let number = |name: &str| -> Result<Option<f32>, Fault> {
        if call.has(name) {
            Ok(Some(call.float(name, 0.0)? as f32))
        } else {
            Ok(None)
        }
    };
    let integer = |name: &str| -> Result<Option<i64>, Fault> {
        if call.has(name) {
            Ok(Some(call.int(name, 0)?))
        } else {
            Ok(None)
        }
    };
    let attributes = Attributes {
        epsilon: number("epsilon")?,
        momentum: number("momentum")?,
        spatial: integer("spatial")?,
        is_test: integer("is_test")?,
        training_mode: integer("training_mode")?,
    };
    let n_named = call.node.outputs.iter().flatten().count();
    let node = BatchNorm::new(call.version(), &attributes, n_named)
        .map_err(|error| Fault::invalid(error.to_string()))?;
    let x = call.take(0)?;
    for_real!(x, T => run::<T>(call, x, &node))
}

fn parameter(call: &Call<'_>, index: usize) -> Result<Vec<f64>, Fault> {
    let values = call.input(index)?.to_f64();
    values.ok_or_else(|| Fault::invalid(format!("input {index} holds no numbers")))
}

fn run<T: Real + crate::batch_norm::Element>(
    call: &Call<'_>,
    x: Tensor,
    node: &BatchNorm,
) -> Outcome {
    let element = x.element();
    let shape = x.shape().to_vec();
    let [scale, b, mean, var] = [
        parameter(call, 1)?,
        parameter(call, 2)?,
        parameter(call, 3)?,
        parameter(call, 4)?,
    ];
    let failed = |error: crate::batch_norm::BatchNormError| Fault::invalid(error.to_string());
    let parameters = Parameters::new(&scale, &b, &mean, &var).map_err(failed)?;
    let mut elements = x
        .into_elements::<T>()
        .map_err(|_| Fault::unsupported("this type"))?;
    let view = ArrayViewMut::from_shape(IxDyn(&shape), &mut elements);
    let view = view.map_err(|error| Fault::invalid(error.to_string()))?;
    let statistics = match node.mode {
        Mode::Inference => {
            let normalizer = node.normalizer(&parameters);
            normalizer.apply_in_place(view).map_err(failed)?;
            None
        }
        Mode::Training => Some(node.train_in_place(view, &parameters).map_err(failed)?),
    };
    let mut outputs = vec![Tensor::new(shape, elements)?.declared(element)];
    if let Some(statistics) = statistics {
        // Statistics are of the type of mean and var (opset 15), which before was that of X.
        let element = call.input(3)?.element();
        let held = call.precision.compute_type(element);
        for output in node
            .outputs()
            .iter()
            .skip(1)
            .take(call.node.outputs.len().saturating_sub(1))
        {
            let numbers = statistics.output(*output).unwrap_or_default().to_vec();
            outputs.push(
                Tensor::vector(numbers)
                    .with_floats_as(held)
                    .declared(element),
            );
        }
    }
    Ok(outputs)
}
