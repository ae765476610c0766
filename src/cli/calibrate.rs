//! `bnfold calibrate`: statistics from data, and an inference-mode model.

use std::path::PathBuf;

use anyhow::Context as _;
use bnfold::calibrate::{Calibrated, Options, Tick, calibrate};
use bnfold::graph::Graph;
use bnfold::onnx::Model;
use bnfold::onnx::model::Name;
use bnfold::report::text::Detail;
use bnfold::report::{CalibrationReport, calibration, json};
use bnfold::verify::data::sources;
use clap::Args;

use super::Exit;
use super::fold::{Folding, Work};
use super::paths::Paths;
use super::progress::Progress;
use super::verification::claim_data;
use super::writing::Writing;

/// Arguments of `bnfold calibrate`.
#[derive(Args, Debug)]
pub(super) struct CalibrateArgs {
    /// The model
    model: PathBuf,
    /// Data: .npz, .npy or .pb files, folders of them, or test data folders
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    writing: Writing,
    /// Samples in a run of the model; 32 unless the model fixes it
    #[arg(long, value_name = "SAMPLES", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
    /// Estimate the statistics of nodes in inference mode anew, too
    #[arg(long)]
    all: bool,
    /// Measure all nodes in one pass over the data, each behind earlier ones in the mode that they have
    #[arg(long)]
    one_pass: bool,
    /// Fold the calibrated model, verify that, and write the result
    #[arg(long)]
    fold: bool,
    #[command(flatten)]
    folding: Folding,
    /// Print the outcome only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(arguments: &CalibrateArgs) -> anyhow::Result<Exit> {
    let progress = Progress::new(!arguments.quiet);
    progress.stage("reading");
    let paths = claim(arguments)?;
    let model = Model::open_with(&arguments.model, &arguments.writing.reading())?;
    arguments.writing.check(&model, paths)?;
    let named = || arguments.model.display().to_string();
    let graph = Graph::new(&model, arguments.folding.selection.reading()).with_context(named)?;
    let calibrated = measured(arguments, &graph, &progress).with_context(named)?;
    let mut report = CalibrationReport::new(&named(), &graph, &calibrated, arguments.one_pass);
    let mut exit = Exit::Yes;
    if arguments.fold {
        let edited = Model::edited(&calibrated.edits, &arguments.writing.reading())?;
        let work = Work {
            model: &edited,
            path: &arguments.model,
            folding: &arguments.folding,
            writing: &arguments.writing,
            has_pictures: false,
            progress: &progress,
        };
        let (fold, said) = work.run()?;
        (report.fold, exit) = (Some(fold), said);
    } else {
        progress.stage("writing");
        report.output = Some(
            arguments
                .writing
                .save(&calibrated.edits, &arguments.model)??,
        );
    }
    drop(progress);
    let detail = match arguments.quiet {
        true => Detail::Short,
        false => Detail::Normal,
    };
    let text = calibration::render(&report, detail);
    arguments
        .writing
        .report(&text, || json::render_calibration(&report))?;
    Ok(exit)
}

/// The files that are named.
fn claim(arguments: &CalibrateArgs) -> anyhow::Result<Paths> {
    let mut paths = Paths::default();
    arguments.writing.claim(&mut paths)?;
    claim_data(&arguments.data, &mut paths)?;
    arguments.folding.checking.claim(&mut paths)?;
    Ok(paths)
}

fn measured<'m>(
    arguments: &CalibrateArgs,
    graph: &Graph<'m>,
    progress: &Progress,
) -> anyhow::Result<Calibrated<'m>> {
    let main = &graph.model.graph;
    let is_stored = |name: &Name| main.initializers.iter().any(|tensor| tensor.name == *name);
    let inputs = main.inputs.iter().filter(|input| !is_stored(&input.name));
    let data = sources(&arguments.data, Some(inputs.count()))?;
    let options = Options {
        choice: arguments.folding.selection.choice(arguments.all)?,
        one_pass: arguments.one_pass,
        batch_size: arguments.batch_size.map(|size| size as usize),
        ..Options::default()
    };
    progress.steps("measuring", 0, data.len());
    let mut watch = |tick: Tick| {
        let position = tick.pass * tick.sources + tick.source;
        progress.steps("measuring", position, tick.passes * tick.sources);
    };
    Ok(calibrate(graph, &data, &options, &mut watch)?)
}
