//! One node as a tract plan.

use std::fmt;
use std::sync::{Arc, LazyLock};

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::tract_core::optim::Optimizer;
use tract_onnx::tract_hir::infer::InferenceModelExt;
use tract_onnx::tract_hir::internal::{
    InferenceFact, InferenceModel, InletId, IntoRunnable, IntoTValue, OutletId, SpecialOps, TVec,
    TypedSimplePlan,
};

use super::convert;
use crate::engine::call::Call;
use crate::engine::element::ElementType;
use crate::engine::tensor::{Data, Tensor};

static ONNX: LazyLock<Onnx> = LazyLock::new(tract_onnx::onnx);

/// What a prepared node expects of one input.
enum Expected {
    Absent,
    /// Given at every run.
    Variable(ElementType, Vec<usize>),
    /// Part of the plan.
    Constant(Tensor),
}

pub(super) struct Prepared {
    inputs: Vec<Expected>,
    /// Which of the node's outputs the plan gives, in order.
    outputs: Vec<bool>,
    plan: Arc<TypedSimplePlan>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Prepared")
            .field("inputs", &self.inputs.len())
            .finish()
    }
}

impl Prepared {
    /// `None` where tract has no such operator or refuses this form of it.
    pub(super) fn new(call: &Call<'_>) -> Option<Prepared> {
        let builder = *ONNX.op_register.0.get(&call.node.op_type)?;
        let is_present: Vec<bool> = call.inputs.iter().map(Option::is_some).collect();
        let proto = convert::node(call.node, &is_present)?;
        let empty = pb::ModelProto::default();
        let context = ParsingContext {
            onnx_operator_set_version: call.version(),
            framework: &ONNX,
            model: &empty,
            parent_graphs: Vec::new(),
            model_dir: None,
            template: InferenceModel::default(),
        };
        let (operator, closures) = builder(&context, &proto).ok()?;
        if !closures.is_empty() {
            return None;
        }
        let mut model = InferenceModel::default();
        let (mut inputs, mut outlets) = (Vec::new(), Vec::new());
        for (index, input) in call.inputs.iter().enumerate() {
            let Some(tensor) = input else {
                inputs.push(Expected::Absent);
                continue;
            };
            let (expected, outlet) = wire_input(&mut model, call, index, tensor)?;
            inputs.push(expected);
            outlets.push(outlet);
        }
        let outputs: Vec<bool> = call.node.outputs.iter().map(Option::is_some).collect();
        let n_outputs = outputs.iter().filter(|&&given| given).count();
        let facts: TVec<InferenceFact> = (0..n_outputs).map(|_| InferenceFact::default()).collect();
        let node = model.add_node("node", operator, facts).ok()?;
        for (index, outlet) in outlets.into_iter().enumerate() {
            model.add_edge(outlet, InletId::new(node, index)).ok()?;
        }
        let results: Vec<OutletId> = (0..n_outputs)
            .map(|slot| OutletId::new(node, slot))
            .collect();
        model.select_output_outlets(&results).ok()?;
        let mut typed = model.into_typed().ok()?;
        code_generator().optimize(&mut typed).ok()?;
        let plan = typed.into_runnable().ok()?;
        Some(Prepared {
            inputs,
            outputs,
            plan,
        })
    }

    /// Whether a call has the inputs that this plan was made for.
    pub(super) fn fits(&self, call: &Call<'_>) -> bool {
        let fits = |(expected, input): (&Expected, &Option<Tensor>)| match (expected, input) {
            (Expected::Absent, None) => true,
            (Expected::Variable(element, shape), Some(tensor)) => {
                *element == tensor.data().element() && shape == tensor.shape()
            }
            (Expected::Constant(constant), Some(tensor)) => is_same(constant, tensor),
            _ => false,
        };
        self.inputs.len() == call.inputs.len() && self.inputs.iter().zip(&call.inputs).all(fits)
    }

    pub(super) fn run(&self, call: &Call<'_>) -> Option<Vec<Tensor>> {
        let mut given = TVec::new();
        for (expected, input) in self.inputs.iter().zip(&call.inputs) {
            if let (Expected::Variable(..), Some(tensor)) = (expected, input) {
                given.push(convert::to_tract(tensor)?.into_tvalue());
            }
        }
        let mut results = self.plan.run(given).ok()?.into_iter();
        let mut outputs = Vec::new();
        for &is_given in &self.outputs {
            // An output that the node does not name is a placeholder that nobody reads.
            outputs.push(if is_given {
                let result = results.next()?;
                convert::from_tract(&result)?
            } else {
                Tensor::scalar(false)
            });
        }
        // float64 that tract computes in float32 is no truth.
        let is_f64 = |tensor: &Tensor| tensor.data().element() == ElementType::Float64;
        let is_f32 = |tensor: &Tensor| tensor.data().element() == ElementType::Float32;
        let narrows = call.inputs.iter().flatten().any(is_f64) && outputs.iter().any(is_f32);
        (!narrows).then_some(outputs)
    }
}

/// Constants and, beside the first input, integers become part of the plan: they may decide shapes.
fn wire_input(
    model: &mut InferenceModel,
    call: &Call<'_>,
    index: usize,
    tensor: &Tensor,
) -> Option<(Expected, OutletId)> {
    let name = format!("input{index}");
    let is_constant = call
        .node
        .constant_inputs
        .get(index)
        .copied()
        .unwrap_or(false)
        || !tensor.data().element().is_float();
    if index > 0 && is_constant {
        let constant = convert::to_tract(tensor)?;
        let outlet = model.add_const(name, constant).ok()?;
        return Some((Expected::Constant(tensor.clone()), outlet));
    }
    let element = tensor.data().element();
    let fact = InferenceFact::dt_shape(convert::datum_type(element)?, tensor.shape());
    let outlet = model.add_source(name, fact).ok()?;
    Some((Expected::Variable(element, tensor.shape().to_vec()), outlet))
}

/// Code generation without the passes that rewrite the graph.
fn code_generator() -> Optimizer {
    let mut optimizer = Optimizer::codegen();
    optimizer.passes.retain(|pass| {
        let name = format!("{pass:?}");
        !name.contains("declutter") && !name.contains("fuse")
    });
    optimizer
}

/// The same elements, by address where they are shared.
fn is_same(a: &Tensor, b: &Tensor) -> bool {
    let is_shared = match (a.data(), b.data()) {
        (Data::F32(a), Data::F32(b)) => Arc::ptr_eq(a, b),
        (Data::F64(a), Data::F64(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    a.shape() == b.shape() && (is_shared || a.data() == b.data())
}
