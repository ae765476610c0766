//! The finished model as a ModelProto.

use super::fact::Fact;
use super::mark::Mark;
use super::state::{NodeState, Origin, Parameters, ScopeKind, ScopeState, State};
use crate::onnx::proto::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};

impl State {
    pub(super) fn to_model(&self) -> ModelProto {
        let pair = |(key, value): &(String, String)| StringStringEntryProto {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        ModelProto {
            ir_version: Some(self.ir()),
            producer_name: Some("bnfold-tests".into()),
            opset_import: self.opset_import(),
            graph: Some(self.graph(&self.scopes[0])),
            metadata_props: self.metadata.iter().map(pair).collect(),
            functions: self.functions(0),
            ..ModelProto::default()
        }
    }

    /// The nodes, initializers and functions that came since the mark.
    pub(super) fn to_part(&self, mark: Mark) -> ModelProto {
        let main = &self.scopes[0];
        let (nodes, initializers) = (main.nodes.iter(), main.initializers.iter());
        let initializers = initializers.skip(mark.initializers);
        let graph = GraphProto {
            node: nodes.skip(mark.nodes).map(|node| self.node(node)).collect(),
            initializer: initializers.map(|&id| self.initializer_proto(id)).collect(),
            ..GraphProto::default()
        };
        ModelProto {
            opset_import: self.opset_import(),
            graph: Some(graph),
            functions: self.functions(mark.scopes),
            ..ModelProto::default()
        }
    }

    fn opset_import(&self) -> Vec<OperatorSetIdProto> {
        let mut domains = self.domains.clone();
        domains.insert(String::new(), self.opset);
        imports(domains.iter())
    }

    fn functions(&self, first: usize) -> Vec<FunctionProto> {
        let scopes = self.scopes.iter().skip(first);
        let functions = scopes.filter(|scope| scope.kind == ScopeKind::Function);
        functions.map(|scope| self.function(scope)).collect()
    }

    pub(super) fn ir(&self) -> i64 {
        let functions = self
            .scopes
            .iter()
            .any(|scope| scope.kind == ScopeKind::Function);
        let least = if functions { 8 } else { 0 };
        self.ir_version
            .unwrap_or_else(|| ir_version(self.opset).max(least))
    }

    fn graph(&self, scope: &ScopeState) -> GraphProto {
        // Below IR version 4 every initializer has to be an input.
        let overridable = scope.kind == ScopeKind::Main
            && (self.parameters == Parameters::OverridableInitializers || self.ir() < 4);
        let also = scope
            .initializers
            .iter()
            .filter(|id| overridable && !scope.inputs.contains(id));
        GraphProto {
            name: Some(scope.name.clone()),
            node: scope.nodes.iter().map(|node| self.node(node)).collect(),
            initializer: scope
                .initializers
                .iter()
                .map(|&id| self.initializer_proto(id))
                .collect(),
            input: scope
                .inputs
                .iter()
                .chain(also)
                .map(|&id| self.value_info(id))
                .collect(),
            output: scope
                .outputs
                .iter()
                .map(|&id| self.value_info(id))
                .collect(),
            value_info: self.inner_value_info(scope),
            ..GraphProto::default()
        }
    }

    fn inner_value_info(&self, scope: &ScopeState) -> Vec<ValueInfoProto> {
        if !self.value_info {
            return Vec::new();
        }
        let written = scope
            .nodes
            .iter()
            .flat_map(|node| &node.outputs)
            .copied()
            .flatten();
        let inner = written.filter(|id| !scope.outputs.contains(id));
        let known = |fact: &Fact| fact.dtype.is_some() && fact.shape.is_some();
        let known = inner.filter(|&id| known(&self.values[id].fact));
        known.map(|id| self.value_info(id)).collect()
    }

    fn function(&self, scope: &ScopeState) -> FunctionProto {
        let mut domains = vec![(String::new(), self.opset)];
        for (domain, version) in &self.domains {
            if scope.nodes.iter().any(|node| node.domain == *domain) {
                domains.push((domain.clone(), *version));
            }
        }
        FunctionProto {
            name: Some(scope.name.clone()),
            domain: Some(scope.domain.clone()),
            input: scope.inputs.iter().map(|&id| self.name(Some(id))).collect(),
            output: scope
                .outputs
                .iter()
                .map(|&id| self.name(Some(id)))
                .collect(),
            attribute: scope.attributes.clone(),
            attribute_proto: scope.defaults.clone(),
            node: scope.nodes.iter().map(|node| self.node(node)).collect(),
            opset_import: imports(domains.iter().map(|(domain, version)| (domain, version))),
            ..FunctionProto::default()
        }
    }

    fn node(&self, node: &NodeState) -> NodeProto {
        let attribute = |(name, value): &(String, super::Attribute)| {
            value.to_proto(name, self.storage, |body| self.graph(&self.scopes[body.0]))
        };
        NodeProto {
            name: node.name.clone(),
            op_type: Some(node.op_type.clone()),
            domain: (!node.domain.is_empty()).then(|| node.domain.clone()),
            input: node.inputs.iter().map(|&id| self.name(id)).collect(),
            output: node.outputs.iter().map(|&id| self.name(id)).collect(),
            attribute: node.attributes.iter().map(attribute).collect(),
            doc_string: node.doc.clone(),
            ..NodeProto::default()
        }
    }

    pub(super) fn name(&self, id: Option<usize>) -> String {
        id.and_then(|id| self.values[id].name.clone())
            .unwrap_or_default()
    }

    fn initializer_proto(&self, id: usize) -> TensorProto {
        match &self.values[id].origin {
            Origin::Initializer { tensor, storage } => {
                tensor.to_proto(&self.name(Some(id)), *storage)
            }
            Origin::Input | Origin::Node => unreachable!("only initializers are listed as such"),
        }
    }

    fn value_info(&self, id: usize) -> ValueInfoProto {
        self.values[id].fact.to_value_info(&self.name(Some(id)))
    }
}

fn imports<'a>(domains: impl Iterator<Item = (&'a String, &'a i64)>) -> Vec<OperatorSetIdProto> {
    let import = |(domain, version): (&String, &i64)| OperatorSetIdProto {
        domain: Some(domain.clone()),
        version: Some(*version),
    };
    domains.map(import).collect()
}

/// The IR version that was current when the operator set came out.
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..9 => 3,
        9 => 4,
        10 => 5,
        11 => 6,
        12..15 => 7,
        15..19 => 8,
        19..21 => 9,
        21..23 => 10,
        23 => 11,
        _ => 12,
    }
}
