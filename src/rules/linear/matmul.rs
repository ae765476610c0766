//! MatMul (opset 1, 9, 13) with a constant factor, on the right `[…, K, N]` or on the left `[…, M, K]`.
//!
//! The factor takes a scale on either side; it has no bias, so a shift goes on behind the product (where the constant of
//! an Add may take it), makes a product of rank 2 a Gemm, or becomes one Add behind the node.

use ndarray::{ArrayD, Axis, RemoveAxis as _, Zip};

use super::{Along, Bias, InputShift, Layout, on_weight, weight};
use crate::affine::{Affine, zip};
use crate::graph::{Effect, Graph, NodeId};
use crate::rules::carrier::operand;
use crate::rules::{Code, Refusal, constant, refuse, shape};

/// The layout of a matrix product.
///
/// # Errors
/// If both factors are computed while the model runs, or the constant one is a vector.
pub fn layout(graph: &Graph<'_>, node: NodeId) -> Result<Layout, Refusal> {
    let is_constant = |slot: usize| {
        graph
            .input(node, slot)
            .is_some_and(|value| graph.is_constant(value))
    };
    let slot = if !is_constant(1) && is_constant(0) {
        0
    } else {
        1
    };
    let dims = weight(graph, node, slot)?;
    let variable_rank = shape(graph, node, graph.input(node, 1 - slot))?.rank();
    let output_rank = shape(graph, node, graph.output(node, 0))?.rank();
    let rank = dims.len();
    if rank < 2 || variable_rank < 2 || output_rank < rank.max(variable_rank) {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "one of its factors is a vector, or a rank is in doubt",
        ));
    }
    // Weight axis that the output shows, and weight axis that the product sums over.
    let (outer, inner) = if slot == 1 {
        (rank - 1, rank - 2)
    } else {
        (rank - 2, rank - 1)
    };
    let batch = |value_rank: usize| {
        let dims = &dims;
        let full = (0..rank - 2).filter(move |&axis| dims[axis] > 1 && value_rank + axis >= rank);
        full.map(move |axis| Along {
            value: value_rank + axis - rank,
            weight: vec![axis],
        })
    };
    let from_end = |axis: usize| rank - axis;
    let shown = Along {
        value: output_rank - from_end(outer),
        weight: vec![outer],
    };
    let summed = Along {
        value: variable_rank - if slot == 1 { 1 } else { 2 },
        weight: vec![inner],
    };
    Ok(Layout {
        variable: 1 - slot,
        weight: slot,
        output_rank,
        output: batch(output_rank).chain([shown]).collect(),
        input: batch(variable_rank).chain([summed]).collect(),
        shift: InputShift::Exact,
        bias: Bias::Behind,
        dims,
    })
}

/// What a shift in front of the product is behind it: `Σ W·t`, with the weight as the folds so far have left it.
pub(super) fn shift_of(
    graph: &Graph<'_>,
    node: NodeId,
    layout: &Layout,
    affine: &Affine,
) -> Result<ArrayD<f64>, Refusal> {
    let Some(value) = graph.input(node, layout.weight) else {
        return Err(refuse(
            graph,
            node,
            Code::VariableWeight,
            "it has no weight",
        ));
    };
    let weights = constant(graph, node, value, graph.floats(value))?;
    let pending = graph.node(node).pending.as_deref();
    let on_input = |array: &ArrayD<f64>| on_weight(array, &layout.input, &layout.dims);
    let mut factors = on_input(affine.shift());
    if let Some(input) = pending.and_then(|pending| pending.input.as_ref()) {
        factors = zip(&factors, &on_input(input.scale()), |t, s| t * s);
    }
    let summed = layout.input.last().map_or(0, |along| along.weight[0]);
    let mut shift = weighted_sum(&weights, &factors, Axis(summed));
    if let Some(output) = pending.and_then(|pending| pending.output.as_ref()) {
        let scale = on_weight(output.scale(), &layout.output, &layout.dims);
        shift = zip(&shift, &scale, |t, s| t * s);
    }
    Ok(operand::widened(&shift, layout.output_rank))
}

/// The sum along an axis, which is left with extent 1, of weights times what broadcasts against them.
fn weighted_sum(weights: &ArrayD<f64>, factors: &ArrayD<f64>, axis: Axis) -> ArrayD<f64> {
    let mut sum = ArrayD::zeros(weights.raw_dim().remove_axis(axis));
    let varies = factors.len_of(axis) > 1;
    for (at, row) in weights.axis_iter(axis).enumerate() {
        let factor = factors.index_axis(axis, if varies { at } else { 0 });
        let terms = Zip::from(&mut sum).and(&row).and_broadcast(&factor);
        terms.for_each(|sum, &w, &t| *sum += w * t);
    }
    sum.insert_axis(axis)
}

/// The effect that adds a shift behind the product.
pub(super) fn shift_behind(node: NodeId, shift: &ArrayD<f64>) -> Option<Effect> {
    let shift = operand::trimmed(shift, 0);
    shift
        .iter()
        .any(|&t| t != 0.0)
        .then_some(Effect::InsertAdd { node, shift })
}

/// Whether the product is one of two matrices; Gemm has a bias that broadcasts since opset 7.
pub(super) fn can_be_gemm(graph: &Graph<'_>, node: NodeId) -> bool {
    let is_matrix = |slot: usize| {
        let shape = graph.input(node, slot).and_then(|value| graph.shape(value));
        shape.is_some_and(|shape| shape.rank() == 2)
    };
    is_matrix(0) && is_matrix(1) && graph.opset(node) >= 7
}
