//! Partial runs: what is put where the engine lacks an operator.
//!
//! A missing value is drawn at random in the shape that the original declares for it, else in the one that
//! its readers suggest. The original runs first and decides; the rewritten model gets the same values under
//! the same names and no others, so that what lies behind a gap is compared on equal terms.
//! What lies before it is compared at the gap, and so is how the operator is called. A value that only one of
//! them lacks makes what lies behind it incomparable: the rewritten model goes on with the original's, and
//! what has none is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::dims::Binding;
use super::draw::{Draw, draw};
use super::verdict::Side;
use crate::engine::{
    Cut, Dim, ElementType, EngineError, Missing, Observer, Place, Port, Produced, Step, Tensor,
};

/// Extent of an axis that nothing tells anything of.
const ANY: usize = 5;

/// Type and extents.
type Form = (ElementType, Vec<usize>);

/// What is put at the gaps of one sample.
#[derive(Debug)]
pub(super) struct Border {
    seeds: (u64, usize),
    binding: Binding,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What missing values look like, as far as any run told.
    forms: HashMap<String, Form>,
    /// What the original's latest run was given, and how the rewritten model met it since.
    given: BTreeMap<String, Met>,
    /// How the original calls the operators that the engine lacks, by what they give.
    calls: HashMap<String, u64>,
    cuts: BTreeSet<String>,
}

/// How the rewritten model met a value that the original was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Met {
    /// It has not named it.
    #[default]
    Not,
    /// It has named it.
    Named,
    /// It has it from an operator that it calls in another way.
    Otherwise,
}

impl State {
    /// Notes why a node was left out, and whether the rewritten model calls its operator as the original does.
    fn note(&mut self, side: Side, name: &str, cut: Cut<'_>) {
        let reason = match cut.error {
            EngineError::DanglingValue { .. } => return,
            EngineError::UnsupportedOperator { operator, .. } => {
                self.compare(side, name, cut.call);
                format!("node {}: the engine has no operator {operator}", cut.node)
            }
            other => other.to_string(),
        };
        self.cuts.insert(reason);
    }

    fn compare(&mut self, side: Side, name: &str, call: u64) {
        if side == Side::Original {
            self.calls.insert(name.to_owned(), call);
        } else if let Some(met) = self.given.get_mut(name)
            && self.calls.get(name).is_some_and(|known| *known != call)
        {
            *met = Met::Otherwise;
        }
    }
}

impl Border {
    pub(super) fn new(seeds: (u64, usize), binding: &Binding) -> Border {
        Border {
            seeds,
            binding: binding.clone(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The original is about to run, and to decide anew which values are missing.
    pub(super) fn restart(&self) {
        self.state().given.clear();
    }

    /// The nodes that were left out, each with its reason.
    pub(super) fn cuts(&self) -> Vec<String> {
        self.state().cuts.iter().cloned().collect()
    }

    /// The values that the original's latest run was given.
    pub(super) fn given(&self) -> BTreeSet<String> {
        self.state().given.keys().cloned().collect()
    }

    /// Those of them that the rewritten model does not name, or has from another call.
    pub(super) fn one_sided(&self) -> Vec<String> {
        let state = self.state();
        let unmet = state.given.iter().filter(|(_, met)| **met != Met::Named);
        unmet.map(|(name, _)| name.clone()).collect()
    }

    fn give(&self, side: Side, missing: &Missing<'_>) -> Option<Tensor> {
        let name = format!("{}{}", missing.scope, missing.name);
        let mut state = self.state();
        if let Some(cut) = missing.cut {
            state.note(side, &name, cut);
        }
        match side {
            Side::Original => {
                let form = match state.forms.get(&name) {
                    Some(form) => form.clone(),
                    None => self.form(missing)?,
                };
                state.forms.insert(name.clone(), form);
                state.given.entry(name.clone()).or_default();
            }
            Side::Rewritten => match state.given.get_mut(&name)? {
                Met::Otherwise => return None,
                met => *met = Met::Named,
            },
        }
        let form = state.forms.get(&name)?.clone();
        drop(state);
        self.drawn(&name, &form)
    }

    fn drawn(&self, name: &str, (element, shape): &Form) -> Option<Tensor> {
        let usual = Draw::usual(*element, (0, 1));
        draw(name, *element, shape, &usual, self.seeds).ok()
    }

    /// What the original was given for a value that the rewritten model has computed.
    fn instead(&self, produced: &Produced<'_>) -> Option<Tensor> {
        let name = format!("{}{}", produced.scope, produced.name);
        let mut state = self.state();
        *state.given.get_mut(&name)? = Met::Named;
        let form = state.forms.get(&name)?.clone();
        drop(state);
        self.drawn(&name, &form)
    }

    fn form(&self, missing: &Missing<'_>) -> Option<Form> {
        let declared = missing
            .port
            .and_then(|port| self.declared(port, missing.assumed));
        declared.or_else(|| missing.assumed.cloned())
    }

    fn declared(&self, port: &Port, assumed: Option<&Form>) -> Option<Form> {
        let element = port.element.or(assumed.map(|(element, _)| *element))?;
        let dims = port.dims.as_ref()?;
        let suggested = assumed
            .map(|(_, shape)| shape)
            .filter(|shape| shape.len() == dims.len());
        let extent = |(axis, dim): (usize, &Dim)| {
            let bound = match dim {
                Dim::Fixed(extent) => Some(*extent),
                Dim::Symbol(name) => self.binding.get(name).copied(),
                Dim::Unknown => None,
            };
            let suggestion = || suggested.and_then(|shape| shape.get(axis).copied());
            bound.or_else(suggestion).unwrap_or(ANY)
        };
        Some((element, dims.iter().enumerate().map(extent).collect()))
    }
}

/// An observer that fills gaps beside what it does otherwise.
#[derive(Debug)]
pub(super) struct Filling<'a, O> {
    pub(super) inner: O,
    pub(super) side: Side,
    pub(super) border: Option<&'a Border>,
    pub(super) explores: bool,
}

impl<O: Observer> Observer for Filling<'_, O> {
    fn value(&mut self, produced: &Produced<'_>) -> Step {
        let is_second = self.side == Side::Rewritten && produced.place == Place::Given;
        let instead = self
            .border
            .filter(|_| is_second)
            .and_then(|border| border.instead(produced));
        match instead {
            Some(tensor) => Step::Replace(tensor),
            None => self.inner.value(produced),
        }
    }

    fn missing(&mut self, missing: &Missing<'_>) -> Option<Tensor> {
        self.border
            .and_then(|border| border.give(self.side, missing))
    }

    fn explores(&self) -> bool {
        self.explores
    }
}
