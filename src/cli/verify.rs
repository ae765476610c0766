//! `bnfold verify A B`: two models, one verdict, whatever tool made B.

use std::path::PathBuf;

use bnfold::report::{Verification, json, text};
use clap::Args;

use super::Exit;
use super::output::say;
use super::progress::Progress;
use super::verification::{Checking, compare_models};

/// Arguments of `bnfold verify`.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// The model that is right
    original: PathBuf,
    /// The model that should compute the same
    rewritten: PathBuf,
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
    let verification = compare_models(
        &arguments.original,
        &arguments.rewritten,
        &arguments.checking,
    )?;
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
