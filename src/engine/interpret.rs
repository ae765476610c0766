//! A decoded model as a session: inputs are checked, run and given back as declared.

use std::collections::HashMap;
use std::sync::Arc;

use super::decode::Program;
use super::delegate::Delegate;
use super::error::EngineError;
use super::graph::{Graph, Port, Signature};
use super::run::{Run, dangling};
use super::tensor::Tensor;
use super::{Budget, Observer, Precision, Session};

/// A decoded model, ready to run.
#[derive(Debug)]
pub(super) struct Interpreter {
    program: Program,
    precision: Precision,
    budget: Budget,
    delegate: Box<dyn Delegate>,
}

impl Interpreter {
    pub(super) fn new(
        program: Program,
        precision: Precision,
        budget: Budget,
        delegate: Box<dyn Delegate>,
    ) -> Interpreter {
        Interpreter {
            program,
            precision,
            budget,
            delegate,
        }
    }
}

impl Interpreter {
    /// The inputs in the graph's order, checked and in the types that they are computed in.
    fn arguments(&self, inputs: &[(String, Tensor)]) -> Result<Vec<Option<Tensor>>, EngineError> {
        let main = &self.program.main;
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
        if let Some((name, _)) = inputs.iter().find(|(name, _)| !takes(main, name)) {
            let reason = "the model has no input of this name".to_owned();
            return Err(EngineError::Input {
                input: name.clone(),
                reason,
            });
        }
        Ok(given)
    }

    fn execute(
        &mut self,
        inputs: &[(String, Tensor)],
        observer: &mut dyn Observer,
        is_partial: bool,
    ) -> Result<Vec<Option<Tensor>>, EngineError> {
        let given = self.arguments(inputs)?;
        let main = Arc::clone(&self.program.main);
        let mut run = Run {
            precision: self.precision,
            budget: self.budget,
            produced: 0,
            delegate: self.delegate.as_mut(),
            observer,
            scope: String::new(),
            is_partial,
        };
        let outputs = run.graph_partial(&main, given, &[])?;
        let narrow = |tensor: Tensor| match self.precision {
            Precision::Declared => {
                let element = tensor.element();
                tensor.with_floats_as(element)
            }
            Precision::Double => tensor,
        };
        Ok(outputs
            .into_iter()
            .map(|output| output.map(narrow))
            .collect())
    }
}

impl Session for Interpreter {
    fn signature(&self) -> &Signature {
        &self.program.signature
    }

    fn notes(&self) -> Vec<String> {
        let widened = self.program.widened && self.precision == Precision::Declared;
        let note = "float16 and bfloat16 are computed in float32";
        let widened = widened.then(|| note.to_owned()).into_iter();
        widened.chain(self.delegate.notes()).collect()
    }

    fn run(
        &mut self,
        inputs: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<Vec<(String, Tensor)>, EngineError> {
        let outputs = self.execute(inputs, observer, false)?;
        let ports = self.program.main.outputs.iter().map(|(port, _)| port);
        let named = |(port, tensor): (&Port, Option<Tensor>)| match tensor {
            Some(tensor) => Ok((port.name.clone(), tensor)),
            None => Err(dangling(port)),
        };
        ports.zip(outputs).map(named).collect()
    }

    fn run_partial(
        &mut self,
        inputs: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<Vec<(String, Option<Tensor>)>, EngineError> {
        let outputs = self.execute(inputs, observer, true)?;
        let names = self
            .program
            .main
            .outputs
            .iter()
            .map(|(port, _)| port.name.clone());
        Ok(names.zip(outputs).collect())
    }

    fn value_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let mut graphs: Vec<&Graph> = vec![&self.program.main];
        while let Some(graph) = graphs.pop() {
            for node in &graph.nodes {
                let given = node.outputs.iter().flatten();
                names.extend(
                    given
                        .filter_map(|slot| graph.names.get(*slot))
                        .map(String::as_str),
                );
                graphs.extend(node.bodies().map(|body| &**body));
            }
        }
        names
    }

    fn integer_ranges(&self) -> HashMap<String, (i64, i64)> {
        super::ranges::integer_ranges(&self.program.main)
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
