//! Explain: the page of every finding and every refusal, one Markdown text a code.
//!
//! A page says what its code means, why that matters, shows a small example, and says what to do.
//! The texts lie beside this file; [`document`] joins them into `docs/codes.md`.

mod document;
mod plain;

use crate::check::FindingCode;
use crate::rules::Code;

pub use document::{document, table};

/// Codes less alike than this are no misspellings of each other.
const ALIKE: f64 = 0.7;

/// What there is to say of a code.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The code.
    pub code: &'static str,
    /// A finding's severity unless a policy says otherwise, or what a refusal rests on.
    pub kind: &'static str,
    /// What it means, in one sentence.
    pub summary: &'static str,
    /// The whole text, as Markdown.
    pub body: &'static str,
}

impl From<FindingCode> for Page {
    fn from(code: FindingCode) -> Page {
        Page {
            code: code.name(),
            kind: code.severity().name(),
            summary: code.summary(),
            body: code.page(),
        }
    }
}

impl From<Code> for Page {
    fn from(code: Code) -> Page {
        Page {
            code: code.name(),
            kind: code.kind().name(),
            summary: code.summary(),
            body: code.page(),
        }
    }
}

/// The pages of all findings.
pub fn findings() -> impl Iterator<Item = Page> {
    FindingCode::ALL.iter().copied().map(Page::from)
}

/// The pages of all refusals.
pub fn refusals() -> impl Iterator<Item = Page> {
    Code::ALL.iter().copied().map(Page::from)
}

/// The page of a code.
pub fn page(code: &str) -> Option<Page> {
    findings().chain(refusals()).find(|page| page.code == code)
}

/// The code that somebody probably meant.
pub fn nearest(misspelt: &str) -> Option<&'static str> {
    let misspelt = misspelt.to_lowercase().replace(['_', ' '], "-");
    let likeness = |page: Page| (strsim::jaro_winkler(&misspelt, page.code), page.code);
    let best = findings()
        .chain(refusals())
        .map(likeness)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.and_then(|(likeness, code)| (likeness >= ALIKE).then_some(code))
}

impl Page {
    /// The page as text without marks, its paragraphs wrapped at so many columns.
    pub fn plain(&self, width: usize) -> String {
        let Page {
            code,
            kind,
            summary,
            ..
        } = self;
        let summary = textwrap::fill(summary, width);
        let body = plain::plain(self.body, width);
        format!("{code} ({kind})\n\n{summary}\n\n{body}")
    }

    /// The first paragraph: what the code means.
    pub fn meaning(&self) -> String {
        let paragraph = self.body.split("\n\n").next().unwrap_or_default();
        plain::plain(paragraph, usize::MAX).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_page_says_why_shows_an_example_and_says_what_to_do() {
        for page in findings().chain(refusals()) {
            let headings: Vec<&str> = page
                .body
                .lines()
                .filter_map(|line| line.strip_prefix("### "))
                .collect();
            let code = page.code;
            assert_eq!(
                headings,
                ["Why it matters", "Example", "What to do"],
                "{code}"
            );
            assert_eq!(page.body.matches("```").count(), 2, "{code}");
            assert!(!page.meaning().is_empty(), "{code}");
            assert!(
                page.body.ends_with('\n') && !page.body.ends_with("\n\n"),
                "{code}"
            );
        }
    }

    #[test]
    fn findings_and_refusals_share_no_code() {
        let codes: Vec<&str> = findings().chain(refusals()).map(|page| page.code).collect();
        let distinct: BTreeSet<&&str> = codes.iter().collect();
        assert_eq!(distinct.len(), codes.len());
    }

    #[test]
    fn every_text_belongs_to_a_code() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/explain");
        let texts = |directory: &str| -> BTreeSet<String> {
            let entries = std::fs::read_dir(root.join(directory)).unwrap();
            let name =
                |path: std::path::PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
            entries.map(|entry| name(entry.unwrap().path())).collect()
        };
        let codes = |pages: &mut dyn Iterator<Item = Page>| -> BTreeSet<String> {
            pages.map(|page| page.code.to_owned()).collect()
        };
        assert_eq!(texts("findings"), codes(&mut findings()));
        assert_eq!(texts("refusals"), codes(&mut refusals()));
    }

    #[test]
    fn a_misspelt_code_is_recognised_and_nonsense_is_not() {
        for (misspelt, meant) in [
            ("foldabel", "foldable"),
            ("ZERO_PADDING", "zero-padding"),
            ("dead-chanel", "dead-channel"),
            ("overridable-initialiser", "overridable-initializer"),
        ] {
            assert_eq!(nearest(misspelt), Some(meant));
        }
        assert_eq!(nearest("xyzzy"), None);
    }
}
