//! Wrong folds of real exporters' models: some for each fold, or all of them.

use std::path::{Path, PathBuf};

use bnfold::onnx::Model;
use bnfold::onnx::proto::ModelProto;
use bnfold::plan::PlanOptions;
use bnfold::verify::Verdict;
use prost::Message;

use super::oracle::Oracle;
use super::score::Row;
use super::subject::Subject;
use super::trial::{Outcome, Trial, compared, tried};

/// How much of a model is tried: every `stride`-th fold, `each` wrong ones of it.
#[derive(Clone, Copy, Debug)]
struct Extent {
    stride: usize,
    each: usize,
}

/// The short form stays within a minute: a large model's runs take seconds each.
fn extent(folds: usize, is_long: bool) -> Extent {
    let (stride, each) = match (is_long, folds) {
        (true, _) => (1, usize::MAX),
        (false, ..=LARGE) => (1, 2),
        (false, _) => (3, 1),
    };
    Extent { stride, each }
}

/// Folds, with what is written wrongly for one more, that a small model has at most.
const LARGE: usize = 8;

/// The models' paths.
pub(crate) fn paths() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = std::fs::read_dir(folder).expect("the fixtures");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "onnx")
    });
    paths.sort();
    paths
}

/// Wrong folds of one model: a few, or all of them.
pub(crate) fn row(path: &Path, is_long: bool) -> Option<Row> {
    let bytes = std::fs::read(path).expect("the fixture");
    let title = path
        .file_stem()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let original = ModelProto::decode(&*bytes).expect("prost reads the fixture");
    let model = Model::from_bytes(bytes).expect("the fixture reads");
    let options = PlanOptions::default();
    let subject = Subject::new(&original, &model, &options);
    if subject.ends.is_empty() {
        return None;
    }
    let right = compared(&original, &subject.right, &subject.ends, 1);
    assert_eq!(
        right.verdict,
        Verdict::Equivalent,
        "{title}: the right fold: {right:#?}"
    );
    let trial = Trial {
        original: &original,
        ends: &subject.ends,
        oracle: Oracle::new(&original, &subject.right, &right.dims, 1),
        samples: if is_long { 3 } else { 1 },
    };
    let folds = subject.by_fold(0);
    let Extent { stride, each } = extent(folds.len(), is_long);
    let mut all = Vec::new();
    for (number, mutants) in folds.iter().enumerate().step_by(stride) {
        // Neighbouring folds are got wrong in different ways.
        let step = if is_long { 1 } else { 7 };
        let order = (0..mutants.len()).map(|at| (number * 5 + at * step) % mutants.len());
        let made = order.map(|at| tried(&trial, &mutants[at]));
        let made = made.filter(|tried| !matches!(tried.outcome, Outcome::Inapplicable(_)));
        all.extend(made.take(each));
    }
    Some(Row {
        rules: Vec::new(),
        title,
        tried: all,
        equivalent: Vec::new(),
    })
}
