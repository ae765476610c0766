//! Bytes → the engine's own form of a model.
//!
//! Names are resolved to slots, nodes put into an order in which values are given before they are read,
//! model-local functions become bodies of the nodes that call them, stored tensors are read and widened.
//! value_info, node names and doc strings do not matter here, so nothing in them can be wrong.

mod attributes;
mod encoded;
mod external;
mod frame;
mod fused;
mod order;
mod perturb;
mod ports;
mod tensors;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use encoded::Encoded;
use frame::Frame;
pub(super) use perturb::Perturbation;
use ports::port;

use super::assume;
use super::error::EngineError;
use super::graph::{Attribute, Callee, Graph, Input, Node, Port, Signature, Slot};
use super::tensor::Tensor;
use super::{Budget, Precision};
use crate::onnx::proto::{
    FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
};

/// A model in the engine's form; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) main: Arc<Graph>,
    pub(super) signature: Signature,
    /// Whether a stored tensor was held in a wider type than declared.
    pub(super) widened: bool,
}

/// Compiles a model, its weights moved if a perturbation is given.
pub(super) fn compile(
    model: &Encoded<'_>,
    precision: Precision,
    budget: Budget,
    perturbation: Option<Perturbation>,
) -> Result<Program, EngineError> {
    let Encoded {
        proto,
        initializers,
        directory,
    } = model;
    let graph = proto.graph.as_ref().ok_or_else(|| EngineError::Decode {
        reason: "it holds no graph".to_owned(),
    })?;
    let mut compiler = Compiler {
        functions: proto
            .functions
            .iter()
            .map(|f| (function_key(f), f))
            .collect(),
        tensors: tensors::Reader::new(*directory, precision, budget),
        budget,
        n_nodes: 0,
        frames: Vec::new(),
        callers: Vec::new(),
        perturbation,
    };
    let scope = Scope {
        opsets: &proto.opset_import,
        arguments: None,
    };
    let main = compiler.graph(graph, initializers, scope)?;
    let signature = Signature {
        inputs: main
            .inputs
            .iter()
            .filter(|i| !i.has_default)
            .map(|i| i.port.clone())
            .collect(),
        outputs: main.outputs.iter().map(|(port, _)| port.clone()).collect(),
        settled: assume::settled(&main),
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
    let (header, raw) = encoded::tensor(bytes)?;
    let mut reader = tensors::Reader::new(None, Precision::Declared, Budget::default());
    Ok((header.name().to_owned(), reader.stored(&header, raw)?))
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

struct Compiler<'a> {
    functions: HashMap<FunctionKey<'a>, &'a FunctionProto>,
    tensors: tensors::Reader<'a>,
    budget: Budget,
    n_nodes: usize,
    frames: Vec<Frame>,
    /// Functions that are being expanded.
    callers: Vec<FunctionKey<'a>>,
    perturbation: Option<Perturbation>,
}

impl<'a> Compiler<'a> {
    /// `encoded` are initializers of the graph that it does not hold itself.
    fn graph(
        &mut self,
        graph: &'a GraphProto,
        encoded: &[&[u8]],
        scope: Scope<'_>,
    ) -> Result<Graph, EngineError> {
        self.frames.push(Frame::default());
        self.spare(&graph.node);
        for tensor in encoded {
            let (header, raw) = encoded::tensor(tensor)?;
            let value = self.tensors.dense(&header, raw)?;
            self.define_constant(header.name(), value);
        }
        self.initializers(graph)?;
        let inputs = graph.input.iter().map(|input| self.input(input)).collect();
        self.body(&graph.node, &graph.value_info, scope, inputs, |compiler| {
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
        let infos = &function.value_info;
        let graph = self.body(&function.node, infos, scope, inputs, |compiler| {
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
        infos: &'a [ValueInfoProto],
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
        let known = |info: &ValueInfoProto| Some((*frame.slots.get(info.name())?, port(info)));
        let declared = outputs
            .iter()
            .filter_map(|(port, slot)| Some(((*slot)?, port.clone())));
        let infos = infos.iter().filter_map(known).chain(declared).collect();
        order::mark_last_reads(&mut compiled, frame.names.len(), &kept);
        Ok(Graph {
            names: frame.names,
            inputs,
            outputs,
            constants: frame.constants,
            fixed: order::fixed(&compiled, frame.constant_slots),
            nodes: compiled,
            captures: frame.captures,
            infos,
        })
    }

    fn initializers(&mut self, graph: &'a GraphProto) -> Result<(), EngineError> {
        for tensor in &graph.initializer {
            let value = self.tensors.dense(tensor, None)?;
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
            let is_given = arguments.contains_key(default.name());
            let scope = Scope {
                opsets: &[],
                arguments: None,
            };
            if let (false, Some(value)) = (is_given, self.attribute(default, scope)?) {
                arguments.insert(default.name().to_owned(), value);
            }
        }
        Ok(Callee::Function(Arc::new(
            self.function(function, &arguments)?,
        )))
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
