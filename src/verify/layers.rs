//! Every value that both graphs name, compared in one more pass over the samples.
//!
//! Both models run freely in float64, so that a difference shows where it first arises and in all that
//! depends on it; what rounding the changed weights does is measured the same way and allowed for.
//! Two further passes put each model, run in its own types, beside the float64 truth.
//! Values are compared as they arise, and per value only figures are kept.

use std::collections::{HashMap, HashSet};

use super::judge::element_of;
use super::run::{Comparing, compared};
use super::session::Comparison;
use super::slices::{Entry, Table};
use super::verification::{Extent, Layer, LayerErrors, Layers};

/// How many of the worst values are told.
const WORST: usize = 5;

/// `None` where the engine has no float64 form of the models.
pub(super) fn compare(comparison: &mut Comparison<'_>) -> Option<Layers> {
    let wanted = common_names(comparison);
    let mut table = Table::default();
    pass(comparison, &wanted, &mut table, Beside::Rewritten)?;
    if table.entries().iter().any(|entry| entry.excess().is_some()) {
        // Without the measure the strict bound stands.
        let _ = pass(comparison, &wanted, &mut table, Beside::Perturbed);
    }
    let errors = errors(comparison, &wanted).unwrap_or_default();
    let seed = comparison.options.seed;
    let layer = |entry: &Entry| Layer {
        report: entry.report(),
        worst: entry.furthest(),
        seed,
    };
    let differs = |entry: &&Entry| !entry.is_doubtful && entry.differs();
    let first = table.entries().iter().find(differs);
    let mut order: Vec<&Entry> = table.entries().iter().collect();
    order.sort_by(|a, b| b.report().in_roundings.total_cmp(&a.report().in_roundings));
    let worst = order
        .iter()
        .take(WORST)
        .filter(|entry| entry.report().max_abs > 0.0);
    Some(Layers {
        n_compared: table.entries().len(),
        first_divergent: first.map(layer),
        counterexample: first.and_then(|entry| element_of(entry, seed, false)),
        worst: worst.map(|entry| layer(entry)).collect(),
        errors,
    })
}

/// How far each value is from the truth in both models as they are.
fn errors(comparison: &mut Comparison<'_>, wanted: &HashSet<String>) -> Option<Vec<LayerErrors>> {
    let mut tables = [Table::default(), Table::default()];
    for (table, beside) in tables
        .iter_mut()
        .zip([Beside::PlainOriginal, Beside::PlainRewritten])
    {
        pass(comparison, wanted, table, beside)?;
    }
    let [original, rewritten] = tables;
    let rewritten: HashMap<&str, &Entry> = rewritten
        .entries()
        .iter()
        .map(|entry| (entry.name.as_str(), entry))
        .collect();
    let both = original.entries().iter().filter_map(|entry| {
        let other = rewritten.get(entry.name.as_str())?;
        let agree = entry.mismatch.is_none() && other.mismatch.is_none();
        agree.then(|| LayerErrors {
            name: entry.name.clone(),
            node: entry.node.clone(),
            original: entry.report().max_abs,
            rewritten: other.report().max_abs,
        })
    });
    Some(both.collect())
}

fn common_names(comparison: &Comparison<'_>) -> HashSet<String> {
    let other: HashSet<&str> = comparison
        .plain
        .rewritten
        .value_names()
        .into_iter()
        .collect();
    let changed: HashSet<&str> = comparison
        .options
        .changed_values
        .iter()
        .map(String::as_str)
        .collect();
    let names = comparison.plain.original.value_names().into_iter();
    let is_common = |name: &&str| other.contains(name) && !changed.contains(name);
    names.filter(is_common).map(str::to_owned).collect()
}

/// What runs beside the original in float64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// The rewritten model in float64.
    Rewritten,
    /// The original in float64, with perturbed weights.
    Perturbed,
    /// The original in its own types.
    PlainOriginal,
    /// The rewritten model in its own types.
    PlainRewritten,
}

/// One pass over the samples.
fn pass(
    comparison: &mut Comparison<'_>,
    wanted: &HashSet<String>,
    table: &mut Table,
    beside: Beside,
) -> Option<()> {
    let seed = comparison.options.seed;
    let mut perturbed = match beside {
        Beside::Perturbed => Some(comparison.load_perturbed(seed)?),
        _ => None,
    };
    let n_samples = comparison.n_samples.min(comparison.supply.n_samples());
    for sample in 0..n_samples {
        let binding = comparison.binding.clone();
        let inputs = comparison.supply.inputs(sample, &binding).ok()?;
        let border = comparison.border(sample);
        let is_partial = matches!(comparison.extent, Extent::Regional { .. });
        let truth = comparison.truth.as_mut()?;
        let comparing = Comparing {
            wanted,
            is_forced: false,
            is_noise: beside == Beside::Perturbed,
            sample,
            border: is_partial.then_some(&*border),
            explores: false,
        };
        let plain = &mut comparison.plain;
        let (second, inputs) = match (beside, &mut perturbed) {
            (Beside::PlainOriginal, _) => (&mut plain.original, [&inputs[0], &inputs[0]]),
            (Beside::PlainRewritten, _) => (&mut plain.rewritten, [&inputs[0], &inputs[1]]),
            (_, Some(moved)) => (moved, [&inputs[0], &inputs[0]]),
            (_, None) => (&mut truth.rewritten, [&inputs[0], &inputs[1]]),
        };
        compared([&mut truth.original, second], inputs, &comparing, table).ok()?;
    }
    Some(())
}
