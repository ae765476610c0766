//! One verification from loading to verdict.

mod further;
mod trouble;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::border::Border;
use super::dims::Binding;
use super::interface::{self, Matching, Mismatch};
use super::judge;
use super::layers;
use super::options::{Tolerance, VerifyOptions};
use super::outputs::{Output, Runs};
use super::run::{Comparing, Named, Outputs, Pair};
use super::slices::Table;
use super::supply::Supply;
use super::unknown;
use super::verdict::{Counterexample, Unknown, Verdict};
use super::verification::{Extent, Verification};
use crate::engine::{Engine, EngineError, ModelBytes, Session, Signature, Tensor};

pub(super) use trouble::Trouble;

/// Compares two models and fills in the evidence.
pub(super) fn compare(
    engine: &dyn Engine,
    models: [ModelBytes<'_>; 2],
    options: &VerifyOptions,
    verification: &mut Verification,
) -> Result<Verdict, Unknown> {
    let started = Instant::now();
    let [plain, truth] = Pair::load(engine, models).map_err(unknown)?;
    verification.timings.load = started.elapsed();
    let signature = plain.original.signature().clone();
    let matching = match interface::matching(&signature, plain.rewritten.signature()) {
        Ok(matching) => matching,
        Err(Mismatch::Incomparable(what)) => return Err(Unknown::Interface { what }),
        Err(Mismatch::Different(what)) => {
            let counterexample = Counterexample::Interface { what };
            return Ok(Verdict::Different { counterexample });
        }
    };
    verification.notes.extend(matching.notes.iter().cloned());
    let ranges = plain.original.integer_ranges();
    let names = matching.inputs.clone();
    let supply = Supply::new(options, signature.clone(), names, ranges)
        .map_err(|message| Unknown::Inputs { message })?;
    let (wanted, absent) = wanted(&plain, options);
    let mut comparison = Comparison {
        engine,
        models,
        options,
        supply,
        signature,
        matching,
        wanted,
        absent,
        plain,
        truth: Some(truth),
        extent: Extent::Full,
        is_truth_partial: false,
        tolerance: options.tolerance,
        table: Table::default(),
        outputs: Vec::new(),
        binding: Binding::new(),
        borders: Vec::new(),
        one_sided: BTreeSet::new(),
        forced: BTreeSet::new(),
        n_samples: 0,
        expectation: None,
        surprise: None,
    };
    let verdict = comparison
        .settle(verification)
        .and_then(|()| judge::judge(&mut comparison, verification));
    if options.layers && comparison.n_samples > 0 {
        verification.layers = layers::compare(&mut comparison);
    }
    comparison.report(verification);
    verdict
}

/// The values to compare that both models name, and those that one of them lacks.
fn wanted(pair: &Pair, options: &VerifyOptions) -> (HashSet<String>, Vec<String>) {
    let names = |session: &dyn Session| -> HashSet<String> {
        session
            .value_names()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let (first, second) = (
        names(pair.original.as_ref()),
        names(pair.rewritten.as_ref()),
    );
    let is_common = |name: &&String| first.contains(*name) && second.contains(*name);
    let (common, absent): (Vec<&String>, Vec<&String>) =
        options.compare_values.iter().partition(is_common);
    (
        common.into_iter().cloned().collect(),
        absent.into_iter().cloned().collect(),
    )
}

/// What is known while two models are compared.
pub(super) struct Comparison<'a> {
    engine: &'a dyn Engine,
    models: [ModelBytes<'a>; 2],
    pub(super) options: &'a VerifyOptions,
    pub(super) supply: Supply<'a>,
    pub(super) signature: Signature,
    matching: Matching,
    pub(super) wanted: HashSet<String>,
    /// Values to be compared that one of the models does not give.
    pub(super) absent: Vec<String>,
    pub(super) plain: Pair,
    /// Absent once the engine turned out to have no float64 form of the original.
    pub(super) truth: Option<Pair>,
    pub(super) extent: Extent,
    /// Whether the float64 runs leave out nodes that the others run.
    is_truth_partial: bool,
    pub(super) tolerance: Tolerance,
    pub(super) table: Table,
    pub(super) outputs: Vec<Output>,
    pub(super) binding: Binding,
    /// What is put at the gaps, by sample.
    borders: Vec<Arc<Border>>,
    /// Values that the original was given and the rewritten model does not name.
    pub(super) one_sided: BTreeSet<String>,
    /// Values in bodies that no sample enters, compared by running those all the same.
    forced: BTreeSet<String>,
    pub(super) n_samples: usize,
    /// How the rewritten model misses outputs that came with the inputs.
    pub(super) expectation: Option<Counterexample>,
    /// How the original itself misses them.
    pub(super) surprise: Option<Counterexample>,
}

impl Comparison<'_> {
    /// Finds extents that run, and runs the samples on them; goes around what the engine lacks.
    fn settle(&mut self, verification: &mut Verification) -> Result<(), Unknown> {
        let bindings = self.supply.bindings();
        let mut first_failure = None;
        for binding in &bindings {
            self.bind(binding.clone());
            match self.sample(0, verification) {
                Ok(()) => return self.further_samples(verification),
                Err(trouble) if trouble.may_be_the_shape() => {
                    first_failure.get_or_insert(trouble);
                }
                Err(Trouble::Run(failed)) => {
                    first_failure = Some(Trouble::Run(failed));
                    break;
                }
                Err(trouble) => return Err(trouble.reason()),
            }
        }
        let failure = match first_failure {
            Some(Trouble::Run(failed)) => failed,
            Some(trouble) => return Err(trouble.reason()),
            None => {
                let message = "the model's dimensions cannot be settled".to_owned();
                return Err(Unknown::Inputs { message });
            }
        };
        let is_chosen = !self.options.dims.is_empty()
            || !self.options.data.is_empty()
            || !self.options.draws.is_empty();
        let is_lacking = matches!(failure.error, EngineError::UnsupportedOperator { .. });
        if is_chosen && !is_lacking {
            return Err(unknown(failure));
        }
        self.bind(bindings.into_iter().next().unwrap_or_default());
        self.extent = Extent::Regional {
            cuts: Vec::new(),
            unreached: Vec::new(),
        };
        let reason = unknown(failure);
        self.sample(0, verification).map_err(|_| reason.clone())?;
        self.further_samples(verification)?;
        match self.is_given_what_changed() {
            true => Err(reason),
            false => Ok(()),
        }
    }

    fn further_samples(&mut self, verification: &mut Verification) -> Result<(), Unknown> {
        for sample in 1..self.supply.n_samples() {
            self.sample(sample, verification).map_err(Trouble::reason)?;
        }
        Ok(())
    }

    fn bind(&mut self, binding: Binding) {
        self.binding = binding;
        self.borders.clear();
    }

    /// What is put at the gaps of a sample, the same in every run.
    pub(super) fn border(&mut self, sample: usize) -> Arc<Border> {
        while self.borders.len() <= sample {
            let seeds = (self.options.seed, self.borders.len());
            self.borders
                .push(Arc::new(Border::new(seeds, &self.binding)));
        }
        Arc::clone(&self.borders[sample])
    }

    fn is_partial(&self) -> bool {
        matches!(self.extent, Extent::Regional { .. })
    }

    /// Runs one sample and adds it to the evidence.
    pub(super) fn sample(
        &mut self,
        sample: usize,
        verification: &mut Verification,
    ) -> Result<(), Trouble> {
        let binding = self.binding.clone();
        let inputs = self
            .supply
            .inputs(sample, &binding)
            .map_err(Trouble::Inputs)?;
        let border = self.border(sample);
        let gaps = self.is_partial().then_some(&*border);
        let started = Instant::now();
        let (original, rewritten) = self.plain.run([&inputs[0], &inputs[1]], gaps)?;
        verification.timings.runs += started.elapsed();
        let given = border.given();
        self.one_sided.extend(border.one_sided());
        let started = Instant::now();
        let truth = self.truth_of(sample, &inputs, &border, verification)?;
        verification.timings.truth += started.elapsed();
        self.one_sided.extend(border.one_sided());
        // Runs that lack different values compute different things.
        let truth = truth.filter(|_| !self.is_partial() || border.given() == given);
        if truth.is_none() {
            self.fix_tolerance();
        }
        self.expect(sample, &original, &rewritten)?;
        self.gather(sample, &original, &rewritten, truth.as_ref());
        if let Extent::Regional { cuts, .. } = &mut self.extent {
            cuts.extend(border.cuts());
            cuts.sort();
            cuts.dedup();
        }
        self.n_samples = self.n_samples.max(sample + 1);
        Ok(())
    }

    /// Both models in float64; around what has no float64 form, the tolerance becomes a fixed one.
    fn truth_of(
        &mut self,
        sample: usize,
        inputs: &[Named; 2],
        border: &Border,
        verification: &mut Verification,
    ) -> Result<Option<(Outputs, Outputs)>, Trouble> {
        let is_partial = self.is_partial();
        let Some(pair) = &mut self.truth else {
            return Ok(None);
        };
        let mut comparing = Comparing {
            wanted: &self.wanted,
            is_forced: true,
            is_noise: false,
            sample,
            border: (is_partial || self.is_truth_partial).then_some(border),
            explores: false,
        };
        let both = [&inputs[0], &inputs[1]];
        let failed = match pair.run_compared(both, &comparing, &mut self.table) {
            Ok(outputs) => return Ok((!self.is_truth_partial).then_some(outputs)),
            Err(failed) => failed,
        };
        verification.notes.push(format!(
            "there is no float64 truth ({}), so outputs are held to a fixed tolerance",
            failed.error
        ));
        self.table = Table::default();
        comparing.border = Some(border);
        self.is_truth_partial = true;
        if pair
            .run_compared(both, &comparing, &mut self.table)
            .is_err()
        {
            self.truth = None;
        }
        Ok(None)
    }

    fn fix_tolerance(&mut self) {
        if let Tolerance::Yardstick { .. } = self.tolerance {
            self.tolerance = Tolerance::Fixed {
                atol: None,
                rtol: None,
            };
        }
    }

    /// Holds both models' outputs to those that came with the inputs.
    fn expect(
        &mut self,
        sample: usize,
        original: &Outputs,
        rewritten: &Outputs,
    ) -> Result<(), Trouble> {
        let Some(expected) = self.supply.expected(sample).map_err(Trouble::Inputs)? else {
            return Ok(());
        };
        for (index, (port, expected)) in self.signature.outputs.iter().zip(&expected).enumerate() {
            let at = self.matching.outputs.get(index).copied().unwrap_or(index);
            let given = |outputs: &Outputs, at: usize| outputs.get(at).cloned().flatten();
            let (Some(before), Some(after)) = (given(original, index), given(rewritten, at)) else {
                continue;
            };
            if let Some(miss) = judge::missed(&port.name, expected, &before, sample) {
                self.surprise.get_or_insert(miss);
            } else if let Some(miss) = judge::missed(&port.name, expected, &after, sample) {
                self.expectation.get_or_insert(miss);
            }
        }
        Ok(())
    }

    fn gather(
        &mut self,
        sample: usize,
        original: &Outputs,
        rewritten: &Outputs,
        truth: Option<&(Outputs, Outputs)>,
    ) {
        if self.outputs.is_empty() {
            let new = |port: &crate::engine::Port| Output::new(&port.name);
            self.outputs = self.signature.outputs.iter().map(new).collect();
        }
        fn at(outputs: &Outputs, index: usize) -> Option<&Tensor> {
            outputs.get(index).and_then(Option::as_ref)
        }
        for (index, output) in self.outputs.iter_mut().enumerate() {
            let other = self.matching.outputs.get(index).copied().unwrap_or(index);
            if let (Some(original), Some(rewritten)) = (at(original, index), at(rewritten, other)) {
                let truth = truth
                    .and_then(|(truth, rewrite)| Some((at(truth, index)?, at(rewrite, other)?)));
                output.add(
                    Runs {
                        original,
                        rewritten,
                        truth,
                        sample,
                    },
                    self.tolerance,
                );
            }
        }
    }

    fn report(self, verification: &mut Verification) {
        verification.details.extend(self.plain.notes());
        let reached = self.outputs.iter().filter(|output| output.is_reached());
        verification.outputs = reached
            .map(|output| output.report(self.tolerance))
            .collect();
        if !self.wanted.is_empty() {
            // That run went on with the original's values at each fold's end.
            let outputs = verification.outputs.iter_mut();
            outputs.for_each(|output| output.rewrite = None);
        }
        verification.values = self
            .table
            .entries()
            .iter()
            .map(|entry| entry.report())
            .collect();
        verification.dims = self.binding.into_iter().collect();
        verification.samples = self.n_samples;
        verification.tolerance = self.tolerance;
        verification.extent = self.extent;
        verification.forced = self.forced.into_iter().collect();
        let models = (self.plain, self.truth);
        // To give much memory back takes a while; where no thread can be had, it is done here.
        let _ = thread::Builder::new().spawn(move || drop(models));
    }
}
