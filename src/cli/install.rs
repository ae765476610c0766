//! What an installation adds to the program: shell completions and man pages, generated from the flags themselves.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit};

/// Arguments of `bnfold completions`.
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the completions of a shell.
pub(super) fn completions(arguments: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "bnfold", &mut script);
    print(&script)
}

/// Arguments of `bnfold man`.
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// Write a page per subcommand into this directory instead of printing the program's own
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Prints the program's man page, or writes all pages.
pub(super) fn man(arguments: &ManArgs) -> anyhow::Result<Exit> {
    let command = Cli::command().disable_help_subcommand(true);
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return print(&page);
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .with_context(|| format!("cannot write man pages to {}", directory.display()))?;
    Ok(Exit::Yes)
}

fn print(bytes: &[u8]) -> anyhow::Result<Exit> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Yes),
    }
}
