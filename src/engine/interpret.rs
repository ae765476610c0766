//! Runs a graph node by node on concrete tensors.
//!
//! A value is dropped after its last reader, so that a kernel may write into its input's memory.
//! Every node runs behind a panic guard: a crash names its node and ends this run only.

use std::collections::HashMap;
use std::sync::Arc;

use super::call::{Call, Fault};
use super::control;
use super::decode::Program;
use super::delegate::Delegate;
use super::element::ElementType;
use super::error::EngineError;
use super::graph::{Callee, Graph, Node, Port, Signature, Slot};
use super::guard;
use super::kernels;
use super::tensor::Tensor;
use super::{Budget, Observer, Precision, Produced, Session, Step};

/// A decoded model, ready to run.
#[derive(Debug)]
pub(super) struct Interpreter {
    program: Program,
    precision: Precision,
    budget: Budget,
    delegate: Delegate,
}

impl Interpreter {
    pub(super) fn new(program: Program, precision: Precision, budget: Budget) -> Interpreter {
        Interpreter {
            program,
            precision,
            budget,
            delegate: Delegate::default(),
        }
    }
}

impl Session for Interpreter {
    fn signature(&self) -> &Signature {
        &self.program.signature
    }

    fn notes(&self) -> Vec<String> {
        let widened = self.program.widened && self.precision == Precision::Declared;
        let note = "float16 and bfloat16 are computed in float32";
        widened.then(|| note.to_owned()).into_iter().collect()
    }

    fn run(
        &mut self,
        inputs: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<Vec<(String, Tensor)>, EngineError> {
        let main = Arc::clone(&self.program.main);
        let mut given = Vec::with_capacity(main.inputs.len());
        for input in &main.inputs {
            let value = inputs.iter().find(|(name, _)| *name == input.port.name);
            if let Some((_, tensor)) = value {
                check_input(&input.port, tensor)?;
                let compute = self.precision.compute_type(tensor.element());
                given.push(Some(tensor.clone().with_floats_as(compute)));
            } else if input.has_default {
                given.push(None);
            } else {
                return Err(input_error(&input.port, "no value is given for it"));
            }
        }
        if let Some((name, _)) = inputs.iter().find(|(name, _)| !takes(&main, name)) {
            let reason = "the model has no input of this name".to_owned();
            return Err(EngineError::Input {
                input: name.clone(),
                reason,
            });
        }
        let mut run = Run {
            precision: self.precision,
            budget: self.budget,
            delegate: &mut self.delegate,
            observer,
            scope: String::new(),
        };
        let outputs = run.graph(&main, given, &[])?;
        let narrow = |tensor: Tensor| match self.precision {
            Precision::Declared => {
                let element = tensor.element();
                tensor.with_floats_as(element)
            }
            Precision::Double => tensor,
        };
        let named = main.outputs.iter().zip(outputs);
        Ok(named
            .map(|((port, _), tensor)| (port.name.clone(), narrow(tensor)))
            .collect())
    }
}

fn takes(graph: &Graph, name: &str) -> bool {
    graph.inputs.iter().any(|input| input.port.name == name)
}

fn input_error(port: &Port, reason: &str) -> EngineError {
    EngineError::Input {
        input: port.name.clone(),
        reason: reason.to_owned(),
    }
}

fn check_input(port: &Port, tensor: &Tensor) -> Result<(), EngineError> {
    use super::graph::Dim;
    if port
        .element
        .is_some_and(|element| element != tensor.element())
    {
        let declared = port
            .element
            .map(|element| element.to_string())
            .unwrap_or_default();
        let reason = format!(
            "it is declared {declared}, the given value is {}",
            tensor.element()
        );
        return Err(input_error(port, &reason));
    }
    let Some(dims) = &port.dims else {
        return Ok(());
    };
    let fits = |(dim, extent): (&Dim, &usize)| match dim {
        Dim::Fixed(declared) => declared == extent,
        Dim::Symbol(_) | Dim::Unknown => true,
    };
    if dims.len() != tensor.rank() || !dims.iter().zip(tensor.shape()).all(fits) {
        let reason = format!("its declared shape excludes the given {:?}", tensor.shape());
        return Err(input_error(port, &reason));
    }
    Ok(())
}

/// One run of a model, or of a graph nested in it.
pub(super) struct Run<'r> {
    precision: Precision,
    budget: Budget,
    delegate: &'r mut Delegate,
    observer: &'r mut dyn Observer,
    /// Empty in the main graph, else the names of the nodes that lead here.
    scope: String,
}

/// The values of a graph, by slot.
type Table = Vec<Option<Tensor>>;

impl Run<'_> {
    /// Runs a graph; `outer` are the values of the graph around it.
    pub(super) fn graph(
        &mut self,
        graph: &Graph,
        inputs: Vec<Option<Tensor>>,
        outer: &[Option<Tensor>],
    ) -> Result<Vec<Tensor>, EngineError> {
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
        for node in &graph.nodes {
            let outputs = self.node(node, &mut table)?;
            self.publish(node, graph, &mut table, outputs)?;
            for slot in &node.last_reads {
                put(&mut table, *slot, None);
            }
        }
        let give = |(port, slot): &(Port, Option<Slot>)| {
            let value = slot.and_then(|slot| table.get(slot).cloned().flatten());
            value.ok_or_else(|| EngineError::DanglingValue {
                value: port.name.clone(),
                node: "of the graph's outputs".to_owned(),
            })
        };
        graph.outputs.iter().map(give).collect()
    }

    fn publish(
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
            };
            let tensor = match self.observer.value(&produced) {
                Step::Keep => tensor,
                Step::Replace(other) => {
                    let compute = self.precision.compute_type(other.element());
                    other.with_floats_as(compute)
                }
                Step::Stop => return Err(EngineError::Stopped),
            };
            put(table, *slot, Some(tensor));
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, table: &mut Table) -> Result<Vec<Tensor>, EngineError> {
        match &node.callee {
            Callee::Foreign => return Err(unsupported(node)),
            Callee::Function(body) => {
                let inputs = self.arguments(node, table);
                let body = Arc::clone(body);
                return self.nested(node, |run| run.graph(&body, inputs, &[]));
            }
            Callee::Operator => {}
        }
        if control::is_control(&node.op_type) {
            let inputs = self.arguments(node, table);
            let mut call = self.call(node, inputs);
            return self.nested(node, |run| control::run(run, &mut call, table));
        }
        let declared = declared_type(node, table);
        let call = self.call(node, self.consume(node, table));
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
        let declare = |tensor: Tensor| match declared {
            Some(element) if tensor.data().element().is_float() => tensor.declared(element),
            _ => tensor,
        };
        Ok(outputs.into_iter().map(declare).collect())
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

    fn nested<R>(&mut self, node: &Node, inner: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.scope.len();
        self.scope.push_str(&node.name);
        self.scope.push('/');
        let result = inner(self);
        self.scope.truncate(length);
        result
    }

    fn arguments(&self, node: &Node, table: &Table) -> Vec<Option<Tensor>> {
        let read = |slot: &Option<Slot>| slot.and_then(|slot| table.get(slot).cloned().flatten());
        node.inputs.iter().map(read).collect()
    }

    /// The inputs of a node, moved out of the table where this is their last read.
    fn consume(&self, node: &Node, table: &mut Table) -> Vec<Option<Tensor>> {
        let mut uses: HashMap<Slot, usize> = HashMap::new();
        for slot in node.inputs.iter().flatten() {
            *uses.entry(*slot).or_default() += 1;
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for slot in &node.inputs {
            let value = slot.and_then(|slot| {
                let is_last = uses.get(&slot) == Some(&1) && node.last_reads.contains(&slot);
                let place = table.get_mut(slot)?;
                if is_last { place.take() } else { place.clone() }
            });
            inputs.push(value);
        }
        inputs
    }
}

fn put(table: &mut Table, slot: Slot, value: Option<Tensor>) {
    if let Some(place) = table.get_mut(slot) {
        *place = value;
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
fn declared_type(node: &Node, table: &Table) -> Option<ElementType> {
    const SAY_THEMSELVES: [&str; 11] = [
        "Cast",
        "CastLike",
        "ConstantOfShape",
        "EyeLike",
        "OneHot",
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Bernoulli",
        "BatchNormalization",
    ];
    if SAY_THEMSELVES.contains(&node.op_type.as_str()) {
        return None;
    }
    let inputs = node.inputs.iter().flatten();
    let tensors = inputs.filter_map(|slot| table.get(*slot).and_then(Option::as_ref));
    tensors
        .map(Tensor::element)
        .find(|element| element.is_float())
}
