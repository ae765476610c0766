//! Every prefix and random flipped bits of real models: an error, or a fold that verification finds no fault with.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bnfold::engine::ModelBytes;
use bnfold::engine::constant::evaluate;
use bnfold::fold::fold;
use bnfold::graph::Reading;
use bnfold::onnx::Model;
use bnfold::onnx::proto::ModelProto;
use bnfold::plan::PlanOptions;
use bnfold::verify::isolated::{Limits, Source, Worker, verify_isolated};
use bnfold::verify::{Verdict, VerifyOptions};
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bounds::{Bounds, SMALL, is_well, run, within};
use crate::is_long;

const MODELS: [&str; 3] = ["siamese", "tab_mlp", "conv_pool_bn"];

fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    std::fs::read(path.join(name).with_extension("onnx")).unwrap()
}

/// What a campaign over one model may take, in a process of its own.
const CAMPAIGN: Bounds = Bounds {
    seconds: 3600,
    mebibytes: 4096,
};

/// What reading and folding one damaged model may take in a debug build beside other work.
const EACH: Duration = Duration::from_secs(60);

/// The rewritten model, if the bytes are a model and anything folds, in time.
fn rewritten(bytes: &[u8], what: (&str, usize, u8)) -> Option<Vec<u8>> {
    let started = Instant::now();
    let output = folded(bytes);
    let taken = started.elapsed();
    assert!(taken < EACH, "{what:?} takes {taken:?}");
    output
}

fn folded(bytes: &[u8]) -> Option<Vec<u8>> {
    let model = Model::from_bytes(bytes.to_vec()).ok()?;
    let reading = Reading {
        evaluate: Some(evaluate),
        freeze_inputs: false,
        allow_precision_change: false,
    };
    let folded = fold(&model, reading, &PlanOptions::default()).ok()?;
    if folded.applied.edits.is_empty() {
        return None;
    }
    let (output, flaws) = folded.applied.edits.to_rope().ok()?.to_vec(&model).ok()?;
    flaws.is_empty().then_some(output)
}

/// Prefixes and flipped bits of a model: so many of them folded, so many of those were verified, so many equivalent.
fn campaign(name: &str, random: &mut ChaCha8Rng) -> [usize; 4] {
    let whole = fixture(name);
    let stride = if is_long() { 1 } else { 211 };
    for length in (0..whole.len()).step_by(stride) {
        let cut = rewritten(&whole[..length], (name, length, 0));
        assert!(cut.is_none() || ModelProto::decode(&whole[..length]).is_ok());
    }
    let n_flips = if is_long() { 10_000 } else { 60 };
    let verified_every = if is_long() { 20 } else { 8 };
    let [mut n_folded, mut n_verified, mut n_equivalent] = [0; 3];
    for _ in 0..n_flips {
        let (at, bit) = (
            random.random_range(0..whole.len()),
            random.random_range(0..8),
        );
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        let Some(output) = rewritten(&flipped, (name, at, bit)) else {
            continue;
        };
        n_folded += 1;
        // Names that are no text are none of prost's, and stay as they were.
        if ModelProto::decode(&*flipped).is_ok() {
            ModelProto::decode(&*output).unwrap();
        }
        Model::from_bytes(output.clone()).unwrap();
        if n_folded % verified_every == 0 {
            n_verified += 1;
            n_equivalent += usize::from(is_equivalent(&flipped, &output, (name, at, bit)));
        }
    }
    [n_flips, n_folded, n_verified, n_equivalent]
}

fn is_equivalent(original: &[u8], rewritten: &[u8], flip: (&str, usize, u8)) -> bool {
    let limits = Limits {
        timeout: Some(Duration::from_secs(60)),
        memory: Some(2 << 30),
    };
    let mut worker = Worker::this_program(limits).unwrap();
    worker.program = env!("CARGO_BIN_EXE_bnfold").into();
    let [original, rewritten] =
        [original, rewritten].map(|bytes| Source::Bytes(ModelBytes::new(bytes)));
    let options = VerifyOptions::default();
    let verdict = verify_isolated(&worker, original, rewritten, &options).verdict;
    assert!(
        !matches!(verdict, Verdict::Different { .. }),
        "{flip:?}: {verdict:?}"
    );
    verdict == Verdict::Equivalent
}

/// Names the model of a campaign, in the process that runs it.
const MODEL: &str = "BNFOLD_TEST_MODEL";

#[test]
fn damaged_models_end_in_an_error_or_in_a_fold_that_holds() {
    if let Ok(name) = std::env::var(MODEL) {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let [flips, folded, verified, equivalent] = campaign(&name, &mut random);
        println!(
            "{name}: {flips} flips, {folded} folded, {verified} verified, {equivalent} equivalent"
        );
        assert!(equivalent > 0);
        return;
    }
    let this = std::env::current_exe().unwrap();
    for name in MODELS {
        let test = "damage::damaged_models_end_in_an_error_or_in_a_fold_that_holds";
        let end = within(CAMPAIGN, &this, |command| {
            command
                .args(["--exact", test, "--nocapture"])
                .env(MODEL, name)
                .stdout(Stdio::inherit())
        });
        assert_eq!(end.code, 0, "{name}: {end:?}");
        println!("{name}: {:.0} s, {} MiB", end.seconds, end.peak_mebibytes);
    }
}

#[test]
fn the_program_ends_well_on_damaged_models() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let directory = tempfile::tempdir().unwrap();
    let count = if is_long() { 300 } else { 6 };
    for round in 0..count {
        let mut bytes = fixture(MODELS[round % 3]);
        match round % 2 {
            0 => bytes.truncate(random.random_range(0..bytes.len())),
            _ => {
                let at = random.random_range(0..bytes.len());
                bytes[at] ^= 1 << random.random_range(0..8);
            }
        }
        std::fs::write(directory.path().join("m.onnx"), &bytes).unwrap();
        let output = directory.path().join("o.onnx");
        let end = run(directory.path(), &["m.onnx", "-o", "o.onnx", "-q"], SMALL);
        is_well(&end, &format!("round {round}"));
        assert_eq!(output.exists(), end.code == 0, "round {round}: {end:?}");
        let _ = std::fs::remove_file(output);
    }
}
