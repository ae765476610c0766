//! What a fold does to a graph: a small set of effects, as data, and the one function that performs them.
//!
//! The planner performs them on its own copy to see what the next fold would meet; `apply` performs the same list.
//! Invariant: an effect never touches a weight. A linear node collects affines in [`Pending`], in f64.

use std::collections::BTreeSet;
use std::rc::Rc;

use ndarray::ArrayD;

use super::shape::infer_node;
use super::{Graph, Made, Node, NodeId, Origin, Pending, Value, ValueId};
use crate::affine::{Affine, vector, zip};
use crate::onnx::model::Name;

/// One change of a graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A linear node takes the affine behind it.
    AbsorbOutput {
        /// The linear node.
        node: NodeId,
        /// Over the node's output.
        affine: Affine,
    },
    /// A linear node takes the affine in front of it.
    AbsorbInput {
        /// The linear node.
        node: NodeId,
        /// Over the node's variable input.
        affine: Affine,
    },
    /// A convolution adds a multiple of its input to its output, by its centre tap.
    Tap {
        /// The convolution.
        node: NodeId,
        /// Per channel.
        scale: Vec<f64>,
    },
    /// A node reads another constant.
    SetConstant {
        /// The reader.
        node: NodeId,
        /// Its input slot.
        slot: usize,
        /// The constant's elements.
        elements: ArrayD<f64>,
    },
    /// A node goes, and one of its values with it.
    Remove {
        /// The node.
        node: NodeId,
        /// The slot of the input that takes the output's place.
        slot: usize,
        /// Which of the two values stays.
        keep: Keep,
    },
    /// A sum loses one operand.
    RemoveOperand {
        /// The Add, Sub or Sum node.
        node: NodeId,
        /// The operand.
        slot: usize,
    },
    /// An Add of a constant follows a node.
    InsertAdd {
        /// The node.
        node: NodeId,
        /// Broadcasts against the node's output.
        shift: ArrayD<f64>,
    },
    /// A MatMul of rank 2 becomes a Gemm, which can have a bias.
    BecomeGemm {
        /// The MatMul.
        node: NodeId,
    },
    /// A convolution takes another of the same input into its kernel.
    Merge {
        /// The convolution that stays.
        into: NodeId,
        /// The convolution that goes.
        from: NodeId,
        /// How the one that goes counts in the sum.
        sign: f64,
    },
    /// A node becomes the Add of a constant to its first input.
    BecomeAdd {
        /// The node.
        node: NodeId,
        /// Broadcasts against the node's input.
        shift: ArrayD<f64>,
    },
}

impl Effect {
    /// The node that changes.
    pub fn node(&self) -> NodeId {
        match self {
            Effect::AbsorbOutput { node, .. }
            | Effect::AbsorbInput { node, .. }
            | Effect::Tap { node, .. }
            | Effect::SetConstant { node, .. }
            | Effect::Remove { node, .. }
            | Effect::RemoveOperand { node, .. }
            | Effect::InsertAdd { node, .. }
            | Effect::BecomeGemm { node }
            | Effect::BecomeAdd { node, .. }
            | Effect::Merge { into: node, .. } => *node,
        }
    }
}

/// Which value stays when a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The node's output: whoever produced the input produces it now.
    Output,
    /// The node's input: whoever read the output reads it now.
    Input,
}

impl<'m> Graph<'m> {
    /// Performs one effect.
    pub fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::AbsorbOutput { node, affine } => self.pending(*node).absorb_output(affine),
            Effect::AbsorbInput { node, affine } => self.pending(*node).absorb_input(affine),
            Effect::Tap { node, scale } => self.pending(*node).tap(scale),
            Effect::SetConstant {
                node,
                slot,
                elements,
            } => self.set_constant(*node, *slot, elements),
            Effect::Remove { node, slot, keep } => self.remove(*node, *slot, *keep),
            Effect::RemoveOperand { node, slot } => self.remove_operand(*node, *slot),
            Effect::InsertAdd { node, shift } => self.insert_add(*node, shift),
            Effect::BecomeGemm { node } => self.node_mut(*node).op = Rc::from("Gemm"),
            Effect::BecomeAdd { node, shift } => self.become_add(*node, shift),
            Effect::Merge { into, from, sign } => self.merge(*into, *from, *sign),
        }
    }

    fn pending(&mut self, node: NodeId) -> &mut Pending {
        self.node_mut(node).pending.get_or_insert_default()
    }

    fn set_constant(&mut self, node: NodeId, slot: usize, elements: &ArrayD<f64>) {
        let old = self.input(node, slot);
        let stem = old.map_or_else(
            || Name::from("constant"),
            |old| self.value(old).name.clone(),
        );
        let data_type = match old {
            Some(old) => self.value(old).data_type,
            // Only LayerNormalization's B may be absent, which has its input's type.
            None => self
                .input(node, 0)
                .map_or(0, |input| self.value(input).data_type),
        };
        let made = self.make(node, elements.clone(), stem, data_type);
        if let Some(old) = old {
            self.value_mut(old).consumers.remove(&(node, slot));
        }
        self.connect(made, node, slot);
    }

    fn make(&mut self, node: NodeId, elements: ArrayD<f64>, stem: Name, data_type: i32) -> ValueId {
        let shape = super::Shape::known(elements.shape());
        let made = Rc::new(Made {
            elements,
            stem: stem.clone(),
        });
        self.push_value(Value {
            name: stem,
            scope: self.node(node).scope,
            origin: Origin::Made(made),
            consumers: BTreeSet::new(),
            is_output: false,
            is_reserved: false,
            data_type,
            shape: Some(Rc::new(shape)),
        })
    }

    fn push_value(&mut self, value: Value<'m>) -> ValueId {
        self.values.push(value);
        ValueId(self.values.len() as u32 - 1)
    }

    fn connect(&mut self, value: ValueId, node: NodeId, slot: usize) {
        let inputs = &mut self.node_mut(node).inputs;
        if inputs.len() <= slot {
            inputs.resize(slot + 1, None);
        }
        inputs[slot] = Some(value);
        self.value_mut(value).consumers.insert((node, slot));
    }

    /// Takes a node out of its inputs' consumers.
    pub(crate) fn detach(&mut self, node: NodeId) {
        let inputs = std::mem::take(&mut self.node_mut(node).inputs);
        for (slot, input) in inputs.into_iter().enumerate() {
            if let Some(input) = input {
                self.value_mut(input).consumers.remove(&(node, slot));
            }
        }
        self.node_mut(node).alive = false;
    }

    fn remove(&mut self, node: NodeId, slot: usize, keep: Keep) {
        let (Some(input), Some(output)) = (self.input(node, slot), self.output(node, 0)) else {
            unreachable!("a fold removes a node that has an input and an output");
        };
        self.detach(node);
        self.node_mut(node).outputs.clear();
        let (kept, gone) = match keep {
            Keep::Output => (output, input),
            Keep::Input => (input, output),
        };
        if keep == Keep::Output
            && let Some((producer, slot)) = self.producer(input)
        {
            self.node_mut(producer).outputs[slot] = Some(output);
            self.value_mut(output).origin = Origin::Node(producer, slot);
        }
        for (consumer, slot) in std::mem::take(&mut self.value_mut(gone).consumers) {
            self.connect(kept, consumer, slot);
        }
        self.value_mut(gone).origin = Origin::Undefined;
    }

    /// A sum of one operand is that operand, under the sum's name.
    fn remove_operand(&mut self, node: NodeId, slot: usize) {
        if let Some(operand) = self.node_mut(node).inputs[slot].take() {
            self.value_mut(operand).consumers.remove(&(node, slot));
        }
        let left: Vec<usize> = (0..self.node(node).inputs.len())
            .filter(|&slot| self.input(node, slot).is_some())
            .collect();
        if let [slot] = left[..] {
            self.remove(node, slot, Keep::Output);
        }
    }

    fn insert_add(&mut self, node: NodeId, shift: &ArrayD<f64>) {
        let Some(output) = self.output(node, 0) else {
            unreachable!("a linear node has an output");
        };
        let old = self.value(output);
        let (scope, data_type, shape, stem) = (
            old.scope,
            old.data_type,
            old.shape.clone(),
            old.name.clone(),
        );
        let inner = self.push_value(Value {
            name: stem.clone(),
            scope,
            origin: Origin::Node(node, 0),
            consumers: BTreeSet::new(),
            is_output: false,
            is_reserved: false,
            data_type,
            shape,
        });
        self.node_mut(node).outputs[0] = Some(inner);
        let add = NodeId(self.nodes.len() as u32);
        let anchor = self.node(node).position;
        self.nodes.push(Node {
            scope,
            view: None,
            op: Rc::from("Add"),
            inputs: Vec::new(),
            outputs: vec![Some(output)],
            alive: true,
            pending: None,
            position: (anchor.0, anchor.1 + 1),
        });
        self.scopes[scope.0 as usize].nodes.push(add);
        self.value_mut(output).origin = Origin::Node(add, 0);
        self.connect(inner, add, 0);
        let made = self.make(add, shift.clone(), stem, data_type);
        self.connect(made, add, 1);
    }

    /// The node that goes keeps its inputs: its weight is still to be read.
    fn merge(&mut self, into: NodeId, from: NodeId, sign: f64) {
        let inputs = self.node(from).inputs.clone();
        self.detach(from);
        self.node_mut(from).inputs = inputs;
        self.pending(into).merged.push((from, sign));
    }

    fn become_add(&mut self, node: NodeId, shift: &ArrayD<f64>) {
        let Some(input) = self.input(node, 0) else {
            unreachable!("a node that becomes an Add has an input");
        };
        let outputs = self.node(node).outputs.clone();
        let stem = self.value(input).name.clone();
        // The type of what an If or a foreign operator gives may be unknown; that of the node's output is its parameters'.
        let types = [Some(input), self.output(node, 0)].into_iter().flatten();
        let mut types = types.map(|value| self.value(value).data_type);
        let data_type = types.find(|&data_type| data_type != 0).unwrap_or(0);
        self.detach(node);
        self.node_mut(node).alive = true;
        self.node_mut(node).op = Rc::from("Add");
        self.node_mut(node).outputs = outputs[..1].to_vec();
        self.connect(input, node, 0);
        let made = self.make(node, shift.clone(), stem, data_type);
        self.connect(made, node, 1);
        infer_node(self, node);
    }
}

impl Pending {
    fn absorb_input(&mut self, affine: &Affine) {
        if let Some(taps) = &mut self.taps {
            let (scale, shift) = (
                channels(affine.scale(), taps.len()),
                channels(affine.shift(), taps.len()),
            );
            let left = taps.iter().zip(&shift).map(|(tap, t)| tap * t).collect();
            let left = vector(affine.rank(), 1, left);
            self.residual = Some(match &self.residual {
                Some(residual) => zip(residual, &left, |a, b| a + b),
                None => left,
            });
            taps.iter_mut().zip(&scale).for_each(|(tap, s)| *tap *= s);
        }
        self.input = Some(match &self.input {
            Some(input) => affine.then(input),
            None => affine.clone(),
        });
    }

    fn absorb_output(&mut self, affine: &Affine) {
        if let Some(taps) = &mut self.taps {
            let scale = channels(affine.scale(), taps.len());
            taps.iter_mut().zip(&scale).for_each(|(tap, s)| *tap *= s);
        }
        if let Some(residual) = &mut self.residual {
            *residual = zip(residual, affine.scale(), |a, b| a * b);
        }
        self.output = Some(match &self.output {
            Some(output) => output.then(affine),
            None => affine.clone(),
        });
    }

    fn tap(&mut self, scale: &[f64]) {
        match &mut self.taps {
            Some(taps) => taps.iter_mut().zip(scale).for_each(|(tap, s)| *tap += s),
            None => self.taps = Some(scale.to_vec()),
        }
    }
}

/// What an array that varies along axis 1 at most is per channel.
pub(crate) fn channels(array: &ArrayD<f64>, count: usize) -> Vec<f64> {
    let flat: Vec<f64> = array.iter().copied().collect();
    match flat[..] {
        [one] => vec![one; count],
        _ => flat,
    }
}
