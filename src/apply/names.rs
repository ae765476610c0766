//! Names that collide with nothing, in any scope.

use std::collections::{HashMap, HashSet};

use crate::graph::Graph;
use crate::onnx::model::Name;

/// Every name of a model.
#[derive(Debug)]
pub(super) struct Names {
    taken: HashSet<Name>,
    /// How many names were tried for each stem and suffix; those are all taken.
    attempts: HashMap<Name, usize>,
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
            attempts: HashMap::new(),
        }
    }

    /// A new name made from a stem and what the thing is: `conv1.weight` gives `conv1.weight_folded`.
    pub(super) fn fresh(&mut self, stem: &Name, suffix: &str) -> Name {
        let base = [stem.as_bytes(), b"_", suffix.as_bytes()].concat();
        let attempts = self.attempts.entry(Name::from(&base[..])).or_default();
        loop {
            *attempts += 1;
            let name = match *attempts {
                1 => Name::from(&base[..]),
                attempt => Name::from(&[&base[..], format!("_{attempt}").as_bytes()].concat()[..]),
            };
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}
