//! All pages as one document, and the tables of codes.

use std::fmt::Write as _;

use super::{Page, findings, refusals};

const HEAD: &str = "\
<!-- Made from src/explain by `BLESS=1 cargo test --test codes`; edit the texts there. -->

# Codes

What `bnfold check` finds, and why a BatchNormalization stays.
`bnfold explain CODE` prints the same pages.
The codes are stable: they stand in reports, in configurations and in baselines.
";

const FINDINGS: &str = "
## Findings

Each has a severity, which `--severity CODE=LEVEL` or `bnfold.toml` can set.

";

const REFUSALS: &str = "
## Reasons why a BatchNormalization stays

Each is of a kind: *impossible*, the algebra forbids it; *unsafe*, it would change or overflow numbers; *policy*, a flag would allow it; *unsupported*, it is not built.

";

/// `docs/codes.md`.
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    let mut part = |head: &str, columns: [&str; 2], pages: &dyn Fn() -> Vec<Page>| {
        text.push_str(head);
        text.push_str(&linked(&table(pages(), columns)));
        for page in pages() {
            let body = linked(page.body).replace("\n### ", "\n#### ");
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n### {}\n\n*{}*: {}\n\n{body}",
                page.code, page.kind, page.summary
            );
        }
    };
    part(FINDINGS, ["severity", "meaning"], &|| findings().collect());
    part(REFUSALS, ["kind", "reason"], &|| refusals().collect());
    text
}

/// A Markdown table of pages, with headings for their kind and their summary.
pub fn table(pages: impl IntoIterator<Item = Page>, [kind, summary]: [&str; 2]) -> String {
    let mut table = format!("| code | {kind} | {summary} |\n|---|---|---|\n");
    for page in pages {
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {} |",
            page.code, page.kind, page.summary
        );
    }
    table
}

/// Codes that are named become links to their pages.
fn linked(text: &str) -> String {
    let pages = findings().chain(refusals());
    pages.fold(text.to_owned(), |text, Page { code, .. }| {
        text.replace(&format!("`{code}`"), &format!("[`{code}`](#{code})"))
    })
}
