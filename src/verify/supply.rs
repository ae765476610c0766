//! The inputs of each sample: drawn, or given.

use std::collections::{BTreeMap, HashMap};

use super::data::resolve;
use super::dims::{self, Binding};
use super::draw::{Draw, draw};
use super::options::VerifyOptions;
use super::run::Named;
use crate::engine::{Signature, Tensor};

/// Where the inputs of a verification come from.
#[derive(Debug)]
pub(crate) struct Supply<'a> {
    options: &'a VerifyOptions,
    signature: Signature,
    /// The rewritten model's name of each input.
    other_names: Vec<String>,
    ranges: HashMap<String, (i64, i64)>,
    /// Extents of symbolic dimensions that the caller gives, or values for inputs that have them.
    dims: BTreeMap<String, usize>,
}

impl<'a> Supply<'a> {
    /// `Err` for a draw that names no input, a value that does not fit its own, or a dimension that
    /// no input has or that two values contradict each other about.
    pub(crate) fn new(
        options: &'a VerifyOptions,
        signature: Signature,
        other_names: Vec<String>,
        ranges: HashMap<String, (i64, i64)>,
    ) -> Result<Supply<'a>, String> {
        let is_input = |name: &String| signature.inputs.iter().any(|port| port.name == *name);
        if let Some(stranger) = options.draws.keys().find(|name| !is_input(name)) {
            let names: Vec<&str> = signature
                .inputs
                .iter()
                .map(|port| port.name.as_str())
                .collect();
            return Err(format!(
                "there is no input {stranger:?}; the model's inputs are {names:?}"
            ));
        }
        let dims = dims::settled(&signature, &options.dims, &options.draws)?;
        Ok(Supply {
            options,
            signature,
            other_names,
            ranges,
            dims,
        })
    }

    /// How many samples are asked for.
    pub(super) fn n_samples(&self) -> usize {
        if self.options.data.is_empty() {
            self.options.samples
        } else {
            self.options.data.len()
        }
    }

    /// Whether there are further samples than those asked for.
    pub(super) fn has_more(&self) -> bool {
        self.options.data.is_empty() && !self.signature.inputs.is_empty()
    }

    /// Bindings of symbolic dimensions to try.
    pub(crate) fn bindings(&self) -> Vec<Binding> {
        if self.options.data.is_empty() {
            dims::candidates(&self.signature, &self.dims)
        } else {
            vec![Binding::new()]
        }
    }

    /// The inputs of a sample, under the names of the original and of the rewritten model.
    pub(crate) fn inputs(&self, sample: usize, binding: &Binding) -> Result<[Named; 2], String> {
        let values = match self.options.data.get(sample) {
            Some(given) => {
                let found = resolve(given, "input", &given.inputs, &self.signature.inputs)?;
                found.into_iter().cloned().collect()
            }
            None => self.drawn(sample, binding)?,
        };
        let names = self
            .signature
            .inputs
            .iter()
            .map(|port| &port.name)
            .zip(&self.other_names);
        let (mut first, mut second) = (Named::new(), Named::new());
        for ((name, other), value) in names.zip(values) {
            first.push((name.clone(), value.clone()));
            second.push((other.clone(), value));
        }
        Ok([first, second])
    }

    fn drawn(&self, sample: usize, binding: &Binding) -> Result<Vec<Tensor>, String> {
        let mut values = Vec::with_capacity(self.signature.inputs.len());
        for port in &self.signature.inputs {
            let said = |what: &str| format!("input {:?} {what}; give a value for it", port.name);
            let given = self.options.draws.get(&port.name);
            if let Some(Draw::Value(tensor)) = given {
                values.push(tensor.clone());
                continue;
            }
            let element = port
                .element
                .ok_or_else(|| said("has no type that can be drawn"))?;
            let shape = dims::shape(port, binding).ok_or_else(|| said("has no declared rank"))?;
            let range = self.ranges.get(&port.name).copied().unwrap_or((0, 1));
            let usual = Draw::usual(element, range);
            let seeds = (self.options.seed, sample);
            let value = draw(&port.name, element, &shape, given.unwrap_or(&usual), seeds);
            values.push(value.map_err(|what| said(&what))?);
        }
        Ok(values)
    }

    /// What the source of a sample says its outputs should be, in the model's order.
    pub(super) fn expected(&self, sample: usize) -> Result<Option<Vec<Tensor>>, String> {
        let Some(given) = self
            .options
            .data
            .get(sample)
            .filter(|s| !s.outputs.is_empty())
        else {
            return Ok(None);
        };
        let found = resolve(given, "output", &given.outputs, &self.signature.outputs)?;
        Ok(Some(found.into_iter().cloned().collect()))
    }
}
