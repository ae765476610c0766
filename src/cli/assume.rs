//! `--assume-inference`: nodes in training mode read as inference mode, and what that changes.

use anyhow::Context as _;
use bnfold::apply::inference::{Settled, infer_modes};
use bnfold::calibrate::{Choice, assumable_nodes};
use bnfold::graph::{Graph, Reading};
use bnfold::onnx::{Model, ReadOptions};
use bnfold::report::Assumed;

use super::verification::{Checking, compare_readings};

/// A model read as if its nodes in training mode were in inference mode.
#[derive(Debug)]
pub(super) struct Assumption {
    /// The model of that reading.
    pub(super) model: Model,
    /// The nodes that it concerns.
    nodes: Vec<String>,
}

impl Assumption {
    /// `None` for a model without nodes in training mode that are taken.
    pub(super) fn of(
        model: &Model,
        choice: &Choice,
        reading: Reading,
        options: &ReadOptions,
    ) -> anyhow::Result<Option<Assumption>> {
        let named = || {
            model
                .path()
                .map_or(String::new(), |path| path.display().to_string())
        };
        let graph = Graph::new(model, reading).with_context(named)?;
        let nodes = assumable_nodes(&graph, choice).with_context(named)?;
        if nodes.is_empty() {
            return Ok(None);
        }
        let settled: Vec<Settled> = nodes
            .iter()
            .map(|&node| Settled {
                node,
                statistics: None,
            })
            .collect();
        let edits = infer_modes(&graph, &settled).with_context(named)?;
        Ok(Some(Assumption {
            model: Model::edited(&edits, options)?,
            nodes: nodes.iter().map(|&node| graph.label(node)).collect(),
        }))
    }

    /// The assumption, with how far it is from the model as it is.
    pub(super) fn measured(self, original: &Model, checking: &Checking) -> anyhow::Result<Assumed> {
        let found = compare_readings(original, &self.model, checking)?;
        Ok(Assumed::new(self.nodes, &found))
    }

    /// The assumption, not measured.
    pub(super) fn unmeasured(self) -> Assumed {
        Assumed {
            nodes: self.nodes,
            outputs: Vec::new(),
            reason: None,
        }
    }
}
