//! A whole model in one session of ONNX Runtime.
//!
//! What it cannot run as a whole runs node by node instead, on ONNX Runtime where it has the operator:
//! a model with an operator that it lacks, and every run that goes around such operators.
//! Observers see the values of such runs only.

use std::collections::HashMap;

use ort::session::Session as OrtSession;

use super::convert::{from_ort, to_ort};
use super::runtime::{Runtime, words};
use crate::engine::error::EngineError;
use crate::engine::graph::Signature;
use crate::engine::guard;
use crate::engine::interpret::Interpreter;
use crate::engine::tensor::Tensor;
use crate::engine::{ModelBytes, Observer, Session};

#[derive(Debug)]
pub(super) struct Whole {
    session: Option<OrtSession>,
    nodes: Interpreter,
    /// Why the last run was one by nodes.
    trouble: Option<String>,
}

impl Whole {
    pub(super) fn new(runtime: &Runtime, model: ModelBytes<'_>, nodes: Interpreter) -> Whole {
        let session = guard::catch(|| runtime.session(model.bytes, model.directory));
        let session = session.and_then(|made| made.map_err(|error| words(&error)));
        let (session, trouble) = match session {
            Ok(session) => (Some(session), None),
            Err(trouble) => (None, Some(trouble)),
        };
        Whole {
            session,
            nodes,
            trouble,
        }
    }

    /// The outputs in the model's order; `None` if the model has no session.
    fn attempt(
        &mut self,
        inputs: &[(String, Tensor)],
    ) -> Option<Result<Vec<(String, Tensor)>, String>> {
        let session = self.session.as_mut()?;
        let ports = &self.nodes.signature().outputs;
        let names = ports.iter().map(|port| port.name.as_str());
        Some(guard::catch(|| run(session, inputs, names)).and_then(|outputs| outputs))
    }
}

fn run<'n>(
    session: &mut OrtSession,
    inputs: &[(String, Tensor)],
    outputs: impl Iterator<Item = &'n str>,
) -> Result<Vec<(String, Tensor)>, String> {
    let mut given = Vec::with_capacity(inputs.len());
    for (name, tensor) in inputs {
        given.push((
            name.as_str(),
            to_ort(tensor).map_err(|error| words(&error))?,
        ));
    }
    let results = session.run(given).map_err(|error| words(&error))?;
    let read = |name: &str| {
        let tensor = results.get(name).and_then(from_ort);
        let tensor =
            tensor.ok_or_else(|| format!("output {name:?} is no tensor of a known type"))?;
        Ok((name.to_owned(), tensor))
    };
    outputs.map(read).collect()
}

impl Session for Whole {
    fn signature(&self) -> &Signature {
        self.nodes.signature()
    }

    fn notes(&self) -> Vec<String> {
        match &self.trouble {
            None => Vec::new(),
            Some(trouble) => {
                let note =
                    format!("run node by node, because as a whole it does not run: {trouble}");
                [note].into_iter().chain(self.nodes.notes()).collect()
            }
        }
    }

    fn run(
        &mut self,
        inputs: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<Vec<(String, Tensor)>, EngineError> {
        match self.attempt(inputs) {
            Some(Ok(outputs)) => {
                self.trouble = None;
                return Ok(outputs);
            }
            Some(Err(trouble)) => self.trouble = Some(trouble),
            None => {}
        }
        self.nodes.run(inputs, observer)
    }

    fn run_partial(
        &mut self,
        inputs: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<Vec<(String, Option<Tensor>)>, EngineError> {
        self.nodes.run_partial(inputs, observer)
    }

    fn value_names(&self) -> Vec<&str> {
        self.nodes.value_names()
    }

    fn integer_ranges(&self) -> HashMap<String, (i64, i64)> {
        self.nodes.integer_ranges()
    }
}
