//! What must hold of every graph, one function a property; a message says which one does not, and of which seed.

use std::collections::BTreeSet;

use bnfold::engine::ModelBytes;
use bnfold::fold::{Folded, fold};
use bnfold::graph::Reading;
use bnfold::onnx::Model;
use bnfold::onnx::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use bnfold::plan::PlanOptions;
use bnfold::settle::{OnDifferent, settle};
use bnfold::testing::random::{Recipe, random_inputs};
use bnfold::testing::reference::run_outputs;
use bnfold::testing::{DataType, Tensor, ToBytes};
use bnfold::verify::{Unknown, Verdict, VerifyOptions, verify};
use prost::Message;

use crate::coverage::Seen;
use crate::frame;
use crate::order::{lines, reordered};
use crate::record::marked;

/// Casts that the graphs hold lead to wider types and back, and so may be passed.
fn reading() -> Reading {
    Reading {
        allow_precision_change: true,
        ..crate::support::reading()
    }
}

/// A model before and after.
pub(crate) struct Case<'m> {
    pub(crate) before: &'m ModelProto,
    pub(crate) after: ModelProto,
    pub(crate) original: &'m Model,
    pub(crate) bytes: Vec<u8>,
    pub(crate) rewritten: Vec<u8>,
    pub(crate) folded: Folded<'m>,
    pub(crate) verdict: Verdict,
}

/// Folds the recipe's model as the program does, and holds the result to every property.
///
/// # Errors
/// The first property that does not hold.
pub(crate) fn check(recipe: &Recipe) -> Result<Seen, String> {
    let before = recipe.model();
    let bytes = marked(&before.to_bytes());
    let original = Model::from_bytes(bytes.clone())
        .map_err(|error| format!("seed {}: the model does not read: {error}", recipe.seed))?;
    let case = settled(&before, &original, bytes)
        .map_err(|error| format!("seed {}: {error}", recipe.seed))?;
    let properties: [(&str, Property); 7] = [
        ("the output verifies", verifies),
        ("the reference executor agrees", agrees),
        ("the public interface is unchanged", interface),
        ("what is not folded is byte-identical", frame::identical),
        ("a second fold finds nothing", second),
        ("every BatchNormalization is accounted for once", accounted),
        ("the order of the nodes decides nothing", order),
    ];
    for (name, holds) in properties {
        holds(&case, recipe).map_err(|what| {
            format!(
                "seed {}: not so: {name}: {what}\n{}",
                recipe.seed, case.folded.plan
            )
        })?;
    }
    Ok(Seen::new(&case))
}

type Property = fn(&Case<'_>, &Recipe) -> Result<(), String>;

fn settled<'m>(
    before: &'m ModelProto,
    original: &'m Model,
    bytes: Vec<u8>,
) -> Result<Case<'m>, String> {
    let mut options = PlanOptions::default();
    let folded = fold(original, reading(), &options).map_err(|error| error.to_string())?;
    let mut verdict = None;
    let mut compare = |rewritten: &[u8], applied: &bnfold::apply::Applied<'_>| {
        let mut asked = VerifyOptions::default();
        asked.samples = 2;
        asked.compare_values.clone_from(&applied.ends);
        let found = verify(ModelBytes::new(&bytes), ModelBytes::new(rewritten), &asked);
        verdict = Some(found.verdict.clone());
        found
    };
    let settled = settle(
        folded,
        &mut options,
        OnDifferent::Refuse,
        Some(&mut compare),
    );
    let folded = settled.map_err(|error| error.to_string())?.folded;
    let rope = folded
        .applied
        .edits
        .to_rope()
        .map_err(|error| error.to_string())?;
    let (rewritten, flaws) = rope.to_vec(original).map_err(|error| error.to_string())?;
    if !flaws.is_empty() {
        return Err(format!("flaws are left: {flaws:?}"));
    }
    let after = ModelProto::decode(&*rewritten).map_err(|error| error.to_string())?;
    Ok(Case {
        before,
        after,
        original,
        bytes,
        rewritten,
        folded,
        verdict: verdict.unwrap_or(Verdict::Equivalent),
    })
}

/// What says nothing on these samples may be unknown; the reference executor sees it all the same.
fn verifies(case: &Case<'_>, _: &Recipe) -> Result<(), String> {
    match &case.verdict {
        Verdict::Equivalent => Ok(()),
        Verdict::Unknown {
            reason: Unknown::Uninformative { .. } | Unknown::Insensitive { .. },
        } => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// One rounding of a type, and what a fold may lose relative to the largest element.
fn tolerance(dtype: DataType) -> (f64, f64) {
    match dtype {
        DataType::Double => (1e-11, 1e-8),
        DataType::Float => (f64::from(f32::EPSILON), 1e-4),
        DataType::Float16 => (1e-3, 5e-2),
        _ => (8e-3, 2e-1),
    }
}

/// The independent executor, in float64 whatever the type, with weights as they are stored.
fn agrees(case: &Case<'_>, recipe: &Recipe) -> Result<(), String> {
    let inputs = random_inputs(case.before, recipe.seed)?;
    let inputs: Vec<(&str, Tensor)> = inputs
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.clone()))
        .collect();
    let run = |model: &ModelProto, inputs: &[(&str, Tensor)]| {
        run_outputs(model, inputs).map_err(|error| error.to_string())
    };
    let (expected, actual) = (run(case.before, &inputs)?, run(&case.after, &inputs)?);
    let (unit, share) = tolerance(recipe.dtype);
    for (at, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
        if (&expected.shape, expected.dtype) != (&actual.shape, actual.dtype) {
            return Err(format!(
                "output {at} is {:?}, was {:?}",
                actual.shape, expected.shape
            ));
        }
        let bound = share * expected.max_magnitude().max(1.0);
        let difference = expected.max_difference(actual);
        // A difference that is no number is none that fits.
        let fits = |bound: f64| difference <= bound;
        if !fits(bound) {
            // What an ill-conditioned model does by itself when its inputs move by a rounding.
            let moved = run(case.before, &moved(&inputs, unit))?;
            let own = 8.0 * expected.max_difference(&moved[at]);
            if !fits(own) {
                return Err(format!(
                    "output {at} differs by {difference:e}, bound {bound:e}, own {own:e}"
                ));
            }
        }
    }
    Ok(())
}

fn moved<'n>(inputs: &[(&'n str, Tensor)], unit: f64) -> Vec<(&'n str, Tensor)> {
    let wobble = |at: usize| 1.0 + unit * (((at * 7919) % 1009) as f64 / 504.0 - 1.0);
    let moved = |tensor: &Tensor| {
        let mut tensor = tensor.clone();
        if !matches!(tensor.dtype, DataType::Int64 | DataType::Bool) {
            tensor
                .data
                .iter_mut()
                .enumerate()
                .for_each(|(at, x)| *x *= wobble(at));
        }
        tensor
    };
    inputs
        .iter()
        .map(|(name, tensor)| (*name, moved(tensor)))
        .collect()
}

/// Names, types, shapes and order of inputs and outputs, of the model and of its functions.
///
/// Below IR version 4 every initializer is listed as an input and no caller gives it, so it may go with its initializer.
fn interface(case: &Case<'_>, _: &Recipe) -> Result<(), String> {
    let is_listed = case.before.ir_version() < 4;
    let [before, after] = [case.before, &case.after].map(|model| {
        let graph = model.graph.clone().unwrap_or_default();
        let stored: BTreeSet<String> = graph
            .initializer
            .iter()
            .map(|t| t.name().to_owned())
            .collect();
        let mut inputs = graph.input;
        inputs.retain(|input| !is_listed || !stored.contains(input.name()));
        let functions = model
            .functions
            .iter()
            .map(|f| (f.input.clone(), f.output.clone()));
        let functions: Vec<_> = functions.collect();
        (inputs, graph.output, functions, model.opset_import.clone())
    });
    if before.0 != after.0 {
        let names = |infos: &[ValueInfoProto]| {
            infos
                .iter()
                .map(|info| info.name().to_owned())
                .collect::<Vec<_>>()
        };
        return Err(format!(
            "inputs {:?}, were {:?}",
            names(&after.0),
            names(&before.0)
        ));
    }
    match before == after {
        true => Ok(()),
        false => Err("outputs, functions or operator sets are not what they were".into()),
    }
}

fn second(case: &Case<'_>, _: &Recipe) -> Result<(), String> {
    let model = Model::from_bytes(case.rewritten.clone()).map_err(|error| error.to_string())?;
    let again =
        fold(&model, reading(), &PlanOptions::default()).map_err(|error| error.to_string())?;
    let stays = case.folded.plan.counts().1;
    match again.plan.counts() == (0, stays) && again.plan.folds().is_empty() {
        true => Ok(()),
        false => Err(format!("{stays} should stay\n{}", again.plan)),
    }
}

/// BatchNormalizations of the graph, the graphs in it, and the functions.
fn batch_norms(model: &ModelProto) -> usize {
    fn of(nodes: &[NodeProto]) -> usize {
        let own = nodes
            .iter()
            .filter(|node| node.op_type() == "BatchNormalization" && node.domain().is_empty());
        let bodies = nodes
            .iter()
            .flat_map(|node| &node.attribute)
            .filter_map(|a| a.g.as_ref());
        own.count()
            + bodies
                .map(|graph: &GraphProto| of(&graph.node))
                .sum::<usize>()
    }
    let functions = model.functions.iter().map(|function| of(&function.node));
    model.graph.as_ref().map_or(0, |graph| of(&graph.node)) + functions.sum::<usize>()
}

fn accounted(case: &Case<'_>, _: &Recipe) -> Result<(), String> {
    let entries = &case.folded.plan.entries;
    let mut nodes: Vec<_> = entries.iter().map(|entry| entry.node).collect();
    nodes.sort_unstable();
    let count = nodes.len();
    nodes.dedup();
    let (folded, stay) = case.folded.plan.counts();
    let (before, after) = (batch_norms(case.before), batch_norms(&case.after));
    if count != nodes.len() || (before, after) != (folded + stay, stay) {
        return Err(format!(
            "{count} entries of {} nodes, {before} before, {after} after, {folded} folded, {stay} stay",
            nodes.len()
        ));
    }
    let reasonless = entries.iter().find(|entry| {
        matches!(&entry.outcome, bnfold::plan::Outcome::Stays(reasons) if reasons.is_empty())
    });
    reasonless.map_or(Ok(()), |entry| {
        Err(format!("{} stays without a reason", entry.label))
    })
}

fn order(case: &Case<'_>, recipe: &Recipe) -> Result<(), String> {
    let shuffled = marked(&reordered(case.before, recipe.seed).to_bytes());
    let shuffled = Model::from_bytes(shuffled).map_err(|error| error.to_string())?;
    let folded =
        fold(&shuffled, reading(), &PlanOptions::default()).map_err(|error| error.to_string())?;
    let again = fold(case.original, reading(), &PlanOptions::default())
        .map_err(|error| error.to_string())?;
    let (expected, found) = (lines(&again.plan), lines(&folded.plan));
    let differ = expected
        .iter()
        .zip(&found)
        .find(|(expected, found)| expected != found);
    match differ {
        Some((expected, found)) => Err(format!("{found}\ninstead of\n{expected}")),
        None => Ok(()),
    }
}
