//! `bnfold inspect`: the plan, without writing anything.

use std::path::PathBuf;

use anyhow::Context as _;
use bnfold::fold::fold;
use bnfold::onnx::Model;
use bnfold::report::text::Detail;
use bnfold::report::{Report, json, text};
use clap::Args;

use super::Exit;
use super::output::say;
use super::selection::Selection;

/// Arguments of `bnfold inspect`.
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
    /// The model
    model: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
    /// Say every way that was tried for every node
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(arguments: &InspectArgs) -> anyhow::Result<Exit> {
    let model = Model::open(&arguments.model)?;
    let options = arguments.selection.plan_options()?;
    let folded = fold(&model, arguments.selection.reading(), &options)
        .with_context(|| arguments.model.display().to_string())?;
    let report = Report::new(&arguments.model.display().to_string(), &folded);
    match arguments.json {
        true => say(&json::render(&report))?,
        false => say(&text::render_plan(
            &report,
            if arguments.verbose {
                Detail::Full
            } else {
                Detail::Normal
            },
        ))?,
    }
    Ok(Exit::Yes)
}
