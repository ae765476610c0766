//! What stands out in a report, by code.

use serde::{Deserialize, Serialize};

use super::code::{FindingCode, Severity};
use super::policy::{Level, Policy};
use crate::report::{NodeReport, Parameters, Report, Verification};
use crate::rules::Code;

/// The greatest finite float16.
const LARGEST_HALF: f64 = 65504.0;
/// How many channels a message names.
const NAMED: usize = 8;

/// Something that a CI job should know of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// What kind of thing.
    pub code: FindingCode,
    /// How grave.
    pub severity: Severity,
    /// The node; empty where it is the model as a whole.
    pub node: String,
    /// The nested graph or function that the node stands in; empty for the main graph.
    pub scope: String,
    /// What was found, in one sentence.
    pub message: String,
    /// Whether the baseline holds it, so that it counts for nothing.
    pub is_accepted: bool,
}

/// What stands out in a model as it lies, in the order of the graph; codes that the policy turns off are left out.
pub fn findings(report: &Report, policy: &Policy) -> Vec<Finding> {
    let of_nodes = report
        .batch_norms
        .iter()
        .flat_map(|node| of_node(node, policy));
    graded(of_nodes.chain(of_verification(report)), policy)
}

/// What stands out in a model that was folded: at nodes that stay, in weights that took a fold, and in the verdict.
pub fn findings_of_result(report: &Report, policy: &Policy) -> Vec<Finding> {
    let of_nodes = report
        .batch_norms
        .iter()
        .flat_map(|node| of_node(node, policy));
    let left = of_nodes.filter(|(node, (code, _))| {
        let is_folded = node.is_some_and(|node| node.fold.is_some());
        !is_folded || *code == FindingCode::RangeGrowth
    });
    graded(left.chain(of_verification(report)), policy)
}

fn graded<'r>(found: impl Iterator<Item = Found<'r>>, policy: &Policy) -> Vec<Finding> {
    let graded = found.filter_map(|(node, (code, message))| {
        let Level::Report(severity) = policy.level(code) else {
            return None;
        };
        Some(Finding {
            code,
            severity,
            node: node.map_or(String::new(), |node| node.name.clone()),
            scope: node.map_or(String::new(), |node| node.scope.clone()),
            message,
            is_accepted: false,
        })
    });
    graded.collect()
}

impl Finding {
    /// ` at NODE in SCOPE`, as far as there are any.
    pub fn place(&self) -> String {
        let named = [(" at ", &self.node), (" in ", &self.scope)];
        let there = named.into_iter().filter(|(_, name)| !name.is_empty());
        there.map(|(word, name)| format!("{word}{name}")).collect()
    }
}

type Found<'r> = (Option<&'r NodeReport>, (FindingCode, String));

fn of_node<'r>(node: &'r NodeReport, policy: &Policy) -> Vec<Found<'r>> {
    let mut found = Vec::new();
    if let Some(fold) = &node.fold {
        let mut sites: Vec<&str> = fold.sites.iter().map(|site| site.node.as_str()).collect();
        sites.dedup();
        let into = match sites.is_empty() {
            true => "it is unread, or constant".to_owned(),
            false => format!("it can be folded into {}", sites.join(", ")),
        };
        found.push((FindingCode::Foldable, into));
    }
    let reason = |code: Code| node.reasons.iter().find(|reason| reason.code == code);
    if let Some(reason) = reason(Code::TrainingMode) {
        found.push((FindingCode::TrainingMode, reason.detail.clone()));
    }
    // Not one that was met on the way to a weight.
    let own = format!("{} ({})", node.name, node.op_type);
    if let Some(reason) = reason(Code::Malformed).filter(|reason| reason.node == own) {
        found.push((FindingCode::Malformed, reason.detail.clone()));
    }
    if let Some(reason) = reason(Code::Overridable) {
        found.push((
            FindingCode::OverridableInitializer,
            format!("at {}: {}", reason.node, reason.detail),
        ));
    }
    if let Some(parameters) = &node.parameters {
        found.extend(of_parameters(parameters, node.fold.is_some(), policy));
    }
    found.into_iter().map(|found| (Some(node), found)).collect()
}

fn of_parameters(
    parameters: &Parameters,
    is_folded: bool,
    policy: &Policy,
) -> Vec<(FindingCode, String)> {
    let mut found = Vec::new();
    let mut channels = |code: FindingCode, which: &[usize], what: &str| {
        if !which.is_empty() {
            found.push((code, format!("{what} in {}", named(which, parameters))));
        }
    };
    channels(
        FindingCode::NotFinite,
        &parameters.not_finite,
        "a parameter, or the affine that it gives, is not finite",
    );
    channels(
        FindingCode::NegativeVariance,
        &parameters.negative_var,
        "the variance is negative",
    );
    channels(
        FindingCode::DeadChannel,
        &parameters.dead,
        "the scale is zero",
    );
    let largest = parameters.scale.max.abs().max(parameters.scale.min.abs());
    if largest > policy.bounds.scale && largest.is_finite() {
        found.push((
            FindingCode::LargeScale,
            format!(
                "the scale reaches {largest:.3e}, beyond {:e}; the least variance is {:.3e}, epsilon {:.1e}",
                policy.bounds.scale, parameters.var.min, parameters.epsilon
            ),
        ));
    }
    if parameters.largest > LARGEST_HALF && parameters.largest.is_finite() {
        found.push((
            FindingCode::HalfOverflow,
            format!(
                "a parameter or the affine reaches {:.3e}; float16 ends at {LARGEST_HALF}",
                parameters.largest
            ),
        ));
    }
    if is_folded && parameters.spread > policy.bounds.growth {
        found.push((
            FindingCode::RangeGrowth,
            format!(
                "the fold widens one channel's weights {:.1} times as much as the median channel's, beyond {}",
                parameters.spread, policy.bounds.growth
            ),
        ));
    }
    found
}

/// `channels 3, 5 of 64`.
fn named(channels: &[usize], parameters: &Parameters) -> String {
    let shown: Vec<String> = channels
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let more = match channels.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!(" and {more} more"),
        _ => String::new(),
    };
    let noun = if channels.len() == 1 {
        "channel"
    } else {
        "channels"
    };
    format!(
        "{noun} {}{more} of {}",
        shown.join(", "),
        parameters.channels
    )
}

fn of_verification(report: &Report) -> Option<Found<'_>> {
    let (code, comparison) = match &report.verification {
        Verification::Different(comparison) => (FindingCode::NotEquivalent, comparison),
        Verification::Unknown(comparison) => (FindingCode::NotVerifiable, comparison),
        _ => return None,
    };
    let fault = report.at_fault.as_ref().and_then(|fault| {
        let mut nodes = report.batch_norms.iter();
        nodes.find(|node| node.name == fault.node)
    });
    let reason = comparison.reason.clone().unwrap_or_default();
    Some((fault, (code, reason)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold;
    use crate::graph::Reading;
    use crate::onnx::Model;
    use crate::onnx::proto::ModelProto;
    use crate::plan::PlanOptions;
    use crate::report::Comparison;
    use crate::testing::{DataType, Graph, Tensor, ToBytes, Value, model};

    fn report(built: &ModelProto) -> Report {
        let model = Model::from_bytes(built.to_bytes()).unwrap();
        let folded = fold(&model, Reading::default(), &PlanOptions::default()).unwrap();
        Report::new("m.onnx", &folded)
    }

    fn codes(report: &Report) -> Vec<&'static str> {
        let found = findings(report, &Policy::default());
        found.iter().map(|finding| finding.code.name()).collect()
    }

    /// A BN with one parameter replaced, behind a Sigmoid so that it stays.
    fn staying(slot: usize, elements: [f32; 4]) -> Report {
        report(&model(|g| {
            let parameter = g.initializer("p", Tensor::floats(&[4], elements));
            let x = g.input("x", [1, 4, 5, 5]).sigmoid();
            x.batch_norm()
                .with_input(slot, &parameter)
                .sigmoid()
                .output("y")
        }))
    }

    #[test]
    fn a_sound_model_without_foldable_nodes_has_no_findings() {
        assert!(codes(&staying(1, [1.0, -1.0, 2.0, 0.5])).is_empty());
    }

    #[test]
    fn a_foldable_node_is_found() {
        let found = findings(
            &report(&model(|g| {
                g.input("x", [1, 4, 5, 5]).conv(4).batch_norm().output("y")
            })),
            &Policy::default(),
        );
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].code, found[0].severity),
            (FindingCode::Foldable, Severity::Warning)
        );
        assert_eq!(found[0].node, "bn_0");
        assert_eq!(found[0].message, "it can be folded into conv_0");
    }

    #[test]
    fn each_degenerate_parameter_has_its_code() {
        assert_eq!(codes(&staying(1, [1.0, 0.0, 1.0, 1.0])), ["dead-channel"]);
        assert_eq!(
            codes(&staying(4, [1.0, 1.0, -0.5, 1.0])),
            ["non-finite-parameter", "negative-variance"]
        );
        assert_eq!(
            codes(&staying(2, [f32::INFINITY, 0.0, 0.0, 0.0])),
            ["non-finite-parameter"]
        );
        assert_eq!(
            codes(&staying(3, [7e4, 0.0, 0.0, 0.0])),
            ["float16-overflow"]
        );
        assert_eq!(codes(&staying(1, [1e4, 1.0, 1.0, 1.0])), ["large-scale"]);
    }

    fn spread(g: &Graph) -> Value {
        let scale = g.initializer("scale", Tensor::floats(&[4], [1.0, 1.0, 1.0, 900.0]));
        let one = g.initializer("one", Tensor::floats(&[4], [1.0; 4]));
        let norm = g.input("x", [1, 4, 5, 5]).conv(4).batch_norm();
        norm.with_input(1, &scale).with_input(4, &one).output("y")
    }

    #[test]
    fn one_channel_that_a_fold_widens_is_found() {
        assert_eq!(codes(&report(&model(spread))), ["foldable", "range-growth"]);
    }

    #[test]
    fn what_was_folded_is_no_finding_of_the_result_but_what_it_did_to_weights_is() {
        let of_result = |report: &Report| {
            let found = findings_of_result(report, &Policy::default());
            let codes = found.iter().map(|finding| finding.code.name());
            codes.collect::<Vec<&str>>()
        };
        let mut folded = report(&model(spread));
        folded.batch_norms[0].parameters.as_mut().unwrap().dead = vec![0];
        assert_eq!(codes(&folded), ["foldable", "dead-channel", "range-growth"]);
        assert_eq!(of_result(&folded), ["range-growth"]);
        let stays = staying(1, [1.0, 0.0, 1.0, 1.0]);
        assert_eq!(of_result(&stays), ["dead-channel"]);
        folded.verification = Verification::Unknown(Comparison::default());
        assert_eq!(of_result(&folded), ["range-growth", "not-verifiable"]);
    }

    #[test]
    fn training_mode_and_overridable_parameters_are_found() {
        let training = model(|g| {
            let x = g.input("x", [1, 4, 5, 5]).conv(4);
            x.batch_norm().attr("training_mode", 1).relu().output("y")
        });
        assert_eq!(codes(&report(&training)), ["training-batch-norm"]);
        let overridable = model(|g| {
            let scale = g.weight("scale", [4]);
            g.also_input(&scale);
            let x = g.input("x", [1, 4, 5, 5]).conv(4);
            x.batch_norm().with_input(1, &scale).relu().output("y")
        });
        assert_eq!(codes(&report(&overridable)), ["overridable-parameter"]);
    }

    #[test]
    fn a_node_that_contradicts_the_standard_is_found_and_one_of_a_function_is_not() {
        let malformed = model(|g| {
            let x = g.input("x", [1, 4, 5, 5]).conv(4);
            x.batch_norm().attr("epsilon", "1e-5").relu().output("y")
        });
        let found = findings(&report(&malformed), &Policy::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, FindingCode::Malformed);
        assert_eq!(
            found[0].message,
            "attribute epsilon of node bn_0 is a STRING, not a FLOAT; export the model again"
        );
        // What stands in the way is not the node's fault.
        let behind = model(|g| {
            let x = g.input("x", [1, 4, 5, 5]).conv(4).attr("group", 1.5f32);
            x.batch_norm().relu().output("y")
        });
        assert!(codes(&report(&behind)).is_empty());
    }

    #[test]
    fn a_verdict_other_than_equivalent_is_found() {
        let mut report = staying(1, [1.0; 4]);
        report.verification = Verification::Unknown(Comparison::default());
        assert_eq!(codes(&report), ["not-verifiable"]);
        report.verification = Verification::Different(Comparison::default());
        assert_eq!(codes(&report), ["not-equivalent"]);
    }

    #[test]
    fn float64_is_read_as_well() {
        let double = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 5, 5]);
            x.conv(4).batch_norm().output("y")
        });
        assert_eq!(codes(&report(&double)), ["foldable"]);
    }
}
