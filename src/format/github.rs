//! Workflow commands of GitHub Actions: an annotation per open finding, then what it comes to.
//!
//! `::error file=F,title=T::message`, with `%`, CR and LF escaped everywhere, `:` and `,` in properties as well.

use crate::check::{Audit, Finding, Severity};

use super::totals::Totals;

pub(super) fn render(audit: &Audit) -> String {
    let troubles = audit
        .troubles()
        .map(|(audited, trouble)| command("error", &audited.path, "trouble", trouble));
    let findings = audit.open().map(|(audited, finding)| {
        let title = title(finding);
        command(
            level(finding.severity),
            &audited.path,
            &title,
            &finding.message,
        )
    });
    let commands: String = troubles.chain(findings).collect();
    format!("{commands}{}\n", Totals::of(audit))
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    }
}

/// `CODE at NODE in SCOPE`, as far as there are any.
fn title(finding: &Finding) -> String {
    format!("{}{}", finding.code, finding.place())
}

fn command(level: &str, file: &str, title: &str, message: &str) -> String {
    let (file, title) = (property(file), property(title));
    format!("::{level} file={file},title={title}::{}\n", data(message))
}

fn data(text: &str) -> String {
    let text = text.replace('%', "%25");
    text.replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples;

    #[test]
    fn no_name_can_bring_in_a_command_of_its_own() {
        for (name, audit) in samples::all() {
            let text = render(&audit);
            let expected = audit.open().count() + audit.troubles().count();
            let lines = text.lines().filter(|line| line.starts_with("::"));
            assert_eq!(lines.count(), expected, "{name}");
            assert_eq!(text.lines().count(), expected + 1, "{name}");
            assert!(!text.contains('\r'), "{name}");
        }
    }

    #[test]
    fn percent_signs_are_escaped_first() {
        assert_eq!(property("50%,\n:"), "50%25%2C%0A%3A");
        assert_eq!(data("50%,\n:"), "50%25,%0A:");
    }
}
