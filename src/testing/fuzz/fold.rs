//! Any model is folded or refused; what comes out is read again by this crate and by prost, with the interface and all
//! that folding does not touch as they were, and a report says what happened.

use prost::Message;

use super::{Rest, nothing};
use crate::check::{Policy, findings};
use crate::engine::constant::evaluate;
use crate::fold::{Folded, fold, without_flaws};
use crate::graph::{Graph, Reading};
use crate::onnx::proto::{GraphProto, ModelProto, ValueInfoProto};
use crate::onnx::{Edits, Model};
use crate::plan::{Plan, PlanOptions};
use crate::report::text::Detail;
use crate::report::{Report, json, text};

/// As the program reads.
pub(super) const READING: Reading = Reading {
    evaluate: Some(evaluate),
    freeze_inputs: false,
    allow_precision_change: false,
};

pub(super) fn run(input: &[u8]) -> Rest<'_> {
    let Ok(model) = Model::from_bytes(input.to_vec()) else {
        return nothing();
    };
    let Some((_, output)) = folded(&model, choice(input)) else {
        return nothing();
    };
    let again = Model::from_bytes(output.clone()).expect("the output reads");
    Graph::new(&again, READING).expect("the output's values fit together");
    let edits = Edits::new(&again);
    let rope = edits.to_rope().expect("there are no edits");
    let (written, _) = rope.to_vec(&again).expect("a model in memory renders");
    assert!(
        written == output,
        "the output changes when it is read and written"
    );
    Box::new(move || compare(input, &output))
}

/// Flags that depend on the input, so that a saved input always means the same.
fn choice(input: &[u8]) -> PlanOptions {
    let bits = input
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    let is_plain = bits & 1 == 0;
    PlanOptions {
        reduce: !is_plain && bits & 2 != 0,
        compensate: !is_plain && bits & 4 != 0,
        merge_branches: !is_plain && bits & 8 != 0,
        max_growth: (bits & 16 != 0).then_some(1 << 16),
        ..PlanOptions::default()
    }
}

/// The plan and the folded model; none if it is refused.
pub(super) fn folded(model: &Model, mut options: PlanOptions) -> Option<(Plan, Vec<u8>)> {
    let mut folded = fold(model, READING, &options).map_err(said).ok()?;
    let output = loop {
        let rope = folded.applied.edits.to_rope().map_err(said).ok()?;
        let (bytes, flaws) = rope.to_vec(model).map_err(said).ok()?;
        if flaws.is_empty() {
            break bytes;
        }
        let rest = without_flaws(folded, &mut options, &flaws);
        folded = rest.map_err(said).ok()?;
    };
    report(&folded);
    Some((folded.plan, output))
}

fn said(error: impl std::fmt::Display) {
    assert!(!error.to_string().is_empty(), "an error says something");
}

fn report(folded: &Folded<'_>) {
    let report = Report::new("model.onnx", folded);
    assert!(!text::render(&report, Detail::Full).is_empty());
    let json = json::render(&report);
    let read: Report = serde_json::from_str(&json).expect("a report reads again");
    assert_eq!(read.batch_norms.len(), report.batch_norms.len());
    findings(&report, &Policy::default());
}

fn compare(input: &[u8], output: &[u8]) {
    let Ok(before) = ModelProto::decode(input) else {
        return;
    };
    let after = ModelProto::decode(output).expect("prost reads the output");
    let around = |model: &ModelProto| ModelProto {
        graph: None,
        functions: Vec::new(),
        ..model.clone()
    };
    let same = around(&before).encode_to_vec() == around(&after).encode_to_vec();
    assert!(same, "what is around the graph changes");
    let [before, after] = [before, after].map(|model| model.graph.expect("a graph"));
    assert_eq!(before.output, after.output, "the outputs change");
    assert_eq!(free(&before), free(&after), "the inputs change");
}

/// The inputs that are no initializers.
fn free(graph: &GraphProto) -> Vec<&ValueInfoProto> {
    let stored = |input: &&ValueInfoProto| {
        let mut dense = graph.initializer.iter().map(|tensor| tensor.name());
        dense.any(|name| name == input.name())
    };
    graph.input.iter().filter(|input| !stored(input)).collect()
}
