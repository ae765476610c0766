//! How models are compared: the flags, and the comparison as the report tells it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use bnfold::engine::ModelBytes;
use bnfold::fold::Folded;
use bnfold::onnx::Model;
use bnfold::report::Verification;
use bnfold::verify::data::{read_npy, read_samples};
use bnfold::verify::isolated::{Limits, Source, Worker, verify_isolated};
use bnfold::verify::{Draw, Tolerance, VerifyOptions};
use clap::Args;

/// Flags of the comparison.
#[derive(Args, Debug)]
pub(super) struct Checking {
    /// The size of a symbolic dimension in the check (may be repeated)
    #[arg(long, value_name = "NAME=SIZE", value_parser = dimension)]
    dim: Vec<(String, usize)>,
    /// How many random samples to compare on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "inputs")]
    samples: u32,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Real inputs to compare on: .npz, .npy or .pb files, or test data folders (may be repeated)
    #[arg(long, value_name = "PATH", conflicts_with_all = ["dim", "input"])]
    inputs: Vec<PathBuf>,
    /// What an input is drawn from: normal:0,1, uniform:0,255, int:0..1000 or an .npy file (may be repeated)
    #[arg(long, value_name = "NAME=DRAW", value_parser = draw)]
    input: Vec<(String, Draw)>,
    /// Compare every value that both models name, and show the first that diverges and the worst
    #[arg(long)]
    layers: bool,
    /// End the comparison after so many seconds; the verdict is unknown then
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Memory that the comparison may take, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    max_memory: Option<u64>,
    /// How many times the original's own error against float64 the result may have
    #[arg(long, default_value_t = 8.0, value_name = "FACTOR", value_parser = allowance, allow_negative_numbers = true)]
    k: f64,
    /// How many roundings of the largest output the result may be off beside that
    #[arg(long, default_value_t = 8.0, value_name = "ROUNDINGS", value_parser = allowance, allow_negative_numbers = true)]
    floor: f64,
    /// Compare by a fixed absolute tolerance instead
    #[arg(long, value_parser = allowance, allow_negative_numbers = true, conflicts_with_all = ["k", "floor"])]
    atol: Option<f64>,
    /// Compare by a fixed relative tolerance instead
    #[arg(long, value_parser = allowance, allow_negative_numbers = true, conflicts_with_all = ["k", "floor"])]
    rtol: Option<f64>,
}

fn allowance(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| "it is not a number of 0 or more".to_owned())
}

/// What is given by name, each name once.
fn by_name<T: Clone>(flag: &str, given: &[(String, T)]) -> anyhow::Result<BTreeMap<String, T>> {
    let mut map = BTreeMap::new();
    for (name, what) in given {
        if map.insert(name.clone(), what.clone()).is_some() {
            bail!("{flag} gives {name:?} twice; give it once");
        }
    }
    Ok(map)
}

fn draw(text: &str) -> Result<(String, Draw), String> {
    let wrong = || format!("{text:?} is not NAME=DRAW, like x=uniform:0,255 or x=image.npy");
    let (name, what) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(wrong)?;
    let draw = match what.ends_with(".npy") {
        true => Draw::Value(read_npy(Path::new(what)).map_err(|error| error.to_string())?),
        false => what.parse().map_err(|_| wrong())?,
    };
    Ok((name.to_owned(), draw))
}

fn dimension(text: &str) -> Result<(String, usize), String> {
    let wrong = || format!("{text:?} is not NAME=SIZE, like batch=4");
    let (name, size) = text.rsplit_once('=').ok_or_else(wrong)?;
    let size = size
        .parse()
        .ok()
        .filter(|&size| size > 0)
        .ok_or_else(wrong)?;
    match name.is_empty() {
        true => Err(wrong()),
        false => Ok((name.to_owned(), size)),
    }
}

impl Checking {
    fn worker(&self) -> anyhow::Result<Worker> {
        let limits = Limits {
            timeout: self.timeout.map(Duration::from_secs),
            memory: self
                .max_memory
                .map(|megabytes| megabytes.saturating_mul(1 << 20)),
        };
        Worker::this_program(limits).context("cannot find this program to run the models in")
    }

    fn options(&self) -> anyhow::Result<VerifyOptions> {
        let mut options = VerifyOptions::default();
        options.samples = self.samples as usize;
        options.seed = self.seed;
        options.dims = by_name("--dim", &self.dim)?;
        options.tolerance = match (self.atol, self.rtol) {
            (None, None) => Tolerance::Yardstick {
                k: self.k,
                floor: self.floor,
            },
            (atol, rtol) => Tolerance::Fixed { atol, rtol },
        };
        options.draws = by_name("--input", &self.input)?;
        options.layers = self.layers;
        if !self.inputs.is_empty() {
            options.data = read_samples(&self.inputs)?;
        }
        Ok(options)
    }
}

/// Compares a model with its rewritten bytes.
pub(super) fn compare(
    model: &Model,
    rewritten: &[u8],
    folded: &Folded<'_>,
    checking: &Checking,
) -> anyhow::Result<Verification> {
    let mut options = checking.options()?;
    options.compare_values.clone_from(&folded.applied.ends);
    options.changed_values.clone_from(&folded.applied.changed);
    let rewritten = Source::Bytes(ModelBytes {
        bytes: rewritten,
        directory: model.directory(),
    });
    let original = model.path().map(Source::File);
    let original = original.context("the model is no file")?;
    Ok(verify_isolated(&checking.worker()?, original, rewritten, &options).into())
}

/// Compares two models that were read from files.
pub(super) fn compare_models(
    original: &Path,
    rewritten: &Path,
    checking: &Checking,
) -> anyhow::Result<Verification> {
    // Both must read as models; the comparison itself runs in a process of its own.
    Model::open(original)?;
    Model::open(rewritten)?;
    let (original, rewritten) = (Source::File(original), Source::File(rewritten));
    let found = verify_isolated(
        &checking.worker()?,
        original,
        rewritten,
        &checking.options()?,
    );
    Ok(found.into())
}
