//! How models are compared: the flags, and the comparison as the report tells it.

use bnfold::engine::ModelBytes;
use bnfold::fold::Folded;
use bnfold::onnx::Model;
use bnfold::report::Verification;
use bnfold::verify::{Tolerance, VerifyOptions, verify};
use clap::Args;

/// Flags of the comparison.
#[derive(Args, Debug)]
pub(super) struct Checking {
    /// The size of a symbolic dimension in the check (may be repeated)
    #[arg(long, value_name = "NAME=SIZE", value_parser = dimension)]
    dim: Vec<(String, usize)>,
    /// How many random samples to compare on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many times the original's own error against float64 the result may have
    #[arg(long, default_value_t = 8.0, value_name = "FACTOR")]
    k: f64,
    /// How many roundings of the largest output the result may be off beside that
    #[arg(long, default_value_t = 8.0, value_name = "ROUNDINGS")]
    floor: f64,
    /// Compare by a fixed absolute tolerance instead
    #[arg(long)]
    atol: Option<f64>,
    /// Compare by a fixed relative tolerance instead
    #[arg(long)]
    rtol: Option<f64>,
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
    fn options(&self) -> VerifyOptions {
        let mut options = VerifyOptions::default();
        options.samples = self.samples as usize;
        options.seed = self.seed;
        options.dims = self.dim.iter().cloned().collect();
        options.tolerance = match (self.atol, self.rtol) {
            (None, None) => Tolerance::Yardstick {
                k: self.k,
                floor: self.floor,
            },
            (atol, rtol) => Tolerance::Fixed { atol, rtol },
        };
        options
    }
}

/// Compares a model with its rewritten bytes.
pub(super) fn compare(
    model: &Model,
    rewritten: &[u8],
    folded: &Folded<'_>,
    checking: &Checking,
) -> anyhow::Result<Verification> {
    let mut options = checking.options();
    options.compare_values.clone_from(&folded.applied.ends);
    let original = model.bytes()?;
    let directory = model.directory();
    let bytes = |bytes| ModelBytes { bytes, directory };
    Ok(verify(bytes(&original), bytes(rewritten), &options).into())
}

/// Compares two models that were read from files.
pub(super) fn compare_models(
    original: &Model,
    rewritten: &Model,
    checking: &Checking,
) -> anyhow::Result<Verification> {
    let bytes = [original.bytes()?, rewritten.bytes()?];
    if bytes[0] == bytes[1] && !original.has_external_data() {
        return Ok(Verification::Unchanged);
    }
    let [a, b] = [(original, &bytes[0]), (rewritten, &bytes[1])].map(|(model, bytes)| ModelBytes {
        bytes,
        directory: model.directory(),
    });
    Ok(verify(a, b, &checking.options()).into())
}
