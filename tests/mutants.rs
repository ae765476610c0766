//! Wrong folds, made from right ones, before `verify`: each must come out *different*, with the fold named.
//!
//! A mutant is a right plan with one array of one effect corrupted, a BatchNormalization misread before it is folded,
//! a tensor or attribute written wrongly, or a fold that a rule refuses. Whether it changes an output is for the
//! reference executor to say; those that do not are listed with the reason.

#![expect(clippy::print_stdout, reason = "the score is what the tests are for")]

#[path = "mutants/case.rs"]
mod case;
#[path = "mutants/corruption.rs"]
mod corruption;
#[path = "mutants/fixtures.rs"]
mod fixtures;
#[path = "mutants/misreading.rs"]
mod misreading;
#[path = "mutants/oracle.rs"]
mod oracle;
#[path = "mutants/part.rs"]
mod part;
#[path = "mutants/rules/mod.rs"]
mod rules;
#[path = "mutants/score.rs"]
mod score;
#[path = "mutants/storage.rs"]
mod storage;
#[path = "mutants/subject.rs"]
mod subject;
#[path = "mutants/threads.rs"]
mod threads;
#[path = "mutants/trial.rs"]
mod trial;

use bnfold::onnx::Model;
use bnfold::rules::{CARRIERS, LINEAR};
use bnfold::testing::ToBytes;
use bnfold::verify::Verdict;

use case::Case;
use oracle::Oracle;
use score::{Row, Score};
use subject::{Subject, forced};
use threads::on_threads;
use trial::{Trial, compared, tried};

/// Sides that an operator does not serve.
const NOT_SERVED: [(&str, &str); 6] = [
    (
        "LSTM upstream",
        "a layer's outputs are not linear in its weights",
    ),
    (
        "GRU upstream",
        "a layer's outputs are not linear in its weights",
    ),
    (
        "RNN upstream",
        "a layer's outputs are not linear in its weights",
    ),
    (
        "InstanceNormalization downstream",
        "it normalises by what it is given",
    ),
    (
        "GroupNormalization downstream",
        "it normalises by what it is given",
    ),
    (
        "LayerNormalization downstream",
        "it normalises by what it is given",
    ),
];

/// Wrong folds that each rule must have.
const LEAST: usize = 5;

/// Inputs that the oracle runs each mutant on, until one shows a change.
const SAMPLES: u64 = 8;

fn row(case: &Case) -> Row {
    let model = Model::from_bytes(case.model.to_bytes()).expect("the model reads");
    let tried = match &case.forced {
        Some(wrong) => {
            let (mutant, ends) = forced(&case.model, &model, &case.options, wrong);
            let oracle = Oracle::new(&case.model, &case.model, &[], SAMPLES);
            let trial = Trial {
                original: &case.model,
                ends: &ends,
                oracle,
                samples: 3,
            };
            vec![tried(&trial, &mutant)]
        }
        None => {
            let subject = Subject::new(&case.model, &model, &case.options);
            for rule in &case.rules {
                assert!(
                    subject.rules().contains(rule),
                    "{}: {rule} is not used, but {:?}\n{}",
                    case.title(),
                    subject.rules(),
                    subject.plan
                );
            }
            let right = compared(&case.model, &subject.right, &subject.ends, 3);
            assert_eq!(
                right.verdict,
                Verdict::Equivalent,
                "{}: the right fold: {right:#?}",
                case.title()
            );
            let oracle = Oracle::new(&case.model, &subject.right, &[], SAMPLES);
            assert!(
                oracle.own_error() < 100.0,
                "{}: the right fold is off by {}",
                case.title(),
                oracle.own_error()
            );
            let trial = Trial {
                original: &case.model,
                ends: &subject.ends,
                oracle,
                samples: 3,
            };
            let mutants = subject.by_fold(case.blocks);
            mutants
                .iter()
                .flatten()
                .map(|mutant| tried(&trial, mutant))
                .collect()
        }
    };
    Row {
        rules: case.rules.clone(),
        title: case.title(),
        tried,
        equivalent: case.equivalent.clone(),
    }
}

#[test]
fn every_wrong_fold_of_every_rule_is_told_and_named() {
    let cases = rules::cases();
    let score = Score {
        rows: on_threads(&cases, row),
    };
    println!("{score}");
    let faults = score.faults();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    let killed = score.by_rule();
    let operators = LINEAR
        .iter()
        .map(|(op, _)| op)
        .chain(CARRIERS.iter().map(|(op, _)| op));
    let sides =
        operators.flat_map(|op| ["upstream", "downstream"].map(|side| format!("{op} {side}")));
    let others = ["Sibling", "Reduction", "Compensation", "Merge"].map(str::to_owned);
    for rule in sides.chain(others) {
        let count = killed.get(rule.as_str()).copied().unwrap_or(0);
        match NOT_SERVED.iter().find(|(other, _)| *other == rule) {
            Some((_, why)) => assert_eq!(count, 0, "{rule} is served, though {why}"),
            None => assert!(count >= LEAST, "{rule} has {count} wrong folds"),
        }
    }
}

#[test]
fn wrong_folds_of_real_models_are_told_and_named() {
    let is_long = std::env::var_os("BNFOLD_MUTANTS").is_some();
    let paths = fixtures::paths();
    let rows = on_threads(&paths, |path| fixtures::row(path, is_long));
    let score = Score {
        rows: rows.into_iter().flatten().collect(),
    };
    println!("{score}");
    let faults = score.missed();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
