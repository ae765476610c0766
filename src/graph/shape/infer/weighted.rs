//! Extents behind weights and windows: convolutions, pools, matrix products, recurrent layers.

use super::{Dim, Shapes, broadcast, dims};
use crate::graph::shape::Window;
use crate::graph::{Graph, NodeId};

pub(super) fn convolution(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let weight = graph.shape(graph.input(id, 1)?)?.0.clone();
    let input = dims(graph, id, 0);
    let kernel: Option<Vec<usize>> = weight.get(2..)?.iter().map(|dim| dim.known()).collect();
    let window = Window::read(graph, id, Some(&kernel?)).ok();
    let mut result = vec![batch(graph, &input), *weight.first()?];
    for spatial in 0..weight.len() - 2 {
        let extent = input
            .as_ref()
            .and_then(|input| input.get(spatial + 2).copied());
        let output = extent.and_then(|extent| window.as_ref()?.output(spatial, extent, false));
        result.push(output.map_or_else(|| graph.symbols.fresh(), Dim::Known));
    }
    Some(result)
}

fn batch(graph: &mut Graph<'_>, input: &Option<Vec<Dim>>) -> Dim {
    match input.as_ref().and_then(|input| input.first().copied()) {
        Some(dim) => dim,
        None => graph.symbols.fresh(),
    }
}

pub(super) fn transposed_convolution(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let weight = graph.shape(graph.input(id, 1)?)?.clone();
    let input = dims(graph, id, 0);
    let group = usize::try_from(graph.node(id).int("group", 1).ok()?).ok()?;
    let kernel: Vec<usize> = weight
        .0
        .get(2..)?
        .iter()
        .map(|dim| dim.known())
        .collect::<Option<_>>()?;
    let window = Window::read(graph, id, Some(&kernel)).ok()?;
    let extra = graph.node(id).ints("output_padding").ok()?;
    let output_shape = graph.node(id).ints("output_shape").ok()?;
    let mut result = vec![
        batch(graph, &input),
        Dim::Known(weight.extent(1)?.checked_mul(group)?),
    ];
    for axis in 0..kernel.len() {
        let from_attribute = output_shape.as_ref().and_then(|shape| {
            let from_end = shape.len().checked_sub(kernel.len())?;
            shape.get(from_end + axis).copied()
        });
        let computed = || {
            let extent = input.as_ref()?.get(axis + 2)?.known()? as i64;
            let pads = window.pads.as_ref()?;
            let extra = extra
                .as_ref()
                .map_or(Some(0), |extra| extra.get(axis).copied())?;
            let full = (extent - 1).checked_mul(window.strides[axis] as i64)?
                + extra
                + window.reach(axis) as i64;
            Some(full - pads[axis] - pads[axis + kernel.len()])
        };
        let extent = from_attribute
            .or_else(computed)
            .and_then(|extent| usize::try_from(extent).ok());
        result.push(extent.map_or_else(|| graph.symbols.fresh(), Dim::Known));
    }
    Some(result)
}

pub(super) fn pool(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let mut result = dims(graph, id, 0)?;
    let window = Window::read(graph, id, None).ok()?;
    if result.len() != window.kernel.len() + 2 {
        return None;
    }
    let ceil = graph.node(id).int("ceil_mode", 0).ok()? != 0;
    for spatial in 0..window.kernel.len() {
        let output = window.output(spatial, result[spatial + 2], ceil);
        result[spatial + 2] = output.map_or_else(|| graph.symbols.fresh(), Dim::Known);
    }
    Some(result)
}

pub(super) fn gemm(graph: &Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let side = |slot: usize, transposed: &str, plain: usize| -> Option<Dim> {
        let flipped = graph.node(id).int(transposed, 0).ok()? != 0;
        let axis = if flipped { 1 - plain } else { plain };
        dims(graph, id, slot)?.get(axis).copied()
    };
    Some(vec![side(0, "transA", 0)?, side(1, "transB", 1)?])
}

pub(super) fn matmul(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let (a, b) = (dims(graph, id, 0)?, dims(graph, id, 1)?);
    let (rows, columns) = (a.len().checked_sub(2), b.len().checked_sub(2));
    let mut result = broadcast(
        &a[..rows.unwrap_or(0)],
        &b[..columns.unwrap_or(0)],
        &mut graph.symbols,
    );
    result.extend(rows.map(|axis| a[axis]));
    result.extend(columns.map(|axis| b[axis + 1]));
    Some(result)
}

pub(super) fn recurrent(graph: &mut Graph<'_>, id: NodeId) -> Shapes {
    let all = || -> Option<[Dim; 4]> {
        let input = dims(graph, id, 0)?;
        let directions = graph.shape(graph.input(id, 2)?)?.0.first().copied()?;
        let hidden = graph.shape(graph.input(id, 2)?)?.0.get(2).copied()?;
        let batch_first = graph.node(id).int("layout", 0).ok()? != 0;
        let (sequence, batch) = if batch_first {
            (input.get(1)?, input.first()?)
        } else {
            (input.first()?, input.get(1)?)
        };
        Some(if batch_first {
            [*batch, *sequence, directions, hidden]
        } else {
            [*sequence, directions, *batch, hidden]
        })
    };
    vec![all().map(|dims| dims.to_vec())]
}
