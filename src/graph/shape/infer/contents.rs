//! The elements of integer values that are computed from shapes.

use std::rc::Rc;

use super::{Dim, axis, cuts, dims};
use crate::graph::{Graph, NodeId, ValueId};

/// Follows integer values that are computed from shapes.
pub(super) fn contents(graph: &mut Graph<'_>, id: NodeId) {
    let Some(output) = graph.output(id, 0) else {
        return;
    };
    if let Some(extents) = computed_extents(graph, id).filter(|extents| extents.len() <= 64) {
        graph.contents.insert(output, Rc::new(extents));
    }
}

fn computed_extents(graph: &mut Graph<'_>, id: NodeId) -> Option<Vec<Dim>> {
    let op = Rc::clone(&graph.node(id).op);
    let of = |graph: &Graph<'_>, slot: usize| {
        graph
            .extents(graph.input(id, slot)?)
            .map(|extents| extents.to_vec())
    };
    match &*op {
        "Shape" => {
            let input = dims(graph, id, 0)?;
            let clamp = |at: i64| {
                (if at < 0 { at + input.len() as i64 } else { at }).clamp(0, input.len() as i64)
                    as usize
            };
            let start = clamp(graph.node(id).int("start", 0).ok()?);
            let end = clamp(graph.node(id).int("end", i64::MAX).ok()?);
            Some(input.get(start..end).unwrap_or_default().to_vec())
        }
        "Cast" | "Identity" | "Unsqueeze" | "Squeeze" => of(graph, 0),
        "Concat" => {
            let parts = 0..graph.node(id).inputs.len();
            parts
                .map(|slot| of(graph, slot))
                .collect::<Option<Vec<_>>>()
                .map(|parts| parts.concat())
        }
        "Gather" => {
            let (data, indices) = (of(graph, 0)?, graph.integers(graph.input(id, 1)?)?);
            indices
                .iter()
                .map(|&i| data.get(axis(i, data.len())?).copied())
                .collect()
        }
        "Slice" => {
            let data = of(graph, 0)?;
            let cuts = cuts(graph, id)?;
            let (start, end) = cuts.first()?.range(data.len())?;
            data.get(start..end).map(|part| part.to_vec())
        }
        "Mul" | "Add" | "Sub" | "Div" => {
            let (a, b) = (of(graph, 0)?, of(graph, 1)?);
            let is_extent = |dim: &Dim| dim.known() != Some(usize::MAX);
            a.iter().chain(&b).all(is_extent).then_some(())?;
            let pair = |a: Dim, b: Dim| arithmetic(&op, a.known()?, b.known()?).map(Dim::Known);
            (a.len() == b.len()).then_some(())?;
            let pairs: Vec<Option<Dim>> = a.iter().zip(&b).map(|(&a, &b)| pair(a, b)).collect();
            Some(
                pairs
                    .into_iter()
                    .map(|dim| dim.unwrap_or_else(|| graph.symbols.fresh()))
                    .collect(),
            )
        }
        _ => None,
    }
}

fn arithmetic(op: &str, a: usize, b: usize) -> Option<usize> {
    match op {
        "Mul" => a.checked_mul(b),
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        _ => a.checked_div(b),
    }
}

impl Graph<'_> {
    /// The elements of an integer value as extents: from Shape nodes, or from a constant; −1 is the largest
    /// number, and what holds less is none.
    pub(crate) fn extents(&self, value: ValueId) -> Option<Rc<Vec<Dim>>> {
        if let Some(extents) = self.contents.get(&value) {
            return Some(Rc::clone(extents));
        }
        let extent = |i: i64| Dim::Known(usize::try_from(i).unwrap_or(usize::MAX));
        let integers = self.integers(value)?;
        let is_extent = integers.iter().all(|&integer| integer >= -1);
        is_extent.then(|| Rc::new(integers.into_iter().map(extent).collect()))
    }
}
