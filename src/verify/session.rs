//! One verification from loading to verdict.

use std::collections::HashSet;
use std::time::Instant;

use super::dims::{self, Binding};
use super::figures::unravel;
use super::inputs;
use super::interface::{self, Matching};
use super::options::{Tolerance, VerifyOptions};
use super::outputs::{Failure, Output, Runs};
use super::run::{Failed, Named, Pair, compared};
use super::slices::Table;
use super::unknown;
use super::verdict::{Counterexample, Unknown, Verdict, Verification};
use crate::engine::{Engine, EngineError, ModelBytes, Precision, Signature};

/// Models perturbed to measure what rounding the weights does.
const PERTURBATIONS: u64 = 2;
/// Samples run in all, per requested one, before a doubtful difference is believed.
const PATIENCE: usize = 4;
/// Own error of the original, relative, from which its outputs no longer show a rewrite's.
const INSENSITIVE: f64 = 0.05;

/// Compares two models and fills in the evidence.
pub(super) fn compare(
    engine: &dyn Engine,
    original: ModelBytes<'_>,
    rewritten: ModelBytes<'_>,
    options: &VerifyOptions,
    verification: &mut Verification,
) -> Result<Verdict, Unknown> {
    let started = Instant::now();
    let plain = Pair::load(engine, original, rewritten, Precision::Declared).map_err(unknown)?;
    let truth = Pair::load(engine, original, rewritten, Precision::Double).map_err(unknown)?;
    verification.timings.load = started.elapsed();
    verification.notes.extend(plain.original.notes());
    let signature = plain.original.signature().clone();
    let matching = match interface::matching(&signature, plain.rewritten.signature()) {
        Ok(matching) => matching,
        Err(what) => {
            let counterexample = Counterexample::Interface { what };
            return Ok(Verdict::Different { counterexample });
        }
    };
    verification.notes.extend(matching.notes.iter().cloned());
    let wanted: HashSet<&str> = options.compare_values.iter().map(String::as_str).collect();
    let mut comparison = Comparison {
        engine,
        models: [original, rewritten],
        options,
        signature,
        matching,
        wanted,
        plain,
        truth: Some(truth),
        tolerance: options.tolerance,
        table: Table::default(),
        outputs: Vec::new(),
    };
    comparison.settle(verification)?;
    let verdict = comparison.judge(verification);
    verification.tolerance = comparison.tolerance;
    let outputs = comparison.outputs.iter();
    verification.outputs = outputs
        .map(|output| output.report(comparison.tolerance))
        .collect();
    verification.values = comparison
        .table
        .entries()
        .iter()
        .map(|entry| entry.report())
        .collect();
    verdict
}

struct Comparison<'a> {
    engine: &'a dyn Engine,
    models: [ModelBytes<'a>; 2],
    options: &'a VerifyOptions,
    signature: Signature,
    matching: Matching,
    wanted: HashSet<&'a str>,
    plain: Pair,
    /// Absent once the engine turned out to have no float64 form of the original.
    truth: Option<Pair>,
    tolerance: Tolerance,
    table: Table,
    outputs: Vec<Output>,
}

impl Comparison<'_> {
    /// Finds extents that run, and runs the samples on them.
    fn settle(&mut self, verification: &mut Verification) -> Result<(), Unknown> {
        let candidates = dims::candidates(&self.signature, &self.options.dims);
        let mut first_failure = None;
        for binding in candidates {
            match self.sample(0, &binding, verification) {
                Ok(()) => {
                    verification.dims = binding.iter().map(|(n, &x)| (n.clone(), x)).collect();
                    for sample in 1..self.options.samples {
                        self.sample(sample, &binding, verification)
                            .map_err(Trouble::reason)?;
                    }
                    return Ok(());
                }
                Err(trouble) if trouble.may_be_the_shape() => {
                    first_failure.get_or_insert(trouble);
                }
                Err(trouble) => return Err(trouble.reason()),
            }
        }
        let unsettled = Trouble::Inputs("the model has no inputs that could be settled".to_owned());
        Err(first_failure.unwrap_or(unsettled).reason())
    }

    fn inputs(&self, sample: usize, binding: &Binding) -> Result<[Named; 2], Trouble> {
        let (mut first, mut second) = (Named::new(), Named::new());
        for (port, other) in self.signature.inputs.iter().zip(&self.matching.inputs) {
            let trouble = |what: &str| {
                Trouble::Inputs(format!("input {:?} {what}; give a value for it", port.name))
            };
            let element = port
                .element
                .ok_or_else(|| trouble("has no type that can be drawn"))?;
            let shape =
                dims::shape(port, binding).ok_or_else(|| trouble("has no declared rank"))?;
            let seeds = (self.options.seed, sample);
            let value = inputs::draw(&port.name, element, &shape, (0, 1), seeds)
                .ok_or_else(|| trouble("cannot be drawn at random"))?;
            first.push((port.name.clone(), value.clone()));
            second.push((other.clone(), value));
        }
        Ok([first, second])
    }

    /// Runs one sample and adds it to the evidence.
    fn sample(
        &mut self,
        sample: usize,
        binding: &Binding,
        verification: &mut Verification,
    ) -> Result<(), Trouble> {
        let [first, second] = self.inputs(sample, binding)?;
        let started = Instant::now();
        let (original, rewritten) = self.plain.run([&first, &second])?;
        verification.timings.runs += started.elapsed();
        let started = Instant::now();
        let truth = self.truth_of(sample, [&first, &second], verification)?;
        verification.timings.truth += started.elapsed();
        self.gather(sample, &original, &rewritten, truth.as_ref());
        verification.samples = verification.samples.max(sample + 1);
        Ok(())
    }

    /// Both models in float64; without a truth, the tolerance becomes a fixed one.
    fn truth_of(
        &mut self,
        sample: usize,
        inputs: [&Named; 2],
        verification: &mut Verification,
    ) -> Result<Option<(Named, Named)>, Trouble> {
        let Some(pair) = &mut self.truth else {
            return Ok(None);
        };
        match pair.run_compared(inputs, &self.wanted, &mut self.table, sample) {
            Ok(outputs) => Ok(Some(outputs)),
            Err(failed) => {
                verification.notes.push(format!(
                    "there is no float64 truth ({}), so a fixed tolerance is applied",
                    failed.error
                ));
                self.truth = None;
                if let Tolerance::Yardstick { .. } = self.tolerance {
                    self.tolerance = Tolerance::Fixed {
                        atol: None,
                        rtol: None,
                    };
                }
                Ok(None)
            }
        }
    }

    fn gather(
        &mut self,
        sample: usize,
        original: &Named,
        rewritten: &Named,
        truth: Option<&(Named, Named)>,
    ) {
        if self.outputs.is_empty() {
            let new = |(name, tensor): &(String, _)| {
                Output::new(name, crate::engine::Tensor::element(tensor))
            };
            self.outputs = original.iter().map(new).collect();
        }
        for (index, output) in self.outputs.iter_mut().enumerate() {
            let at = self.matching.outputs.get(index).copied().unwrap_or(index);
            let (Some((_, original)), Some((_, rewritten))) =
                (original.get(index), rewritten.get(at))
            else {
                continue;
            };
            let truth = truth
                .and_then(|(truth, rewrite)| Some((&truth.get(index)?.1, &rewrite.get(at)?.1)));
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

    /// The verdict on what was gathered; doubts are settled by measuring noise and by more samples.
    fn judge(&mut self, verification: &mut Verification) -> Result<Verdict, Unknown> {
        let mut doubt = self.difference();
        // Once for the ends of folds, once for the outputs.
        for _ in 0..2 {
            if self.truth.is_some() && doubt.as_ref().is_some_and(|doubt| doubt.is_statistical) {
                self.measure_noise(verification);
                doubt = self.difference();
            }
        }
        let binding: Binding = verification.dims.iter().cloned().collect();
        while doubt.as_ref().is_some_and(|doubt| doubt.is_statistical)
            && !self.excess_is_local()
            && self
                .outputs
                .iter()
                .any(|output| output.is_close_call(self.tolerance))
            && verification.samples < PATIENCE * self.options.samples.max(1)
        {
            let next = verification.samples;
            self.sample(next, &binding, verification)
                .map_err(Trouble::reason)?;
            doubt = self.difference();
        }
        if let Some(Failure { counterexample, .. }) = doubt {
            return Ok(Verdict::Different { counterexample });
        }
        self.check_informative()?;
        Ok(Verdict::Equivalent)
    }

    fn excess_is_local(&self) -> bool {
        self.table
            .entries()
            .iter()
            .any(|entry| entry.excess().is_some())
    }

    /// The first value that differs, else the first output that does.
    fn difference(&self) -> Option<Failure> {
        let local = self.table.entries().iter().find_map(|entry| {
            if let Some(what) = &entry.mismatch {
                let counterexample = Counterexample::Interface { what: what.clone() };
                return Some(Failure {
                    counterexample,
                    is_statistical: false,
                });
            }
            let excess = entry.excess()?;
            let counterexample = Counterexample::Element {
                name: entry.name.clone(),
                is_output: self
                    .signature
                    .outputs
                    .iter()
                    .any(|port| port.name == entry.name),
                node: Some(entry.node.clone()),
                index: unravel(excess.difference.position, &entry.shape),
                original: excess.difference.original,
                rewritten: excess.difference.rewritten,
                allowed: excess.allowed,
                sample: excess.difference.sample,
                seed: self.options.seed,
            };
            Some(Failure {
                counterexample,
                is_statistical: true,
            })
        });
        let seed = self.options.seed;
        local.or_else(|| {
            self.outputs
                .iter()
                .find_map(|out| out.failure(self.tolerance, seed))
        })
    }

    /// Runs the original with perturbed weights beside itself.
    ///
    /// Where a fold's end is in doubt, from one such end to the next; else from inputs to outputs.
    fn measure_noise(&mut self, verification: &mut Verification) {
        let binding: Binding = verification.dims.iter().cloned().collect();
        let started = Instant::now();
        let is_local = self.excess_is_local();
        let wanted = if is_local {
            self.wanted.clone()
        } else {
            HashSet::new()
        };
        for draw in 0..PERTURBATIONS {
            let seed = self.options.seed.wrapping_add(draw);
            let [original, rewritten] = self.models;
            let loaded = self.engine.load_perturbed(original, rewritten, seed);
            let Ok(mut perturbed) = loaded else { return };
            for sample in 0..self.options.samples {
                let Ok([inputs, _]) = self.inputs(sample, &binding) else {
                    return;
                };
                let Some(truth) = &mut self.truth else { return };
                let sessions = [&mut truth.original, &mut perturbed];
                let both = [&inputs, &inputs];
                let noise = compared(sessions, both, &wanted, &mut self.table, (sample, true));
                let Ok((exact, moved)) = noise else { return };
                let pairs = exact.iter().zip(&moved);
                for (output, (exact, moved)) in self.outputs.iter_mut().zip(pairs) {
                    if !is_local {
                        output.add_noise(&exact.1, &moved.1, sample);
                    }
                }
            }
        }
        verification.timings.truth += started.elapsed();
        let note =
            "what rounding the weights does was measured on perturbed copies of the original";
        if !verification.notes.iter().any(|known| known == note) {
            verification.notes.push(note.to_owned());
        }
    }

    fn check_informative(&self) -> Result<(), Unknown> {
        let outputs = self
            .outputs
            .iter()
            .map(|out| (out.name(), out.uninformative()));
        let entries = self.table.entries().iter();
        let values = entries.map(|entry| (entry.name.as_str(), entry.uninformative()));
        for (name, how) in outputs.chain(values) {
            if let Some(how) = how {
                let (name, how) = (name.to_owned(), how.to_owned());
                return Err(Unknown::Uninformative { name, how });
            }
        }
        if self.table.entries().is_empty() && self.truth.is_some() {
            let hides = |out: &&Output| out.own_error() > INSENSITIVE;
            if let Some(out) = self.outputs.iter().find(hides) {
                let (name, percent) = (out.name().to_owned(), 100.0 * out.own_error());
                return Err(Unknown::Insensitive { name, percent });
            }
        }
        Ok(())
    }
}

/// What hinders a sample.
#[derive(Debug)]
enum Trouble {
    Run(Failed),
    Inputs(String),
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Trouble {
        Trouble::Run(failed)
    }
}

impl Trouble {
    /// Whether other extents may help.
    fn may_be_the_shape(&self) -> bool {
        match self {
            Trouble::Run(failed) => {
                matches!(
                    failed.error,
                    EngineError::Node { .. } | EngineError::Panic { .. }
                )
            }
            Trouble::Inputs(_) => false,
        }
    }

    fn reason(self) -> Unknown {
        match self {
            Trouble::Run(failed) => unknown(failed),
            Trouble::Inputs(message) => Unknown::Inputs { message },
        }
    }
}
