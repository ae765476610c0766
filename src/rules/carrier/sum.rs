//! Add, Sub and Sum (opset 7 and later): `s·Σ σᵢ·xᵢ + t = Σ σᵢ·(s·xᵢ) + t`.
//!
//! Upstream the scale goes into every operand and the shift into one of them: a constant if there is one, else any variable
//! that takes it, else an equal share into each, as where one value arrives twice.
//! An operand `x` that cannot change may join the centre tap of a convolution of the same `x` in the sum.
//! Downstream every variable operand must bring the same scale; the shifts add up.
//! Left out: sums of several constants and a variable that brings a scale.

use super::operand::{
    Operands, brought, constant_over, onto, operand, operands, replaced, widened,
};
use crate::affine::{Affine, zip};
use crate::graph::{Effect, Graph, Keep, NodeId};
use crate::rules::sibling::{self, Sibling};
use crate::rules::{Carrier, Code, Refusal, Step, refuse, shape};

/// Sums in both directions.
pub const SUM: Carrier = Carrier::Joint {
    upstream,
    downstream,
};

/// −1 for what a Sub takes away.
pub(crate) fn sign(graph: &Graph<'_>, node: NodeId, slot: usize) -> f64 {
    if slot == 1 && &*graph.node(node).op == "Sub" {
        -1.0
    } else {
        1.0
    }
}

fn scaled(affine: &Affine, factor: f64) -> Affine {
    affine.map(|array| array.mapv(|x| x * factor))
}

fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    _: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    let operands = operands(graph, node)?;
    match (&operands.constants[..], &operands.variables[..]) {
        ([], variables) => between_variables(graph, node, variables, affine),
        (_, []) => Err(refuse(
            graph,
            node,
            Code::Unevaluated,
            "it only adds constants",
        )),
        (_, [variable]) => beside_constants(graph, node, &operands, *variable, affine),
        ([constant, ..], variables) => {
            let constants =
                into_constants(graph, node, &operands, variables[0], affine, *constant)?;
            let mut steps = between_variables(graph, node, variables, &affine.without_shift())?;
            steps
                .iter_mut()
                .for_each(|step| step.effects.extend(constants.clone()));
            Ok(steps)
        }
    }
}

fn beside_constants(
    graph: &Graph<'_>,
    node: NodeId,
    operands: &Operands,
    variable: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    let value = operand(graph, node, variable)?;
    let constant = operands.constants[0];
    let scale = onto(graph, node, value, &affine.without_shift())?;
    let next = if scale.is_identity() {
        Vec::new()
    } else {
        vec![(variable, scale)]
    };
    let effects = into_constants(graph, node, operands, variable, affine, constant)?;
    let mut steps = vec![Step { effects, next }];
    if operands.constants.len() == 1 {
        let own = Affine::shifting(
            constant_over(graph, node, constant, value)?.mapv(|c| c * sign(graph, node, constant)),
        );
        let composed = scaled(&Affine::identity(own.rank()), sign(graph, node, variable))
            .then(&own)
            .then(&onto(graph, node, value, affine)?);
        steps.push(Step {
            effects: vec![Effect::Remove {
                node,
                slot: variable,
                keep: Keep::Output,
            }],
            next: vec![(variable, composed)],
        });
    }
    Ok(steps)
}

/// Every constant takes the scale, the first the shift as well.
fn into_constants(
    graph: &Graph<'_>,
    node: NodeId,
    operands: &Operands,
    variable: usize,
    affine: &Affine,
    first: usize,
) -> Result<Vec<Effect>, Refusal> {
    let variable = operand(graph, node, variable)?;
    let effect = |&slot: &usize| {
        let old = constant_over(graph, node, slot, variable)?;
        let affine = onto(graph, node, variable, affine)?;
        let elements = match slot == first {
            true => Affine::new(
                affine.scale().clone(),
                affine.shift() * sign(graph, node, slot),
            )
            .apply(&old),
            false => affine.without_shift().apply(&old),
        };
        Ok(replaced(graph, node, slot, &elements))
    };
    operands.constants.iter().map(effect).collect()
}

/// Affines that all ways of one sum may have together; a search takes about as many steps before it gives up.
const MOST_PARTS: usize = 4096;

fn between_variables(
    graph: &Graph<'_>,
    node: NodeId,
    variables: &[usize],
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    let mut steps = Vec::new();
    let mut reason = None;
    let mut left = (MOST_PARTS / variables.len().max(1)).max(1);
    let mut add = |effects: &[Effect], variables: &[usize]| {
        let takers = if affine.is_linear() {
            1
        } else {
            variables.len()
        };
        let takers = takers.min(variables.len()).min(left);
        left -= takers;
        for &taker in &variables[..takers] {
            match distribute(graph, node, variables, affine, taker) {
                Ok(next) => steps.push(Step {
                    effects: effects.to_vec(),
                    next,
                }),
                Err(refusal) => reason = reason.take().or(Some(refusal)),
            }
        }
        left > 0
    };
    let mut is_open = add(&[], variables);
    for &slot in variables {
        if !is_open {
            break;
        }
        if let Some(Sibling {
            conv,
            sign: of_conv,
            channels,
        }) = sibling::of_operand(graph, node, slot)
        {
            let tap = vec![sign(graph, node, slot) * of_conv; channels];
            let others: Vec<usize> = variables
                .iter()
                .copied()
                .filter(|&other| other != slot)
                .collect();
            is_open = add(
                &[
                    Effect::Tap {
                        node: conv,
                        scale: tap,
                    },
                    Effect::RemoveOperand { node, slot },
                ],
                &others,
            );
        }
    }
    if is_open
        && !affine.is_linear()
        && let Ok(next) = shared(graph, node, variables, affine)
    {
        steps.push(Step {
            effects: Vec::new(),
            next,
        });
    }
    match (steps.is_empty(), reason) {
        (true, Some(refusal)) => Err(refusal),
        _ => Ok(steps),
    }
}

/// The scale for every variable, and the shift for the taker.
fn distribute(
    graph: &Graph<'_>,
    node: NodeId,
    variables: &[usize],
    affine: &Affine,
    taker: usize,
) -> Result<Vec<(usize, Affine)>, Refusal> {
    let none = affine.without_shift();
    parts(graph, node, variables, |slot| {
        if slot == taker { affine } else { &none }
    })
}

/// The scale for every variable, and an equal share of the shift.
fn shared(
    graph: &Graph<'_>,
    node: NodeId,
    variables: &[usize],
    affine: &Affine,
) -> Result<Vec<(usize, Affine)>, Refusal> {
    let share = affine.shift() / variables.len() as f64;
    let share = Affine::new(affine.scale().clone(), share);
    parts(graph, node, variables, |_| &share)
}

/// What each variable must bring for the sum to take these parts.
fn parts<'a>(
    graph: &Graph<'_>,
    node: NodeId,
    variables: &[usize],
    part: impl Fn(usize) -> &'a Affine,
) -> Result<Vec<(usize, Affine)>, Refusal> {
    let part = |&slot: &usize| {
        let affine = part(slot);
        let part = Affine::new(
            affine.scale().clone(),
            affine.shift() * sign(graph, node, slot),
        );
        let operand = operand(graph, node, slot)?;
        Ok((slot, onto(graph, node, operand, &part)?))
    };
    variables.iter().map(part).collect()
}

fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let operands = operands(graph, node)?;
    let rank = shape(graph, node, graph.output(node, 0))?.rank();
    let of = |slot: usize| brought(given, slot, rank);
    let scale = of(given[0].0).without_shift();
    if operands
        .variables
        .iter()
        .any(|&slot| of(slot).scale() != scale.scale())
    {
        return Err(refuse(
            graph,
            node,
            Code::OtherReader,
            "its other operand does not bring the same scale",
        ));
    }
    let shifts = operands
        .variables
        .iter()
        .map(|&slot| of(slot).shift() * sign(graph, node, slot));
    let shift = shifts
        .reduce(|a, b| zip(&a, &b, |a, b| a + b))
        .unwrap_or_else(|| scale.shift().clone());
    match &operands.constants[..] {
        [] => Ok(vec![Step {
            effects: Vec::new(),
            next: vec![(0, Affine::new(scale.scale().clone(), shift))],
        }]),
        [constant, ..] if scale.is_identity() => {
            absorbed(graph, node, *constant, given[0].0, &shift)
        }
        [constant] if operands.variables.len() == 1 => {
            composed(graph, node, *constant, given[0].0, &scale, &shift)
        }
        _ => Err(refuse(
            graph,
            node,
            Code::OtherReader,
            "its constants do not bring the same scale",
        )),
    }
}

fn absorbed(
    graph: &Graph<'_>,
    node: NodeId,
    constant: usize,
    variable: usize,
    shift: &ndarray::ArrayD<f64>,
) -> Result<Vec<Step>, Refusal> {
    let value = operand(graph, node, variable)?;
    let old = constant_over(graph, node, constant, value)?;
    let elements = zip(&widened(&old, shift.ndim()), shift, |c, t| {
        c + t * sign(graph, node, constant)
    });
    let effects = vec![replaced(graph, node, constant, &elements)];
    Ok(vec![Step {
        effects,
        next: Vec::new(),
    }])
}

fn composed(
    graph: &Graph<'_>,
    node: NodeId,
    constant: usize,
    variable: usize,
    scale: &Affine,
    shift: &ndarray::ArrayD<f64>,
) -> Result<Vec<Step>, Refusal> {
    let value = operand(graph, node, variable)?;
    let own = constant_over(graph, node, constant, value)? * sign(graph, node, constant);
    let scale = scaled(scale, sign(graph, node, variable));
    let total = zip(&widened(&own, shift.ndim()), shift, |c, t| c + t);
    let effects = vec![Effect::Remove {
        node,
        slot: variable,
        keep: Keep::Input,
    }];
    Ok(vec![Step {
        effects,
        next: vec![(0, Affine::new(scale.scale().clone(), total))],
    }])
}
