//! A reading of nodes in training mode as inference mode, and what it changes.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::report::text::{DOUBTFUL, count};
use crate::verify::{Verdict, Verification as Found, number};

/// A model whose nodes in training mode were read as inference mode.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Assumed {
    /// The nodes.
    pub nodes: Vec<String>,
    /// How far both readings are apart on the samples.
    pub outputs: Vec<ReadingFigures>,
    /// Why that could not be measured.
    pub reason: Option<String>,
}

/// How far an output is from itself in the other reading.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReadingFigures {
    /// The output.
    pub name: String,
    /// Its element type.
    pub element: String,
    /// Its shape on the samples.
    pub shape: Vec<usize>,
    /// Largest absolute difference.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub max_abs: f64,
    /// Root mean square of the differences.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub rms: f64,
    /// Cosine of the angle between both.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub cosine: f64,
}

impl Assumed {
    /// From a comparison of the original as it is with its reading in inference mode.
    pub fn new(nodes: Vec<String>, found: &Found) -> Assumed {
        let figures = found.outputs.iter().filter_map(|output| {
            let difference = output.difference.as_ref()?;
            Some(ReadingFigures {
                name: output.name.clone(),
                element: output.element.clone(),
                shape: output.shape.clone(),
                max_abs: difference.max_abs,
                rms: difference.rms,
                cosine: difference.cosine,
            })
        });
        let outputs: Vec<ReadingFigures> = figures.collect();
        let reason = match &found.verdict {
            Verdict::Unknown { reason } if outputs.is_empty() => Some(reason.to_string()),
            _ => None,
        };
        Assumed {
            nodes,
            outputs,
            reason,
        }
    }
}

/// The assumption in a report's text, if there is one.
pub(in crate::report) fn assumption(
    text: &mut String,
    assumed: Option<&Assumed>,
) -> std::fmt::Result {
    let Some(assumed) = assumed else {
        return Ok(());
    };
    writeln!(
        text,
        "  {DOUBTFUL}ASSUMED inference mode{DOUBTFUL:#} for {} in training mode, with the statistics they store: {}",
        count(assumed.nodes.len(), "node"),
        assumed.nodes.join(", ")
    )?;
    for output in &assumed.outputs {
        writeln!(
            text,
            "    {} {} {:?}: the model as it is and as assumed differ by {:.1e} (root mean square {:.1e}, cosine {:.4})",
            output.name, output.element, output.shape, output.max_abs, output.rms, output.cosine
        )?;
    }
    match &assumed.reason {
        Some(reason) => writeln!(
            text,
            "    how far both readings are apart is unknown: {reason}"
        ),
        None => Ok(()),
    }
}
