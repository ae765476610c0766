//! SARIF 2.1.0: a rule per code with its page, a result per finding, a notification per model that is in trouble.
//!
//! What the baseline holds is a result with an external suppression.
//! Fingerprints are those of [`Identity`], so that a viewer follows a finding from run to run.

mod model;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::check::{Audit, Audited, Finding, FindingCode, Identity};
use crate::explain::Page;
use crate::report::json::pretty;
use model::{
    ArtifactLocation, Configuration, Driver, Fingerprints, Invocation, Location, Log,
    LogicalLocation, Message, Notification, Outcome, PhysicalLocation, Region, Rule, Run,
    Suppression, Tool,
};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Columns of a rule's help where Markdown is not shown.
const WIDTH: usize = 80;
/// RFC 3986: what a path may hold as it is, without the colon, which a first segment may not have.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(super) fn render(audit: &Audit) -> String {
    let notifications: Vec<Notification> = audit.troubles().map(notification).collect();
    let findings = audit.models.iter().flat_map(|audited| {
        let findings = audited.findings.iter();
        findings.map(move |finding| outcome(audited, finding))
    });
    let run = Run {
        tool: Tool { driver: driver() },
        invocations: [Invocation {
            execution_successful: notifications.is_empty(),
            tool_execution_notifications: notifications,
        }],
        results: findings.collect(),
        column_kind: "unicodeCodePoints",
    };
    pretty(&Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [run],
    })
}

fn driver() -> Driver {
    let home = env!("CARGO_PKG_REPOSITORY");
    Driver {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        semantic_version: env!("CARGO_PKG_VERSION"),
        information_uri: Some(home).filter(|home| !home.is_empty()),
        rules: FindingCode::ALL.iter().map(|&code| rule(code)).collect(),
    }
}

fn rule(code: FindingCode) -> Rule {
    let page = Page::from(code);
    Rule {
        id: page.code,
        short_description: message(page.summary),
        full_description: message(page.meaning()),
        help: Message {
            text: page.plain(WIDTH),
            markdown: Some(page.body),
        },
        default_configuration: Configuration { level: page.kind },
    }
}

fn outcome(audited: &Audited, finding: &Finding) -> Outcome {
    let fingerprint = Identity::of(audited, finding).fingerprint();
    let index = FindingCode::ALL
        .iter()
        .position(|&code| code == finding.code);
    let accepted = finding.is_accepted.then_some(Suppression {
        kind: "external",
        justification: "The baseline holds it.",
    });
    Outcome {
        rule_id: finding.code.name(),
        rule_index: index.unwrap_or_else(|| unreachable!("every code is in the list of all")),
        level: finding.severity.name(),
        message: message(&finding.message),
        locations: [location(audited, node(finding))],
        partial_fingerprints: Fingerprints {
            own: fingerprint.clone(),
            github: fingerprint,
        },
        suppressions: accepted.into_iter().collect(),
    }
}

fn notification((audited, trouble): (&Audited, &str)) -> Notification {
    Notification {
        level: "error",
        message: message(trouble),
        locations: [location(audited, None)],
    }
}

fn node(finding: &Finding) -> Option<LogicalLocation> {
    let Finding { node, scope, .. } = finding;
    let qualified = match scope.is_empty() {
        true => node.clone(),
        false => format!("{scope}/{node}"),
    };
    (!node.is_empty()).then(|| LogicalLocation {
        name: node.clone(),
        fully_qualified_name: qualified,
        kind: "node",
    })
}

fn location(audited: &Audited, node: Option<LogicalLocation>) -> Location {
    Location {
        physical_location: PhysicalLocation {
            artifact_location: artifact(&audited.path),
            // Code scanning lists no result without a line.
            region: Region { start_line: 1 },
        },
        logical_locations: node.into_iter().collect(),
    }
}

/// Relative paths are below the root of the sources.
fn artifact(path: &str) -> ArtifactLocation {
    let is_drive = path.get(1..3) == Some(":/");
    let absolute = match is_drive {
        true => Some("file:///"),
        false => path.starts_with('/').then_some("file://"),
    };
    let encoded = utf8_percent_encode(path.trim_start_matches("./"), PATH);
    ArtifactLocation {
        uri: format!("{}{encoded}", absolute.unwrap_or_default()),
        uri_base_id: absolute.is_none().then_some("%SRCROOT%"),
    }
}

fn message(text: impl Into<String>) -> Message {
    Message {
        text: text.into(),
        markdown: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::format::samples;

    fn rendered(sample: usize) -> Value {
        serde_json::from_str(&render(&samples::all()[sample].1)).unwrap()
    }

    #[test]
    fn every_sample_is_valid_by_the_official_schema() {
        let schema = include_str!("../../../tests/sarif/sarif-schema-2.1.0.json");
        // A pattern of it has a lone bracket, which ECMA-262 takes as it is and this validator does not.
        let schema = schema.replace("{2}]?$", "{2}\\\\]?$");
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let options = jsonschema::options().should_validate_formats(true);
        let validator = options.build(&schema).unwrap();
        for (sample, (name, _)) in samples::all().iter().enumerate() {
            let log = rendered(sample);
            let errors: Vec<String> = validator.iter_errors(&log).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
        let mut wrong = rendered(1);
        wrong["runs"][0]["results"][0]["level"] = "fatal".into();
        assert!(!validator.is_valid(&wrong));
    }

    #[test]
    fn results_point_to_their_rules_and_accepted_ones_are_suppressed() {
        let log = rendered(1);
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 5);
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(
                run["tool"]["driver"]["rules"][index]["id"],
                result["ruleId"]
            );
            let is_accepted = result["ruleId"] == "large-scale";
            assert_eq!(result["suppressions"].is_array(), is_accepted);
        }
        assert_eq!(run["invocations"][0]["executionSuccessful"], true);
        let trouble = &rendered(2)["runs"][0]["invocations"][0];
        assert_eq!(trouble["executionSuccessful"], false);
    }

    #[test]
    fn paths_are_uris() {
        for (path, uri) in [
            ("a b/c#1:é%.onnx", "a%20b/c%231%3A%C3%A9%25.onnx"),
            ("./zoo/a.onnx", "zoo/a.onnx"),
            ("/zoo/a.onnx", "file:///zoo/a.onnx"),
            ("C:/zoo/a.onnx", "file:///C%3A/zoo/a.onnx"),
        ] {
            assert_eq!(artifact(path).uri, uri);
        }
    }
}
