//! Formats: an [`Audit`] as text for people and for machines, one file a format.

mod html;
mod text;

use std::path::Path;

use crate::check::Audit;
use crate::report::json;

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
    /// Every format, with its name and the ending of its files.
    pub const ALL: &'static [(Format, &'static str, &'static str)] = &[
        (Format::Text, "text", "txt"),
        (Format::Json, "json", "json"),
        (Format::Html, "html", "html"),
    ];

    /// The format that a file's ending stands for.
    ///
    /// # Errors
    /// If it stands for none.
    pub fn of(path: &Path) -> Result<Format, UnknownFormat> {
        let ending = path.extension().map(|ending| ending.to_string_lossy());
        let known = Format::ALL
            .iter()
            .find(|(_, _, known)| ending.as_deref() == Some(*known));
        known.map(|(format, _, _)| *format).ok_or(UnknownFormat {
            name: path.display().to_string(),
        })
    }

    fn extensions() -> String {
        let endings = Format::ALL
            .iter()
            .map(|(_, _, ending)| format!(".{ending}"));
        endings.collect::<Vec<String>>().join(", ")
    }

    /// The audit in this format, with a newline at its end.
    pub fn render(self, audit: &Audit) -> String {
        match self {
            Format::Text => text::render(audit),
            Format::Json => json::pretty(audit),
            Format::Html => html::render(audit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_formats_apart() {
        for (format, _, ending) in Format::ALL {
            let path = format!("out/report.{ending}");
            assert_eq!(Format::of(Path::new(&path)).unwrap(), *format);
        }
        let error = Format::of(Path::new("report.pdf")).unwrap_err();
        assert!(error.to_string().contains(".json"), "{error}");
        assert!(Format::of(Path::new("report")).is_err());
    }
}
