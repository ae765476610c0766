//! How models are compared: the flags, and the comparison as the report tells it.

use bnfold::engine::ModelBytes;
use bnfold::fold::Folded;
use bnfold::onnx::Model;
use bnfold::report::Verification;
use bnfold::verify::{VerifyOptions, verify};
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

/// Compares a model with its rewritten bytes.
pub(super) fn compare(
    model: &Model,
    rewritten: &[u8],
    folded: &Folded<'_>,
    checking: &Checking,
) -> anyhow::Result<Verification> {
    let mut options = VerifyOptions::default();
    options.samples = checking.samples as usize;
    options.seed = checking.seed;
    options.dims = checking.dim.iter().cloned().collect();
    options.compare_values.clone_from(&folded.applied.ends);
    let original = model.bytes()?;
    let directory = model.directory();
    let found = verify(
        ModelBytes {
            bytes: &original,
            directory,
        },
        ModelBytes {
            bytes: rewritten,
            directory,
        },
        &options,
    );
    Ok(found.into())
}
