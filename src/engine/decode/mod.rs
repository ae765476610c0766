//! Bytes → the engine's own form of a model.
//!
//! Names are resolved to slots, nodes put into an order in which values are given before they are read,
//! model-local functions become bodies of the nodes that call them, stored tensors are read and widened.
//! value_info, node names and doc strings do not matter here, so nothing in them can be wrong.

mod attributes;
mod external;
mod order;
mod perturb;
mod tensors;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use prost::Message;

use super::error::EngineError;
use super::graph::{Attribute, Callee, Dim, Graph, Input, Node, Port, Signature, Slot};
use super::{Budget, Precision};
use crate::engine::element::ElementType;
use crate::engine::tensor::Tensor;
use crate::onnx::proto::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeProto,
    ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};

/// A model in the engine's form.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) main: Arc<Graph>,
    pub(super) signature: Signature,
    /// Whether a stored tensor was held in a wider type than declared.
    pub(super) widened: bool,
}

/// Decodes a model; `directory` is where its external data lies.
pub(super) fn decode(
    bytes: &[u8],
    directory: Option<&Path>,
    precision: Precision,
    budget: Budget,
) -> Result<Program, EngineError> {
    let model = ModelProto::decode(bytes).map_err(|error| EngineError::Decode {
        reason: error.to_string(),
    })?;
    let graph = model.graph.as_ref().ok_or_else(|| EngineError::Decode {
        reason: "it holds no graph".to_owned(),
    })?;
    let mut compiler = Compiler {
        functions: model
            .functions
            .iter()
            .map(|f| (function_key(f), f))
            .collect(),
        tensors: tensors::Reader::new(directory, precision, budget),
        budget,
        n_nodes: 0,
        frames: Vec::new(),
        callers: Vec::new(),
        perturbation: perturb::Perturbation::new(precision),
    };
    let scope = Scope {
        opsets: &model.opset_import,
        arguments: None,
    };
    let main = compiler.graph(graph, scope)?;
    let signature = Signature {
        inputs: main
            .inputs
            .iter()
            .filter(|i| !i.has_default)
            .map(|i| i.port.clone())
            .collect(),
        outputs: main.outputs.iter().map(|(port, _)| port.clone()).collect(),
    };
    let widened = compiler.tensors.widened();
    Ok(Program {
        main: Arc::new(main),
        signature,
        widened,
    })
}

/// One encoded tensor by itself, as it is stored.
pub(super) fn decode_tensor(bytes: &[u8]) -> Result<(String, Tensor), EngineError> {
    let proto = TensorProto::decode(bytes).map_err(|error| EngineError::Decode {
        reason: error.to_string(),
    })?;
    let mut reader = tensors::Reader::new(None, Precision::Declared, Budget::default());
    Ok((proto.name().to_owned(), reader.stored(&proto)?))
}

type FunctionKey<'a> = (&'a str, &'a str, &'a str);

fn function_key(function: &FunctionProto) -> FunctionKey<'_> {
    (function.domain(), function.name(), function.overload())
}

/// What the nodes of a graph are read against.
#[derive(Clone, Copy)]
struct Scope<'a> {
    opsets: &'a [OperatorSetIdProto],
    /// In a function body, the attributes that the caller gives.
    arguments: Option<&'a HashMap<String, Attribute>>,
}

impl Scope<'_> {
    fn version(&self, domain: &str) -> i64 {
        let imported = self
            .opsets
            .iter()
            .find(|import| standard_domain(import.domain()) == domain);
        imported.map_or(1, OperatorSetIdProto::version)
    }
}

/// `ai.onnx` is an alias of the empty domain.
fn standard_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// The names of a graph under construction.
#[derive(Default)]
struct Frame {
    slots: HashMap<String, Slot>,
    names: Vec<String>,
    captures: Vec<(Slot, Slot)>,
    constants: Vec<(Slot, Tensor)>,
    constant_slots: HashSet<Slot>,
    /// A function body sees nothing of its caller.
    is_closed: bool,
}

impl Frame {
    fn define(&mut self, name: &str) -> Slot {
        let slot = self.names.len();
        self.names.push(name.to_owned());
        self.slots.insert(name.to_owned(), slot);
        slot
    }
}

struct Compiler<'a> {
    functions: HashMap<FunctionKey<'a>, &'a FunctionProto>,
    tensors: tensors::Reader<'a>,
    budget: Budget,
    n_nodes: usize,
    frames: Vec<Frame>,
    /// Functions that are being expanded.
    callers: Vec<FunctionKey<'a>>,
    perturbation: perturb::Perturbation,
}

impl<'a> Compiler<'a> {
    fn graph(&mut self, graph: &'a GraphProto, scope: Scope<'_>) -> Result<Graph, EngineError> {
        self.frames.push(Frame::default());
        self.perturbation.spare(&graph.node);
        self.initializers(graph)?;
        let inputs = graph.input.iter().map(|input| self.input(input)).collect();
        self.body(&graph.node, scope, inputs, |compiler| {
            let mut outputs = Vec::with_capacity(graph.output.len());
            for output in &graph.output {
                let slot = compiler.resolve(output.name(), "of the graph's outputs")?;
                outputs.push((port(output), Some(slot)));
            }
            Ok(outputs)
        })
    }

    fn function(
        &mut self,
        function: &'a FunctionProto,
        arguments: &HashMap<String, Attribute>,
    ) -> Result<Graph, EngineError> {
        let key = function_key(function);
        if self.callers.contains(&key) {
            let reason = format!("function {}::{} calls itself", key.0, key.1);
            return Err(EngineError::Decode { reason });
        }
        self.callers.push(key);
        self.frames.push(Frame {
            is_closed: true,
            ..Frame::default()
        });
        let untyped = |name: &String| Port {
            name: name.clone(),
            element: None,
            dims: None,
        };
        let mut inputs = Vec::with_capacity(function.input.len());
        for name in &function.input {
            let slot = self.define(name);
            inputs.push(Input {
                port: untyped(name),
                slot,
                has_default: false,
            });
        }
        let scope = Scope {
            opsets: &function.opset_import,
            arguments: Some(arguments),
        };
        let graph = self.body(&function.node, scope, inputs, |compiler| {
            let resolve = |name: &String, compiler: &mut Compiler<'a>| {
                Ok((
                    untyped(name),
                    Some(compiler.resolve(name, "of a function's outputs")?),
                ))
            };
            function
                .output
                .iter()
                .map(|name| resolve(name, compiler))
                .collect()
        });
        self.callers.pop();
        graph
    }

    /// Compiles nodes in the frame on top of the stack, and takes it off.
    fn body(
        &mut self,
        nodes: &'a [NodeProto],
        scope: Scope<'_>,
        inputs: Vec<Input>,
        outputs: impl FnOnce(&mut Compiler<'a>) -> Result<Vec<(Port, Option<Slot>)>, EngineError>,
    ) -> Result<Graph, EngineError> {
        let given: Vec<&str> = match self.frames.last() {
            Some(frame) => frame.names.iter().map(String::as_str).collect(),
            None => Vec::new(),
        };
        let order = order::execution_order(nodes, &given)?;
        let mut compiled = Vec::with_capacity(nodes.len());
        for index in order {
            if let Some(node) = nodes.get(index) {
                compiled.extend(self.node(node, scope)?);
            }
        }
        let outputs = outputs(self)?;
        let frame = self.frames.pop().unwrap_or_default();
        let kept = outputs.iter().filter_map(|(_, slot)| *slot);
        let kept = kept.chain(frame.constant_slots.iter().copied()).collect();
        order::mark_last_reads(&mut compiled, frame.names.len(), &kept);
        Ok(Graph {
            names: frame.names,
            inputs,
            outputs,
            constants: frame.constants,
            nodes: compiled,
            captures: frame.captures,
        })
    }

    fn initializers(&mut self, graph: &'a GraphProto) -> Result<(), EngineError> {
        for tensor in &graph.initializer {
            let value = self.tensors.dense(tensor)?;
            self.define_constant(tensor.name(), value);
        }
        for sparse in &graph.sparse_initializer {
            let value = self.tensors.sparse(sparse)?;
            let name = sparse.values.as_ref().map_or("", |values| values.name());
            self.define_constant(name, value);
        }
        Ok(())
    }

    fn input(&mut self, info: &ValueInfoProto) -> Input {
        let known = self
            .frames
            .last()
            .and_then(|frame| frame.slots.get(info.name()).copied());
        let slot = known.unwrap_or_else(|| self.define(info.name()));
        if let Some(frame) = self.frames.last_mut() {
            frame.constant_slots.remove(&slot);
        }
        Input {
            port: port(info),
            slot,
            has_default: known.is_some(),
        }
    }

    /// `None` for a Constant node, whose value joins the graph's constants.
    fn node(
        &mut self,
        proto: &'a NodeProto,
        scope: Scope<'_>,
    ) -> Result<Option<Node>, EngineError> {
        let id = self.n_nodes;
        self.n_nodes += 1;
        if self.n_nodes > self.budget.nodes {
            return Err(EngineError::Budget {
                what: "the number of nodes, functions expanded".to_owned(),
                found: self.n_nodes as u64,
                limit: self.budget.nodes as u64,
            });
        }
        let name = display_name(proto);
        let mut inputs = Vec::with_capacity(proto.input.len());
        for input in &proto.input {
            let absent = input.is_empty();
            inputs.push(if absent {
                None
            } else {
                Some(self.resolve(input, &name)?)
            });
        }
        let attributes = self.attributes(proto, scope)?;
        let domain = standard_domain(proto.domain()).to_owned();
        let callee = self.callee(proto, &domain, &attributes)?;
        if let Some(value) = self.constant_value(proto, &callee, &attributes)? {
            return match proto.output.first() {
                Some(output) if !output.is_empty() => {
                    self.define_once(output)?;
                    self.define_constant(output, value);
                    Ok(None)
                }
                _ => Ok(None),
            };
        }
        let constant_inputs = self.constant_flags(&inputs);
        let mut outputs = Vec::with_capacity(proto.output.len());
        for output in &proto.output {
            outputs.push(if output.is_empty() {
                None
            } else {
                Some(self.define_once(output)?)
            });
        }
        Ok(Some(Node {
            id,
            name,
            op_type: proto.op_type().to_owned(),
            version: scope.version(&domain),
            domain,
            inputs,
            constant_inputs,
            outputs,
            attributes,
            callee,
            last_reads: Vec::new(),
        }))
    }

    fn constant_flags(&self, inputs: &[Option<Slot>]) -> Vec<bool> {
        let frame = self.frames.last();
        let is_constant =
            |slot: &Slot| frame.is_some_and(|frame| frame.constant_slots.contains(slot));
        inputs
            .iter()
            .map(|slot| slot.as_ref().is_some_and(is_constant))
            .collect()
    }

    fn constant_value(
        &self,
        proto: &NodeProto,
        callee: &Callee,
        attributes: &HashMap<String, Attribute>,
    ) -> Result<Option<Tensor>, EngineError> {
        if !matches!(callee, Callee::Operator) || proto.op_type() != "Constant" {
            return Ok(None);
        }
        let value = attributes
            .iter()
            .find_map(|(name, value)| attributes::constant(name, value));
        let value = value.ok_or_else(|| EngineError::Node {
            operator: "Constant".to_owned(),
            node: display_name(proto),
            reason: "it holds no value".to_owned(),
        })?;
        Ok(Some(self.tensors.held(value)))
    }

    fn callee(
        &mut self,
        proto: &'a NodeProto,
        domain: &str,
        arguments: &HashMap<String, Attribute>,
    ) -> Result<Callee, EngineError> {
        let key = (proto.domain(), proto.op_type(), proto.overload());
        let function = self.functions.get(&key).copied();
        let Some(function) = function else {
            return Ok(if domain.is_empty() {
                Callee::Operator
            } else {
                Callee::Foreign
            });
        };
        let mut arguments = arguments.clone();
        for default in &function.attribute_proto {
            if !arguments.contains_key(default.name()) {
                if let Some(value) = self.attribute(
                    default,
                    Scope {
                        opsets: &[],
                        arguments: None,
                    },
                )? {
                    arguments.insert(default.name().to_owned(), value);
                }
            }
        }
        Ok(Callee::Function(Arc::new(
            self.function(function, &arguments)?,
        )))
    }

    fn define(&mut self, name: &str) -> Slot {
        match self.frames.last_mut() {
            Some(frame) => frame.define(name),
            None => 0,
        }
    }

    fn define_constant(&mut self, name: &str, value: Tensor) {
        let value = self.perturbation.moved(name, value);
        if let Some(frame) = self.frames.last_mut() {
            let known = frame.slots.get(name).copied();
            let slot = known.unwrap_or_else(|| frame.define(name));
            frame.constants.push((slot, value));
            frame.constant_slots.insert(slot);
        }
    }

    fn define_once(&mut self, name: &str) -> Result<Slot, EngineError> {
        let known = self
            .frames
            .last()
            .is_some_and(|frame| frame.slots.contains_key(name));
        if known {
            let reason = format!("value {name:?} is given twice in one graph");
            return Err(EngineError::Decode { reason });
        }
        Ok(self.define(name))
    }

    /// The slot of a name in the innermost frame, captured from the frames around it if need be.
    fn resolve(&mut self, name: &str, reader: &str) -> Result<Slot, EngineError> {
        let mut found = None;
        for (depth, frame) in self.frames.iter().enumerate().rev() {
            if let Some(slot) = frame.slots.get(name) {
                found = Some((depth, *slot));
                break;
            }
            if frame.is_closed {
                break;
            }
        }
        let (depth, mut slot) = found.ok_or_else(|| EngineError::DanglingValue {
            value: name.to_owned(),
            node: reader.to_owned(),
        })?;
        for frame in self.frames.iter_mut().skip(depth + 1) {
            let outer = slot;
            slot = frame.define(name);
            frame.captures.push((outer, slot));
        }
        Ok(slot)
    }
}

/// The node's name, or the name of what it gives: nodes need no name.
fn display_name(proto: &NodeProto) -> String {
    if !proto.name().is_empty() {
        return proto.name().to_owned();
    }
    let output = proto.output.iter().find(|output| !output.is_empty());
    output.map_or_else(
        || format!("(unnamed {})", proto.op_type()),
        |output| format!("of {output:?}"),
    )
}

fn port(info: &ValueInfoProto) -> Port {
    let tensor = info.r#type.as_ref().and_then(tensor_type);
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let dim = |dim: &crate::onnx::proto::tensor_shape_proto::Dimension| match &dim.value {
        Some(dimension::Value::DimValue(extent)) => {
            usize::try_from(*extent).map_or(Dim::Unknown, Dim::Fixed)
        }
        Some(dimension::Value::DimParam(symbol)) if !symbol.is_empty() => {
            Dim::Symbol(symbol.clone())
        }
        _ => Dim::Unknown,
    };
    Port {
        name: info.name().to_owned(),
        element: tensor.and_then(|tensor| ElementType::from_onnx(tensor.elem_type())),
        dims: shape.map(|shape| shape.dim.iter().map(dim).collect()),
    }
}

fn tensor_type(ty: &TypeProto) -> Option<&type_proto::Tensor> {
    match &ty.value {
        Some(type_proto::Value::TensorType(tensor)) => Some(tensor),
        _ => None,
    }
}
