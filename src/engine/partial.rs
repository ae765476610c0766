//! A run that goes on where a node cannot be run.
//!
//! What such a node would have read is shown to the observer, and its outputs are asked from it, with
//! what the model declares about them; else their readers are asked what shape they need; else they
//! look like the node's first input. A value that nobody gives leaves its readers out too.

use std::collections::HashMap;

use super::assume;
use super::control;
use super::element::ElementType;
use super::error::EngineError;
use super::graph::{Graph, Input, Node, Slot};
use super::run::{Run, Table, put};
use super::tensor::Tensor;
use super::{Cut, Missing, Place, Produced};

/// Values that nobody gave, with the type and extents that they may have.
pub(super) type Unreached = HashMap<Slot, Option<(ElementType, Vec<usize>)>>;

impl Run<'_> {
    pub(super) fn node_partial(
        &mut self,
        node: &Node,
        graph: &Graph,
        table: &mut Table,
        unreached: &mut Unreached,
    ) -> Result<(), EngineError> {
        let mut is_reached = true;
        for slot in node.inputs.iter().flatten().copied() {
            let Some(like) = unreached.get(&slot).cloned() else {
                continue;
            };
            let assumed = assume::demanded(slot, graph, table).or(like);
            let name = graph.names.get(slot).map_or("", String::as_str);
            let is_read = |input: &&Input| input.slot == slot;
            let input = graph.inputs.iter().find(is_read).map(|input| &input.port);
            let port = graph.infos.get(&slot).or(input);
            let value = self.ask(&Missing {
                scope: &self.scope.clone(),
                name,
                cut: None,
                port,
                assumed: assumed.as_ref(),
            });
            is_reached &= value.is_some();
            if value.is_some() {
                put(table, slot, value);
                unreached.remove(&slot);
            }
        }
        let inputs = self.arguments(node, table);
        let first = inputs.iter().flatten().next().cloned();
        let outcome = if is_reached {
            self.node(node, inputs.clone(), table)
        } else {
            let value = "of its inputs".to_owned();
            Err(EngineError::DanglingValue {
                value,
                node: node.name.clone(),
            })
        };
        match outcome {
            Ok(outputs) => self.publish(node, graph, table, outputs),
            Err(error @ (EngineError::Stopped | EngineError::Budget { .. })) => Err(error),
            Err(error) => {
                let place = match error {
                    EngineError::UnsupportedOperator { .. } => Place::Gap,
                    _ => Place::Stumble,
                };
                self.show_border(node, graph, &inputs, place);
                self.nested(node, |run| control::explore_all(run, node, table))?;
                self.cut(node, graph, table, unreached, (&error, first.as_ref()));
                Ok(())
            }
        }
    }

    fn show_border(&mut self, node: &Node, graph: &Graph, inputs: &[Option<Tensor>], place: Place) {
        let given = node.outputs.iter().flatten().next();
        let output = given
            .and_then(|slot| graph.names.get(*slot))
            .map_or("", String::as_str);
        for (index, (tensor, slot)) in inputs.iter().zip(&node.inputs).enumerate() {
            let Some(tensor) = tensor else { continue };
            let scope = self.scope.clone();
            self.observer.value(&Produced {
                scope: &scope,
                name: &format!("input {index} of the {} that gives {output}", node.op_type),
                node: &node.name,
                operator: &node.op_type,
                tensor,
                place,
                is_fixed: slot.is_some_and(|slot| graph.fixed.contains(&slot)),
            });
        }
    }

    fn cut(
        &mut self,
        node: &Node,
        graph: &Graph,
        table: &mut Table,
        unreached: &mut Unreached,
        (error, like): (&EngineError, Option<&Tensor>),
    ) {
        let like = like.filter(|tensor| tensor.element().is_float());
        let like = like.map(|tensor| (tensor.element(), tensor.shape().to_vec()));
        let call = node.call();
        for slot in node.outputs.iter().flatten() {
            let name = graph.names.get(*slot).map_or("", String::as_str);
            let scope = self.scope.clone();
            let port = graph.infos.get(slot).filter(|port| port.dims.is_some());
            let demanded = port.and_then(|_| assume::demanded(*slot, graph, table));
            let assumed = demanded.or_else(|| like.clone().filter(|_| port.is_some()));
            let value = self.ask(&Missing {
                scope: &scope,
                name,
                cut: Some(Cut {
                    node: &node.name,
                    call,
                    error,
                }),
                port,
                assumed: assumed.as_ref(),
            });
            match value {
                Some(tensor) => put(table, *slot, Some(tensor)),
                None => {
                    unreached.insert(*slot, like.clone());
                }
            }
        }
    }

    /// What the observer gives for a missing value, in the type it is computed in.
    fn ask(&mut self, missing: &Missing<'_>) -> Option<Tensor> {
        let tensor = self.observer.missing(missing)?;
        Some(self.computed(tensor))
    }

    fn arguments(&self, node: &Node, table: &Table) -> Vec<Option<Tensor>> {
        let read = |slot: Slot| Some(self.computed(table.get(slot).cloned().flatten()?));
        node.inputs.iter().map(|slot| slot.and_then(read)).collect()
    }
}
