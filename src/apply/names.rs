//! Names that collide with nothing, in any scope.

use std::collections::HashSet;

use crate::graph::Graph;
use crate::onnx::model::Name;

/// Every name of a model.
#[derive(Debug)]
pub(super) struct Names {
    taken: HashSet<Name>,
}

impl Names {
    pub(super) fn of(graph: &Graph<'_>) -> Names {
        let model = graph.model;
        let values = graph.values.iter().map(|value| value.name.clone());
        let nodes = graph
            .nodes
            .iter()
            .filter_map(|node| node.view)
            .map(|view| view.name.clone());
        Names {
            taken: values
                .chain(nodes)
                .chain(model.reserved_names.iter().cloned())
                .collect(),
        }
    }

    /// A new name made from a stem and what the thing is: `conv1.weight` gives `conv1.weight_folded`.
    pub(super) fn fresh(&mut self, stem: &Name, suffix: &str) -> Name {
        let mut attempt = 1;
        loop {
            let mut bytes = stem.as_bytes().to_vec();
            bytes.extend_from_slice(b"_");
            bytes.extend_from_slice(suffix.as_bytes());
            if attempt > 1 {
                bytes.extend_from_slice(format!("_{attempt}").as_bytes());
            }
            let name = Name::from(&bytes[..]);
            if self.taken.insert(name.clone()) {
                return name;
            }
            attempt += 1;
        }
    }
}
