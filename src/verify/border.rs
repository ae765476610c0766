//! Partial runs: what is put where the engine lacks an operator.
//!
//! A missing value is drawn at random in the shape that the original declares for it, else in the one that
//! its neighbours suggest; the rewritten model gets the same value under the same name, so that what lies
//! behind the gap is compared on equal terms. What lies before it is compared at the gap.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::dims::Binding;
use super::draw::{Draw, draw};
use crate::engine::{
    Dim, ElementType, EngineError, Missing, Observer, Port, Produced, Step, Tensor,
};

/// What is put at the gaps of one sample.
#[derive(Debug)]
pub(super) struct Border<'a> {
    seeds: (u64, usize),
    binding: &'a Binding,
    forms: Mutex<HashMap<String, (ElementType, Vec<usize>)>>,
    cuts: Mutex<BTreeSet<String>>,
}

impl<'a> Border<'a> {
    pub(super) fn new(seeds: (u64, usize), binding: &'a Binding) -> Border<'a> {
        let (forms, cuts) = (Mutex::default(), Mutex::default());
        Border {
            seeds,
            binding,
            forms,
            cuts,
        }
    }

    /// The nodes that were left out, each with its reason.
    pub(super) fn cuts(&self) -> Vec<String> {
        let cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        cuts.iter().cloned().collect()
    }

    fn give(&self, missing: &Missing<'_>) -> Option<Tensor> {
        if let Some((node, error)) = missing.cut
            && !matches!(error, EngineError::DanglingValue { .. })
        {
            let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
            cuts.insert(match error {
                EngineError::UnsupportedOperator { operator, .. } => {
                    format!("node {node}: the engine has no operator {operator}")
                }
                other => other.to_string(),
            });
        }
        let name = format!("{}{}", missing.scope, missing.name);
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let form = match forms.get(&name) {
            Some(form) => form.clone(),
            None => {
                let declared = missing
                    .port
                    .and_then(|port| self.declared(port, missing.assumed));
                let form = declared.or_else(|| missing.assumed.cloned())?;
                forms.insert(name.clone(), form.clone());
                form
            }
        };
        draw(
            &name,
            form.0,
            &form.1,
            &Draw::usual(form.0, (0, 1)),
            self.seeds,
        )
        .ok()
    }

    fn declared(
        &self,
        port: &Port,
        assumed: Option<&(ElementType, Vec<usize>)>,
    ) -> Option<(ElementType, Vec<usize>)> {
        let element = port.element.or(assumed.map(|(element, _)| *element))?;
        let dims = port.dims.as_ref()?;
        let suggested = assumed
            .map(|(_, shape)| shape)
            .filter(|shape| shape.len() == dims.len());
        let extent = |(axis, dim): (usize, &Dim)| match dim {
            Dim::Fixed(extent) => Some(*extent),
            Dim::Symbol(name) if self.binding.contains_key(name) => self.binding.get(name).copied(),
            _ => suggested.and_then(|shape| shape.get(axis).copied()),
        };
        Some((
            element,
            dims.iter()
                .enumerate()
                .map(extent)
                .collect::<Option<Vec<_>>>()?,
        ))
    }
}

/// An observer that fills gaps beside what it does otherwise.
#[derive(Debug)]
pub(super) struct Filling<'a, O> {
    pub(super) inner: O,
    pub(super) border: Option<&'a Border<'a>>,
}

impl<O: Observer> Observer for Filling<'_, O> {
    fn value(&mut self, produced: &Produced<'_>) -> Step {
        self.inner.value(produced)
    }

    fn missing(&mut self, missing: &Missing<'_>) -> Option<Tensor> {
        self.border.and_then(|border| border.give(missing))
    }
}
