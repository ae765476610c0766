//! What numbers an integer input may hold, from the operators that read it.
//!
//! A table's ids stay below its rows, lengths below the sequence's; what joins arithmetic is taken for
//! a mask. The walk follows an input through operators that only move or convert it.

use std::collections::{HashMap, HashSet};

use super::element::ElementType;
use super::graph::{Attribute, Dim, Graph, Node, Slot};
use super::tensor::Tensor;

/// Ranges of the integer inputs of a main graph, both ends included.
pub(super) fn integer_ranges(graph: &Graph) -> HashMap<String, (i64, i64)> {
    let is_integer = |element: ElementType| !element.is_float() && element != ElementType::Bool;
    let inputs = graph
        .inputs
        .iter()
        .filter(|input| input.port.element.is_some_and(is_integer));
    inputs
        .map(|input| {
            let range = Walk::new(graph).range(input.slot);
            let wide = match input.port.element {
                // Images come as bytes.
                Some(ElementType::UInt8) => (0, 255),
                _ => (0, 1),
            };
            (input.port.name.clone(), range.unwrap_or(wide))
        })
        .collect()
}

struct Walk<'a> {
    graph: &'a Graph,
    constants: HashMap<Slot, &'a Tensor>,
    seen: HashSet<Slot>,
    found: Option<(i64, i64)>,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph) -> Walk<'a> {
        let constants = graph
            .constants
            .iter()
            .map(|(slot, tensor)| (*slot, tensor))
            .collect();
        Walk {
            graph,
            constants,
            seen: HashSet::new(),
            found: None,
        }
    }

    /// The intersection of what all readers allow; `None` if nobody says anything.
    fn range(mut self, start: Slot) -> Option<(i64, i64)> {
        let mut open = vec![start];
        while let Some(slot) = open.pop() {
            if !self.seen.insert(slot) {
                continue;
            }
            for node in &self.graph.nodes {
                for index in 0..node.inputs.len() {
                    if node.inputs.get(index) != Some(&Some(slot)) {
                        continue;
                    }
                    if let Some((low, high)) = self.demand(node, index) {
                        let (old_low, old_high) = self.found.unwrap_or((low, high));
                        self.found = Some((old_low.max(low), old_high.min(high)));
                    } else if index == 0 && passes_on(&node.op_type) {
                        open.extend(node.outputs.iter().flatten());
                    }
                }
            }
        }
        self.found
    }

    fn extent(&self, node: &Node, index: usize, axis: i64) -> Option<i64> {
        let slot = node.inputs.get(index).copied().flatten()?;
        let rank_and_extent = |rank: usize| {
            let axis = if axis < 0 { axis + rank as i64 } else { axis };
            usize::try_from(axis).ok()
        };
        if let Some(tensor) = self.constants.get(&slot) {
            let extent = tensor.shape().get(rank_and_extent(tensor.rank())?)?;
            return i64::try_from(*extent).ok();
        }
        let input = self.graph.inputs.iter().find(|input| input.slot == slot)?;
        let dims = input.port.dims.as_ref()?;
        match dims.get(rank_and_extent(dims.len())?)? {
            Dim::Fixed(extent) => i64::try_from(*extent).ok(),
            Dim::Symbol(_) | Dim::Unknown => None,
        }
    }

    /// What a node demands of its input `index`.
    fn demand(&self, node: &Node, index: usize) -> Option<(i64, i64)> {
        let axis = |default: i64| match node.attributes.get("axis") {
            Some(Attribute::Int(axis)) => *axis,
            _ => default,
        };
        match (node.op_type.as_str(), index) {
            ("Gather" | "GatherElements", 1) => {
                let rows = self.extent(node, 0, axis(0)).unwrap_or(2);
                Some((0, (rows - 1).max(0)))
            }
            ("GatherND", 1) => Some((
                0,
                self.extent(node, 0, 0).map_or(0, |rows| (rows - 1).max(0)),
            )),
            ("OneHot", 0) => {
                let slot = node.inputs.get(1).copied().flatten()?;
                let depth = self.constants.get(&slot).and_then(|tensor| tensor.to_f64());
                let depth = depth.and_then(|list| list.first().copied()).unwrap_or(2.0);
                Some((0, (depth as i64 - 1).max(0)))
            }
            ("LSTM" | "GRU" | "RNN", 4) => Some((1, self.extent(node, 0, 0).unwrap_or(1).max(1))),
            ("ReverseSequence", 1) => {
                let time = match node.attributes.get("time_axis") {
                    Some(Attribute::Int(axis)) => *axis,
                    _ => 0,
                };
                Some((1, self.extent(node, 0, time).unwrap_or(1).max(1)))
            }
            ("Reshape" | "Expand" | "Tile" | "ConstantOfShape" | "TopK", _) if index == 1 => {
                Some((1, 1))
            }
            ("Range", 1) => Some((1, 8)),
            _ => None,
        }
    }
}

/// Operators whose output holds the numbers of their first input.
fn passes_on(op_type: &str) -> bool {
    matches!(
        op_type,
        "Cast"
            | "Concat"
            | "Expand"
            | "Flatten"
            | "Identity"
            | "Reshape"
            | "Slice"
            | "Split"
            | "Squeeze"
            | "Tile"
            | "Transpose"
            | "Unsqueeze"
    )
}

#[cfg(test)]
mod tests {
    use crate::engine::{BuiltIn, Engine, ModelBytes, Precision};
    use crate::testing::builder::{Graph, Value};
    use crate::testing::{DataType, ToBytes, model};

    fn range(build: impl FnOnce(&Graph) -> Value) -> (i64, i64) {
        let bytes = model(|g| build(g).output("y")).to_bytes();
        let session = BuiltIn::default()
            .load(ModelBytes::new(&bytes), Precision::Declared)
            .unwrap();
        session.integer_ranges()["ids"]
    }

    #[test]
    fn ids_stay_below_the_rows_of_the_smallest_table_they_reach() {
        let ids = |g: &Graph| g.typed_input("ids", DataType::Int64, [2, 3]);
        let table = |g: &Graph, name: &str, rows: usize| g.weight(name, [rows, 4]);
        assert_eq!(
            range(|g| g.op("Gather", &[&table(g, "t", 70), &ids(g)])),
            (0, 69)
        );
        assert_eq!(
            range(|g| {
                let x = ids(g);
                let cast = x.cast(DataType::Int32).unsqueeze([0]);
                let a = g.op("Gather", &[&table(g, "t", 70), &cast]);
                a.add(g.op("Gather", &[&table(g, "u", 9), &x]))
            }),
            (0, 8)
        );
    }

    #[test]
    fn lengths_fit_the_sequence_masks_are_flags_and_bytes_are_bytes() {
        let typed = |g: &Graph, dtype| g.typed_input("ids", dtype, [2]);
        assert_eq!(
            range(|g| {
                let x = g.input("x", [7, 2, 3]);
                x.lstm(4).with_input(4, &typed(g, DataType::Int32))
            }),
            (1, 7)
        );
        let mask = |dtype| range(|g| typed(g, dtype).cast(DataType::Float).mul(g.input("x", [2])));
        assert_eq!(mask(DataType::Int64), (0, 1));
        assert_eq!(mask(DataType::Uint8), (0, 255));
    }
}
