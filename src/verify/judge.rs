//! The verdict on what was gathered.
//!
//! A doubt is settled by measuring what perturbed weights do, and by more samples, before it is believed.

use super::figures::{difference, unravel};
use super::outputs::{Failure, Output};
use super::session::{Comparison, Trouble};
use super::slices::Entry;
use super::verdict::{Counterexample, Unknown, Verdict};
use super::verification::{Extent, Verification};
use crate::engine::{ElementType, Tensor};

/// Samples run in all, per requested one, before a doubtful difference is believed.
const PATIENCE: usize = 4;
/// Own error of the original, relative, from which its outputs no longer show a rewrite's.
const INSENSITIVE: f64 = 0.05;

pub(super) fn judge(
    comparison: &mut Comparison<'_>,
    verification: &mut Verification,
) -> Result<Verdict, Unknown> {
    comparison.explore();
    let mut doubt = difference_of(comparison);
    // Once for the ends of folds, once for the outputs.
    for _ in 0..2 {
        let is_statistical = doubt.as_ref().is_some_and(|doubt| doubt.is_statistical);
        if is_statistical && comparison.truth.is_some() {
            let is_local = has_local_excess(comparison);
            comparison.measure_noise(is_local, verification, |comparison| match is_local {
                true => has_local_excess(comparison),
                false => difference_of(comparison).is_some(),
            });
            doubt = difference_of(comparison);
        }
    }
    while is_close_call(comparison, doubt.as_ref()) {
        let next = comparison.n_samples;
        comparison
            .sample(next, verification)
            .map_err(Trouble::reason)?;
        doubt = difference_of(comparison);
    }
    if let Some(Failure { counterexample, .. }) = doubt {
        check_two_sided(comparison)?;
        return Ok(Verdict::Different { counterexample });
    }
    if let Some(counterexample) = comparison.expectation.take() {
        return Ok(Verdict::Different { counterexample });
    }
    if let Some(counterexample) = comparison.surprise.take() {
        let what = counterexample.to_string();
        return Err(Unknown::Expectation { what });
    }
    check_reached(comparison)?;
    check_informative(comparison)?;
    Ok(Verdict::Equivalent)
}

/// Behind a value that only one model lacks both compute different things, whatever was folded.
fn check_two_sided(comparison: &Comparison<'_>) -> Result<(), Unknown> {
    if comparison.one_sided.is_empty() {
        return Ok(());
    }
    let cuts = match &comparison.extent {
        Extent::Regional { cuts, .. } => cuts.clone(),
        Extent::Full => Vec::new(),
    };
    Err(Unknown::Unreached {
        names: comparison.one_sided.iter().cloned().collect(),
        cuts,
    })
}

fn has_local_excess(comparison: &Comparison<'_>) -> bool {
    comparison
        .table
        .entries()
        .iter()
        .any(|entry| !entry.is_doubtful && entry.excess().is_some())
}

/// Whether an output fails by so little that further samples may explain it.
fn is_close_call(comparison: &Comparison<'_>, doubt: Option<&Failure>) -> bool {
    let outputs = comparison.outputs.iter();
    doubt.is_some_and(|doubt| doubt.is_statistical)
        && !has_local_excess(comparison)
        && outputs
            .filter(|output| output.is_close_call(comparison.tolerance))
            .count()
            > 0
        && comparison.supply.has_more()
        && comparison.n_samples < PATIENCE * comparison.options.samples.max(1)
}

/// The first value that differs, else the first output that does.
fn difference_of(comparison: &Comparison<'_>) -> Option<Failure> {
    let entries = comparison.table.entries().iter();
    let local = entries
        .filter_map(|entry| local_failure(comparison, entry))
        .next();
    let (tolerance, seed) = (comparison.tolerance, comparison.options.seed);
    local.or_else(|| {
        comparison
            .outputs
            .iter()
            .find_map(|out| out.failure(tolerance, seed))
    })
}

fn local_failure(comparison: &Comparison<'_>, entry: &Entry) -> Option<Failure> {
    if entry.is_doubtful {
        return None;
    }
    if let Some(what) = &entry.mismatch {
        let counterexample = Counterexample::Interface { what: what.clone() };
        return Some(Failure {
            counterexample,
            is_statistical: false,
        });
    }
    let is_output = |name: &str| {
        comparison
            .signature
            .outputs
            .iter()
            .any(|port| port.name == name)
    };
    let counterexample = element_of(entry, comparison.options.seed, is_output(&entry.name))?;
    Some(Failure {
        counterexample,
        is_statistical: true,
    })
}

/// The element of a compared value that exceeds what is allowed by the largest factor.
pub(super) fn element_of(entry: &Entry, seed: u64, is_output: bool) -> Option<Counterexample> {
    let excess = entry.excess()?;
    Some(Counterexample::Element {
        name: entry.name.clone(),
        is_output,
        node: Some(entry.node.clone()),
        index: unravel(excess.difference.position, &entry.shape),
        original: excess.difference.original,
        rewritten: excess.difference.rewritten,
        allowed: excess.allowed,
        sample: excess.difference.sample,
        seed,
    })
}

/// In a partial run every fold's end must have been reached, or else every output.
fn check_reached(comparison: &mut Comparison<'_>) -> Result<(), Unknown> {
    let entries = comparison.table.entries().iter();
    let mut missing: Vec<String> = comparison
        .wanted
        .iter()
        .filter(|name| !comparison.table.gives(name))
        .cloned()
        .collect();
    missing.extend(comparison.absent.iter().cloned());
    missing.sort();
    if comparison.wanted.is_empty() {
        let outputs = comparison
            .outputs
            .iter()
            .filter(|output| !output.is_reached());
        missing.extend(outputs.map(|output| output.name().to_owned()));
        missing.extend(comparison.table.unmatched.iter().cloned());
        let doubtful = entries.filter(|entry| entry.is_doubtful && entry.differs());
        missing.extend(doubtful.map(|entry| entry.name.clone()));
    }
    if let Extent::Regional { unreached, cuts } = &mut comparison.extent {
        unreached.clone_from(&missing);
        if !missing.is_empty() {
            return Err(Unknown::Unreached {
                names: missing,
                cuts: cuts.clone(),
            });
        }
    } else if !missing.is_empty() && comparison.truth.is_some() {
        return Err(Unknown::Unreached {
            names: missing,
            cuts: Vec::new(),
        });
    }
    Ok(())
}

fn check_informative(comparison: &Comparison<'_>) -> Result<(), Unknown> {
    let outputs = comparison
        .outputs
        .iter()
        .map(|out| (out.name(), out.uninformative()));
    let entries = comparison.table.entries().iter();
    let varying = entries.filter(|entry| !entry.is_fixed && !entry.is_doubtful);
    let values = varying
        .clone()
        .map(|entry| (entry.name.as_str(), entry.uninformative()));
    for (name, how) in outputs.chain(values) {
        if let Some(how) = how {
            let (name, how) = (name.to_owned(), how.to_owned());
            return Err(Unknown::Uninformative { name, how });
        }
    }
    let is_alone = varying.count() == 0;
    if is_alone && comparison.outputs.iter().all(Output::shows_nothing) {
        let names = comparison.outputs.iter();
        let names = names.map(|output| output.name().to_owned()).collect();
        return Err(Unknown::Nothing { names });
    }
    if is_alone && comparison.truth.is_some() {
        let mut outputs = comparison.outputs.iter();
        if let Some(out) = outputs.find(|out| out.own_error() > INSENSITIVE) {
            let (name, percent) = (out.name().to_owned(), 100.0 * out.own_error());
            return Err(Unknown::Insensitive { name, percent });
        }
    }
    Ok(())
}

/// How a value misses an expected one, by the tolerance that the standard's own test data are held to.
pub(super) fn missed(
    name: &str,
    expected: &Tensor,
    found: &Tensor,
    sample: usize,
) -> Option<Counterexample> {
    let (rtol, atol) = match expected.element() {
        ElementType::Float16 => (1e-2, 1e-3),
        ElementType::BFloat16 => (5e-2, 1e-2),
        element if element.is_float() => (1e-3, 1e-5),
        _ => (0.0, 0.0),
    };
    let describe = |tensor: &Tensor| format!("{}{:?}", tensor.element(), tensor.shape());
    if describe(expected) != describe(found) {
        let (wanted, given) = (describe(expected), describe(found));
        let what = format!("output {name:?} is {given}, expected is {wanted}");
        return Some(Counterexample::Interface { what });
    }
    let (Some(wanted), Some(given)) = (expected.to_f64(), found.to_f64()) else {
        let what = format!("output {name:?} holds other strings than expected");
        return (expected.data() != found.data()).then_some(Counterexample::Interface { what });
    };
    let allowed = |x: f64| atol + rtol * if x.is_finite() { x.abs() } else { 0.0 };
    let pairs = wanted.iter().zip(&given);
    let position = pairs
        .clone()
        .position(|(&x, &y)| difference(x, y) > allowed(x))?;
    let (&expected, &rewritten) = pairs.clone().nth(position)?;
    Some(Counterexample::Expected {
        name: name.to_owned(),
        index: unravel(position, found.shape()),
        expected,
        found: rewritten,
        allowed: allowed(expected),
        sample,
    })
}
