//! JUnit XML: a suite per model, a case per finding and per BatchNormalization without one.
//!
//! A case is named after the node and the code, so that a viewer follows one finding from run to run.
//! Errors and warnings fail; notes and what the baseline holds are skipped, which viewers list with their message;
//! a model that cannot be checked is an error.

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use crate::check::{Audit, Audited, Finding, Severity};
use crate::report::{Report, Verification};

use crate::report::visible;

pub(super) fn render(audit: &Audit) -> String {
    let mut document = Document::new("bnfold");
    document.add_test_suites(audit.models.iter().map(suite));
    let text = document.to_string();
    // It is written to memory.
    text.unwrap_or_else(|error| unreachable!("a report is always XML: {error}"))
}

fn suite(audited: &Audited) -> TestSuite {
    let mut suite = TestSuite::new(visible(&audited.path));
    if let Some(trouble) = &audited.trouble {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(visible(trouble)).set_type("trouble");
        suite.add_test_case(case(audited, "check", status));
    }
    if let Some(report) = &audited.report {
        suite.add_test_cases(sound(audited, report));
        suite.add_test_case(case(audited, "verification", verified(report)));
    }
    suite.add_test_cases(audited.findings.iter().map(|finding| {
        let place = finding.place();
        case(
            audited,
            &format!("{}{place}", finding.code),
            status(finding),
        )
    }));
    suite
}

fn case(audited: &Audited, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(visible(name), status);
    case.set_classname(visible(&audited.path));
    case
}

/// BNs without a finding, each as a case that passes.
fn sound<'a>(audited: &'a Audited, report: &'a Report) -> impl Iterator<Item = TestCase> + 'a {
    let nodes = report.batch_norms.iter().filter(|node| {
        let is_here = |finding: &Finding| finding.node == node.name && finding.scope == node.scope;
        !audited.findings.iter().any(is_here)
    });
    nodes.map(|node| {
        let name = match node.scope.is_empty() {
            true => node.name.clone(),
            false => format!("{} in {}", node.name, node.scope),
        };
        case(audited, &name, TestCaseStatus::success())
    })
}

/// Other verdicts have findings, unless a policy turns those off.
fn verified(report: &Report) -> TestCaseStatus {
    let skipped = |message: &str| {
        let mut status = TestCaseStatus::skipped();
        status.set_message(message);
        status
    };
    match &report.verification {
        Verification::Unchanged | Verification::Equivalent(_) => TestCaseStatus::success(),
        Verification::Skipped => skipped("not verified"),
        Verification::Different(_) => skipped("different"),
        Verification::Unknown(_) => skipped("unknown"),
    }
}

fn status(finding: &Finding) -> TestCaseStatus {
    let is_failure = !finding.is_accepted && finding.severity > Severity::Note;
    let mut status = match is_failure {
        true => TestCaseStatus::non_success(NonSuccessKind::Failure),
        false => TestCaseStatus::skipped(),
    };
    let grade = if finding.is_accepted { "accepted " } else { "" };
    let message = visible(&finding.message);
    status
        .set_message(format!("{grade}{}: {message}", finding.severity))
        .set_type(finding.code.name());
    if is_failure {
        status.set_description(format!(
            "{}\nbnfold explain {}",
            finding.code.summary(),
            finding.code
        ));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples;

    #[test]
    fn what_is_written_is_well_formed_and_read_back_the_same() {
        for (name, audit) in samples::all() {
            let text = render(&audit);
            let read = Document::deserialize_from_str(&text).unwrap();
            assert_eq!(read.to_string().unwrap(), text, "{name}");
            let is_allowed = |c: char| !c.is_control() || c == '\n';
            assert!(text.chars().all(is_allowed), "{name}");
        }
    }

    #[test]
    fn counts_are_those_of_the_audit() {
        let counts = |index: usize| {
            let text = render(&samples::all()[index].1);
            let read = Document::deserialize_from_str(&text).unwrap();
            [read.tests, read.failures, read.skipped, read.errors]
        };
        assert_eq!(counts(0), [3, 0, 0, 0]);
        assert_eq!(counts(1), [9, 3, 3, 0]);
        assert_eq!(counts(2), [4, 0, 1, 1]);
    }
}
