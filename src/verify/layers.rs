//! Every value that both graphs name, compared in one more pass over the samples.
//!
//! Both models run freely in float64, so that a difference shows where it first arises and in all that
//! depends on it; what rounding the changed weights does is measured the same way and allowed for.
//! Values are compared as they arise, and per value only figures are kept.

use std::collections::HashSet;

use super::judge::element_of;
use super::run::{Comparing, compared};
use super::session::Comparison;
use super::slices::{Entry, Table};
use super::verdict::{Extent, Layer, Layers};

/// How many of the worst values are told.
const WORST: usize = 5;

/// `None` where the engine has no float64 form of the models.
pub(super) fn compare(comparison: &mut Comparison<'_>) -> Option<Layers> {
    let wanted = common_names(comparison);
    let mut table = Table::default();
    pass(comparison, &wanted, &mut table, false)?;
    if table.entries().iter().any(|entry| entry.excess().is_some()) {
        // Without the measure the strict bound stands.
        let _ = pass(comparison, &wanted, &mut table, true);
    }
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
    })
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

/// One pass over the samples: the rewritten model beside the original, or a perturbed original beside it.
fn pass(
    comparison: &mut Comparison<'_>,
    wanted: &HashSet<String>,
    table: &mut Table,
    is_noise: bool,
) -> Option<()> {
    let seed = comparison.options.seed;
    let mut perturbed = match is_noise {
        true => Some(comparison.load_perturbed(seed)?),
        false => None,
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
            is_noise,
            sample,
            border: is_partial.then_some(&*border),
            explores: false,
        };
        let outcome = match &mut perturbed {
            Some(moved) => {
                let sessions = [&mut truth.original, moved];
                compared(sessions, [&inputs[0], &inputs[0]], &comparing, table)
            }
            None => truth.run_compared([&inputs[0], &inputs[1]], &comparing, table),
        };
        outcome.ok()?;
    }
    Some(())
}
