//! Names and the values that they stand for, scope by scope.

use std::collections::BTreeSet;

use super::{Index, label};
use crate::graph::{GraphError, NodeId, Origin, ScopeId, ScopeKind, Value, ValueId};
use crate::onnx::model::{Name, NodeView};

impl<'m> Index<'m> {
    pub(super) fn define(
        &mut self,
        scope: ScopeId,
        name: &Name,
        origin: Origin<'m>,
    ) -> Result<ValueId, GraphError> {
        let id = ValueId(self.graph.values.len() as u32);
        if self.names[scope.0 as usize]
            .insert(name.clone(), id)
            .is_some()
        {
            return Err(self.defined_twice(scope, name));
        }
        self.graph.values.push(Value {
            name: name.clone(),
            scope,
            origin,
            consumers: BTreeSet::new(),
            is_output: false,
            is_reserved: false,
            data_type: 0,
            shape: None,
        });
        Ok(id)
    }

    pub(super) fn defined_twice(&self, scope: ScopeId, name: &Name) -> GraphError {
        GraphError::DefinedTwice {
            value: name.to_string(),
            scope: self.scope_label(scope),
        }
    }

    pub(super) fn read(
        &mut self,
        scope: ScopeId,
        name: &Name,
        by: (NodeId, usize),
        view: &NodeView,
    ) -> Result<ValueId, GraphError> {
        let Some(id) = self.resolve(scope, name) else {
            let later = self.is_produced_later(scope, name);
            let (value, node) = (name.to_string(), label(view));
            return Err(match later {
                true => GraphError::NotSorted { value, node },
                false => GraphError::Undefined { value, node },
            });
        };
        self.graph.value_mut(id).consumers.insert(by);
        Ok(id)
    }

    pub(super) fn resolve(&self, scope: ScopeId, name: &Name) -> Option<ValueId> {
        let mut scope = Some(scope);
        while let Some(id) = scope {
            if let Some(&value) = self.names[id.0 as usize].get(name) {
                return Some(value);
            }
            scope = self.graph.scopes[id.0 as usize].parent;
        }
        None
    }

    fn is_produced_later(&self, scope: ScopeId, name: &Name) -> bool {
        let model = self.graph.model;
        let nodes = match self.graph.scopes[scope.0 as usize].kind {
            ScopeKind::Main => &model.graph.nodes,
            ScopeKind::Function(index) => &model.functions[index].nodes,
            ScopeKind::Nested { .. } => return false,
        };
        nodes.iter().any(|node| node.outputs.contains(name))
    }

    pub(super) fn outputs(&mut self, scope: ScopeId, names: &[Name]) -> Result<(), GraphError> {
        for name in names {
            let Some(id) = self.resolve(scope, name) else {
                return Err(GraphError::UndefinedOutput {
                    value: name.to_string(),
                });
            };
            self.graph.value_mut(id).is_output = true;
            self.graph.scopes[scope.0 as usize].outputs.push(id);
        }
        Ok(())
    }

    fn scope_label(&self, scope: ScopeId) -> String {
        match self.graph.scopes[scope.0 as usize].kind {
            ScopeKind::Main => "the main graph".to_owned(),
            ScopeKind::Nested { node } => format!("the body of node {}", self.graph.label(node)),
            ScopeKind::Function(index) => {
                format!("function {}", self.graph.model.functions[index].name)
            }
        }
    }
}
