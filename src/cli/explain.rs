//! `bnfold explain`: what a reason's code means.

use std::fmt::Write as _;

use anyhow::bail;
use bnfold::rules::Code;
use clap::Args;

use super::Exit;
use super::output::say;

/// Arguments of `bnfold explain`.
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The code, as reports print it; without one, all codes are listed
    code: Option<String>,
}

pub(super) fn run(arguments: &ExplainArgs) -> anyhow::Result<Exit> {
    let Some(wanted) = &arguments.code else {
        let mut list = String::new();
        for code in Code::ALL {
            let _ = writeln!(
                list,
                "{:<24} {:<12} {}",
                code.name(),
                code.kind().to_string(),
                code.summary()
            );
        }
        say(&list)?;
        return Ok(Exit::Yes);
    };
    let Some(code) = Code::ALL.iter().find(|code| code.name() == wanted) else {
        bail!("there is no code {wanted:?}; `bnfold explain` without a code lists them all");
    };
    say(&format!(
        "{} ({})\n\n{}\n\n{}\n",
        code.name(),
        code.kind(),
        code.summary(),
        code.advice()
    ))?;
    Ok(Exit::Yes)
}
