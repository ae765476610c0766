//! One run of a graph, node by node.
//!
//! A value is dropped after its last reader, so that a kernel may write into its input's memory.
//! Every node runs behind a panic guard: a crash names its node and ends this run only.

use std::collections::HashMap;
use std::sync::Arc;

use super::call::{Call, Fault};
use super::control;
use super::delegate::Delegate;
use super::element::ElementType;
use super::error::EngineError;
use super::graph::{Callee, Graph, Node, Port, Slot};
use super::guard;
use super::kernels;
use super::partial::Unreached;
use super::tensor::Tensor;
use super::{Budget, Observer, Place, Precision, Produced, Step};

/// One run of a model, or of a graph nested in it.
pub(super) struct Run<'r> {
    pub(super) precision: Precision,
    pub(super) budget: Budget,
    /// Eight times the elements of all results so far.
    pub(super) produced: u64,
    pub(super) delegate: &'r mut dyn Delegate,
    pub(super) observer: &'r mut dyn Observer,
    /// Empty in the main graph, else the names of the nodes that lead here.
    pub(super) scope: String,
    /// Whether to go on where a node cannot be run.
    pub(super) is_partial: bool,
}

/// The values of a graph, by slot.
pub(super) type Table = Vec<Option<Tensor>>;

impl Run<'_> {
    /// Runs a graph; `outer` are the values of the graph around it.
    pub(super) fn graph(
        &mut self,
        graph: &Graph,
        inputs: Vec<Option<Tensor>>,
        outer: &[Option<Tensor>],
    ) -> Result<Vec<Tensor>, EngineError> {
        let outputs = self.graph_partial(graph, inputs, outer)?;
        let given = |((port, _), output): (&(Port, Option<Slot>), Option<Tensor>)| {
            output.ok_or_else(|| dangling(port))
        };
        graph.outputs.iter().zip(outputs).map(given).collect()
    }

    /// The same, with `None` for outputs that a partial run does not reach.
    pub(super) fn graph_partial(
        &mut self,
        graph: &Graph,
        inputs: Vec<Option<Tensor>>,
        outer: &[Option<Tensor>],
    ) -> Result<Vec<Option<Tensor>>, EngineError> {
        let mut table: Table = vec![None; graph.names.len()];
        for (slot, tensor) in &graph.constants {
            put(&mut table, *slot, Some(tensor.clone()));
        }
        for (from, to) in &graph.captures {
            put(&mut table, *to, outer.get(*from).cloned().flatten());
        }
        for (input, value) in graph.inputs.iter().zip(inputs) {
            if value.is_some() || !input.has_default {
                put(&mut table, input.slot, value);
            }
        }
        let missing = graph
            .captures
            .iter()
            .filter(|(from, _)| outer.get(*from).is_none_or(Option::is_none));
        let mut unreached: Unreached = missing.map(|(_, to)| (*to, None)).collect();
        for input in &graph.inputs {
            if self.is_partial && table.get(input.slot).is_some_and(Option::is_none) {
                unreached.insert(input.slot, None);
            }
        }
        for node in &graph.nodes {
            if self.is_partial {
                self.node_partial(node, graph, &mut table, &mut unreached)?;
            } else {
                let inputs = self.consume(node, &mut table);
                let outputs = self.node(node, inputs, &table)?;
                self.publish(node, graph, &mut table, outputs)?;
            }
            for slot in &node.last_reads {
                put(&mut table, *slot, None);
            }
        }
        let give = |slot: Slot| Some(self.computed(table.get(slot).cloned().flatten()?));
        let slots = graph.outputs.iter().map(|(_, slot)| *slot);
        Ok(slots.map(|slot| slot.and_then(give)).collect())
    }

    /// A value in the type that it is computed in: constants lie in the table as they are stored.
    pub(super) fn computed(&self, value: Tensor) -> Tensor {
        let compute = self.precision.compute_type(value.element());
        value.with_floats_as(compute)
    }

    pub(super) fn publish(
        &mut self,
        node: &Node,
        graph: &Graph,
        table: &mut Table,
        outputs: Vec<Tensor>,
    ) -> Result<(), EngineError> {
        for (slot, tensor) in node.outputs.iter().zip(outputs) {
            let Some(slot) = slot else { continue };
            let name = graph.names.get(*slot).map_or("", String::as_str);
            let produced = Produced {
                scope: &self.scope,
                name,
                node: &node.name,
                operator: &node.op_type,
                tensor: &tensor,
                place: Place::Given,
                is_fixed: false,
            };
            let tensor = match self.observer.value(&produced) {
                Step::Keep => tensor,
                Step::Replace(other) => self.computed(other),
                Step::Stop => return Err(EngineError::Stopped),
            };
            put(table, *slot, Some(tensor));
        }
        Ok(())
    }

    pub(super) fn node(
        &mut self,
        node: &Node,
        inputs: Vec<Option<Tensor>>,
        table: &Table,
    ) -> Result<Vec<Tensor>, EngineError> {
        match &node.callee {
            Callee::Function(body) => {
                let body = Arc::clone(body);
                return self.nested(node, |run| run.graph(&body, inputs, &[]));
            }
            Callee::Operator if control::is_control(&node.op_type) => {
                let mut call = self.call(node, inputs);
                return self.nested(node, |run| control::run(run, &mut call, table));
            }
            Callee::Operator | Callee::Foreign => {}
        }
        let declared = declared_type(node, &inputs);
        let call = self.call(node, inputs);
        let outcome = guard::catch(|| kernels::run(call, self.delegate)).map_err(|message| {
            EngineError::Panic {
                operator: node.operator(),
                node: node.name.clone(),
                message,
            }
        })?;
        let outputs = match outcome {
            Ok(Some(outputs)) => outputs,
            Ok(None) => return Err(unsupported(node)),
            Err(fault) => return Err(fault_error(node, &fault)),
        };
        self.count(node, &outputs)?;
        let declare = |tensor: Tensor| match declared {
            Some(element) if tensor.data().element().is_float() => tensor.declared(element),
            _ => tensor,
        };
        Ok(outputs.into_iter().map(declare).collect())
    }

    fn count(&mut self, node: &Node, outputs: &[Tensor]) -> Result<(), EngineError> {
        let bytes = outputs.iter().map(|tensor| 8 * tensor.len() as u64);
        self.produced = bytes.fold(self.produced, u64::saturating_add);
        match self.produced <= self.budget.results {
            true => Ok(()),
            false => Err(EngineError::Budget {
                what: format!("the bytes of all results up to node {:?}", node.name),
                found: self.produced,
                limit: self.budget.results,
            }),
        }
    }

    pub(super) fn fault(&self, node: &Node, fault: &Fault) -> EngineError {
        fault_error(node, fault)
    }

    fn call<'n>(&self, node: &'n Node, inputs: Vec<Option<Tensor>>) -> Call<'n> {
        Call {
            node,
            inputs,
            precision: self.precision,
            limit: self.budget.bytes,
        }
    }

    pub(super) fn nested<R>(&mut self, node: &Node, inner: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.scope.len();
        self.scope.push_str(&node.name);
        self.scope.push('/');
        let result = inner(self);
        self.scope.truncate(length);
        result
    }

    /// The inputs of a node, moved out of the table where this is their last read.
    fn consume(&self, node: &Node, table: &mut Table) -> Vec<Option<Tensor>> {
        let mut uses: HashMap<Slot, usize> = HashMap::new();
        for slot in node.inputs.iter().flatten() {
            *uses.entry(*slot).or_default() += 1;
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        // A nested graph may read the same value once more.
        let is_nesting = node.bodies().next().is_some();
        for slot in &node.inputs {
            let value = slot.and_then(|slot| {
                let is_last =
                    !is_nesting && uses.get(&slot) == Some(&1) && node.last_reads.contains(&slot);
                let place = table.get_mut(slot)?;
                let value = if is_last { place.take() } else { place.clone() };
                value.map(|value| self.computed(value))
            });
            inputs.push(value);
        }
        inputs
    }
}

pub(super) fn put(table: &mut Table, slot: Slot, value: Option<Tensor>) {
    if let Some(place) = table.get_mut(slot) {
        *place = value;
    }
}

pub(super) fn dangling(port: &Port) -> EngineError {
    EngineError::DanglingValue {
        value: port.name.clone(),
        node: "of the graph's outputs".to_owned(),
    }
}

fn unsupported(node: &Node) -> EngineError {
    EngineError::UnsupportedOperator {
        operator: node.operator(),
        version: node.version,
        node: node.name.clone(),
    }
}

fn fault_error(node: &Node, fault: &Fault) -> EngineError {
    EngineError::Node {
        operator: node.operator(),
        node: node.name.clone(),
        reason: fault.to_string(),
    }
}

/// The declared type of a node's floating-point results: that of its first floating-point input.
///
/// `None` where the operator says the type itself.
fn declared_type(node: &Node, inputs: &[Option<Tensor>]) -> Option<ElementType> {
    if node.says_its_type() || node.op_type == "BatchNormalization" {
        return None;
    }
    let elements = inputs.iter().flatten().map(Tensor::element);
    elements.into_iter().find(|element| element.is_float())
}
