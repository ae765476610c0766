//! `bnfold explain`: the page of a code.

use anyhow::bail;
use bnfold::explain::{Page, findings, nearest, page, refusals};
use clap::Args;

use super::Exit;
use super::output::say;

/// Columns of a page.
const WIDTH: usize = 80;

/// Arguments of `bnfold explain`.
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The code, as reports print it; without one, all codes are listed
    code: Option<String>,
}

pub(super) fn run(arguments: &ExplainArgs) -> anyhow::Result<Exit> {
    let Some(wanted) = &arguments.code else {
        say(&list())?;
        return Ok(Exit::Yes);
    };
    let Some(page) = page(wanted) else {
        let hint = nearest(wanted).map_or(String::new(), |code| format!("did you mean {code}? "));
        bail!("there is no code {wanted:?}; {hint}`bnfold explain` without a code lists them all");
    };
    say(&page.plain(WIDTH))?;
    Ok(Exit::Yes)
}

fn list() -> String {
    let line = |page: Page| format!("  {:<24} {:<12} {}\n", page.code, page.kind, page.summary);
    let findings: String = findings().map(line).collect();
    let refusals: String = refusals().map(line).collect();
    format!(
        "Findings of bnfold check\n{findings}\nReasons why a BatchNormalization stays\n{refusals}"
    )
}
