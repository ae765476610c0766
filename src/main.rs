//! The `bnfold` program; everything it does is in the library and in [`cli`].

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let exit = cli::run(cli::Cli::parse()).unwrap_or_else(|error| {
        cli::fail(&error);
        cli::Exit::Trouble
    });
    ExitCode::from(exit as u8)
}
