//! Every step of a save fails, once or for good as when the plug is pulled; afterwards the target is whole and old or whole and new.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message;
use tempfile::TempDir;

use super::gate::{self, Step};
use super::place::{Place, Purpose};
use super::*;
use crate::onnx::load::Model;
use crate::onnx::proto::{
    GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
};

/// Which step fails, and how.
struct Broken {
    at: usize,
    for_good: bool,
    kind: io::ErrorKind,
    steps: AtomicUsize,
}

impl Broken {
    fn ask(&self, _: Step) -> io::Result<()> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        match step == self.at || self.for_good && step > self.at {
            true => Err(self.kind.into()),
            false => Ok(()),
        }
    }

    fn was_met(&self) -> bool {
        self.steps.load(Ordering::Relaxed) > self.at
    }
}

fn model(values: [f32; 2], location: Option<&str>) -> Vec<u8> {
    let raw: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut tensor = TensorProto {
        name: Some("w".to_owned()),
        dims: vec![2],
        data_type: Some(1),
        ..Default::default()
    };
    match location {
        None => tensor.raw_data = Some(raw),
        Some(location) => {
            tensor.data_location = Some(1);
            tensor.external_data = vec![StringStringEntryProto {
                key: Some("location".to_owned()),
                value: Some(location.to_owned()),
            }];
        }
    }
    let message = ModelProto {
        ir_version: Some(10),
        opset_import: vec![OperatorSetIdProto {
            domain: None,
            version: Some(17),
        }],
        graph: Some(GraphProto {
            initializer: vec![tensor],
            ..Default::default()
        }),
        ..Default::default()
    };
    message.encode_to_vec()
}

const OLD: [f32; 2] = [1.0, 2.0];
const NEW: [f32; 2] = [3.0, 4.0];

#[derive(Clone, Copy, Debug)]
enum Case {
    Inline,
    FreshPair,
    Pair,
    Copies,
}

/// A directory with what is to be written below `in`, and what stands already.
fn desk(case: Case) -> (TempDir, SaveOptions) {
    let directory = tempfile::tempdir().unwrap();
    let mut options = SaveOptions {
        external_data: ExternalPolicy::Always,
        size_threshold: 1,
        ..SaveOptions::default()
    };
    let location = matches!(case, Case::Copies).then_some("w.data");
    match case {
        Case::Inline => options.external_data = ExternalPolicy::Never,
        Case::Copies => options.external_data = ExternalPolicy::Auto,
        Case::FreshPair | Case::Pair => {}
    }
    for (name, values) in [("before", OLD), ("in", NEW)] {
        let inner = directory.path().join(name);
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("m.onnx"), model(values, location)).unwrap();
        let data: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        if location.is_some() {
            fs::write(inner.join("w.data"), data).unwrap();
        }
    }
    if !matches!(case, Case::FreshPair) {
        save(directory.path(), "before", &options, &gate::open).unwrap();
    }
    (directory, options)
}

fn save(
    directory: &Path,
    from: &str,
    options: &SaveOptions,
    gate: &Gate<'_>,
) -> Result<Saved, WriteError> {
    let model = Model::open(&directory.join(from).join("m.onnx")).unwrap();
    Edits::new(&model).save_through(&directory.join("out.onnx"), options, gate)
}

/// What the target holds, if it is there.
fn held(directory: &Path) -> Option<Vec<f64>> {
    let target = directory.join("out.onnx");
    fs::symlink_metadata(&target).ok()?;
    let model = Model::open(&target).expect("the target is whole");
    Some(model.read_f64(&model.graph.initializers[0]).unwrap())
}

fn temporaries(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(".bnfold-")
        })
        .collect()
}

/// Fails one step, looks, and saves again; says whether there was such a step.
fn fails_at(case: Case, at: usize, for_good: bool, kind: io::ErrorKind) -> bool {
    let (directory, options) = desk(case);
    let directory = directory.path();
    let input = fs::read(directory.join("in/m.onnx")).unwrap();
    let before = held(directory);
    let broken = Broken {
        at,
        for_good,
        kind,
        steps: AtomicUsize::new(0),
    };
    let outcome = save(directory, "in", &options, &|step| broken.ask(step));
    let context = format!("{case:?}, step {at}, for good {for_good}: {outcome:?}");
    let after = held(directory);
    let new = Some(NEW.map(f64::from).to_vec());
    assert!(after == before || after == new, "{context}: {after:?}");
    if outcome.is_ok() {
        assert_eq!(after, new, "{context}");
    }
    let left = temporaries(directory);
    assert!(left.len() <= 1 || for_good, "{context}: {left:?}");
    assert_eq!(fs::read(directory.join("in/m.onnx")).unwrap(), input);
    let again = save(directory, "in", &options, &gate::open).expect(&context);
    let swept: BTreeSet<PathBuf> = again.leftovers.into_iter().map(|left| left.path).collect();
    assert_eq!(swept, left, "{context}");
    assert_eq!(temporaries(directory), BTreeSet::new(), "{context}");
    assert_eq!(held(directory), new, "{context}");
    broken.was_met()
}

#[test]
fn whatever_step_fails_the_target_is_whole_and_the_next_run_clears_up() {
    for case in [Case::Inline, Case::FreshPair, Case::Pair, Case::Copies] {
        for (for_good, kind) in [
            (false, io::ErrorKind::StorageFull),
            (false, io::ErrorKind::Other),
            (true, io::ErrorKind::Other),
        ] {
            let steps = (0..)
                .take_while(|&at| fails_at(case, at, for_good, kind))
                .count();
            assert!(steps >= 4, "{case:?} has {steps} steps");
        }
    }
}

#[test]
fn a_run_without_a_data_file_clears_up_after_one_that_was_ended_with_one() {
    for at in 0.. {
        let (directory, options) = desk(Case::Pair);
        let directory = directory.path();
        let broken = Broken {
            at,
            for_good: true,
            kind: io::ErrorKind::Other,
            steps: AtomicUsize::new(0),
        };
        drop(save(directory, "in", &options, &|step| broken.ask(step)));
        let inline = SaveOptions {
            external_data: ExternalPolicy::Never,
            ..options
        };
        save(directory, "in", &inline, &gate::open).expect("nothing fails");
        assert_eq!(temporaries(directory), BTreeSet::new(), "step {at}");
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            assert!(fs::metadata(&path).is_ok(), "step {at}: {path:?}");
        }
        if !broken.was_met() {
            assert!(at >= 10);
            return;
        }
    }
}

#[test]
fn a_report_whose_writing_fails_leaves_the_old_one() {
    for at in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("report.json");
        fs::write(&target, "old").unwrap();
        let broken = Broken {
            at,
            for_good: true,
            kind: io::ErrorKind::StorageFull,
            steps: AtomicUsize::new(0),
        };
        let outcome = write_file_through(&target, b"new", &|step| broken.ask(step));
        let expected = if outcome.is_ok() { "new" } else { "old" };
        assert_eq!(fs::read_to_string(&target).unwrap(), expected, "step {at}");
        if !broken.was_met() {
            assert!(at >= 4);
            return;
        }
    }
}

#[test]
fn a_file_that_its_run_still_writes_is_nobodys_to_remove() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("out.onnx");
    let place = Place::new(&target, None, &gate::open);
    let other = Place::new(&directory.path().join("other.onnx"), None, &gate::open);
    let held = place.create(target.clone(), Purpose::Output).unwrap();
    assert_eq!(place.sweep(directory.path(), Purpose::Output), []);
    let mut left = place.create(target.clone(), Purpose::Output).unwrap();
    left.set_remains(true);
    let path = left.path().to_owned();
    drop(left);
    assert_eq!(other.sweep(directory.path(), Purpose::Output), []);
    let leftover = Leftover {
        path,
        is_removed: true,
    };
    assert_eq!(place.sweep(directory.path(), Purpose::Output), [leftover]);
    assert!(held.path().exists());
}
