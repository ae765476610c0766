//! Seeds: nodes that are an affine of their one variable input, and so may be folded away.
//!
//! BatchNormalization in inference mode is one; so is a Mul, Add, Sub or Div by a constant that varies along exactly one
//! axis (a BN in disguise: Caffe's scale layers, frozen TensorFlow BN, input normalisation).
//! A factor that is the same everywhere (attention scaling) belongs to no BN and is left alone.

use super::carrier::operand::{constant_over, operands};
use super::carrier::product::factor;
use super::carrier::sum::sign;
use super::{Code, Refusal, constant, readable, refuse, shape};
use crate::affine::Affine;
use crate::batch_norm::{self, Attributes, BatchNorm, Mode};
use crate::graph::{Graph, NodeId};

/// Refuses a BatchNormalization that does not normalise by its stored statistics.
///
/// # Errors
/// If it is in training mode: by attribute, or by a named statistics output in opsets 7 to 13.
pub(crate) fn is_inference(graph: &Graph<'_>, node: NodeId) -> Result<BatchNorm, Refusal> {
    let kernel = kernel(graph, node)?;
    match kernel.mode {
        Mode::Inference => Ok(kernel),
        Mode::Training => Err(refuse(
            graph,
            node,
            Code::TrainingMode,
            "it normalises by the batch it is given; export the model after eval(), calibrate it, or give --assume-inference if the stored statistics are right",
        )),
    }
}

/// What a BatchNormalization's attributes and outputs say it computes.
///
/// # Errors
/// If an attribute cannot be read, or contradicts the opset.
pub(crate) fn kernel(graph: &Graph<'_>, node: NodeId) -> Result<BatchNorm, Refusal> {
    let at = graph.node(node);
    let optional = |name| readable(graph, node, at.optional_int(name));
    let attributes = Attributes {
        epsilon: Some(readable(graph, node, at.float("epsilon", 1e-5))?),
        momentum: Some(readable(graph, node, at.float("momentum", 0.9))?),
        spatial: optional("spatial")?,
        is_test: optional("is_test")?,
        training_mode: optional("training_mode")?,
    };
    let named = at.outputs.iter().filter(|output| output.is_some()).count();
    let kernel = BatchNorm::new(graph.opset(node), &attributes, named);
    kernel.map_err(|error| refuse(graph, node, Code::Malformed, error.to_string()))
}

/// The affine that a BatchNormalization is.
///
/// # Errors
/// If it is in training mode, its parameters are no constants, or they give no finite affine.
pub fn batch_norm(graph: &Graph<'_>, node: NodeId) -> Result<Affine, Refusal> {
    let kernel = is_inference(graph, node)?;
    let rank = shape(graph, node, graph.input(node, 0))?.rank();
    let parameter = |slot: usize| {
        let value = graph
            .input(node, slot)
            .ok_or_else(|| refuse(graph, node, Code::VariableWeight, "it lacks a parameter"))?;
        constant(graph, node, value, graph.floats(value))
    };
    let parameters = [parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?];
    let [scale, bias, mean, var] = parameters
        .each_ref()
        .map(|array| array.iter().copied().collect::<Vec<f64>>());
    let affine = batch_norm::scale_shift(&scale, &bias, &mean, &var, kernel.epsilon);
    let (scale, shift) =
        affine.map_err(|error| refuse(graph, node, Code::Degenerate, error.to_string()))?;
    if rank == 0 {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its input has no axes",
        ));
    }
    let axis = 1.min(rank - 1);
    match (kernel.spatial, rank) {
        (true, _) => Ok(Affine::along(rank, axis, scale, shift)),
        // spatial = 0 (opset 1 to 8): parameters per activation, over all axes but the batch.
        (false, _) => {
            let dims = parameters[0].shape().to_vec();
            let shape: Vec<usize> = std::iter::once(1).chain(dims).collect();
            let lay = |elements| ndarray::ArrayD::from_shape_vec(ndarray::IxDyn(&shape), elements);
            match (lay(scale), lay(shift)) {
                (Ok(scale), Ok(shift)) if scale.ndim() == rank => Ok(Affine::new(scale, shift)),
                _ => Err(refuse(
                    graph,
                    node,
                    Code::UnknownShape,
                    "its parameters per activation do not fit its input",
                )),
            }
        }
    }
}

/// The slot of the variable input of a seed, and the affine from there to the output.
pub fn affine(graph: &Graph<'_>, node: NodeId) -> Option<Result<(usize, Affine), Refusal>> {
    let found = match &*graph.node(node).op {
        "BatchNormalization" => batch_norm(graph, node).map(|affine| (0, affine)),
        "Mul" | "Div" | "Add" | "Sub" => in_disguise(graph, node).map(Ok)?,
        _ => return None,
    };
    Some(
        found.and_then(|(slot, affine)| match affine.scale().is_empty() {
            true => Err(refuse(graph, node, Code::Degenerate, "it has no channels")),
            false => Ok((slot, affine)),
        }),
    )
}

fn in_disguise(graph: &Graph<'_>, node: NodeId) -> Option<(usize, Affine)> {
    let operands = operands(graph, node).ok()?;
    let ([constant], [variable]) = (&operands.constants[..], &operands.variables[..]) else {
        return None;
    };
    let value = graph.input(node, *variable)?;
    let affine = match &*graph.node(node).op {
        "Mul" | "Div" => Affine::scaling(factor(graph, node, *constant, value).ok()?),
        _ => {
            let shift =
                constant_over(graph, node, *constant, value).ok()? * sign(graph, node, *constant);
            let own =
                Affine::identity(shift.ndim()).map(|array| array * sign(graph, node, *variable));
            own.then(&Affine::shifting(shift))
        }
    };
    (affine.is_finite() && affine.varying_axes().len() == 1).then_some((*variable, affine))
}
