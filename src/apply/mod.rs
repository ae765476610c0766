//! Apply: a plan's folds as edits of the model's bytes.
//!
//! The folds are performed on a copy of the graph; what differs between the two graphs is edited, nothing else.
//! A constant that only folded nodes read, all in the same way, keeps its name and place; any other is cloned for the
//! nodes that need it changed, equal changes sharing one clone. Constants and nodes that nothing reads any more go.
//! New tensors are initializers of the scope they serve, or Constant nodes where a scope has no initializers of its own
//! (functions) or an initializer would become a graph input (below IR version 4).

mod absorb;
pub mod inference;
mod names;
mod place;
mod shift_sum;
mod sweep;
mod update;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use absorb::{Attribute, absorb};
use names::Names;
use update::{Elements, Update};

use crate::graph::{Graph, NodeId, NotConstant, Origin, ValueId};
use crate::onnx::model::Name;
use crate::onnx::{EditError, Edits, Flaw, NewData, ReadError, Transform, proto};
use crate::plan::Plan;
use crate::rules::Refusal;

/// The edits of a plan.
#[derive(Debug)]
pub struct Applied<'m> {
    /// What changes in the model.
    pub edits: Edits<'m>,
    /// Which nodes each new tensor serves, by the tensor's name.
    pub serves: HashMap<String, Vec<NodeId>>,
    /// Names of values that both models have and whose meaning is the same.
    pub ends: Vec<String>,
    /// Names of values that both models have but whose meaning differs.
    pub changed: Vec<String>,
    /// Nodes that go, less nodes that come.
    pub nodes_removed: i64,
    /// Constants that were cloned because other nodes read them too.
    pub clones: Vec<Copied>,
}

/// A copy of a constant that other nodes still read.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Its bytes.
    pub bytes: u64,
    /// The nodes that it serves.
    pub nodes: Vec<NodeId>,
}

/// A plan that cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A weight could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The edits contradict each other.
    #[error(transparent)]
    Edit(EditError),
    /// New elements that their type cannot hold, with the nodes that they serve.
    #[error("{flaw}")]
    Flaw {
        /// What is wrong.
        flaw: Flaw,
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// A constant that planning took for readable is not.
    #[error("constant {value} cannot be read: {reason}")]
    Constant {
        /// The constant.
        value: String,
        /// Why.
        reason: String,
    },
    /// A node no longer fits its rule.
    #[error("{refusal}")]
    Refused {
        /// The node.
        node: NodeId,
        /// Why.
        refusal: Refusal,
    },
}

impl ApplyError {
    fn refused(node: NodeId, refusal: Refusal) -> ApplyError {
        ApplyError::Refused { node, refusal }
    }

    fn unreadable(graph: &Graph<'_>, value: ValueId, reason: NotConstant) -> ApplyError {
        ApplyError::Constant {
            value: graph.value(value).name.to_string(),
            reason: format!("{reason:?}"),
        }
    }
}

/// Turns a plan into edits.
///
/// # Errors
/// If a weight cannot be read, or its type cannot hold its new elements.
pub fn apply<'m>(original: &Graph<'m>, plan: &Plan) -> Result<Applied<'m>, ApplyError> {
    let mut graph = original.clone();
    for (_, fold) in plan.folds() {
        fold.effects.iter().for_each(|effect| graph.perform(effect));
    }
    sweep::discard(original, &mut graph);
    let mut rewrite = Rewrite::new(original, graph);
    rewrite.parameters()?;
    // Before nodes are edited: one that goes is not edited as well.
    rewrite.sweep().map_err(ApplyError::Edit)?;
    rewrite.nodes()?;
    Ok(rewrite.finish(plan))
}

struct Rewrite<'g, 'm> {
    original: &'g Graph<'m>,
    graph: Graph<'m>,
    names: Names,
    edits: Edits<'m>,
    /// Input slots that read a new constant.
    renamed: BTreeMap<(NodeId, usize), Name>,
    /// Constant nodes to stand before a node.
    before: HashMap<NodeId, Vec<proto::NodeProto>>,
    serves: HashMap<String, Vec<NodeId>>,
    /// Names of values that folds made.
    created: HashMap<ValueId, Name>,
    /// New constants, each with the one that it was made from.
    copies: Vec<(ValueId, Copied)>,
}

impl<'g, 'm> Rewrite<'g, 'm> {
    fn new(original: &'g Graph<'m>, graph: Graph<'m>) -> Rewrite<'g, 'm> {
        Rewrite {
            original,
            names: Names::of(original),
            edits: Edits::new(original.model),
            renamed: BTreeMap::new(),
            before: HashMap::new(),
            serves: HashMap::new(),
            created: HashMap::new(),
            copies: Vec::new(),
            graph,
        }
    }

    /// New weights, biases and other constants.
    fn parameters(&mut self) -> Result<(), ApplyError> {
        let mut updates = Vec::new();
        for node in self.graph.node_ids().collect::<Vec<NodeId>>() {
            updates.extend(self.updates(node)?);
        }
        self.settle_all(updates)
    }

    /// Gives updates their tensors, constant by constant.
    fn settle_all(&mut self, updates: Vec<Update>) -> Result<(), ApplyError> {
        let mut by_source: BTreeMap<(Option<ValueId>, Option<NodeId>), Vec<Update>> =
            BTreeMap::new();
        for update in updates {
            let source = self.source(&update);
            // Absent slots have nothing in common.
            let alone = source.is_none().then_some(update.node);
            by_source.entry((source, alone)).or_default().push(update);
        }
        for ((source, _), updates) in by_source {
            self.settle(source, updates)?;
        }
        Ok(())
    }

    fn updates(&mut self, node: NodeId) -> Result<Vec<Update>, ApplyError> {
        let mut updates = Vec::new();
        if let Some(pending) = self.graph.node(node).pending.clone() {
            let absorbed = absorb(&self.graph, node, &pending)?;
            updates = absorbed.updates;
            if let Some(view) = self.graph.node(node).view {
                for (name, attribute) in absorbed.attributes {
                    match attribute {
                        Attribute::Float(value) => {
                            self.edits.set_node_attribute_float(view, name, value)
                        }
                        Attribute::Int(value) => {
                            self.edits.set_node_attribute_int(view, name, value)
                        }
                    }
                }
            }
        }
        for (slot, input) in self.graph.node(node).inputs.iter().enumerate() {
            let Some(input) = input else { continue };
            if let Origin::Made(made) = &self.graph.value(*input).origin
                && !updates.iter().any(|update| update.slot == slot)
            {
                updates.push(Update {
                    node,
                    slot,
                    elements: Elements::Full(made.elements.clone()),
                });
            }
        }
        Ok(updates)
    }

    /// The constant that the model has in an update's slot; a node that has become another operator has only its weight
    /// in common with what it was.
    fn source(&self, update: &Update) -> Option<ValueId> {
        let old = self.original.nodes.get(update.node.0 as usize)?;
        let same_op = old.op == self.graph.node(update.node).op;
        let is_weight = matches!(update.elements, Elements::Scaled { .. });
        old.inputs
            .get(update.slot)
            .copied()
            .flatten()
            .filter(|_| same_op || is_weight)
    }

    /// Gives updates of one constant their tensors.
    fn settle(&mut self, source: Option<ValueId>, updates: Vec<Update>) -> Result<(), ApplyError> {
        let mut groups: Vec<Vec<Update>> = Vec::new();
        // Many nodes may read one constant; only updates of one digest are compared.
        let mut by_digest: HashMap<u64, Vec<usize>> = HashMap::new();
        for update in updates {
            let alike = by_digest.entry(update.elements.digest()).or_default();
            let same = |&&at: &&usize| {
                groups[at][0].elements == update.elements && self.shares(&groups[at][0], &update)
            };
            match alike.iter().find(same) {
                Some(&at) => groups[at].push(update),
                None => {
                    alike.push(groups.len());
                    groups.push(vec![update]);
                }
            }
        }
        if let (Some(source), [group]) = (source, &groups[..])
            && self.replace(source, group)?
        {
            return Ok(());
        }
        for group in groups {
            self.create(source, &group)?;
        }
        Ok(())
    }

    /// A Constant node serves one node; an initializer serves all nodes of its scope.
    fn shares(&self, a: &Update, b: &Update) -> bool {
        self.graph.node(a.node).scope == self.graph.node(b.node).scope
            && self.initializer_scope(a.node).is_some()
    }

    /// Puts new elements in the place of the old, if nobody else wants the old ones.
    fn replace(&mut self, source: ValueId, group: &[Update]) -> Result<bool, ApplyError> {
        let Some(tensor) = self.own_tensor(source) else {
            return Ok(false);
        };
        let value = self.graph.value(source);
        let is_ours = |edge: &(NodeId, usize)| {
            group
                .iter()
                .any(|update| (update.node, update.slot) == *edge)
        };
        let overridable = matches!(
            value.origin,
            Origin::Initializer {
                overridable: true,
                ..
            }
        );
        if value.is_output
            || value.is_reserved
            || overridable
            || !value.consumers.iter().all(is_ours)
        {
            return Ok(false);
        }
        let same_extents = match &group[0].elements {
            Elements::Full(array) => array.shape() == tensor.dims,
            Elements::Scaled { .. } => true,
        };
        if !same_extents {
            return Ok(false);
        }
        // A fold that made a constant has taken the old one's reader away; it reads the old name again.
        let name = value.name.clone();
        for update in group {
            self.renamed
                .insert((update.node, update.slot), name.clone());
        }
        self.serve(&tensor.name.clone(), group);
        let data = self.data(source, &group[0].elements)?;
        let nodes = group.iter().map(|update| update.node).collect();
        let replaced = self.edits.replace_tensor(tensor, data);
        replaced.map_err(|error| blamed(error, nodes))?;
        Ok(true)
    }

    fn serve(&mut self, tensor: &Name, group: &[Update]) {
        let served = self.serves.entry(tensor.to_string()).or_default();
        served.extend(group.iter().map(|update| update.node));
    }

    /// New elements as data: a change of a stored tensor streams, everything else is in memory.
    fn data(&self, source: ValueId, elements: &Elements) -> Result<NewData, ApplyError> {
        let (dims, scale, add) = match elements {
            Elements::Full(array) => return Ok(NewData::Values(array.iter().copied().collect())),
            Elements::Scaled { dims, scale, add } => (dims, scale, add),
        };
        if let Ok(crate::graph::Constant::Stored(tensor)) = self.original.constant(source) {
            let transform = Transform::new(dims.clone(), scale.clone(), add.clone())
                .map_err(ApplyError::Edit)?;
            let mut from = tensor.clone();
            from.dims.clone_from(dims);
            return Ok(NewData::Transformed {
                from,
                transform: Arc::new(transform),
            });
        }
        let old = self
            .graph
            .floats(source)
            .map_err(|reason| ApplyError::Constant {
                value: self.graph.value(source).name.to_string(),
                reason: format!("{reason:?}"),
            })?;
        let mut values: Vec<f64> = old.iter().copied().collect();
        let factors = crate::affine::broadcast(scale, dims);
        values.iter_mut().zip(&factors).for_each(|(x, s)| *x *= s);
        add.iter().for_each(|&(at, d)| values[at] += d);
        Ok(NewData::Values(values))
    }

    fn finish(self, plan: &Plan) -> Applied<'m> {
        let is_left = |value: &ValueId| {
            let at = self.graph.value(*value);
            (value.0 as usize) < self.original.values.len()
                && matches!(at.origin, Origin::Node(node, _) if self.graph.node(node).alive)
        };
        let name = |value: ValueId| self.graph.value(value).name.to_string();
        let folds = plan.folds();
        let changed: std::collections::BTreeSet<ValueId> = folds
            .iter()
            .flat_map(|(_, fold)| fold.changed.iter().copied())
            .collect();
        let ends = folds.iter().flat_map(|(_, fold)| fold.ends.iter().copied());
        let mut ends: Vec<ValueId> = ends
            .filter(|end| !changed.contains(end) && is_left(end))
            .collect();
        ends.dedup();
        let nodes_removed = self.removed();
        Applied {
            edits: self.edits,
            serves: self.serves,
            ends: ends.into_iter().map(name).collect(),
            changed: changed.into_iter().filter(is_left).map(name).collect(),
            nodes_removed,
            clones: self.copies.into_iter().map(|(_, copy)| copy).collect(),
        }
    }
}

/// A flaw is laid to the nodes whose constant shows it.
fn blamed(error: EditError, nodes: Vec<NodeId>) -> ApplyError {
    match error {
        EditError::Unrepresentable(flaw) => ApplyError::Flaw { flaw, nodes },
        error => ApplyError::Edit(error),
    }
}
