//! Linear operators absorb an affine into their weight and bias.
//!
//! Output side: `s·(W x + b) + t = (s·W) x + (s·b + t)`, with `s` over the weight's output axes.
//! Input side: `W (s·x + t) + b = (W·s) x + (b + Σ W·t)`, with `s` and `t` over the weight's input axes.
//! A rule is a [`Layout`]: it says which axes those are, after cutting the weight's axes into groups where there are any;
//! one `absorb` (in `apply`) serves every operator on both sides.

pub mod conv;
pub mod conv_transpose;
pub mod gather;
pub mod gemm;
pub mod matmul;
pub mod recurrent;

use ndarray::ArrayD;

use super::{Code, Refusal, Step, constant, fixed_along, refuse};
use crate::affine::Affine;
use crate::graph::{Effect, Graph, NodeId};

/// Where a linear operator keeps its weight and bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The input slot of the variable input.
    pub variable: usize,
    /// The input slot of the weight.
    pub weight: usize,
    /// The weight's extents with its channel axes cut into groups; same elements, same order.
    pub dims: Vec<usize>,
    /// The rank of the output.
    pub output_rank: usize,
    /// Output axes and the weight axes that they are made of.
    pub output: Vec<Along>,
    /// Axes of the variable input and the weight axes that they are made of.
    pub input: Vec<Along>,
    /// Whether a shift in front of the operator reaches every output alike.
    pub shift: InputShift,
    /// Where a shift behind the weight goes.
    pub bias: Bias,
}

/// An axis of a value as axes of the weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Along {
    /// The axis of the value.
    pub value: usize,
    /// The axes of the weight, outermost first.
    pub weight: Vec<usize>,
}

/// Whether a shift in front of a linear operator becomes a shift behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputShift {
    /// It does: `Σ W·t`.
    Exact,
    /// Padded zeros lack it.
    Padded,
    /// The taps differ from position to position.
    TapsDiffer,
}

/// Where a linear operator keeps what it adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bias {
    /// A vector over the output channels, in this slot; absent means zeros.
    Vector {
        /// The input slot.
        slot: usize,
        /// The number of output channels.
        channels: usize,
    },
    /// Gemm's `C`, which broadcasts to the output and is scaled by `beta`.
    Gemm,
    /// `[directions, 2·rows]`, of which the first half belongs to the input (LSTM-7, GRU-7, RNN-7).
    Recurrent {
        /// Forward, reverse or both.
        directions: usize,
        /// Gates times hidden size.
        rows: usize,
    },
    /// There is none: a shift becomes an Add behind the node.
    Behind,
    /// The weight itself: the operator picks its elements.
    Weight,
}

/// The output side, as a step of a fold.
///
/// # Errors
/// If the affine varies along an axis that the weight's output axes do not make up.
pub fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    layout: &Layout,
    slot: usize,
    affine: &Affine,
) -> Result<Step, Refusal> {
    if slot > 0 || (layout.output.is_empty() && layout.bias != Bias::Weight) {
        return Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "its output is not linear in its weights",
        ));
    }
    if affine.rank() != layout.output_rank {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "its weight and its output differ in their axes",
        ));
    }
    covered(graph, node, affine, &layout.output, &layout.dims)?;
    if layout.bias != Bias::Behind {
        return Ok(Step {
            effects: vec![Effect::AbsorbOutput {
                node,
                affine: affine.clone(),
            }],
            next: Vec::new(),
        });
    }
    if !affine.is_linear() && matmul::can_be_gemm(graph, node) {
        let effects = vec![
            Effect::BecomeGemm { node },
            Effect::AbsorbOutput {
                node,
                affine: affine.clone(),
            },
        ];
        return Ok(Step {
            effects,
            next: Vec::new(),
        });
    }
    let mut effects = Vec::new();
    if !affine.is_shift() {
        effects.push(Effect::AbsorbOutput {
            node,
            affine: affine.without_shift(),
        });
    }
    effects.extend(matmul::shift_behind(node, affine.shift()));
    Ok(Step {
        effects,
        next: Vec::new(),
    })
}

/// The input side: the ways to take the affines, best first.
///
/// # Errors
/// If the affine is not in front of the variable input alone, varies along an axis that is not an input axis of the
/// weight, or shifts what the operator pads.
pub fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    layout: &Layout,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let [(slot, affine)] = given else {
        return Err(refuse(
            graph,
            node,
            Code::VariableWeight,
            "its weight or bias depends on the same value",
        ));
    };
    if *slot != layout.variable {
        return Err(refuse(
            graph,
            node,
            Code::VariableWeight,
            "the value is not its variable input",
        ));
    }
    if layout.input.is_empty() {
        return Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it is not linear in this input",
        ));
    }
    covered(graph, node, affine, &layout.input, &layout.dims)?;
    if !affine.is_linear() {
        match layout.shift {
            InputShift::Exact => {}
            InputShift::Padded => {
                return Err(refuse(
                    graph,
                    node,
                    Code::ZeroPadding,
                    "it pads its input with zeros",
                ));
            }
            InputShift::TapsDiffer => {
                return Err(refuse(
                    graph,
                    node,
                    Code::ShiftBlocked,
                    "outputs are made of different taps",
                ));
            }
        }
    }
    if layout.bias != Bias::Behind || affine.is_linear() {
        let effects = vec![Effect::AbsorbInput {
            node,
            affine: affine.clone(),
        }];
        return Ok(vec![Step {
            effects,
            next: Vec::new(),
        }]);
    }
    let shift = matmul::shift_of(graph, node, layout, affine)?;
    let mut effects = Vec::new();
    if !affine.is_shift() {
        effects.push(Effect::AbsorbInput {
            node,
            affine: affine.without_shift(),
        });
    }
    let on = Step {
        effects: effects.clone(),
        next: vec![(0, Affine::shifting(shift.clone()))],
    };
    if matmul::can_be_gemm(graph, node) {
        effects = vec![
            Effect::BecomeGemm { node },
            Effect::AbsorbInput {
                node,
                affine: affine.clone(),
            },
        ];
    } else {
        effects.extend(matmul::shift_behind(node, &shift));
    }
    Ok(vec![
        on,
        Step {
            effects,
            next: Vec::new(),
        },
    ])
}

fn covered(
    graph: &Graph<'_>,
    node: NodeId,
    affine: &Affine,
    along: &[Along],
    dims: &[usize],
) -> Result<(), Refusal> {
    fixed_along(graph, node, affine, |axis| {
        !along.iter().any(|along| along.value == axis)
    })?;
    for along in along.iter().filter(|along| along.value < affine.rank()) {
        let extent: usize = along.weight.iter().map(|&axis| dims[axis]).product();
        if ![1, extent].contains(&affine.extent(along.value)) {
            let found = affine.extent(along.value);
            let detail = format!("its weight has {extent} channels where the affine has {found}");
            return Err(refuse(graph, node, Code::UnknownShape, detail));
        }
    }
    Ok(())
}

/// The extents of a constant weight.
pub(crate) fn weight(graph: &Graph<'_>, node: NodeId, slot: usize) -> Result<Vec<usize>, Refusal> {
    let Some(value) = graph.input(node, slot) else {
        return Err(refuse(
            graph,
            node,
            Code::VariableWeight,
            "it has no weight",
        ));
    };
    constant(graph, node, value, graph.constant_shape(value))
}

/// An optional bias must be constant where it is present.
pub(crate) fn bias(
    graph: &Graph<'_>,
    node: NodeId,
    slot: usize,
) -> Result<Option<Vec<usize>>, Refusal> {
    graph
        .input(node, slot)
        .map(|_| weight(graph, node, slot))
        .transpose()
}

/// An affine's array over the weight's axes: ones (or zeros) where it does not vary.
pub(crate) fn on_weight(array: &ArrayD<f64>, along: &[Along], dims: &[usize]) -> ArrayD<f64> {
    // A value axis that does not vary takes extent 1 on each of its weight axes; one that does is cut into them.
    // Value axes are in order, so are the weight axes they are cut into; the result only moves axes about.
    let mut shape = Vec::new();
    let mut order = Vec::new();
    for value_axis in 0..array.ndim() {
        let Some(along) = along.iter().find(|along| along.value == value_axis) else {
            continue;
        };
        let varies = array.shape()[value_axis] > 1;
        shape.extend(
            along
                .weight
                .iter()
                .map(|&axis| if varies { dims[axis] } else { 1 }),
        );
        order.extend(&along.weight);
    }
    let cut = ArrayD::from_shape_vec(ndarray::IxDyn(&shape), array.iter().copied().collect());
    let mut cut = cut.expect("an affine's extents are those of the channels");
    for axis in 0..dims.len() {
        if !order.contains(&axis) {
            cut = cut.insert_axis(ndarray::Axis(order.len()));
            order.push(axis);
        }
    }
    let permutation: Vec<usize> = (0..dims.len())
        .map(|axis| {
            order
                .iter()
                .position(|&at| at == axis)
                .expect("every axis is placed")
        })
        .collect();
    cut.permuted_axes(ndarray::IxDyn(&permutation))
        .as_standard_layout()
        .into_owned()
}
