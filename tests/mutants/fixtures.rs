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

/// Wrong folds tried at each fold in the short form.
const EACH: usize = 1;

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
    if let Ok(only) = std::env::var("ONLY") {
        paths.retain(|path| path.to_string_lossy().contains(&only));
    }
    paths.sort();
    paths
}

/// Wrong folds of one model; of each fold [`EACH`], or all of them.
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
    let mut all = Vec::new();
    for (number, mutants) in subject.by_fold(0).into_iter().enumerate() {
        // Neighbouring folds are got wrong in different ways.
        let count = mutants.len();
        let (start, step) = (number * 5, if is_long { 1 } else { 7 });
        let mut done = 0;
        for at in 0..count {
            let mutant = &mutants[(start + at * step) % count];
            let tried = tried(&trial, mutant);
            let is_made = !matches!(tried.outcome, Outcome::Inapplicable(_));
            all.push(tried);
            done += usize::from(is_made);
            if !is_long && done == EACH {
                break;
            }
        }
    }
    Some(Row {
        rules: Vec::new(),
        title,
        tried: all,
        equivalent: Vec::new(),
    })
}
