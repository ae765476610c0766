//! The command line: what people may ask for, and the exit codes of the answers.
//!
//! Exit codes follow grep's grammar: 0 yes, 1 no, 2 trouble.

mod assume;
mod calibrate;
mod check;
mod checked;
mod config;
mod explain;
mod fold;
mod inspect;
mod install;
mod models;
mod output;
mod paths;
mod progress;
mod report;
mod reports;
mod selection;
mod verification;
mod verify;
mod walk;
mod writing;

use clap::{Parser, Subcommand};

pub(crate) use output::{fail, report_bug};

/// What the process answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Yes: written and equivalent, nothing found.
    Yes = 0,
    /// No: not equivalent, something found.
    No = 1,
    /// It could not be told.
    Trouble = 2,
}

const EXAMPLES: &str = "\
Examples:
  bnfold model.onnx -o out.onnx             fold, verify, write
  bnfold model.onnx -o out.onnx --dim N=4   with 4 for the symbolic dimension N in the check
  bnfold inspect model.onnx                 what would be folded, and why the rest stays
  bnfold verify model.onnx other.onnx       whether another tool's output computes the same
  bnfold calibrate model.onnx --data images -o out.onnx
                                            statistics from data where training mode was left on
  bnfold explain zero-padding               what a reason means and what to do

Exit status:
  0  written, and equivalent to the original
  1  the result would not be equivalent; nothing is written
  2  trouble: the model cannot be read, run or written, and nothing is written;
     or it is written, but a report of it cannot be, which standard error says";

/// Folds every BatchNormalization that algebra allows out of an ONNX model, and proves it.
#[derive(Debug, Parser)]
#[command(name = "bnfold", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    fold: fold::FoldArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the plan: what would be folded, and why the rest stays; writes nothing
    Inspect(inspect::InspectArgs),
    /// Compare two models: 0 equivalent, 1 different, 2 unknown
    Verify(verify::VerifyArgs),
    /// Estimate the statistics of BatchNormalizations from data, and write an inference-mode model
    Calibrate(Box<calibrate::CalibrateArgs>),
    /// Look at models before a deployment: 0 clean, 1 findings, 2 trouble; writes no model
    Check(check::CheckArgs),
    /// Work with the reports of bnfold check
    Report(report::ReportArgs),
    /// Explain the code of a finding or a reason: what it means, why it matters, and what to do
    Explain(explain::ExplainArgs),
    /// Print the completions of a shell, to be sourced or installed
    Completions(install::CompletionsArgs),
    /// Print the man page
    Man(install::ManArgs),
}

/// Does what the arguments ask for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Some(Command::Inspect(arguments)) => inspect::run(&arguments),
        Some(Command::Verify(arguments)) => verify::run(&arguments),
        Some(Command::Calibrate(arguments)) => calibrate::run(&arguments),
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Report(arguments)) => report::run(&arguments),
        Some(Command::Explain(arguments)) => explain::run(&arguments),
        Some(Command::Completions(arguments)) => install::completions(&arguments),
        Some(Command::Man(arguments)) => install::man(&arguments),
        None => fold::run(&cli.fold),
    }
}
