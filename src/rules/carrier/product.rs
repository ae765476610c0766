//! Mul and Div (opset 7 and later): a constant factor composes with an affine; between variables one takes the scale.
//!
//! Upstream `s·(c·x) + t` is either the affine `(s·c, t)` on `x`, and the node goes, or, without a shift, the factor `s·c`.
//! Downstream the node goes likewise, or keeps `s·c` and passes the shift `c·t` on.
//! Between variables a scale goes to one factor (the dividend); a shift does not pass.

use ndarray::ArrayD;

use super::operand::{constant_over, onto, operands, over, replaced};
use crate::affine::{Affine, zip};
use crate::graph::{Effect, Graph, Keep, NodeId, ValueId};
use crate::rules::{Carrier, Code, Refusal, Step, refuse, shape};

/// Products in both directions.
pub const PRODUCT: Carrier = Carrier::Joint {
    upstream,
    downstream,
};

/// The factor that a constant operand is: its reciprocal for a divisor.
///
/// # Errors
/// If the constant is the dividend, widens the value, or is a divisor of zero.
pub(crate) fn factor(
    graph: &Graph<'_>,
    node: NodeId,
    slot: usize,
    variable: ValueId,
) -> Result<ArrayD<f64>, Refusal> {
    let array = constant_over(graph, node, slot, variable)?;
    match (&*graph.node(node).op, slot) {
        ("Div", 0) => Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it divides a constant by the value",
        )),
        ("Div", _) if array.iter().any(|&c| c == 0.0) => {
            Err(refuse(graph, node, Code::Degenerate, "it divides by zero"))
        }
        ("Div", _) => Ok(array.mapv(|c| 1.0 / c)),
        _ => Ok(array),
    }
}

/// The constant after its factor is multiplied by a scale.
fn rescaled(
    graph: &Graph<'_>,
    node: NodeId,
    slot: usize,
    variable: ValueId,
    scale: &ArrayD<f64>,
) -> Result<Effect, Refusal> {
    let old = constant_over(graph, node, slot, variable)?;
    let is_divisor = &*graph.node(node).op == "Div";
    if is_divisor && scale.iter().any(|&s| s == 0.0) {
        return Err(refuse(
            graph,
            node,
            Code::Degenerate,
            "a scale of zero has no divisor",
        ));
    }
    let elements = zip(&old, scale, |c, s| if is_divisor { c / s } else { c * s });
    Ok(replaced(graph, node, slot, &elements))
}

fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    _: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    let operands = operands(graph, node)?;
    if let ([constant], [variable]) = (&operands.constants[..], &operands.variables[..])
        && let Some(value) = graph.input(node, *variable)
    {
        let own = Affine::scaling(factor(graph, node, *constant, value)?);
        let affine = onto(graph, node, value, affine)?;
        let mut steps = vec![Step {
            effects: vec![Effect::Remove {
                node,
                slot: *variable,
                keep: Keep::Output,
            }],
            next: vec![(*variable, own.then(&affine))],
        }];
        if affine.is_linear() {
            let kept = rescaled(graph, node, *constant, value, affine.scale());
            steps.extend(kept.map(|effect| Step {
                effects: vec![effect],
                next: Vec::new(),
            }));
        }
        return Ok(steps);
    }
    if !affine.is_linear() {
        return Err(refuse(
            graph,
            node,
            Code::ShiftBlocked,
            "a shift does not pass a product",
        ));
    }
    let is_quotient = &*graph.node(node).op == "Div";
    let takers = operands
        .variables
        .iter()
        .filter(|&&slot| !is_quotient || slot == 0);
    let steps = takers
        .filter_map(|&slot| graph.input(node, slot).map(|value| (slot, value)))
        .map(|(slot, value)| {
            let next = vec![(slot, onto(graph, node, value, affine)?)];
            Ok(Step {
                effects: Vec::new(),
                next,
            })
        });
    any(graph, node, steps.collect())
}

/// The ways that are open, or the reason why the first is not.
fn any(
    graph: &Graph<'_>,
    node: NodeId,
    steps: Vec<Result<Step, Refusal>>,
) -> Result<Vec<Step>, Refusal> {
    if steps.iter().all(|step| step.is_err()) {
        let reason = steps.into_iter().find_map(|step| step.err());
        return Err(reason.unwrap_or_else(|| {
            refuse(graph, node, Code::Nonlinear, "no factor can take the scale")
        }));
    }
    Ok(steps.into_iter().flatten().collect())
}

fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let operands = operands(graph, node)?;
    if let ([constant], [(variable, affine)]) = (&operands.constants[..], given)
        && let Some(value) = graph.input(node, *variable)
    {
        let own = factor(graph, node, *constant, value)?;
        let composed = affine.then(&Affine::scaling(own));
        let remove = Effect::Remove {
            node,
            slot: *variable,
            keep: Keep::Input,
        };
        let mut steps = vec![Step {
            effects: vec![remove],
            next: vec![(0, composed.clone())],
        }];
        if let Ok(kept) = rescaled(graph, node, *constant, value, affine.scale()) {
            let next = if composed.is_linear() {
                Vec::new()
            } else {
                vec![(0, composed.without_scale())]
            };
            steps.insert(
                0,
                Step {
                    effects: vec![kept],
                    next,
                },
            );
        }
        return Ok(steps);
    }
    if given.iter().any(|(_, affine)| !affine.is_linear()) {
        return Err(refuse(
            graph,
            node,
            Code::ShiftBlocked,
            "a shift does not pass a product",
        ));
    }
    let rank = shape(graph, node, graph.output(node, 0))?.rank();
    let is_quotient = &*graph.node(node).op == "Div";
    let mut total = Affine::identity(rank);
    for (slot, affine) in given {
        let factor = match is_quotient && *slot == 1 {
            true => affine.inverse().ok_or_else(|| {
                refuse(
                    graph,
                    node,
                    Code::Degenerate,
                    "it divides by a scale of zero",
                )
            })?,
            false => affine.clone(),
        };
        total = total.then(&over(&factor, rank));
    }
    Ok(vec![Step {
        effects: Vec::new(),
        next: vec![(0, total)],
    }])
}
