//! How models are compared: the flags, and the comparison as the report tells it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use bnfold::apply::Applied;
use bnfold::engine::{EngineChoice, ModelBytes};
use bnfold::onnx::Model;
use bnfold::report::{Verification, visible};
use bnfold::verify::data::{read_npy, read_samples, sources};
use bnfold::verify::isolated::{Limits, Source, Worker, verify_isolated};
use bnfold::verify::{Draw, Tolerance, Verification as Found, VerifyOptions};
use clap::{Args, ValueEnum};

use super::paths::Paths;

/// Flags of the samples that models are run on.
#[derive(Args, Clone, Debug)]
pub(super) struct Sampling {
    /// The size of a symbolic dimension in the samples (may be repeated)
    #[arg(long, value_name = "NAME=SIZE", value_parser = dimension)]
    pub(super) dim: Vec<(String, usize)>,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Real inputs to run on: .npz, .npy or .pb files, or test data folders (may be repeated)
    #[arg(long, value_name = "PATH", conflicts_with_all = ["dim", "input"])]
    pub(super) inputs: Vec<PathBuf>,
    /// What an input is drawn from: normal:0,1, uniform:0,255, int:0..1000 or an .npy file (may be repeated)
    #[arg(long, value_name = "NAME=DRAW", value_parser = draw)]
    input: Vec<GivenDraw>,
}

/// What an input is drawn from.
#[derive(Clone, Debug)]
struct GivenDraw {
    name: String,
    draw: Draw,
    /// The file that it was read from, if it was.
    file: Option<PathBuf>,
}

/// Flags of the comparison.
#[derive(Args, Clone, Debug)]
pub(super) struct Checking {
    #[command(flatten)]
    sampling: Sampling,
    /// How many random samples to compare on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "inputs")]
    samples: u32,
    /// Compare every value that both models name, and show the first that diverges and the worst
    #[arg(long)]
    layers: bool,
    /// What runs the models as they are; the float64 truth is always the built-in engine's
    #[arg(long, value_enum, default_value_t = EngineName::Tract)]
    engine: EngineName,
    /// Let ONNX Runtime compute BatchNormalization too: it gets whole models, and optimises nothing
    #[arg(long)]
    engine_batch_norm: bool,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EngineName {
    /// The built-in engine: own kernels, and tract for what is heavy
    Tract,
    /// ONNX Runtime, from `pip install onnxruntime` or where ORT_DYLIB_PATH says; needs a build with it
    #[value(name = "onnxruntime")]
    OnnxRuntime,
}

fn allowance(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| "it is not a number of 0 or more".to_owned())
}

/// What is given by name, each name once.
fn by_name<T>(
    flag: &str,
    given: impl Iterator<Item = (String, T)>,
) -> anyhow::Result<BTreeMap<String, T>> {
    let mut map = BTreeMap::new();
    for (name, what) in given {
        if map.contains_key(&name) {
            bail!("{flag} gives {name:?} twice; give it once");
        }
        map.insert(name, what);
    }
    Ok(map)
}

fn draw(text: &str) -> Result<GivenDraw, String> {
    let wrong = || format!("{text:?} is not NAME=DRAW, like x=uniform:0,255 or x=image.npy");
    let (name, what) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(wrong)?;
    let file = what.ends_with(".npy").then(|| PathBuf::from(what));
    let draw = match &file {
        Some(path) => Draw::Value(read_npy(path).map_err(|error| visible(&error.to_string()))?),
        None => what.parse().map_err(|_| wrong())?,
    };
    let name = name.to_owned();
    Ok(GivenDraw { name, draw, file })
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

impl Sampling {
    /// Whether anything but the seed was said.
    pub(super) fn is_given(&self) -> bool {
        !(self.dim.is_empty() && self.inputs.is_empty() && self.input.is_empty())
    }

    /// What inputs are drawn from, in the order in which that was said.
    pub(super) fn draws(&self) -> impl Iterator<Item = (String, Draw)> {
        let given = self.input.iter();
        given.map(|given| (given.name.clone(), given.draw.clone()))
    }
}

/// Claims the files of sample data.
pub(super) fn claim_data(data: &[PathBuf], paths: &mut Paths) -> anyhow::Result<()> {
    for source in sources(data, None)? {
        paths.reads("sample data that is read", source.files()?);
    }
    Ok(())
}

impl Checking {
    /// The flags of one of several comparisons that go on at the same time.
    pub(super) fn shared_by(&self, jobs: u64) -> Checking {
        Checking {
            max_memory: self.max_memory.map(|mebibytes| mebibytes / jobs.max(1)),
            ..self.clone()
        }
    }

    /// Claims the files of the samples.
    pub(super) fn claim(&self, paths: &mut Paths) -> anyhow::Result<()> {
        let drawn = self.sampling.input.iter();
        let drawn = drawn.filter_map(|given| given.file.as_ref());
        paths.reads("sample data that is read", drawn);
        claim_data(&self.sampling.inputs, paths)
    }

    fn worker(&self) -> anyhow::Result<Worker> {
        let limits = Limits {
            timeout: self.timeout.map(Duration::from_secs),
            memory: self
                .max_memory
                .map(|megabytes| megabytes.saturating_mul(1 << 20)),
        };
        Worker::this_program(limits).context("cannot find this program to run the models in")
    }

    /// The engine that is asked for, if it can be had.
    pub(super) fn engine(&self) -> anyhow::Result<EngineChoice> {
        let choice = match (self.engine, self.engine_batch_norm) {
            (EngineName::OnnxRuntime, batch_norm) => EngineChoice::OnnxRuntime { batch_norm },
            (EngineName::Tract, false) => EngineChoice::BuiltIn,
            (EngineName::Tract, true) => bail!(
                "--engine-batch-norm needs --engine onnxruntime; the built-in engine has no other \
                 BatchNormalization than bnfold's own"
            ),
        };
        choice.check()?;
        Ok(choice)
    }

    fn options(&self) -> anyhow::Result<VerifyOptions> {
        let mut options = VerifyOptions::default();
        options.engine = self.engine()?;
        options.samples = self.samples as usize;
        options.seed = self.sampling.seed;
        options.dims = by_name("--dim", self.sampling.dim.iter().cloned())?;
        options.tolerance = match (self.atol, self.rtol) {
            (None, None) => Tolerance::Yardstick {
                k: self.k,
                floor: self.floor,
            },
            (atol, rtol) => Tolerance::Fixed { atol, rtol },
        };
        options.draws = by_name("--input", self.sampling.draws())?;
        options.layers = self.layers;
        if !self.sampling.inputs.is_empty() {
            options.data = read_samples(&self.sampling.inputs)?;
        }
        Ok(options)
    }
}

/// Compares a model with rewritten bytes, any number of times.
#[derive(Debug)]
pub(super) struct Comparer<'a> {
    model: &'a Model,
    original: Source<'a>,
    worker: Worker,
    options: VerifyOptions,
}

impl<'a> Comparer<'a> {
    pub(super) fn new(model: &'a Model, checking: &Checking) -> anyhow::Result<Comparer<'a>> {
        Ok(Comparer {
            model,
            original: source(model)?,
            worker: checking.worker()?,
            options: checking.options()?,
        })
    }

    pub(super) fn compare(&self, rewritten: &[u8], applied: &Applied<'_>) -> Found {
        let mut options = self.options.clone();
        options.compare_values.clone_from(&applied.ends);
        options.changed_values.clone_from(&applied.changed);
        let rewritten = Source::Bytes(ModelBytes {
            bytes: rewritten,
            directory: self.model.directory(),
        });
        verify_isolated(&self.worker, self.original, rewritten, &options)
    }
}

/// What is in memory goes to the worker, a file it opens itself.
fn source(model: &Model) -> anyhow::Result<Source<'_>> {
    match (model.memory(), model.path()) {
        (Some(bytes), _) => Ok(Source::Bytes(ModelBytes {
            bytes,
            directory: model.directory(),
        })),
        (None, Some(path)) => Ok(Source::File(path)),
        (None, None) => bail!("the model is no file"),
    }
}

/// Compares two readings of one model, output by output.
pub(super) fn compare_readings(
    original: &Model,
    read: &Model,
    checking: &Checking,
) -> anyhow::Result<Found> {
    let mut options = checking.options()?;
    options.layers = false;
    let (original, read) = (source(original)?, source(read)?);
    Ok(verify_isolated(
        &checking.worker()?,
        original,
        read,
        &options,
    ))
}

/// Compares two models that were read; the comparison itself runs in a process of its own.
pub(super) fn compare_models(
    original: &Model,
    rewritten: &Model,
    checking: &Checking,
) -> anyhow::Result<Verification> {
    let (original, rewritten) = (source(original)?, source(rewritten)?);
    let found = verify_isolated(
        &checking.worker()?,
        original,
        rewritten,
        &checking.options()?,
    );
    Ok(found.into())
}
