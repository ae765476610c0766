//! `bnfold inspect`: a model's BatchNormalizations and the plan for them, without writing anything.

use std::path::PathBuf;

use anyhow::Context as _;
use bnfold::fold::fold;
use bnfold::onnx::Model;
use bnfold::report::sort::{Column, sort};
use bnfold::report::text::Detail;
use bnfold::report::{Report, dot, json, text};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

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
    /// Order the nodes by a column instead of by the graph; numbers put first what stands out
    #[arg(long, value_name = "COLUMN", value_parser = column())]
    sort: Option<Column>,
    /// Print the plan as JSON
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
    let options = arguments.selection.plan_options()?;
    let folded = fold(&model, arguments.selection.reading(), &options)
        .with_context(|| arguments.model.display().to_string())?;
    if arguments.dot {
        say(&dot::render(&folded))?;
        return Ok(Exit::Yes);
    }
    let mut report = Report::new(&arguments.model.display().to_string(), &folded);
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
