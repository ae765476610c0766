//! The `bnfold` program; everything it does is in the library and in [`cli`].

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(code) = bnfold::verify::isolated::serve_if_asked() {
        return code;
    }
    let cli = cli::Cli::parse();
    std::panic::set_hook(Box::new(cli::report_bug));
    // A panic is a defect of bnfold; it must not look like an answer, and nothing is written then.
    let exit = std::panic::catch_unwind(|| cli::run(cli)).unwrap_or(Ok(cli::Exit::Trouble));
    let exit = exit.unwrap_or_else(|error| {
        cli::fail(&error);
        cli::Exit::Trouble
    });
    ExitCode::from(exit as u8)
}
