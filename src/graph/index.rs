//! Building the index: names to values, scope by scope.

mod names;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::{
    Graph, GraphError, Node, NodeId, Origin, Scope, ScopeId, ScopeKind, ValueId, constant, shape,
    types,
};
use crate::onnx::model::{
    AnnotationView, AttributeValue, GraphView, Model, Name, NodeView, OperatorSet, SparseView,
    TensorView, ValueInfoView,
};

/// How constants are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Evaluates constants that the model computes; without it they count as unknown.
    pub evaluate: Option<constant::Evaluate>,
    /// Whether initializers that a caller may override are taken as constant.
    pub freeze_inputs: bool,
    /// Whether an affine may pass a Cast between float types, which moves the rounding.
    pub allow_precision_change: bool,
}

impl<'m> Graph<'m> {
    /// Indexes a model.
    ///
    /// # Errors
    /// If names do not resolve, or a node lacks inputs that every version of its operator requires.
    pub fn new(model: &'m Model, reading: Reading) -> Result<Graph<'m>, GraphError> {
        let graph = Graph {
            model,
            scopes: Vec::new(),
            nodes: Vec::new(),
            values: Vec::new(),
            symbols: shape::Symbols::default(),
            contents: HashMap::new(),
            constant: Vec::new(),
            allows_precision_change: reading.allow_precision_change,
            constants: Rc::new(constant::Cache::new(reading, model.len())),
        };
        let standard = model.functions.iter().filter(|f| f.domain.is_empty());
        let mut index = Index {
            graph,
            names: Vec::new(),
            shadowed: standard.map(|function| &function.name).collect(),
        };
        index.main()?;
        for function in 0..model.functions.len() {
            index.function(function)?;
        }
        index.reserve();
        let mut graph = index.graph;
        types::settle(&mut graph);
        shape::infer(&mut graph);
        Ok(graph)
    }
}

struct Index<'m> {
    graph: Graph<'m>,
    names: Vec<HashMap<Name, ValueId>>,
    /// Standard operators that model-local functions take the place of.
    shadowed: HashSet<&'m Name>,
}

impl<'m> Index<'m> {
    fn main(&mut self) -> Result<(), GraphError> {
        let model = self.graph.model;
        self.body(&model.graph, ScopeKind::Main, None, &model.opset_imports)
    }

    fn body(
        &mut self,
        view: &'m GraphView,
        kind: ScopeKind,
        parent: Option<ScopeId>,
        opsets: &'m [OperatorSet],
    ) -> Result<(), GraphError> {
        let scope = self.open(kind, parent, opsets);
        self.initializers(scope, view)?;
        let mut listed = HashSet::new();
        for input in &view.inputs {
            if !listed.insert(&input.name) {
                return Err(self.defined_twice(scope, &input.name));
            }
            if !self.names[scope.0 as usize].contains_key(&input.name) {
                self.define(scope, &input.name, Origin::Input)?;
            }
        }
        self.nodes(scope, &view.nodes)?;
        let outputs: Vec<Name> = view
            .outputs
            .iter()
            .map(|output| output.name.clone())
            .collect();
        self.outputs(scope, &outputs)?;
        for info in view
            .inputs
            .iter()
            .chain(&view.outputs)
            .chain(&view.value_info)
        {
            self.declare(scope, info);
        }
        self.annotations(scope, &view.annotations);
        Ok(())
    }

    fn function(&mut self, index: usize) -> Result<(), GraphError> {
        let view = &self.graph.model.functions[index];
        let scope = self.open(ScopeKind::Function(index), None, &view.opset_imports);
        for input in &view.inputs {
            self.define(scope, input, Origin::Input)?;
        }
        self.nodes(scope, &view.nodes)?;
        self.outputs(scope, &view.outputs)?;
        for info in &view.value_info {
            self.declare(scope, info);
        }
        Ok(())
    }

    fn open(
        &mut self,
        kind: ScopeKind,
        parent: Option<ScopeId>,
        opsets: &'m [OperatorSet],
    ) -> ScopeId {
        let id = ScopeId(self.graph.scopes.len() as u32);
        self.graph.scopes.push(Scope {
            kind,
            parent,
            opsets,
            nodes: Vec::new(),
            outputs: Vec::new(),
        });
        self.names.push(HashMap::new());
        id
    }

    fn initializers(&mut self, scope: ScopeId, view: &'m GraphView) -> Result<(), GraphError> {
        let ir_version = self.graph.model.ir_version;
        let inputs: HashSet<&Name> = match ir_version {
            ..4 => Default::default(),
            _ => view.inputs.iter().map(|input| &input.name).collect(),
        };
        for tensor in &view.initializers {
            let overridable = inputs.contains(&tensor.name);
            let id = self.define(
                scope,
                &tensor.name,
                Origin::Initializer {
                    tensor,
                    overridable,
                },
            )?;
            self.describe(id, tensor);
        }
        for SparseView { name, .. } in &view.sparse_initializers {
            self.define(scope, name, Origin::Sparse)?;
        }
        Ok(())
    }

    fn describe(&mut self, id: ValueId, tensor: &TensorView) {
        let value = self.graph.value_mut(id);
        value.data_type = tensor.data_type;
        value.shape = Some(Rc::new(shape::Shape::known(&tensor.dims)));
    }

    fn nodes(&mut self, scope: ScopeId, nodes: &'m [NodeView]) -> Result<(), GraphError> {
        for view in nodes {
            self.node(scope, view)?;
        }
        Ok(())
    }

    fn node(&mut self, scope: ScopeId, view: &'m NodeView) -> Result<(), GraphError> {
        let id = NodeId(self.graph.nodes.len() as u32);
        let op = self.standard_op(view);
        if let Some(needed) = required_inputs(&op)
            && view
                .inputs
                .iter()
                .take_while(|name| !name.is_empty())
                .count()
                < needed
        {
            return Err(GraphError::TooFewInputs {
                node: label(view),
                op: op.to_string(),
                needed,
                found: view.inputs.len(),
            });
        }
        self.graph.nodes.push(Node {
            scope,
            view: Some(view),
            op,
            inputs: Vec::new(),
            outputs: Vec::new(),
            alive: true,
            pending: None,
            position: (id.0, 0),
        });
        self.graph.scopes[scope.0 as usize].nodes.push(id);
        let mut inputs = Vec::with_capacity(view.inputs.len());
        for (slot, name) in view.inputs.iter().enumerate() {
            inputs.push(match name.is_empty() {
                true => None,
                false => Some(self.read(scope, name, (id, slot), view)?),
            });
        }
        self.graph.node_mut(id).inputs = inputs;
        self.bodies(scope, id, view)?;
        let mut outputs = Vec::with_capacity(view.outputs.len());
        for (slot, name) in view.outputs.iter().enumerate() {
            outputs.push(match name.is_empty() {
                true => None,
                false => Some(self.define(scope, name, Origin::Node(id, slot))?),
            });
        }
        self.graph.node_mut(id).outputs = outputs;
        Ok(())
    }

    fn bodies(
        &mut self,
        scope: ScopeId,
        node: NodeId,
        view: &'m NodeView,
    ) -> Result<(), GraphError> {
        let opsets = self.graph.scopes[scope.0 as usize].opsets;
        for attribute in &view.attributes {
            let graphs = match &attribute.value {
                AttributeValue::Graph(graph) => std::slice::from_ref(&**graph),
                AttributeValue::Graphs(graphs) => graphs,
                _ => continue,
            };
            for graph in graphs {
                self.body(graph, ScopeKind::Nested { node }, Some(scope), opsets)?;
            }
        }
        Ok(())
    }

    /// A model-local function may take the place of a standard operator.
    fn standard_op(&self, view: &NodeView) -> Rc<str> {
        let is_function = self.shadowed.contains(&view.op_type);
        match (
            view.domain.is_empty() && !is_function,
            std::str::from_utf8(view.op_type.as_bytes()),
        ) {
            (true, Ok(op)) => Rc::from(op),
            _ => Rc::from(""),
        }
    }

    fn declare(&mut self, scope: ScopeId, info: &ValueInfoView) {
        let Some(&id) = self.names[scope.0 as usize].get(&info.name) else {
            return;
        };
        let declared = info.ty.as_ref().and_then(shape::Declared::read);
        if let Some(declared) = declared {
            self.graph.declare(id, &declared);
        }
    }

    fn annotations(&mut self, scope: ScopeId, annotations: &[AnnotationView]) {
        for annotation in annotations {
            for name in annotation
                .parameters
                .iter()
                .chain([&annotation.tensor_name])
            {
                if let Some(&id) = self.names[scope.0 as usize].get(name) {
                    self.graph.value_mut(id).is_reserved = true;
                }
            }
        }
    }

    fn reserve(&mut self) {
        for name in &self.graph.model.reserved_names {
            if let Some(&id) = self.names[0].get(name) {
                self.graph.value_mut(id).is_reserved = true;
            }
        }
    }
}

fn label(view: &NodeView) -> String {
    match (view.name.is_empty(), view.outputs.first()) {
        (true, Some(output)) => format!("{}({output})", view.op_type),
        _ => view.name.to_string(),
    }
}

/// Inputs that every version of an operator requires, for the operators that a fold works on.
fn required_inputs(op: &str) -> Option<usize> {
    Some(match op {
        "BatchNormalization" => 5,
        "LSTM" | "GRU" | "RNN" | "InstanceNormalization" | "GroupNormalization" => 3,
        "Conv" | "ConvTranspose" | "Gemm" | "MatMul" | "Add" | "Sub" | "Mul" | "Div" | "PRelu"
        | "Gather" | "LayerNormalization" => 2,
        "Transpose" | "Flatten" | "Relu" | "LeakyRelu" | "Identity" | "Dropout" | "Reshape"
        | "Squeeze" | "Unsqueeze" | "AveragePool" | "MaxPool" | "GlobalAveragePool"
        | "GlobalMaxPool" | "ReduceMean" | "ReduceMax" | "Resize" | "Upsample" | "Pad"
        | "Concat" | "Sum" | "Split" | "Slice" | "DepthToSpace" | "SpaceToDepth" => 1,
        _ => return None,
    })
}
