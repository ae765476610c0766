//! Further runs on the same samples: through bodies that none of them enters, and with perturbed weights.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::Comparison;
use crate::engine::Session;
use crate::verify::run::{Comparing, compared};
use crate::verify::verification::Verification;

/// Models perturbed to measure what rounding the weights does.
const PERTURBATIONS: u64 = 2;

impl Comparison<'_> {
    /// Whether both models were given a value that means something else in one of them: within a fold a
    /// node could not be run.
    pub(super) fn is_given_what_changed(&self) -> bool {
        let changed = self.options.changed_values.iter();
        let changed: HashSet<&str> = changed.map(String::as_str).collect();
        let mut borders = self.borders.iter().flat_map(|border| border.given());
        // The scopes that a value stands in come before its name, which may hold the same sign.
        let is_changed = |given: String| {
            let inner = given.match_indices('/').map(|(at, _)| &given[at + 1..]);
            let mut names = inner.chain([&*given]);
            names.any(|name| changed.contains(name))
        };
        borders.any(is_changed)
    }

    /// Compares the wanted values that no sample reached in bodies of If, Loop and Scan.
    ///
    /// A name that several bodies give counts as unreached, because it does not tell which of them ran.
    pub(in crate::verify) fn explore(&mut self) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for name in self.plain.original.value_names() {
            *counts.entry(name).or_default() += 1;
        }
        let is_open = |name: &&String| {
            !self.table.gives(name) || counts.get(name.as_str()).is_some_and(|&count| count > 1)
        };
        let open: HashSet<String> = self.wanted.iter().filter(is_open).cloned().collect();
        let unreached = open.iter().filter(|name| !self.table.gives(name));
        let unreached: Vec<String> = unreached.cloned().collect();
        let binding = self.binding.clone();
        let n_samples = if open.is_empty() { 0 } else { self.n_samples };
        for sample in 0..n_samples {
            let Ok(inputs) = self.supply.inputs(sample, &binding) else {
                return;
            };
            let border = self.border(sample);
            let Some(truth) = &mut self.truth else { return };
            let comparing = Comparing {
                wanted: &open,
                is_forced: true,
                is_noise: false,
                sample,
                border: Some(&border),
                explores: true,
            };
            // What hinders these runs leaves the values unreached.
            let _ = truth.run_compared([&inputs[0], &inputs[1]], &comparing, &mut self.table);
            self.one_sided.extend(border.one_sided());
        }
        let reached = unreached.into_iter().filter(|name| self.table.gives(name));
        self.forced.extend(reached);
    }

    /// Runs the original with perturbed weights beside itself, until nothing is in doubt: what more runs
    /// find only allows more.
    ///
    /// `is_local`: from one fold's end to the next; else from inputs to outputs.
    pub(in crate::verify) fn measure_noise(
        &mut self,
        is_local: bool,
        verification: &mut Verification,
        is_in_doubt: impl Fn(&Self) -> bool,
    ) {
        let started = Instant::now();
        let wanted = if is_local {
            self.wanted.clone()
        } else {
            HashSet::new()
        };
        let binding = self.binding.clone();
        'draws: for draw in 0..PERTURBATIONS {
            let seed = self.options.seed.wrapping_add(draw);
            let Some(mut perturbed) = self.load_perturbed(seed) else {
                return;
            };
            for sample in 0..self.supply.n_samples() {
                let Ok([inputs, _]) = self.supply.inputs(sample, &binding) else {
                    return;
                };
                let border = self.border(sample);
                let explores = !self.forced.is_empty();
                let is_partial = self.is_partial() || self.is_truth_partial || explores;
                let Some(truth) = &mut self.truth else { return };
                let comparing = Comparing {
                    wanted: &wanted,
                    is_forced: is_local,
                    is_noise: true,
                    sample,
                    border: is_partial.then_some(&*border),
                    explores,
                };
                let sessions = [&mut truth.original, &mut perturbed];
                let noise = compared(sessions, [&inputs; 2], &comparing, &mut self.table);
                let Ok((exact, moved)) = noise else { return };
                for (output, pair) in self.outputs.iter_mut().zip(exact.iter().zip(&moved)) {
                    if let (false, (Some(exact), Some(moved))) = (is_local, pair) {
                        output.add_noise(exact, moved, sample);
                    }
                }
                if !is_in_doubt(self) {
                    break 'draws;
                }
            }
        }
        verification.timings.truth += started.elapsed();
        let note =
            "what rounding the weights does was measured on perturbed copies of the original";
        if !verification.details.iter().any(|known| known == note) {
            verification.details.push(note.to_owned());
        }
    }

    /// The original with its changed weights moved by a rounding; `None` where the engine cannot.
    pub(in crate::verify) fn load_perturbed(&self, seed: u64) -> Option<Box<dyn Session>> {
        self.engine
            .load_perturbed(self.models[0], self.models[1], seed)
            .ok()
    }
}
