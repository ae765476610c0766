//! `bnfold inspect`: a model's BatchNormalizations, the plan for them, and what the batch does, without writing.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use bnfold::calibrate::{DependenceOptions, dependence, training_nodes};
use bnfold::engine::ModelBytes;
use bnfold::fold::fold;
use bnfold::graph::Graph;
use bnfold::onnx::{Model, ReadOptions};
use bnfold::report::sort::{Column, sort};
use bnfold::report::text::Detail;
use bnfold::report::{Report, calibration, dot, json, text};
use bnfold::verify::data::sources;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Exit;
use super::assume::Assumption;
use super::output::say;
use super::selection::Selection;
use super::verification::Sampling;

/// Arguments of `bnfold inspect`.
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
    /// The model
    model: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Take nodes in training mode as inference mode with their stored statistics
    #[arg(long, conflicts_with = "batch_sizes")]
    assume_inference: bool,
    /// Show instead how far the answers move when the same samples run in batches of these sizes
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    batch_sizes: Vec<u32>,
    #[command(flatten)]
    sampling: Sampling,
    /// Order the nodes by a column instead of by the graph; numbers put first what stands out
    #[arg(long, value_name = "COLUMN", value_parser = column())]
    sort: Option<Column>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Print the graph around the nodes that --keep and --only leave, for Graphviz
    #[arg(long, conflicts_with_all = ["json", "sort"])]
    dot: bool,
    /// Say every way that was tried for every node
    #[arg(short, long)]
    verbose: bool,
}

fn column() -> impl TypedValueParser<Value = Column> {
    let names = Column::ALL.iter().map(|(_, name)| *name);
    PossibleValuesParser::new(names).map(|given| {
        let known = Column::ALL.iter().find(|(_, name)| *name == given);
        known.map_or(Column::Name, |(column, _)| *column)
    })
}

pub(super) fn run(arguments: &InspectArgs) -> anyhow::Result<Exit> {
    let model = Model::open(&arguments.model)?;
    if !arguments.batch_sizes.is_empty() {
        return batches(arguments, &model);
    }
    if arguments.sampling.is_given() {
        bail!("--dim, --inputs and --input say what --batch-sizes runs on; give that too");
    }
    let named = || arguments.model.display().to_string();
    let options = arguments.selection.plan_options()?;
    let reading = arguments.selection.reading();
    let assumption = match arguments.assume_inference {
        true => {
            let choice = arguments.selection.choice(false)?;
            Assumption::of(&model, &choice, reading, &ReadOptions::default())?
        }
        false => None,
    };
    let read = assumption
        .as_ref()
        .map_or(&model, |assumption| &assumption.model);
    let folded = fold(read, reading, &options).with_context(named)?;
    if arguments.dot {
        say(&dot::render(&folded))?;
        return Ok(Exit::Yes);
    }
    let mut report = Report::new(&named(), &folded);
    report.assumed = assumption.map(Assumption::unmeasured);
    if let Some(column) = arguments.sort {
        sort(&mut report.batch_norms, column);
    }
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

/// What the batch does to the answers.
fn batches(arguments: &InspectArgs, model: &Model) -> anyhow::Result<Exit> {
    let named = || arguments.model.display().to_string();
    let graph = Graph::new(model, arguments.selection.reading()).with_context(named)?;
    let training = training_nodes(&graph).with_context(named)?;
    let training: Vec<String> = training.iter().map(|&node| graph.label(node)).collect();
    let sampling = &arguments.sampling;
    let options = DependenceOptions {
        sizes: arguments
            .batch_sizes
            .iter()
            .map(|&size| size as usize)
            .collect(),
        dims: sampling.dim.iter().cloned().collect(),
        seed: sampling.seed,
        draws: sampling.draws().collect(),
        data: sources(&sampling.inputs, None)?,
        ..DependenceOptions::default()
    };
    // A pipe gives its bytes once.
    let bytes = match model.memory() {
        Some(bytes) => Cow::Borrowed(bytes),
        None => Cow::Owned(std::fs::read(&arguments.model).with_context(named)?),
    };
    let model = ModelBytes {
        bytes: &bytes,
        directory: model.directory(),
    };
    let found = dependence(model, &options).with_context(named)?;
    match arguments.json {
        true => say(&json::render_dependence(&found))?,
        false => say(&calibration::render_dependence(&found, &training))?,
    }
    Ok(Exit::Yes)
}
