//! Every step of saving fails once: the target is whole and old or whole and new, and the next run clears what is left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::gate::{self, Step};
use super::{ExternalPolicy, SaveOptions};
use crate::onnx::edit::Edits;
use crate::onnx::load::{Model, ReadOptions};
use crate::testing::{ToBytes, model};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn net(channels: usize) -> Model {
    let proto = model(|g| g.input("x", [1, 2, 8, 8]).conv(channels).relu().output("y"));
    Model::from_bytes(proto.to_bytes()).unwrap()
}

fn options(external_data: ExternalPolicy) -> SaveOptions {
    SaveOptions {
        external_data,
        size_threshold: 0,
        ..SaveOptions::default()
    }
}

/// A model with its data inside.
fn inline(model: &Model) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = options(ExternalPolicy::Never);
    Edits::new(model).save_to(&mut bytes, &options).unwrap();
    bytes
}

/// The target's content; while a run was at work on a pair, its data has a second name.
fn stored(target: &Path) -> Option<Vec<u8>> {
    let options = ReadOptions {
        allow_hard_links: true,
        ..ReadOptions::default()
    };
    let model = Model::open_with(target, &options);
    target
        .exists()
        .then(|| inline(&model.expect("the target is whole")))
}

fn temporary(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let is_ours = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(".bnfold-")
    };
    entries.map(|entry| entry.path()).filter(is_ours).collect()
}

/// Lets the step of this number fail, counted from 0, and all after it if the run is to be cut off there.
fn failing(
    number: usize,
    code: i32,
    is_cut: bool,
) -> (impl Fn(Step) -> io::Result<()> + Sync, &'static AtomicUsize) {
    let taken: &'static AtomicUsize = Box::leak(Box::default());
    let gate = move |_: Step| {
        let at = taken.fetch_add(1, Ordering::Relaxed);
        match at == number || (is_cut && at > number) {
            true => Err(io::Error::from_raw_os_error(code)),
            false => Ok(()),
        }
    };
    (gate, taken)
}

/// Saves with each step failing in turn; returns how many steps there are.
fn each_step(policy: ExternalPolicy, has_old: bool, code: i32, is_cut: bool) -> usize {
    let (old, new) = (net(3), net(5));
    let (before, after) = (has_old.then(|| inline(&old)), inline(&new));
    for number in 0.. {
        let desk = TempDir::new().unwrap();
        let target = desk.path().join("out.onnx");
        if has_old {
            Edits::new(&old).save(&target, &options(policy)).unwrap();
        }
        let (gate, taken) = failing(number, code, is_cut);
        let saved = Edits::new(&new).save_through(&target, &options(policy), &gate);
        let found = stored(&target);
        let place = format!("{policy:?}, step {number}, {saved:?}");
        match saved.is_ok() {
            true => assert_eq!(found.as_ref(), Some(&after), "{place}"),
            false => assert!(found == before || found.as_ref() == Some(&after), "{place}"),
        }
        let has_failed = taken.load(Ordering::Relaxed) > number;
        let again = Edits::new(&new).save_through(&target, &options(policy), &gate::open);
        assert!(again.unwrap().leftovers.iter().all(|left| left.is_removed));
        assert_eq!(stored(&target).as_ref(), Some(&after), "{place}");
        assert_eq!(temporary(desk.path()), Vec::<PathBuf>::new(), "{place}");
        if !has_failed {
            assert!(saved.is_ok(), "{place}");
            return number;
        }
    }
    unreachable!("a run has finitely many steps")
}

#[test]
fn a_step_that_fails_leaves_the_old_target_or_the_new_one_and_nothing_that_stays() {
    let mut steps = 0;
    for policy in [ExternalPolicy::Never, ExternalPolicy::Always] {
        for has_old in [false, true] {
            for code in [ENOSPC, EIO] {
                for is_cut in [false, true] {
                    steps += each_step(policy, has_old, code, is_cut);
                }
            }
        }
    }
    assert!(steps > 50, "{steps} steps");
}

#[test]
fn what_an_ended_run_left_goes_and_what_a_living_one_holds_stays() {
    let desk = TempDir::new().unwrap();
    let target = desk.path().join("out.onnx");
    let place = super::Place::new(&target, None, &gate::open);
    let create = || {
        place
            .create(target.clone(), super::Purpose::Output)
            .unwrap()
    };
    let mut ended = create();
    ended.set_remains(true);
    let left = ended.path().to_owned();
    drop(ended);
    let held = create();
    let other = desk.path().join(".bnfold-0123456789abcdef-x.tmp");
    fs::write(&other, "of another target").unwrap();
    let saved = Edits::new(&net(3))
        .save(&target, &options(ExternalPolicy::Never))
        .unwrap();
    let [leftover] = &saved.leftovers[..] else {
        panic!("{:?}", saved.leftovers)
    };
    assert!(leftover.is_removed && leftover.path == left);
    assert!(!left.exists() && held.path().exists() && other.exists());
}
