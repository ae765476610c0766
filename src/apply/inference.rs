//! Inference mode: BatchNormalization nodes rewritten to normalise by stored statistics, their own or new ones.
//!
//! `Y = (X − mean)·scale/√(var + ε) + B` with the `mean` and `var` that the node is given.
//! What says so depends on the opset: `is_test` = 1 up to 6, no named statistics output from 7 to 13, no `training_mode`
//! from 14 on; momentum stays, because it means nothing then.
//! New statistics take the place of the old where nobody else reads them, and are constants of their own elsewhere.
//! Left out: nodes whose statistics outputs are in use, which have no inference form; see [`used_statistics`].

use ndarray::ArrayD;

use super::{ApplyError, Elements, Rewrite, Update};
use crate::graph::{Graph, NodeId, Origin};
use crate::onnx::model::Name;
use crate::onnx::{EditError, Edits, proto};

/// A node to be put into inference mode.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The node.
    pub node: NodeId,
    /// New mean and variance, in the extents of the old; without them it keeps those it has.
    pub statistics: Option<[ArrayD<f64>; 2]>,
}

/// The first statistics output of a BN that something reads or names.
pub fn used_statistics<'g>(graph: &'g Graph<'_>, node: NodeId) -> Option<&'g Name> {
    let outputs = graph.node(node).outputs.iter().skip(1).flatten();
    let used = outputs
        .map(|&output| graph.value(output))
        .find(|value| value.is_output || value.is_reserved || !value.consumers.is_empty());
    used.map(|value| &value.name)
}

/// Puts nodes into inference mode.
///
/// # Errors
/// If a type cannot hold its new statistics, or the model cannot be read.
pub fn infer_modes<'m>(original: &Graph<'m>, settled: &[Settled]) -> Result<Edits<'m>, ApplyError> {
    Ok(probed(original, settled, &[])?.0)
}

/// The same, and each probed node's X passes through a node of its own, whose output has the name that is given back.
///
/// # Errors
/// As for [`infer_modes`].
pub fn probed<'m>(
    original: &Graph<'m>,
    settled: &[Settled],
    probes: &[NodeId],
) -> Result<(Edits<'m>, Vec<Name>), ApplyError> {
    let mut rewrite = Rewrite::new(original, original.clone());
    let updates = settled.iter().flat_map(updates).collect();
    rewrite.settle_all(updates)?;
    settled.iter().for_each(|one| rewrite.infer_mode(one.node));
    rewrite.nodes()?;
    rewrite.sweep().map_err(ApplyError::Edit)?;
    let probe = |&node: &NodeId| rewrite.probe(node).map_err(ApplyError::Edit);
    let names = probes.iter().map(probe).collect::<Result<_, _>>()?;
    Ok((rewrite.edits, names))
}

fn updates(settled: &Settled) -> Vec<Update> {
    let statistics = settled.statistics.iter().flatten().zip(3..);
    let update = |(elements, slot): (&ArrayD<f64>, usize)| Update {
        node: settled.node,
        slot,
        elements: Elements::Full(elements.clone()),
    };
    statistics.map(update).collect()
}

impl Rewrite<'_, '_> {
    fn infer_mode(&mut self, node: NodeId) {
        let Some(view) = self.graph.node(node).view else {
            unreachable!("only nodes of the file have a mode");
        };
        if self.graph.opset(node) < 7 {
            self.edits.set_node_attribute_int(view, "is_test", 1);
        } else if self.graph.node(node).has("is_test") {
            self.edits.remove_node_attribute(view, "is_test");
        }
        if self.graph.node(node).has("training_mode") {
            self.edits.remove_node_attribute(view, "training_mode");
        }
        if view.outputs.len() > 1 {
            self.edits.truncate_outputs(view, 1);
        }
        let outputs = &mut self.graph.node_mut(node).outputs;
        let dropped = outputs.split_off(outputs.len().min(1));
        for output in dropped.into_iter().flatten() {
            self.graph.value_mut(output).origin = Origin::Undefined;
        }
    }

    fn probe(&mut self, node: NodeId) -> Result<Name, EditError> {
        let (Some(view), Some(x)) = (self.graph.node(node).view, self.graph.input(node, 0)) else {
            unreachable!("a BatchNormalization of the file reads X");
        };
        let x = &self.graph.value(x).name;
        let name = self.names.fresh(x, "probe");
        let identity = proto::NodeProto {
            name: Some(name.to_string()),
            op_type: Some("Identity".to_owned()),
            input: vec![x.to_string()],
            output: vec![name.to_string()],
            ..Default::default()
        };
        self.edits.insert_node_before(view, &identity)?;
        self.edits.rename_input(view, 0, &name);
        Ok(name)
    }
}
