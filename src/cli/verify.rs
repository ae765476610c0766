//! `bnfold verify A B`: two models, one verdict, whatever tool made B.

use std::path::{Path, PathBuf};

use bnfold::calibrate::Choice;
use bnfold::onnx::{Model, ReadOptions};
use bnfold::report::{Verification, json, text};
use clap::Args;

use super::Exit;
use super::assume::Assumption;
use super::output::say;
use super::progress::Progress;
use super::selection;
use super::verification::{Checking, compare_models};

/// Arguments of `bnfold verify`.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// The model that is right
    original: PathBuf,
    /// The model that should compute the same
    rewritten: PathBuf,
    /// Take nodes in training mode, of both models, as inference mode with their stored statistics
    #[arg(long)]
    assume_inference: bool,
    #[command(flatten)]
    checking: Checking,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
    /// Say more about how the models were run
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(arguments: &VerifyArgs) -> anyhow::Result<Exit> {
    let progress = Progress::new(!arguments.json);
    progress.stage("verifying");
    let original = read(&arguments.original, arguments.assume_inference)?;
    let rewritten = read(&arguments.rewritten, arguments.assume_inference)?;
    let verification = compare_models(&original, &rewritten, &arguments.checking)?;
    drop(progress);
    match arguments.json {
        true => say(&json::render_verification(&verification))?,
        false => {
            let detail = if arguments.verbose {
                text::Detail::Full
            } else {
                text::Detail::Normal
            };
            say(&text::render_verification(&verification, detail))?;
        }
    }
    Ok(match verification {
        Verification::Equivalent(_) | Verification::Unchanged => Exit::Yes,
        Verification::Different(_) => Exit::No,
        Verification::Unknown(_) | Verification::Skipped => Exit::Trouble,
    })
}

fn read(path: &Path, assume_inference: bool) -> anyhow::Result<Model> {
    let model = Model::open(path)?;
    let assumption = match assume_inference {
        true => {
            let reading = selection::engine_reading();
            Assumption::of(&model, &Choice::default(), reading, &ReadOptions::default())?
        }
        false => None,
    };
    Ok(assumption.map_or(model, |assumption| assumption.model))
}
