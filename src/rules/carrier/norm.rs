//! BatchNormalization, InstanceNormalization, GroupNormalization and LayerNormalization end in a scale and a `B` of their
//! own: `s·(n·scale + B) + t = n·(s·scale) + (s·B + t)`.
//!
//! InstanceNormalization (opset 1, 6, 22) and BatchNormalization have them per channel, GroupNormalization per channel from
//! opset 21 on and per group before, LayerNormalization (opset 17) over its last axes.
//! Downstream only BatchNormalization takes an affine: with `w = scale/√(var + ε)`, `scale·s` and `B + w·(t + mean·(s − 1))`.

use ndarray::ArrayD;

use super::operand::{trimmed, widened};
use crate::affine::{Affine, vector, zip};
use crate::graph::edit::channels;
use crate::graph::shape::axis;
use crate::graph::{Effect, Graph, NodeId};
use crate::rules::{
    Carrier, Code, Refusal, Step, constant, fixed_along, readable, refuse, seed, shape,
};

/// Norms in both directions.
pub const NORM: Carrier = Carrier::Joint {
    upstream,
    downstream,
};

fn only_channels(graph: &Graph<'_>, node: NodeId, affine: &Affine) -> Result<(), Refusal> {
    if affine.rank() < 2 {
        return Err(refuse(
            graph,
            node,
            Code::AxesMixed,
            "its value has no channel axis",
        ));
    }
    fixed_along(graph, node, affine, |axis| axis != 1)
}

fn parameter(graph: &Graph<'_>, node: NodeId, slot: usize) -> Result<ArrayD<f64>, Refusal> {
    let Some(value) = graph.input(node, slot) else {
        return Err(refuse(
            graph,
            node,
            Code::VariableWeight,
            "it lacks a parameter",
        ));
    };
    constant(graph, node, value, graph.floats(value)).map(|array| (*array).clone())
}

fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    slot: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    if slot > 0 {
        return Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it is not the first output",
        ));
    }
    match &*graph.node(node).op {
        "LayerNormalization" => over_last_axes(graph, node, affine),
        "BatchNormalization" => {
            seed::is_inference(graph, node)?;
            per_channel(graph, node, affine)
        }
        "GroupNormalization" if graph.opset(node) < 21 => per_group(graph, node, affine),
        _ => per_channel(graph, node, affine),
    }
}

fn per_channel(graph: &Graph<'_>, node: NodeId, affine: &Affine) -> Result<Vec<Step>, Refusal> {
    only_channels(graph, node, affine)?;
    let (scale, bias) = (parameter(graph, node, 1)?, parameter(graph, node, 2)?);
    if scale.ndim() != 1
        || bias.shape() != scale.shape()
        || ![1, scale.len()].contains(&affine.extent(1))
    {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its parameters are not one per channel",
        ));
    }
    let along = |array: &ArrayD<f64>| vector(1, 0, channels(array, scale.len()));
    let affine = Affine::new(along(affine.scale()), along(affine.shift()));
    Ok(taken(node, &affine, &scale, &bias))
}

fn taken(node: NodeId, affine: &Affine, scale: &ArrayD<f64>, bias: &ArrayD<f64>) -> Vec<Step> {
    let effects = vec![
        Effect::SetConstant {
            node,
            slot: 1,
            elements: affine.without_shift().apply(scale),
        },
        Effect::SetConstant {
            node,
            slot: 2,
            elements: affine.apply(bias),
        },
    ];
    vec![Step {
        effects,
        next: Vec::new(),
    }]
}

fn per_group(graph: &Graph<'_>, node: NodeId, affine: &Affine) -> Result<Vec<Step>, Refusal> {
    only_channels(graph, node, affine)?;
    let (scale, bias) = (parameter(graph, node, 1)?, parameter(graph, node, 2)?);
    let each = affine.extent(1) / scale.len().max(1);
    let group = |array: &ArrayD<f64>| {
        let all: Vec<f64> = array.iter().copied().collect();
        match all.len() {
            1 => Some(vec![all[0]; scale.len()]),
            _ => {
                let uniform = all
                    .chunks(each.max(1))
                    .all(|group| group.iter().all(|&x| x == group[0]));
                uniform.then(|| all.iter().copied().step_by(each.max(1)).collect())
            }
        }
    };
    match (group(affine.scale()), group(affine.shift())) {
        (Some(s), Some(t)) if s.len() == scale.len() => {
            Ok(taken(node, &Affine::along(1, 0, s, t), &scale, &bias))
        }
        _ => Err(refuse(
            graph,
            node,
            Code::AxesMixed,
            "the affine differs within a group, and its parameters are per group",
        )),
    }
}

fn over_last_axes(graph: &Graph<'_>, node: NodeId, affine: &Affine) -> Result<Vec<Step>, Refusal> {
    let input = shape(graph, node, graph.input(node, 0))?;
    let first = readable(graph, node, graph.node(node).int("axis", -1))?;
    let Some(first) = axis(first, input.rank()).filter(|&first| first < input.rank()) else {
        return Err(refuse(
            graph,
            node,
            Code::Malformed,
            "its axis is out of range",
        ));
    };
    fixed_along(graph, node, affine, |axis| axis < first)?;
    let rank = input.rank() - first;
    let scale = parameter(graph, node, 1)?;
    let bias = match graph.input(node, 2) {
        Some(_) => Some(parameter(graph, node, 2)?),
        None => None,
    };
    // What stands for the last axes has their extents, or 1.
    let fits = |extents: &[usize]| {
        let mut known = input.0[first..].iter().rev().zip(extents.iter().rev());
        extents.len() <= rank
            && known.all(|(dim, &extent)| extent == 1 || dim.known() == Some(extent))
    };
    let extents: Vec<usize> = (first..input.rank())
        .map(|axis| affine.extent(axis))
        .collect();
    let is_known = fits(&extents)
        && fits(scale.shape())
        && bias.as_ref().is_none_or(|bias| fits(bias.shape()));
    if !is_known {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its normalised axes are not known",
        ));
    }
    let affine = affine.map(|array| trimmed(&widened(array, 1), rank));
    let affine = affine.map(|array| widened(array, rank));
    let scale = widened(&scale, rank);
    let bias = bias.map_or_else(|| scale.mapv(|_| 0.0), |bias| widened(&bias, rank));
    // `scale` and `B` may be smaller than the axes they stand for; both must show what the affine varies along.
    let full = zip(&zip(&scale, &bias, |a, _| a), affine.scale(), |a, _| a);
    let full = zip(&full, affine.shift(), |a, _| a);
    let bias = zip(&bias, &full, |b, _| b);
    Ok(taken(node, &affine, &full, &bias))
}

fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let [(0, affine)] = given else {
        return Err(refuse(
            graph,
            node,
            Code::VariableWeight,
            "a parameter depends on the same value",
        ));
    };
    if &*graph.node(node).op != "BatchNormalization" {
        return Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it normalises by what it is given",
        ));
    }
    only_channels(graph, node, affine)?;
    let own = seed::batch_norm(graph, node)?;
    let (scale, bias, mean) = (
        parameter(graph, node, 1)?,
        parameter(graph, node, 2)?,
        parameter(graph, node, 3)?,
    );
    let per_channel = [&scale, &bias, &mean].map(|parameter| parameter.shape() == [scale.len()]);
    if per_channel.contains(&false) || ![1, scale.len()].contains(&affine.extent(1)) {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its parameters are not one per channel",
        ));
    }
    let count = scale.len();
    let (s, t, w) = (
        channels(affine.scale(), count),
        channels(affine.shift(), count),
        channels(own.scale(), count),
    );
    let scale: Vec<f64> = scale.iter().zip(&s).map(|(scale, s)| scale * s).collect();
    let shift = (0..count)
        .map(|c| bias[[c]] + w[c] * (t[c] + mean[[c]] * (s[c] - 1.0)))
        .collect();
    let effects = vec![
        Effect::SetConstant {
            node,
            slot: 1,
            elements: vector(1, 0, scale),
        },
        Effect::SetConstant {
            node,
            slot: 2,
            elements: vector(1, 0, shift),
        },
    ];
    Ok(vec![Step {
        effects,
        next: Vec::new(),
    }])
}
