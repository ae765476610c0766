//! The audits over which every format is tried: clean, with findings, with trouble.

use crate::check::{Audit, Audited, Finding, FindingCode};
use crate::report::{
    Comparison, FigureSet, FoldReport, ModelSummary, NodeReport, OutputFigures, Parameters, Range,
    Reason, Report, SiteReport, Verification,
};
use crate::rules::Code;
use crate::verify::Figures;

/// A name with everything that some format has to escape.
pub(super) const HOSTILE: &str =
    "bn|`<b>&\"'*_[x](y)]]>\r\n::error file=a,line=1::100% \u{7}\u{1b}[31m\u{202e}é\\";

/// The samples, each with its name.
pub(super) fn all() -> [(&'static str, Audit); 3] {
    [
        ("clean", clean()),
        ("findings", with_findings()),
        ("trouble", trouble()),
    ]
}

fn clean() -> Audit {
    Audit::new(vec![audited("zoo/clean.onnx", Verification::Unchanged)])
}

fn with_findings() -> Audit {
    let different = Verification::Different(Comparison {
        reason: Some(format!("output {HOSTILE} differs: 1.0 and NaN")),
        outputs: vec![OutputFigures {
            name: "y".to_owned(),
            element: "float32".to_owned(),
            shape: vec![1, 4],
            original_error: Some(1e-7),
            rewritten_error: Some(f64::INFINITY),
            difference: None,
            allowed: f64::NAN,
            agrees: false,
            elements: 4,
            argmax_changes: 1,
            figures: FigureSet {
                original: Some(Figures {
                    max_abs: 1e-7,
                    max_rel: f64::INFINITY,
                    ..Figures::default()
                }),
                ..FigureSet::default()
            },
        }],
        ..comparison()
    });
    let mut hostile = audited(&format!("zoo/a b#{HOSTILE}.onnx"), different);
    hostile.findings = vec![
        finding(FindingCode::NotFinite, HOSTILE, &format!("if_0/{HOSTILE}")),
        finding(FindingCode::NotEquivalent, "", ""),
    ];
    let mut usual = audited("zoo/usual.onnx", Verification::Equivalent(comparison()));
    usual.findings = vec![
        finding(FindingCode::Foldable, "bn_0", ""),
        finding(FindingCode::DeadChannel, "bn_1", "if_0/then_branch"),
        Finding {
            is_accepted: true,
            ..finding(FindingCode::LargeScale, "bn_1", "if_0/then_branch")
        },
    ];
    Audit::new(vec![usual, hostile])
}

fn trouble() -> Audit {
    let broken = Audited {
        path: "/zoo/broken.onnx".to_owned(),
        findings: Vec::new(),
        trouble: Some("/zoo/broken.onnx is no ONNX model: it ends early".to_owned()),
        report: None,
    };
    let clean = audited("zoo/clean.onnx", Verification::Skipped);
    Audit::new(vec![clean, broken])
}

fn audited(path: &str, verification: Verification) -> Audited {
    Audited {
        path: path.to_owned(),
        findings: Vec::new(),
        trouble: None,
        report: Some(report(path, verification)),
    }
}

fn finding(code: FindingCode, node: &str, scope: &str) -> Finding {
    let mut finding = Finding {
        code,
        severity: code.severity(),
        node: node.to_owned(),
        scope: scope.to_owned(),
        message: String::new(),
        is_accepted: false,
    };
    finding.message = format!("something was found{}", finding.place());
    finding
}

fn report(path: &str, verification: Verification) -> Report {
    let node = |name: &str, scope: &str| NodeReport {
        name: name.to_owned(),
        scope: scope.to_owned(),
        op_type: "BatchNormalization".to_owned(),
        parameters: Some(parameters()),
        around: None,
        fold: None,
        reasons: Vec::new(),
    };
    let folded = NodeReport {
        fold: Some(FoldReport {
            way: "upstream".to_owned(),
            sites: vec![SiteReport {
                node: "conv_0".to_owned(),
                side: "output".to_owned(),
            }],
            through: vec!["relu_0".to_owned()],
        }),
        ..node("bn_0", "")
    };
    let reason = |way: &str, code: Code| Reason {
        way: way.to_owned(),
        code,
        kind: code.kind(),
        node: HOSTILE.to_owned(),
        detail: "Sigmoid lets no affine pass".to_owned(),
    };
    let stays = NodeReport {
        reasons: vec![
            reason("upstream", Code::Nonlinear),
            reason("downstream", Code::ZeroPadding),
        ],
        ..node("bn_1", "if_0/then_branch")
    };
    Report {
        schema: "bnfold-report/1".to_owned(),
        version: "0".to_owned(),
        model: ModelSummary {
            path: path.to_owned(),
            bytes: 12_345,
            ir_version: 8,
            opset: 17,
            nodes: 9,
        },
        batch_norms: vec![folded, stays],
        affines: Vec::new(),
        nodes_removed: 1,
        clones: 0,
        verification,
        at_fault: None,
        rolled_back: Vec::new(),
        assumed: None,
        output: None,
        notes: vec!["1 constant copied".to_owned()],
    }
}

fn parameters() -> Parameters {
    let range = |min, max| Range { min, max };
    Parameters {
        channels: 2,
        epsilon: 1e-5,
        scale: range(0.0, 3.5),
        shift: range(f64::NEG_INFINITY, f64::INFINITY),
        mean: range(f64::NAN, f64::NAN),
        var: range(0.5, 1.0),
        largest: f64::INFINITY,
        spread: 1.0,
        histogram: vec![1, 1],
        dead: vec![0],
        negative_var: Vec::new(),
        not_finite: vec![1],
    }
}

fn comparison() -> Comparison {
    Comparison {
        samples: 3,
        tolerance: "8 times".to_owned(),
        engine: "built-in".to_owned(),
        ..Comparison::default()
    }
}
