//! Graphs and the names in them.

use std::collections::BTreeMap;

use super::call::Call;
use super::{Round, Values, control, operator};
use crate::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
};
use crate::testing::Tensor;
use crate::testing::element::is_float;

/// What all scopes of a model share, or all scopes of a function's body.
pub(super) struct Context<'a> {
    model: &'a ModelProto,
    opsets: BTreeMap<String, i64>,
    round: Round,
    /// How many functions deep.
    depth: usize,
}

impl<'a> Context<'a> {
    pub(super) fn of_model(model: &'a ModelProto, round: Round) -> Result<Context<'a>, String> {
        let opsets = opsets(&model.opset_import);
        Ok(Context {
            model,
            opsets,
            round,
            depth: 0,
        })
    }

    fn of_function(&self, function: &FunctionProto) -> Context<'a> {
        let Context {
            model,
            round,
            depth,
            ..
        } = *self;
        Context {
            model,
            opsets: opsets(&function.opset_import),
            round,
            depth: depth + 1,
        }
    }

    fn function(&self, node: &NodeProto) -> Option<&'a FunctionProto> {
        self.model.functions.iter().find(|function| {
            domain(function.domain()) == domain(node.domain())
                && function.name() == node.op_type()
                && function.overload() == node.overload()
        })
    }
}

/// The values of one graph, with those of the graphs around it.
pub(super) struct Scope<'a> {
    context: &'a Context<'a>,
    outer: Option<&'a Scope<'a>>,
    values: Values,
}

impl<'a> Scope<'a> {
    pub(super) fn new(context: &'a Context<'a>, outer: Option<&'a Scope<'a>>) -> Scope<'a> {
        Scope {
            context,
            outer,
            values: Values::new(),
        }
    }

    /// A scope for a body that sees the values of this one.
    pub(super) fn inner(&self) -> Scope<'_> {
        Scope {
            context: self.context,
            outer: Some(self),
            values: Values::new(),
        }
    }

    pub(super) fn set(&mut self, name: &str, tensor: Tensor) {
        self.values.insert(name.to_string(), tensor);
    }

    pub(super) fn get(&self, name: &str) -> Result<&Tensor, String> {
        match (self.values.get(name), self.outer) {
            (Some(tensor), _) => Ok(tensor),
            (None, Some(outer)) => outer.get(name),
            (None, None) => Err(format!("no value named `{name}`")),
        }
    }

    pub(super) fn into_values(self) -> Values {
        self.values
    }

    /// Runs the graph's nodes; the inputs must be set before.
    pub(super) fn run_graph(&mut self, graph: &GraphProto) -> Result<(), String> {
        for initializer in &graph.initializer {
            if !self.values.contains_key(initializer.name()) {
                let tensor = Tensor::from_proto(initializer)
                    .map_err(|error| format!("initializer `{}`: {error}", initializer.name()))?;
                self.set(initializer.name(), tensor);
            }
        }
        if !graph.sparse_initializer.is_empty() {
            return Err("sparse initializers are not served".into());
        }
        if let Some(input) = graph
            .input
            .iter()
            .find(|i| !self.values.contains_key(i.name()))
        {
            return Err(format!("graph input `{}` is not given", input.name()));
        }
        self.run_nodes(&graph.node)
    }

    /// The values of the graph's outputs; a body may give back an outer value.
    pub(super) fn outputs(&self, graph: &GraphProto) -> Result<Vec<Tensor>, String> {
        graph
            .output
            .iter()
            .map(|output| self.get(output.name()).cloned())
            .collect()
    }

    fn run_nodes(&mut self, nodes: &[NodeProto]) -> Result<(), String> {
        for node in nodes {
            let place = |error| format!("node `{}` ({}): {error}", node.name(), node.op_type());
            let outputs = self.run_node(node).map_err(place)?;
            for (name, tensor) in node.output.iter().zip(outputs) {
                if !name.is_empty() && self.values.insert(name.clone(), tensor).is_some() {
                    return Err(place(format!("`{name}` is written twice")));
                }
            }
        }
        Ok(())
    }

    fn run_node(&self, node: &NodeProto) -> Result<Vec<Tensor>, String> {
        let input = |name: &String| match name.as_str() {
            "" => Ok(None),
            name => self.get(name).map(Some),
        };
        let inputs = node
            .input
            .iter()
            .map(input)
            .collect::<Result<Vec<_>, String>>()?;
        if let Some(function) = self.context.function(node) {
            return self.run_function(function, node, &inputs);
        }
        if !domain(node.domain()).is_empty() {
            return Err(format!("domain {} is not served", node.domain()));
        }
        let opset = self
            .context
            .opsets
            .get("")
            .copied()
            .ok_or("no default operator set")?;
        let round = self.context.round;
        let call = Call {
            node,
            opset,
            inputs,
            round,
        };
        let outputs = match (control::operator(node.op_type()), operator(node.op_type())) {
            (Some(control), _) => control(&call, self)?,
            (None, Some(operator)) => operator(&call)?,
            (None, None) => return Err("the operator is not served".into()),
        };
        let named = node.output.iter().rposition(|name| !name.is_empty());
        if named.is_some_and(|last| last >= outputs.len()) {
            return Err(format!(
                "{} outputs are named, {} exist",
                node.output.len(),
                outputs.len()
            ));
        }
        Ok(outputs
            .into_iter()
            .map(|tensor| self.round(tensor))
            .collect())
    }

    fn round(&self, tensor: Tensor) -> Tensor {
        match self.context.round {
            Round::Nothing if is_float(tensor.dtype) => tensor,
            Round::Nothing | Round::Storage => tensor.rounded(),
        }
    }

    fn run_function(
        &self,
        function: &FunctionProto,
        node: &NodeProto,
        inputs: &[Option<&Tensor>],
    ) -> Result<Vec<Tensor>, String> {
        if self.context.depth > 32 {
            return Err("functions call each other without end".into());
        }
        let nodes = with_attributes(&function.node, node, &function.attribute_proto);
        let context = self.context.of_function(function);
        let mut scope = Scope::new(&context, None);
        for (name, tensor) in function.input.iter().zip(inputs) {
            if let Some(tensor) = tensor {
                scope.set(name, (*tensor).clone());
            }
        }
        let absent: Vec<&String> = function
            .input
            .iter()
            .filter(|name| !scope.values.contains_key(*name))
            .collect();
        scope.run_nodes(&without_inputs(nodes, &absent))?;
        function
            .output
            .iter()
            .map(|name| scope.get(name).cloned())
            .collect()
    }
}

fn opsets(imports: &[OperatorSetIdProto]) -> BTreeMap<String, i64> {
    imports
        .iter()
        .map(|import| (domain(import.domain()).to_string(), import.version()))
        .collect()
}

/// `ai.onnx` is another name of the empty domain.
fn domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// The nodes with every reference to an attribute replaced by the caller's attribute, else the
/// function's default, else left out.
fn with_attributes(
    nodes: &[NodeProto],
    caller: &NodeProto,
    defaults: &[AttributeProto],
) -> Vec<NodeProto> {
    let mut nodes = nodes.to_vec();
    for node in &mut nodes {
        let attributes = std::mem::take(&mut node.attribute);
        for mut attribute in attributes {
            if !attribute.ref_attr_name().is_empty() {
                let wanted = attribute.ref_attr_name();
                let mut candidates = caller.attribute.iter().chain(defaults);
                if let Some(found) = candidates.find(|found| found.name() == wanted) {
                    let name = attribute.name.clone();
                    node.attribute.push(AttributeProto {
                        name,
                        ..found.clone()
                    });
                }
                continue;
            }
            for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                graph.node = with_attributes(&graph.node, caller, defaults);
            }
            node.attribute.push(attribute);
        }
    }
    nodes
}

/// The nodes with the named inputs made absent.
fn without_inputs(mut nodes: Vec<NodeProto>, absent: &[&String]) -> Vec<NodeProto> {
    for node in &mut nodes {
        for input in &mut node.input {
            if absent.contains(&&*input) {
                input.clear();
            }
        }
    }
    nodes
}
