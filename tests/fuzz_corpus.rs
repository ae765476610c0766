//! Every fuzz target on its saved corpus, on seeds, and on some hundred mutations of both, with memory measured.
//!
//! `BNFOLD_FUZZ_ROUNDS` says how many mutations; `BNFOLD_FUZZ_SEEDS=DIR` writes the seeds to `DIR/TARGET` for a fuzzer.
//! An input that fails is kept below `target/tmp`, and its path printed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::print_stdout,
    reason = "what a run held, and what it failed on, is for its reader"
)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bnfold::onnx::wire::put_bytes_field;
use bnfold::testing::random::{Options, random_model};
use bnfold::testing::{DataType, ToBytes, model};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The allocator counts for the whole process, so one target runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn rounds() -> usize {
    let wanted = std::env::var("BNFOLD_FUZZ_ROUNDS").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(300)
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn run(name: &str, input: &[u8]) -> usize {
    catch_unwind(AssertUnwindSafe(|| fuzz::run(name, input))).unwrap_or_else(|panic| {
        let digest = input.iter().fold(17u64, |sum, &byte| {
            sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
        });
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{digest:016x}"));
        fs::write(&path, input).unwrap();
        println!("{name} fails on {}", path.display());
        resume_unwind(panic)
    })
}

/// Runs a target on its corpus, its seeds and mutations of both; says how much of what it may hold it held at most.
fn campaign(name: &str, seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let guard = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let seeds = seeds();
    if let Some(directory) = std::env::var_os("BNFOLD_FUZZ_SEEDS") {
        let directory = Path::new(&directory).join(name);
        fs::create_dir_all(&directory).unwrap();
        for (at, seed) in seeds.iter().enumerate() {
            fs::write(directory.join(format!("seed-{at}")), seed).unwrap();
        }
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut inputs = files(&corpus.join(name));
    assert!(!inputs.is_empty(), "{name} has a saved corpus");
    inputs.extend(seeds);
    let mut most = inputs.iter().map(|input| run(name, input)).max();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    for _ in 0..rounds() {
        most = most.max(Some(run(name, &mutated(&inputs, &mut random))));
    }
    println!(
        "{name}: {} inputs and {} mutations, at most {} bytes held",
        inputs.len(),
        rounds(),
        most.unwrap()
    );
    drop(guard);
}

fn mutated(inputs: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = inputs.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        let length = random.random_range(0..=(bytes.len() - at).min(40));
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = *[0, 1, 0x7f, 0x80, 0xff].choose(random).unwrap(),
            2 => drop(bytes.drain(at..at + length)),
            3 => drop(bytes.splice(at..at, bytes.clone()[at..at + length].iter().copied())),
            4 => {
                let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
                drop(bytes.splice(at..at + length.min(8), huge.into_iter().take(length.min(8))));
            }
            5 => {
                let other = inputs.choose(random).unwrap();
                let from = random.random_range(0..=other.len());
                let until = other.len().min(from + 200);
                drop(bytes.splice(at..at + length, other[from..until].iter().copied()));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Small models of many kinds, and those of the fixtures.
fn models() -> Vec<Vec<u8>> {
    let mut models = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"));
    models.retain(|bytes| (1..200_000).contains(&bytes.len()));
    let options = |at: u64| Options {
        nodes: 3..=12,
        dtype: [None, Some(DataType::Float)][(at % 2) as usize],
        overridable: at.is_multiple_of(3),
        ..Options::default()
    };
    models.push(
        model(|g| {
            let all = g.op("ConstantOfShape", &[&g.ints(&[1 << 24])]);
            let few = all.slice(0, 0, 4).reshape([4, 1, 1]).shape([4, 1, 1]);
            let x = g.input("x", [2, 4, 6, 6]).conv(4);
            x.add(few).batch_norm().relu().output("y")
        })
        .to_bytes(),
    );
    models.extend((0..60).map(|seed| random_model(seed, &options(seed)).to_bytes()));
    models
}

/// A message within others, outermost first, that holds the field thirty thousand times, two bytes each.
fn dense(around: &[u32], field: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = [(field << 3 | 2) as u8, 0].repeat(30_000);
    for &number in around.iter().rev() {
        let mut message = Vec::new();
        put_bytes_field(&mut message, number, &bytes);
        bytes = message;
    }
    // ir_version 8, opset 17 of the standard domain.
    bytes.extend([0x08, 8, 0x42, 2, 0x10, 17]);
    bytes
}

/// The shortest fields that views are made of: what a byte of a file can make a reader hold at most.
fn densest() -> Vec<Vec<u8>> {
    let (graph, node, attribute) = (&[7][..], &[7, 1][..], &[7, 1, 5][..]);
    let of = |around: &[u32], fields: &[u32]| -> Vec<Vec<u8>> {
        fields.iter().map(|&field| dense(around, field)).collect()
    };
    [
        of(&[], &[8, 14, 20, 25]),
        of(graph, &[1, 5, 11, 12, 13, 14, 15]),
        of(node, &[1, 2, 5]),
        of(attribute, &[7, 8, 9, 10, 11]),
        of(&[25], &[4, 5, 7, 9, 11]),
        of(&[7, 5], &[1, 13]),
    ]
    .concat()
}

#[test]
fn no_byte_of_a_file_makes_reading_hold_more_than_so_many() {
    let _guard = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    for name in ["read", "wire", "fold"] {
        let held = densest()
            .iter()
            .map(|input| run(name, input) / input.len())
            .max();
        println!("{name}: at most {} bytes held per byte", held.unwrap());
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    campaign("read", models);
}

#[test]
fn any_model_is_folded_or_refused_and_the_output_reads() {
    campaign("fold", models);
}

#[test]
fn reading_and_writing_is_the_identity() {
    campaign("wire", models);
}

#[test]
fn small_graphs_compute_the_same_after_folding() {
    campaign("plan_apply", Vec::new);
}

#[test]
fn any_bytes_are_sample_data_or_refused() {
    campaign("npz", Vec::new);
}

#[test]
fn any_text_is_a_configuration_or_refused() {
    campaign("config", Vec::new);
}
