//! Every fuzz target on its saved corpus, on seeds, and on some hundred mutations of both, with memory measured.
//!
//! `BNFOLD_FUZZ_ROUNDS` says how many mutations; `BNFOLD_FUZZ_SEEDS=DIR` writes the seeds to `DIR/TARGET` for a fuzzer.
//! An input that fails is kept below `target/tmp`, and its path printed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bnfold::testing::random::{Options, random_model};
use bnfold::testing::{DataType, Storage, Tensor, ToBytes};
use prost::Message;
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
fn campaign(name: &str, seeds: &[Vec<u8>]) {
    let guard = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
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
    inputs.extend(seeds.iter().cloned());
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
    models.extend((0..60).map(|seed| random_model(seed, &options(seed)).to_bytes()));
    models
}

#[test]
fn any_bytes_are_read_or_refused() {
    campaign("read", &models());
}

#[test]
fn any_model_is_folded_or_refused_and_the_output_reads() {
    campaign("fold", &models());
}

#[test]
fn reading_and_writing_is_the_identity() {
    campaign("wire", &models());
}

#[test]
fn small_graphs_compute_the_same_after_folding() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut choices = || {
        let length = random.random_range(20..120);
        (0..length).map(|_| random.random()).collect()
    };
    campaign(
        "plan_apply",
        &(0..100).map(|_| choices()).collect::<Vec<Vec<u8>>>(),
    );
}

#[test]
fn any_bytes_are_sample_data_or_refused() {
    let npy = |descr: &str, order: &str, shape: &str, body: &[u8]| {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), body].concat()
    };
    let row = npy("<f4", "False", "(2,)", &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    let tensor = Tensor::floats(&[2, 2], [1.0, 2.0, 3.0, 4.0]);
    let mut seeds = vec![
        row.clone(),
        npy(">i2", "True", "(2, 3)", &[0; 12]),
        npy("|b1", "False", "()", &[1]),
        npy("<f8", "True", "(0, 9223372036854775808, 3)", &[]),
        npy(
            "<f2",
            "True",
            "(9223372036854775808, 9223372036854775808, 0)",
            &[],
        ),
        archive(&[("x.npy", &row)]),
        archive(&[
            ("x.npy", &row),
            ("arr_0.npy", &npy(">i2", "True", "(2, 3)", &[0; 12])),
        ]),
    ];
    seeds.extend(
        [Storage::Raw, Storage::Typed].map(|storage| tensor.to_proto("x", storage).encode_to_vec()),
    );
    campaign("npz", &seeds);
}

/// A zip archive of stored members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let lengths = [
            &u16::try_from(name.len()).unwrap().to_le_bytes()[..],
            &[0; 2],
        ]
        .concat();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &crc32(content).to_le_bytes()[..],
            &size,
            &size,
            &lengths,
        ]
        .concat();
        let offset = u32::try_from(out.len()).unwrap().to_le_bytes();
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        central.extend(
            [
                b"PK\x01\x02\x14\0",
                &common[..],
                &[0; 10],
                &offset,
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let [size, start] =
        [central.len(), out.len()].map(|at| u32::try_from(at).unwrap().to_le_bytes());
    out.extend(central);
    out.extend(
        [
            b"PK\x05\x06",
            &[0; 4][..],
            &count,
            &count,
            &size,
            &start,
            &[0; 2],
        ]
        .concat(),
    );
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn any_text_is_a_configuration_or_refused() {
    let texts = [
        "fail-on = \"warning\"\n\n[severity]\ndead-channel = \"off\"\nfoldable = \"error\"\n\n[bounds]\nscale = 1000.0\ngrowth = 64\n",
        "[severity]\n\nfoldabel = \"off\"\n",
        "[severity]\n\"foldable\" = \"fatal\" # ä\n",
        "severity.foldable = 'note'\r\nbounds = { scale = inf, growth = nan }\n",
        "[bounds]\nscale = -1e400\n",
        "fail-on = \"\"\"\\\n  error\"\"\"\n",
    ];
    campaign("config", &texts.map(|text| text.as_bytes().to_vec()));
}
