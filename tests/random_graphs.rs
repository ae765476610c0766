//! Random valid models, far beyond the rules' own shapes, and what must hold of each of them.
//!
//! A case is a [`Recipe`]; one that fails loses steps until every one is needed, its seed is kept in
//! `random_graphs.proptest-regressions`, and its model is written to the target directory.
//! `BNFOLD_RANDOM_MODELS` asks for more cases than the short form has, `BNFOLD_RANDOM_FIRST` for others.

#[path = "random_graphs/coverage.rs"]
mod coverage;
#[path = "random_graphs/frame.rs"]
mod frame;
#[path = "random_graphs/order.rs"]
mod order;
#[path = "random_graphs/properties.rs"]
mod properties;
#[path = "random_graphs/recipes.rs"]
mod recipes;
#[path = "random_graphs/record.rs"]
mod record;
mod support;

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Instant;

use bnfold::testing::ToBytes;
use bnfold::testing::random::Recipe;
use coverage::Coverage;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn what_is_folded_computes_the_same_and_nothing_else_changes() {
    let (cases, first) = (
        number("BNFOLD_RANDOM_MODELS"),
        number("BNFOLD_RANDOM_FIRST"),
    );
    let coverage = RefCell::new(Coverage::default());
    let started = Instant::now();
    let kept = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/random_graphs.proptest-regressions"
    );
    let config = Config {
        cases: cases.unwrap_or(300) as u32,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&first.unwrap_or(0).to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let result = runner.run(&recipes::recipes(), |recipe| {
        let seen = properties::check(&recipe).map_err(TestCaseError::fail)?;
        coverage.borrow_mut().add(&recipe, seen);
        Ok(())
    });
    match result {
        Ok(()) => coverage.borrow().print(started.elapsed()),
        Err(TestError::Fail(reason, recipe)) => panic!("{}", failed(&reason.to_string(), &recipe)),
        Err(error) => panic!("{error}"),
    }
    coverage.borrow().check();
}

/// What is to be known of the smallest case that fails.
fn failed(reason: &str, recipe: &Recipe) -> String {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("graph_{}.onnx", recipe.seed));
    let is_written = fs::write(&file, recipe.model().to_bytes()).is_ok();
    let file = if is_written {
        file.display().to_string()
    } else {
        String::new()
    };
    format!("{reason}\nthe smallest case found: {recipe:?}\n{file}")
}
