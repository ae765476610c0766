//! A model with its right plan, and all wrong folds that can be made of it.

use std::collections::BTreeSet;

use bnfold::affine::Affine;
use bnfold::apply::apply;
use bnfold::engine::constant::evaluate;
use bnfold::fold::{Folded, fold};
use bnfold::graph::{Effect, Graph, NodeId, Reading, ValueId};
use bnfold::onnx::Model;
use bnfold::onnx::proto::ModelProto;
use bnfold::plan::{Fold, Outcome, Plan, PlanOptions, Seed, Way};
use bnfold::rules::seed;
use bnfold::testing::ToBytes;
use prost::Message;

use super::case::Forced;
use super::corruption::{CORRUPTIONS, Setting};
use super::misreading::{MISREADINGS, misread};
use super::part::{Kind, parts, with_part};
use super::storage::{changes, slips};

/// A rewritten model, or why this mistake cannot be made here.
pub(crate) type Made = Result<ModelProto, &'static str>;

/// A wrong fold.
pub(crate) struct Mutant<'a> {
    /// What is wrong, and where.
    pub(crate) what: String,
    /// Makes it.
    pub(crate) make: Box<dyn Fn() -> Made + 'a>,
    /// The values of which one must be named.
    pub(crate) shown_at: BTreeSet<String>,
}

/// How constants are read.
pub(crate) const READING: Reading = Reading {
    evaluate: Some(evaluate),
    freeze_inputs: false,
    allow_precision_change: true,
};

/// A model with its right plan.
pub(crate) struct Subject<'m> {
    pub(crate) original: &'m ModelProto,
    model: &'m Model,
    graph: Graph<'m>,
    pub(crate) plan: Plan,
    options: &'m PlanOptions,
    pub(crate) right: ModelProto,
    /// The values where folds end.
    pub(crate) ends: Vec<String>,
}

const UNFIT: &str = "its weights would not fit their type";

impl<'m> Subject<'m> {
    pub(crate) fn new(
        original: &'m ModelProto,
        model: &'m Model,
        options: &'m PlanOptions,
    ) -> Subject<'m> {
        let Folded {
            graph,
            plan,
            applied,
        } = fold(model, READING, options).expect("the model folds");
        let right = rendered(model, &graph, &plan).expect("the right fold is written");
        Subject {
            original,
            model,
            graph,
            plan,
            options,
            right,
            ends: applied.ends,
        }
    }

    /// The rules that the folds use: operators with the direction, and ways of their own.
    pub(crate) fn rules(&self) -> BTreeSet<String> {
        let folds = self.plan.folds();
        folds
            .iter()
            .flat_map(|(_, fold)| rules_of(&self.graph, fold))
            .collect()
    }

    /// Every wrong fold, fold by fold in the order of the plan, then what is written wrongly.
    pub(crate) fn by_fold(&self, blocks: usize) -> Vec<Vec<Mutant<'_>>> {
        let folds = self.plan.folds();
        let seeds: Vec<Seed> = folds.iter().map(|(_, fold)| fold.seed).collect();
        let folds = seeds.into_iter().map(|seed| {
            let mut mutants = self.misread(seed);
            mutants.extend(self.corrupted(seed, blocks));
            mutants
        });
        folds.chain([self.slipped()]).collect()
    }

    fn fold(&self, seed: Seed) -> &Fold {
        let folds = self.plan.folds();
        let (_, fold) = folds
            .iter()
            .find(|(_, fold)| fold.seed == seed)
            .expect("a fold of the plan");
        fold
    }

    /// Where a fold shows: at its ends, or where a later fold that rewrites them ends.
    fn shown_at(&self, seed: Seed) -> BTreeSet<String> {
        let mut open: Vec<ValueId> = self.fold(seed).ends.clone();
        let (mut seen, mut names) = (BTreeSet::new(), BTreeSet::new());
        while let Some(end) = open.pop() {
            if !seen.insert(end) {
                continue;
            }
            let name = self
                .graph
                .values
                .get(end.0 as usize)
                .map(|value| value.name.to_string());
            names.extend(name.filter(|name| self.ends.contains(name)));
            let folds = self.plan.folds();
            let later = folds.iter().filter(|(_, fold)| fold.changed.contains(&end));
            open.extend(later.flat_map(|(_, fold)| fold.ends.clone()));
        }
        names
    }

    fn mutant<'a>(&'a self, seed: Seed, what: &str, make: impl Fn() -> Made + 'a) -> Mutant<'a> {
        let what = format!("{}: {what}", self.graph.label(seed.node));
        Mutant {
            what,
            make: Box::new(make),
            shown_at: self.shown_at(seed),
        }
    }

    fn misread(&self, seed: Seed) -> Vec<Mutant<'_>> {
        let wrong = MISREADINGS.iter().map(|&(what, misreading)| {
            self.mutant(seed, what, move || {
                let wrong = misread(self.original, &self.graph.label(seed.node), misreading)?;
                let model = Model::from_bytes(wrong.to_bytes()).expect("the misread model reads");
                let Folded { graph, plan, .. } =
                    fold(&model, READING, self.options).map_err(|_| "it cannot be folded")?;
                if plan.to_string() != self.plan.to_string() {
                    return Err("the rule refuses what is misread");
                }
                rendered(&model, &graph, &plan)
            })
        });
        wrong.collect()
    }

    fn corrupted(&self, seed: Seed, blocks: usize) -> Vec<Mutant<'_>> {
        let mut mutants = Vec::new();
        for (at, effect) in self.fold(seed).effects.iter().enumerate() {
            for (kind, array) in parts(effect) {
                let setting = Setting {
                    graph: &self.graph,
                    effect,
                    kind,
                    blocks,
                };
                for &(what, corruption) in CORRUPTIONS {
                    let (array, setting) = (array.clone(), setting.clone());
                    let what = format!("{} {} {what}", place(&self.graph, effect), kind.name());
                    mutants.push(self.mutant(seed, &what, move || {
                        if is_neutral(kind, &array) {
                            return Err("there is none");
                        }
                        let wrong = with_part(effect, kind, corruption(&array, &setting)?);
                        rendered(self.model, &self.graph, &self.plan_with(seed, at, wrong))
                    }));
                }
            }
        }
        mutants
    }

    fn plan_with(&self, seed: Seed, at: usize, effect: Effect) -> Plan {
        let mut plan = self.plan.clone();
        for entry in &mut plan.entries {
            let Outcome::Folded(folds) = &mut entry.outcome else {
                continue;
            };
            for fold in folds.iter_mut().filter(|fold| fold.seed == seed) {
                fold.effects[at] = effect.clone();
            }
        }
        plan
    }

    fn slipped(&self) -> Vec<Mutant<'_>> {
        let mut mutants = Vec::new();
        for changed in changes(self.original, &self.right) {
            let into = |fold: &Fold| {
                fold.sites
                    .iter()
                    .any(|site| changed.nodes.contains(&site.label))
            };
            let folds = self.plan.folds();
            let folds = folds.iter().filter(|(_, fold)| into(fold));
            let mut shown_at: BTreeSet<String> = folds
                .flat_map(|(_, fold)| self.shown_at(fold.seed))
                .collect();
            if shown_at.is_empty() {
                // A node that a fold inserted stands in no plan by name.
                shown_at.extend(self.ends.iter().cloned());
            }
            for (what, slip) in slips(&self.right, &changed) {
                let (what, changed) = (format!("{}: {what}", changed.node()), changed.clone());
                let make = move || slip(self.original, &self.right, &changed);
                mutants.push(Mutant {
                    what,
                    make: Box::new(make),
                    shown_at: shown_at.clone(),
                });
            }
        }
        mutants
    }
}

/// The fold that a rule refuses, with the values where its ends would be compared.
pub(crate) fn forced(
    original: &ModelProto,
    model: &Model,
    options: &PlanOptions,
    forced: &Forced,
) -> (Mutant<'static>, Vec<String>) {
    let mut twin = original.clone();
    (forced.twin)(&mut twin);
    let twin = Model::from_bytes(twin.to_bytes()).expect("the twin reads");
    let mut folded = fold(&twin, READING, options).expect("the twin folds");
    let graph = Graph::new(model, READING).expect("the model is a graph");
    let names = |graph: &Graph<'_>| -> Vec<String> {
        graph
            .values
            .iter()
            .map(|value| value.name.to_string())
            .collect()
    };
    assert_eq!(
        names(&graph),
        names(&folded.graph),
        "the twin has the same values"
    );
    if forced.is_shift_pushed {
        push_shift(&graph, &mut folded.plan);
    }
    let wrong = rendered(model, &graph, &folded.plan).expect("the forced fold is written");
    let ends: Vec<String> = folded.applied.ends;
    let shown_at = match forced.shown_at {
        Some(value) => BTreeSet::from([value.to_owned()]),
        None => ends.iter().cloned().collect(),
    };
    let what = format!("{} ignored", forced.what);
    (
        Mutant {
            what,
            make: Box::new(move || Ok(wrong.clone())),
            shown_at,
        },
        ends,
    )
}

/// Gives every absorbed affine the shift of its seed.
fn push_shift(graph: &Graph<'_>, plan: &mut Plan) {
    for entry in &mut plan.entries {
        let own = seed::affine(graph, entry.node);
        let (Some(Ok((_, own))), Outcome::Folded(folds)) = (own, &mut entry.outcome) else {
            continue;
        };
        for effect in folds.iter_mut().flat_map(|fold| &mut fold.effects) {
            if let Effect::AbsorbInput { affine, .. } | Effect::AbsorbOutput { affine, .. } = effect
            {
                *affine = Affine::new(affine.scale().clone(), own.shift().clone());
            }
        }
    }
}

fn rendered(model: &Model, graph: &Graph<'_>, plan: &Plan) -> Result<ModelProto, &'static str> {
    // The graph may be of another file with the same nodes and values; what is edited is its own.
    let applied = apply(graph, plan).map_err(|_| UNFIT)?;
    let rope = applied.edits.to_rope().expect("the edits fit together");
    let (bytes, flaws) = rope.to_vec(model).expect("the model renders");
    match flaws.is_empty() {
        true => Ok(ModelProto::decode(&*bytes).expect("prost reads the output")),
        false => Err(UNFIT),
    }
}

/// Whether an array does nothing, so that it cannot be got wrong.
fn is_neutral(kind: Kind, array: &ndarray::ArrayD<f64>) -> bool {
    match kind {
        Kind::Scale => array.iter().all(|&x| x == 1.0),
        Kind::Shift | Kind::Tap => array.iter().all(|&x| x == 0.0),
        Kind::Constant | Kind::Sign => false,
    }
}

fn place(graph: &Graph<'_>, effect: &Effect) -> String {
    let (node, side) = match effect {
        Effect::AbsorbOutput { node, .. } => (node, "output"),
        Effect::AbsorbInput { node, .. } => (node, "input"),
        Effect::Tap { node, .. } => (node, "centre"),
        Effect::InsertAdd { node, .. } => (node, "added"),
        Effect::BecomeAdd { node, .. } => (node, "kept"),
        Effect::Merge { into, .. } => (into, "kernel"),
        Effect::SetConstant { node, slot, .. } => {
            return format!("{} input {slot}", label(graph, *node));
        }
        Effect::Remove { node, .. }
        | Effect::RemoveOperand { node, .. }
        | Effect::BecomeGemm { node } => (node, ""),
    };
    format!("{} {side}", label(graph, *node))
}

fn label(graph: &Graph<'_>, node: NodeId) -> String {
    match (node.0 as usize) < graph.nodes.len() {
        true => graph.label(node),
        false => "inserted Add".to_owned(),
    }
}

fn rules_of(graph: &Graph<'_>, fold: &Fold) -> BTreeSet<String> {
    let of_way = match fold.way {
        Way::Compensation => Some("Compensation"),
        Way::Reduction => Some("Reduction"),
        Way::Merge => Some("Merge"),
        _ => None,
    };
    let direction = |fold: &Fold| match fold.way {
        Way::Downstream => "downstream",
        _ => "upstream",
    };
    let op_of = |label: &str| {
        let node = graph.node_ids().find(|&node| graph.label(node) == label);
        node.map(|node| graph.node(node).op_type())
    };
    let carriers = fold.carriers.iter().filter_map(|label| op_of(label));
    let carriers = carriers.map(|op| format!("{op} {}", direction(fold)));
    let sites = fold.sites.iter().filter_map(|site| match site.side {
        "tap" => Some("Sibling".to_owned()),
        "input" => Some(format!("{} downstream", op_of(&site.label)?)),
        "output" => Some(format!("{} upstream", op_of(&site.label)?)),
        "constant" | "add" => Some(format!("{} {}", op_of(&site.label)?, direction(fold))),
        _ => None,
    });
    carriers
        .chain(sites)
        .chain(of_way.map(str::to_owned))
        .collect()
}
