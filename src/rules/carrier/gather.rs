//! Gather (opset 1, 11, 13) from a value: selected and repeated parts take parts of an affine.
//!
//! Upstream what is not selected keeps the identity, and what is selected twice must be asked for one affine. Where the
//! affine is the same for every index, other parts take it too, unless they are selected elsewhere (`unbind`).

use ndarray::{ArrayD, Axis, IxDyn};

use super::axes::{with_axes, without_axes};
use crate::affine::{Affine, broadcast};
use crate::graph::shape::axis;
use crate::graph::{Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, readable, refuse, shape};

/// What a node selects: from which axis, and which places, in the indices' extents.
struct Selection {
    axis: usize,
    /// The extent of the axis, where it is known.
    extent: Option<usize>,
    places: Option<Vec<usize>>,
    dims: Vec<usize>,
}

/// Gather from a value.
///
/// # Errors
/// If the affine varies along the axis and what is selected is not known, or is selected twice with two affines.
pub fn gather(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let selection = selection(graph, node)?;
    match direction {
        Direction::Downstream => selected(graph, node, &selection, affine),
        Direction::Upstream => restored(graph, node, &selection, affine),
    }
}

fn selection(graph: &Graph<'_>, node: NodeId) -> Result<Selection, Refusal> {
    let data = shape(graph, node, graph.input(node, 0))?;
    let listed = readable(graph, node, graph.node(node).int("axis", 0))?;
    let place = axis(listed, data.rank()).filter(|&axis| axis < data.rank());
    let axis =
        place.ok_or_else(|| refuse(graph, node, Code::Malformed, "its axis is out of range"))?;
    let indices = shape(graph, node, graph.input(node, 1))?;
    let dims = (0..indices.rank()).map(|axis| indices.extent(axis).unwrap_or(1));
    let extent = data.extent(axis);
    let place = |&index: &i64| {
        let extent = i64::try_from(extent?).ok()?;
        let place = if index < 0 { index + extent } else { index };
        usize::try_from(place).ok().filter(|_| place < extent)
    };
    let places = graph.input(node, 1).and_then(|value| graph.integers(value));
    let places: Option<Vec<usize>> = places.and_then(|places| places.iter().map(place).collect());
    let dims: Vec<usize> = dims.collect();
    let count: usize = dims.iter().product();
    Ok(Selection {
        axis,
        extent,
        places: places.filter(|places| places.len() == count),
        dims,
    })
}

fn unknown(graph: &Graph<'_>, node: NodeId) -> Refusal {
    refuse(
        graph,
        node,
        Code::UnknownShape,
        "what it selects is not known",
    )
}

/// The axes of the indices in the output.
fn inner(selection: &Selection) -> Vec<usize> {
    (selection.axis..selection.axis + selection.dims.len()).collect()
}

fn selected(
    graph: &Graph<'_>,
    node: NodeId,
    selection: &Selection,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    if affine.extent(selection.axis) == 1 {
        let outer = without_axes(affine, vec![selection.axis]);
        return Ok(with_axes(&outer, inner(selection)));
    }
    let places = selection.places.as_ref();
    let places = places.ok_or_else(|| unknown(graph, node))?;
    let pick = |array: &ArrayD<f64>| {
        let axis = Axis(selection.axis);
        let mut dims = array.shape().to_vec();
        let whole = match array.len_of(axis) {
            // One of scale and shift may vary alone.
            1 => array.select(axis, &vec![0; places.len()]),
            _ => array.select(axis, places),
        };
        dims.splice(
            selection.axis..=selection.axis,
            selection.dims.iter().copied(),
        );
        reshaped(&whole, &dims)
    };
    Ok(Affine::new(pick(affine.scale()), pick(affine.shift())))
}

fn restored(
    graph: &Graph<'_>,
    node: NodeId,
    selection: &Selection,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let inner = inner(selection);
    let varies = inner.iter().any(|&axis| affine.extent(axis) > 1);
    if !varies && !is_unbound(graph, node) {
        let outer = without_axes(affine, inner);
        return Ok(with_axes(&outer, vec![selection.axis]));
    }
    let (Some(places), Some(extent)) = (&selection.places, selection.extent) else {
        return Err(unknown(graph, node));
    };
    let indices = selection.axis..selection.axis + inner.len();
    let restore = |array: &ArrayD<f64>, rest: f64| -> Result<ArrayD<f64>, Refusal> {
        let mut dims = array.shape().to_vec();
        dims.splice(indices.clone(), selection.dims.iter().copied());
        let whole = broadcast(array, &dims).to_owned();
        // All indices in one axis.
        dims.splice(indices.clone(), [places.len()]);
        let whole = reshaped(&whole, &dims);
        dims[selection.axis] = extent;
        let mut restored = ArrayD::from_elem(IxDyn(&dims), rest);
        let mut seen = vec![false; extent];
        for (at, &place) in places.iter().enumerate() {
            let wanted = whole.index_axis(Axis(selection.axis), at);
            let mut part = restored.index_axis_mut(Axis(selection.axis), place);
            if seen[place] && part != wanted {
                let detail = format!(
                    "it reads index {place} more than once, and two affines would be needed"
                );
                return Err(refuse(graph, node, Code::OtherReader, detail));
            }
            seen[place] = true;
            part.assign(&wanted);
        }
        Ok(restored)
    };
    Ok(Affine::new(
        restore(affine.scale(), 1.0)?,
        restore(affine.shift(), 0.0)?,
    ))
}

fn reshaped(array: &ArrayD<f64>, dims: &[usize]) -> ArrayD<f64> {
    let elements = array.iter().copied().collect();
    ArrayD::from_shape_vec(IxDyn(dims), elements).expect("the same elements")
}

/// Whether other nodes select other parts along the same axis, and nothing else reads the value.
fn is_unbound(graph: &Graph<'_>, node: NodeId) -> bool {
    let Some(data) = graph.input(node, 0) else {
        return false;
    };
    let along = |node: NodeId| graph.node(node).int("axis", 0);
    let mut others = graph
        .readers(data)
        .filter(|&(other, _)| other != node)
        .peekable();
    others.peek().is_some()
        && others.all(|(other, slot)| {
            let is_gather = &*graph.node(other).op == "Gather" && slot == 0;
            is_gather && along(other) == along(node)
        })
}
