//! Bisect: which fold of a plan makes the result differ.
//!
//! A plan is a sequence of folds, and each of its prefixes is a plan too. If the prefix of length 0 (the original) does
//! not differ and the whole does, some fold has a prefix before it that does not differ and one after it that does:
//! ⌈log₂ n⌉ comparisons find one, two if the evidence already points at it.
//! A prefix that cannot be carried out or compared counts as one that does not differ.

use crate::apply::{Applied, apply};
use crate::fold::Folded;
use crate::plan::{Entry, Fold, Seed};

/// The fold that a difference is laid to.
#[derive(Clone, Debug)]
pub struct Culprit {
    /// What is folded.
    pub seed: Seed,
    /// The node's name, or its operator and output.
    pub label: String,
    /// The nodes that take its affine, each with its side.
    pub sites: String,
}

impl Culprit {
    fn new(entry: &Entry, fold: &Fold) -> Culprit {
        let sites: Vec<String> = fold
            .sites
            .iter()
            .map(|site| format!("{} ({})", site.label, site.side))
            .collect();
        Culprit {
            seed: fold.seed,
            label: entry.label.clone(),
            sites: sites.join(", "),
        }
    }
}

/// Finds a fold with which the result differs and without which, and without all later ones, it does not.
///
/// The whole plan is known to differ. `suspects` are names of values that were seen to differ where a fold ends;
/// `differs` says whether a model with these edits does.
/// `None` if the plan has no folds.
///
/// # Errors
/// What `differs` fails with.
pub fn culprit<E>(
    folded: &Folded<'_>,
    suspects: &[&str],
    mut differs: impl FnMut(&Applied<'_>) -> Result<bool, E>,
) -> Result<Option<Culprit>, E> {
    let folds = folded.plan.folds();
    let (mut same, mut different) = (0, folds.len());
    let ends_in_suspect = |(_, fold): &(&Entry, &Fold)| {
        fold.ends.iter().any(|&end| {
            // A value that a fold made has no name yet.
            let value = folded.graph.values.get(end.0 as usize);
            let is_end =
                |suspect: &&str| value.is_some_and(|at| is_named(suspect, &at.name.to_string()));
            suspects.iter().any(is_end)
        })
    };
    let mut probes: Vec<usize> = folds
        .iter()
        .position(ends_in_suspect)
        .map_or(Vec::new(), |at| vec![at, at + 1]);
    while different - same > 1 {
        let is_open = |probe: &usize| same < *probe && *probe < different;
        let probe = std::iter::from_fn(|| probes.pop())
            .find(is_open)
            .unwrap_or_else(|| same.midpoint(different));
        let is_different = match apply(&folded.graph, &folded.plan.prefix(probe)) {
            Ok(applied) => differs(&applied)?,
            Err(_) => false,
        };
        match is_different {
            true => different = probe,
            false => same = probe,
        }
    }
    let last = different.checked_sub(1).and_then(|at| folds.get(at));
    Ok(last.map(|&(entry, fold)| Culprit::new(entry, fold)))
}

/// Whether a path names a value; those of nested graphs stand behind the names of the nodes around them.
fn is_named(path: &str, name: &str) -> bool {
    let outer = path.strip_suffix(name);
    outer.is_some_and(|outer| outer.is_empty() || outer.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::fold::fold;
    use crate::graph::Reading;
    use crate::onnx::Model;
    use crate::plan::PlanOptions;
    use crate::testing::{ToBytes, model};

    const DEPTH: usize = 13;

    fn chain() -> Model {
        let built = model(|g| {
            let mut x = g.input("x", [1, 4, 6, 6]);
            for _ in 0..DEPTH {
                x = x.conv(4).batch_norm().relu();
            }
            x.output("y")
        });
        Model::from_bytes(built.to_bytes()).unwrap()
    }

    /// How a wrong fold is found that shows itself as soon as it is in the plan: its label, and how many comparisons.
    fn found(wrong: usize, suspects: &[&str]) -> (String, usize) {
        let model = chain();
        let folded = fold(&model, Reading::default(), &PlanOptions::default()).unwrap();
        let (entry, _) = folded.plan.folds()[wrong];
        let mut comparisons = 0;
        let found = culprit(&folded, suspects, |applied| {
            comparisons += 1;
            Ok::<bool, Infallible>(applied.nodes_removed > wrong as i64)
        });
        let Ok(Some(found)) = found else {
            panic!("no fold was found");
        };
        assert_eq!(found.label, entry.label);
        (found.sites, comparisons)
    }

    #[test]
    fn each_fold_is_found_in_a_logarithm_of_comparisons() {
        for wrong in 0..DEPTH {
            let (sites, comparisons) = found(wrong, &[]);
            assert!(sites.ends_with("(output)"), "{sites}");
            assert!(comparisons <= 4, "{wrong}: {comparisons}");
        }
    }

    #[test]
    fn a_right_suspicion_takes_two_comparisons_and_a_wrong_one_costs_two() {
        let model = chain();
        let folded = fold(&model, Reading::default(), &PlanOptions::default()).unwrap();
        for (wrong, (_, fold)) in folded.plan.folds().into_iter().enumerate() {
            let end = folded.graph.value(fold.ends[0]).name.to_string();
            assert!(found(wrong, &[&end]).1 <= 2, "{wrong}");
            assert!(found(DEPTH - 1 - wrong, &[&end]).1 <= 6, "{wrong}");
        }
    }

    #[test]
    fn a_plan_without_folds_has_no_culprit() {
        let built = model(|g| g.input("x", [1, 4]).relu().output("y"));
        let model = Model::from_bytes(built.to_bytes()).unwrap();
        let folded = fold(&model, Reading::default(), &PlanOptions::default()).unwrap();
        let found = culprit(&folded, &[], |_| Ok::<bool, Infallible>(true));
        assert!(matches!(found, Ok(None)));
    }
}
