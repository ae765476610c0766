//! Constants: stored tensors, Constant nodes in every form, and what a model computes from constants alone.
//!
//! A value is constant when it is an initializer that no caller may override, a Constant node's output, or computed
//! by deterministic standard operators from such values (the PyTorch dynamo exporter writes a Conv's bias as
//! `Expand(CastLike(0, W), Shape(W))`). Computed ones are evaluated by the engine, once, and only when a rule asks.
//! Left out: control flow, random operators, strings, and anything the engine does not run.

mod compute;
mod integers;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use ndarray::{ArrayD, IxDyn};

use super::{Graph, Made, NodeId, Origin, Reading, ValueId};
use crate::onnx::model::{AttributeValue, TensorView};

/// Runs a model without inputs, all of whose results together have at most that many bytes, and returns its only output.
pub type Evaluate = fn(&[u8], u64) -> Result<Computed, String>;

/// A constant that the engine computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    /// The element type's number in the standard.
    pub data_type: i32,
    /// Extents.
    pub dims: Vec<usize>,
    /// Elements; every float, boolean and 32-bit integer is exact in f64.
    pub elements: Elements,
}

/// Elements of a constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Of a float type.
    Floats(Vec<f64>),
    /// Of an integer or boolean type.
    Integers(Vec<i64>),
}

/// Where a constant's elements are.
#[derive(Clone, Debug)]
pub enum Constant<'m> {
    /// In the file.
    Stored(&'m TensorView),
    /// Made by a fold.
    Made(Rc<Made>),
    /// Computed from constants, or written in a Constant node's attribute.
    Computed(Rc<Computed>),
}

/// Why a value is no constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotConstant {
    /// It depends on what the model is given.
    Variable,
    /// A caller may override it: an initializer that is a graph input, from IR version 4 on.
    Overridable,
    /// It is constant, but bnfold cannot evaluate it: the reason.
    Unevaluated(String),
}

/// Constants evaluated so far, and what evaluates them.
#[derive(Default)]
pub(crate) struct Cache {
    evaluate: Option<Evaluate>,
    /// Bytes that constants may still take.
    left: Cell<u64>,
    freeze_inputs: bool,
    computed: RefCell<HashMap<ValueId, Result<Rc<Computed>, NotConstant>>>,
    stored: RefCell<HashMap<ValueId, Rc<ArrayD<f64>>>>,
}

impl Cache {
    pub(super) fn new(reading: Reading, model_bytes: u64) -> Cache {
        let all = model_bytes.saturating_mul(COMPUTED_PER_BYTE);
        Cache {
            evaluate: reading.evaluate,
            left: Cell::new(all.saturating_add(COMPUTED)),
            freeze_inputs: reading.freeze_inputs,
            ..Default::default()
        }
    }

    /// What could not be computed while shapes were inferred may be once they are.
    pub(super) fn forget_failures(&self) {
        self.computed
            .borrow_mut()
            .retain(|_, computed| computed.is_ok());
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cache").finish_non_exhaustive()
    }
}

/// Bytes that all computed constants of a model may have, in float64, beside so many times its own length:
/// a hostile shape could ask for any amount of memory.
const COMPUTED: u64 = 64 << 20;
const COMPUTED_PER_BYTE: u64 = 32;

impl<'m> Graph<'m> {
    /// The constant behind a value.
    ///
    /// # Errors
    /// Why the value is no constant.
    pub fn constant(&self, value: ValueId) -> Result<Constant<'m>, NotConstant> {
        let value = self.behind_identities(value);
        match &self.value(value).origin {
            Origin::Initializer {
                overridable: true, ..
            } if !self.constants.freeze_inputs => Err(NotConstant::Overridable),
            Origin::Initializer { tensor, .. } => Ok(Constant::Stored(tensor)),
            Origin::Made(made) => Ok(Constant::Made(Rc::clone(made))),
            Origin::Sparse => Err(NotConstant::Unevaluated(
                "it is a sparse initializer".to_owned(),
            )),
            Origin::Node(node, 0) => self.node_constant(value, *node),
            Origin::Node(..) | Origin::Input | Origin::Undefined => Err(NotConstant::Variable),
        }
    }

    /// The constant that a run of Identity nodes hands on.
    pub(crate) fn behind_identities(&self, mut value: ValueId) -> ValueId {
        while let Origin::Node(node, 0) = self.value(value).origin
            && &*self.node(node).op == "Identity"
            && self.is_constant(value)
            && let Some(input) = self.input(node, 0)
        {
            value = input;
        }
        value
    }

    /// A float constant's elements in f64.
    ///
    /// # Errors
    /// Why the value is no constant, or cannot be read.
    pub fn floats(&self, value: ValueId) -> Result<Rc<ArrayD<f64>>, NotConstant> {
        if let Some(array) = self.constants.stored.borrow().get(&value) {
            return Ok(Rc::clone(array));
        }
        let (dims, elements) = match self.constant(value)? {
            Constant::Made(made) => return Ok(Rc::new(made.elements.clone())),
            Constant::Stored(tensor) => {
                let elements = self.model.read_f64(tensor);
                (
                    tensor.dims.clone(),
                    elements.map_err(|error| NotConstant::Unevaluated(error.to_string()))?,
                )
            }
            Constant::Computed(computed) => match &computed.elements {
                Elements::Floats(elements) => (computed.dims.clone(), elements.clone()),
                Elements::Integers(_) => {
                    return Err(NotConstant::Unevaluated("it holds integers".to_owned()));
                }
            },
        };
        let array = ArrayD::from_shape_vec(IxDyn(&dims), elements);
        let array = Rc::new(array.map_err(|error| NotConstant::Unevaluated(error.to_string()))?);
        self.constants
            .stored
            .borrow_mut()
            .insert(value, Rc::clone(&array));
        Ok(array)
    }

    /// The extents of a constant.
    ///
    /// # Errors
    /// Why the value is no constant.
    pub fn constant_shape(&self, value: ValueId) -> Result<Vec<usize>, NotConstant> {
        Ok(match self.constant(value)? {
            Constant::Stored(tensor) => tensor.dims.clone(),
            Constant::Made(made) => made.elements.shape().to_vec(),
            Constant::Computed(computed) => computed.dims.clone(),
        })
    }

    /// Whether a value is constant, as far as the graph's structure tells.
    pub fn is_constant(&self, value: ValueId) -> bool {
        match &self.value(value).origin {
            Origin::Initializer { overridable, .. } => !overridable || self.constants.freeze_inputs,
            Origin::Made(_) | Origin::Sparse => true,
            Origin::Node(..) => self
                .constant
                .get(value.0 as usize)
                .copied()
                .unwrap_or(false),
            Origin::Input | Origin::Undefined => false,
        }
    }

    /// Notes whether a node's outputs are constant; its inputs have been noted before.
    pub(super) fn note_constant(&mut self, id: NodeId) {
        let node = self.node(id);
        let is_constant = match &*node.op {
            "Constant" => true,
            "Shape" | "Size" => {
                let shape = node
                    .inputs
                    .first()
                    .copied()
                    .flatten()
                    .and_then(|input| self.shape(input));
                shape.is_some_and(|shape| shape.numbers().is_some())
            }
            // Only the type of the second input counts (CastLike-15).
            "CastLike" => {
                let of = |slot: usize| node.inputs.get(slot).copied().flatten();
                of(0).is_some_and(|input| self.is_constant(input))
                    && of(1).is_some_and(|like| self.value(like).data_type != 0)
            }
            op => {
                !node.inputs.is_empty()
                    && is_deterministic(op)
                    && node
                        .inputs
                        .iter()
                        .flatten()
                        .all(|&input| self.is_constant(input))
            }
        };
        if is_constant {
            let outputs: Vec<ValueId> = node.outputs.iter().flatten().copied().collect();
            self.constant.resize(self.values.len(), false);
            for output in outputs {
                self.constant[output.0 as usize] = true;
            }
        }
    }

    fn node_constant(&self, value: ValueId, node: NodeId) -> Result<Constant<'m>, NotConstant> {
        if !self.is_constant(value) {
            return Err(NotConstant::Variable);
        }
        if let Some(tensor) = self.constant_tensor(node) {
            return Ok(Constant::Stored(tensor));
        }
        if let Some(known) = self.constants.computed.borrow().get(&value) {
            return known.clone().map(Constant::Computed);
        }
        let computed = match inline(
            self.node(node)
                .view
                .filter(|_| &*self.node(node).op == "Constant"),
        ) {
            Some(inline) => Ok(Rc::new(inline)),
            None => self.compute(value).map(Rc::new),
        };
        self.constants
            .computed
            .borrow_mut()
            .insert(value, computed.clone());
        computed.map(Constant::Computed)
    }

    /// The tensor in a Constant node's `value`.
    pub(crate) fn constant_tensor(&self, node: NodeId) -> Option<&'m TensorView> {
        let view = self
            .node(node)
            .view
            .filter(|_| &*self.node(node).op == "Constant")?;
        match &view
            .attributes
            .iter()
            .find(|attribute| attribute.name == *"value")?
            .value
        {
            AttributeValue::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    pub(super) fn constant_dims(&self, node: NodeId) -> Option<Vec<usize>> {
        match self.constant_tensor(node) {
            Some(tensor) => Some(tensor.dims.clone()),
            None => inline(self.node(node).view).map(|inline| inline.dims),
        }
    }

    pub(super) fn constant_data_type(&self, node: NodeId) -> i32 {
        let attributes = self
            .node(node)
            .view
            .map_or(&[][..], |view| &view.attributes);
        let tensor = attributes
            .iter()
            .find_map(|attribute| match &attribute.value {
                AttributeValue::Tensor(tensor) => Some(tensor.data_type),
                _ => None,
            });
        // ConstantOfShape without a value gives float zeros (ConstantOfShape-9).
        tensor.unwrap_or_else(|| inline(self.node(node).view).map_or(1, |inline| inline.data_type))
    }
}

/// A Constant node's value that is not a tensor (Constant-12: value_float, value_floats, value_int, value_ints).
fn inline(view: Option<&crate::onnx::model::NodeView>) -> Option<Computed> {
    let attribute = view?.attributes.first()?;
    let floats = |dims: Vec<usize>, floats: &[f32]| Computed {
        data_type: 1,
        dims,
        elements: Elements::Floats(floats.iter().map(|&x| f64::from(x)).collect()),
    };
    let integers = |dims: Vec<usize>, integers: &[i64]| Computed {
        data_type: 7,
        dims,
        elements: Elements::Integers(integers.to_vec()),
    };
    Some(match &attribute.value {
        AttributeValue::Float(x) => floats(Vec::new(), &[*x]),
        AttributeValue::Floats(x) => floats(vec![x.len()], x),
        AttributeValue::Int(x) => integers(Vec::new(), &[*x]),
        AttributeValue::Ints(x) => integers(vec![x.len()], x),
        _ => return None,
    })
}

/// Whether a number names an integer or boolean element type.
pub fn is_integer(data_type: i32) -> bool {
    matches!(data_type, 2..=7 | 9 | 12 | 13)
}

fn is_deterministic(op: &str) -> bool {
    const RANDOM_OR_CONTROL: [&str; 11] = [
        "",
        "If",
        "Loop",
        "Scan",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
        "Dropout",
    ];
    !RANDOM_OR_CONTROL.contains(&op) && !op.starts_with("Sequence")
}
