//! Mean, Max, Min (opset 8 and later) and Where: `s·f(x, y) + t = f(s·x + t, s·y + t)`, for Max and Min where every `s ≥ 0`.
//!
//! Every operand brings the same affine; upstream constants take it.

use super::operand::{brought, constant_over, onto, operand, operands, replaced};
use super::pool::growing;
use crate::affine::Affine;
use crate::graph::{Graph, NodeId};
use crate::rules::{Carrier, Code, Refusal, Step, refuse, shape};

/// Functions of alike operands in both directions.
pub const ALIKE: Carrier = Carrier::Joint {
    upstream,
    downstream,
};

/// The operands, constants apart; what a Where chooses by is none.
fn sides(graph: &Graph<'_>, node: NodeId) -> Result<(Vec<usize>, Vec<usize>), Refusal> {
    let all = operands(graph, node)?;
    let is_choice = |slot: &usize| *slot == 0 && &*graph.node(node).op == "Where";
    let without = |slots: Vec<usize>| slots.into_iter().filter(|slot| !is_choice(slot)).collect();
    Ok((without(all.constants), without(all.variables)))
}

fn passes(graph: &Graph<'_>, node: NodeId, affine: &Affine) -> Result<(), Refusal> {
    match &*graph.node(node).op {
        "Max" | "Min" => growing(graph, node, affine),
        _ => Ok(()),
    }
}

fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    _: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    passes(graph, node, affine)?;
    let (constants, variables) = sides(graph, node)?;
    let mut step = Step::default();
    for &slot in &variables {
        let operand = operand(graph, node, slot)?;
        step.next.push((slot, onto(graph, node, operand, affine)?));
    }
    let Some(variable) = variables.first().and_then(|&slot| graph.input(node, slot)) else {
        return Err(refuse(
            graph,
            node,
            Code::Unevaluated,
            "it only reads constants",
        ));
    };
    let over_variable = onto(graph, node, variable, affine)?;
    for slot in constants {
        let old = constant_over(graph, node, slot, variable)?;
        let elements = over_variable.apply(&old);
        step.effects.push(replaced(graph, node, slot, &elements));
    }
    Ok(vec![step])
}

fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let (constants, variables) = sides(graph, node)?;
    let rank = shape(graph, node, graph.output(node, 0))?.rank();
    let of = |slot: usize| brought(given, slot, rank);
    let first = of(given[0].0);
    passes(graph, node, &first)?;
    let is_alike = variables.iter().all(|&slot| of(slot) == first);
    let is_operand = given.iter().all(|(slot, _)| variables.contains(slot));
    match is_alike && is_operand && constants.is_empty() {
        true => Ok(vec![Step {
            effects: Vec::new(),
            next: vec![(0, first)],
        }]),
        false => Err(refuse(
            graph,
            node,
            Code::OtherReader,
            "its other operand does not bring the same scale and shift",
        )),
    }
}
