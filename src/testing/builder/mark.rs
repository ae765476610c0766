//! Looking at, and taking back, the last part of a model: what the random generator needs.

use super::graph::Graph;
use super::recipe;
use super::state::Origin;
use super::value::Value;
use crate::onnx::proto::ModelProto;
use crate::testing::Tensor;

/// How much of a model there is, so that what comes later can be looked at alone or undone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    values: usize,
    pub(super) scopes: usize,
    pub(super) nodes: usize,
    pub(super) initializers: usize,
    inputs: usize,
    outputs: usize,
}

impl Mark {
    /// How many nodes the main graph had.
    pub(crate) fn nodes(self) -> usize {
        self.nodes
    }
}

impl Graph {
    /// The model so far, without sealing anything.
    pub(crate) fn snapshot(&self) -> ModelProto {
        self.state().to_model()
    }

    /// A tensor of the current element type, drawn from a range by its name, in the form that
    /// [`Graph::parameters`] chose.
    pub(crate) fn drawn_parameter(
        &self,
        name: &str,
        shape: &[usize],
        low: f64,
        high: f64,
    ) -> Value {
        let state = self.state();
        let tensor = recipe::uniform(name, state.seed, state.dtype, shape, low..high);
        drop(state);
        self.constant_parameter(name, tensor)
    }

    /// A tensor of the current element type without axes.
    pub(crate) fn scalar(&self, element: f64) -> Value {
        let dtype = self.state().dtype;
        self.constant_parameter("scalar", Tensor::scalar(dtype, element))
    }

    /// Whether the value comes from outside of the graph.
    pub(crate) fn is_input(&self, value: &Value) -> bool {
        let state = self.state();
        value
            .id
            .is_some_and(|id| matches!(state.values[id].origin, Origin::Input))
    }

    /// Seals the main graph and marks its end.
    pub(crate) fn mark(&self) -> Mark {
        let mut state = self.state_mut();
        state.seal(0);
        Mark {
            values: state.values.len(),
            scopes: state.scopes.len(),
            nodes: state.scopes[0].nodes.len(),
            initializers: state.scopes[0].initializers.len(),
            inputs: state.scopes[0].inputs.len(),
            outputs: state.scopes[0].outputs.len(),
        }
    }

    /// A model of the nodes and initializers that came since the mark.
    pub(crate) fn since(&self, mark: Mark) -> ModelProto {
        let mut state = self.state_mut();
        state.seal(0);
        state.to_part(mark)
    }

    /// Takes back everything that came since the mark.
    pub(crate) fn undo(&self, mark: Mark) {
        let mut state = self.state_mut();
        state.seal(0);
        state.values.truncate(mark.values);
        state.scopes.truncate(mark.scopes);
        let main = &mut state.scopes[0];
        main.nodes.truncate(mark.nodes);
        main.initializers.truncate(mark.initializers);
        main.inputs.truncate(mark.inputs);
        main.outputs.truncate(mark.outputs);
    }
}
