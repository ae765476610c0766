//! Fold: index, plan and apply, again without a fold whose new weights turn out not to fit their type.

use crate::apply::{Applied, ApplyError, apply};
use crate::bisect::Culprit;
use crate::graph::{Graph, GraphError, NodeId, Reading};
use crate::onnx::Flaw;
use crate::onnx::model::Model;
use crate::plan::{Fold, Plan, PlanError, PlanOptions, Seed};
use crate::rules::{Code, refuse};

/// A model's graph, its plan and the edits that carry it out.
#[derive(Debug)]
pub struct Folded<'m> {
    /// The graph as it is in the file.
    pub graph: Graph<'m>,
    /// What becomes of each BN.
    pub plan: Plan,
    /// The edits.
    pub applied: Applied<'m>,
}

/// A model that cannot be folded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// Its nodes and values do not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Its BNs cannot be planned for.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its plan cannot be carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Plans and applies the folds of a model.
///
/// # Errors
/// If the model's nodes and values do not fit together, or a weight cannot be read.
pub fn fold<'m>(
    model: &'m Model,
    reading: Reading,
    options: &PlanOptions,
) -> Result<Folded<'m>, FoldError> {
    let graph = Graph::new(model, reading)?;
    fold_graph(graph, options.clone())
}

/// Plans and applies again, without the folds that these flaws come from.
///
/// # Errors
/// As for [`fold`]; a flaw that no fold explains is handed back.
pub fn without_flaws<'m>(
    folded: Folded<'m>,
    options: &mut PlanOptions,
    flaws: &[Flaw],
) -> Result<Folded<'m>, FoldError> {
    let Folded {
        graph,
        plan,
        applied,
    } = folded;
    for flaw in flaws {
        let nodes = applied
            .serves
            .get(&flaw.tensor)
            .cloned()
            .unwrap_or_default();
        exclude(&graph, &plan, options, flaw, nodes)?;
    }
    fold_graph(graph, options.clone())
}

/// Plans and applies again, without the fold of a node that was found to change results.
///
/// # Errors
/// As for [`fold`].
pub fn without_culprit<'m>(
    folded: Folded<'m>,
    options: &mut PlanOptions,
    culprit: &Culprit,
    detail: String,
) -> Result<Folded<'m>, FoldError> {
    let reason = refuse(&folded.graph, culprit.seed.node, Code::Different, detail);
    options.excluded.insert(culprit.seed, reason);
    fold_graph(folded.graph, options.clone())
}

fn fold_graph<'m>(graph: Graph<'m>, mut options: PlanOptions) -> Result<Folded<'m>, FoldError> {
    loop {
        let plan = Plan::new(&graph, &options)?;
        match apply(&graph, &plan) {
            Ok(applied) => match too_large(&graph, &applied, &options)? {
                None => {
                    return Ok(Folded {
                        graph,
                        plan,
                        applied,
                    });
                }
                Some((nodes, detail)) => {
                    // Without a fold to leave out, the growth has another cause.
                    let Some(seed) = last_fold_into(&plan, &nodes) else {
                        return Ok(Folded {
                            graph,
                            plan,
                            applied,
                        });
                    };
                    let reason = refuse(&graph, seed.node, Code::Growth, detail);
                    options.excluded.insert(seed, reason);
                }
            },
            Err(ApplyError::Flaw { flaw, nodes }) => {
                exclude(&graph, &plan, &mut options, &flaw, nodes)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The nodes of the largest copy, if copies make the model grow beyond what is allowed.
fn too_large(
    graph: &Graph<'_>,
    applied: &Applied<'_>,
    options: &PlanOptions,
) -> Result<Option<(Vec<NodeId>, String)>, FoldError> {
    let (Some(limit), Some(copy)) = (
        options.max_growth,
        applied.clones.iter().max_by_key(|copy| copy.bytes),
    ) else {
        return Ok(None);
    };
    let length = applied.edits.to_rope().map_err(ApplyError::Edit)?.len();
    let growth = length.saturating_sub(graph.model.len());
    let detail = format!(
        "a copy of {} bytes would make the model grow by {growth}, more than {limit}",
        copy.bytes
    );
    Ok((growth > limit).then(|| (copy.nodes.clone(), detail)))
}

fn last_fold_into(plan: &Plan, nodes: &[NodeId]) -> Option<Seed> {
    let touches = |fold: &Fold| fold.sites.iter().any(|site| nodes.contains(&site.node));
    let folds = plan.folds();
    let last = folds.iter().rev().find(|(_, fold)| touches(fold));
    last.map(|(_, fold)| fold.seed)
}

/// The last fold into the blamed nodes stays out.
fn exclude(
    graph: &Graph<'_>,
    plan: &Plan,
    options: &mut PlanOptions,
    flaw: &Flaw,
    nodes: Vec<NodeId>,
) -> Result<(), FoldError> {
    let Some(seed) = last_fold_into(plan, &nodes) else {
        return Err(ApplyError::Flaw {
            flaw: flaw.clone(),
            nodes,
        }
        .into());
    };
    let reason = refuse(graph, seed.node, Code::NotRepresentable, flaw.to_string());
    options.excluded.insert(seed, reason);
    Ok(())
}
