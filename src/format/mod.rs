//! Formats: an [`Audit`] as text for people and for machines, one file a format.

mod github;
mod html;
mod json;
mod junit;
mod markdown;
#[cfg(test)]
mod samples;
mod sarif;
mod text;
mod totals;

use std::path::Path;

use crate::check::Audit;

/// How an audit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// For a terminal.
    Text,
    /// All that is known, by the schema in `schema/audit.json`.
    Json,
    /// A page for a browser, in one file.
    Html,
    /// SARIF 2.1.0, which code scanning reads.
    Sarif,
    /// JUnit XML, which every CI shows as tests.
    Junit,
    /// Workflow commands of GitHub Actions, for standard output.
    Github,
    /// Markdown for a job summary.
    Markdown,
}

/// A file name that no format writes.
#[derive(Debug, thiserror::Error)]
#[error(
    "no report format has the extension of {name:?}; give one of {}",
    Format::extensions()
)]
pub struct UnknownFormat {
    name: String,
}

impl Format {
    /// Every format, with its name and the endings of its files.
    pub const ALL: &'static [(Format, &'static str, &'static [&'static str])] = &[
        (Format::Text, "text", &["txt"]),
        (Format::Json, "json", &["json"]),
        (Format::Html, "html", &["html"]),
        (Format::Sarif, "sarif", &["sarif", "sarif.json"]),
        (Format::Junit, "junit", &["xml"]),
        (Format::Github, "github", &[]),
        (Format::Markdown, "markdown", &["md"]),
    ];

    /// The format that a file's ending stands for, the longest ending if several do.
    ///
    /// # Errors
    /// If it stands for none.
    pub fn of(path: &Path) -> Result<Format, UnknownFormat> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ends_so = |ending: &str| name.ends_with(&format!(".{ending}"));
        let known = Format::endings().filter(|(_, ending)| ends_so(ending));
        let longest = known.max_by_key(|(_, ending)| ending.len());
        longest.map(|(format, _)| format).ok_or(UnknownFormat {
            name: path.display().to_string(),
        })
    }

    fn endings() -> impl Iterator<Item = (Format, &'static str)> {
        let formats = Format::ALL.iter();
        formats.flat_map(|(format, _, endings)| endings.iter().map(|ending| (*format, *ending)))
    }

    fn extensions() -> String {
        let endings = Format::endings().map(|(_, ending)| format!(".{ending}"));
        endings.collect::<Vec<String>>().join(", ")
    }

    /// The audit in this format, with a newline at its end.
    pub fn render(self, audit: &Audit) -> String {
        match self {
            Format::Text => text::render(audit),
            Format::Json => json::render(audit),
            Format::Html => html::render(audit),
            Format::Sarif => sarif::render(audit),
            Format::Junit => junit::render(audit),
            Format::Github => github::render(audit),
            Format::Markdown => markdown::render(audit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_formats_apart() {
        for (format, ending) in Format::endings() {
            let path = format!("out/report.{ending}");
            assert_eq!(Format::of(Path::new(&path)).unwrap(), format);
        }
        let error = Format::of(Path::new("report.pdf")).unwrap_err();
        assert!(
            error.to_string().contains(".json, .html, .sarif, "),
            "{error}"
        );
        assert!(Format::of(Path::new("report")).is_err());
        assert!(Format::of(Path::new("json")).is_err());
    }

    #[test]
    fn samples_look_as_they_did_in_every_format() {
        for (format, name, _) in Format::ALL {
            for (sample, audit) in samples::all() {
                let text = format.render(&audit);
                assert!(text.ends_with('\n'), "{name} of {sample}");
                let plain = anstream::adapter::strip_str(&text).to_string();
                insta::assert_snapshot!(format!("{name}_{sample}"), plain);
            }
        }
    }
}
