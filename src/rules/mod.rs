//! The algebra as two tables: operators that absorb an affine, and operators that carry it.
//!
//! A linear operator is a [`Layout`]: where its weight and bias are, and which axes of them are which axes of the values.
//! A carrier says what an affine behind it is in front of it, and the other way round.
//! A rule reads the graph and returns data, a [`Step`] or a [`Refusal`]; it changes nothing.

pub mod carrier;
pub(crate) mod geometry;
pub mod linear;
pub mod refusal;
pub mod seed;
pub(crate) mod sibling;

use crate::affine::Affine;
use crate::graph::{Effect, Graph, Malformed, NodeId, NotConstant, Origin, ValueId};

pub use linear::Layout;
pub use refusal::{Code, Kind, Refusal};

/// What a rule does with an affine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Changes at this node.
    pub effects: Vec<Effect>,
    /// Where the affine goes on: upstream the node's input slots, downstream its output slots.
    pub next: Vec<(usize, Affine)>,
}

/// Reads how a linear operator is laid out.
pub type LayoutRule = fn(&Graph<'_>, NodeId) -> Result<Layout, Refusal>;

/// Operators that absorb an affine into a weight.
pub const LINEAR: &[(&str, LayoutRule)] = &[
    ("Conv", linear::conv::layout),
    ("ConvTranspose", linear::conv_transpose::layout),
    ("Gemm", linear::gemm::layout),
    ("MatMul", linear::matmul::layout),
    ("Gather", linear::gather::layout),
    ("LSTM", linear::recurrent::layout),
    ("GRU", linear::recurrent::layout),
    ("RNN", linear::recurrent::layout),
];

/// Which way an affine travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Against the flow of values.
    Upstream,
    /// With it.
    Downstream,
}

/// Ways to bring about an affine behind an output.
pub type Upstream = fn(&Graph<'_>, NodeId, usize, &Affine) -> Result<Vec<Step>, Refusal>;

/// Ways to go on from affines in front of inputs.
pub type Downstream = fn(&Graph<'_>, NodeId, &[(usize, Affine)]) -> Result<Vec<Step>, Refusal>;

/// How an operator carries affines.
#[derive(Clone, Copy, Debug)]
pub enum Carrier {
    /// From its first output to its first input, or back.
    Through(fn(&Graph<'_>, NodeId, Direction, &Affine) -> Result<Affine, Refusal>),
    /// Between several values.
    Joint {
        /// Given the affine behind one output: the ways in which the inputs could bring it about, best first.
        upstream: Upstream,
        /// Given affines in front of some input slots.
        downstream: Downstream,
    },
}

/// Operators that carry an affine on.
pub const CARRIERS: &[(&str, Carrier)] = &[
    ("Identity", Carrier::Through(carrier::transparent::identity)),
    ("Dropout", Carrier::Through(carrier::transparent::dropout)),
    ("Cast", Carrier::Through(carrier::cast::cast)),
    ("CastLike", Carrier::Through(carrier::cast::cast)),
    ("Neg", Carrier::Through(carrier::transparent::negative)),
    ("Clip", Carrier::Through(carrier::transparent::clip)),
    ("Transpose", Carrier::Through(carrier::axes::transpose)),
    ("Squeeze", Carrier::Through(carrier::axes::squeeze)),
    ("Unsqueeze", Carrier::Through(carrier::axes::unsqueeze)),
    ("Flatten", Carrier::Through(carrier::reshape::reshape)),
    ("Reshape", Carrier::Through(carrier::reshape::reshape)),
    ("AveragePool", Carrier::Through(carrier::pool::average)),
    (
        "GlobalAveragePool",
        Carrier::Through(carrier::pool::global_average),
    ),
    ("MaxPool", Carrier::Through(carrier::pool::max)),
    ("GlobalMaxPool", Carrier::Through(carrier::pool::global_max)),
    ("ReduceMean", Carrier::Through(carrier::reduce::mean)),
    ("ReduceSum", Carrier::Through(carrier::reduce::sum)),
    ("ReduceMax", Carrier::Through(carrier::reduce::extreme)),
    ("ReduceMin", Carrier::Through(carrier::reduce::extreme)),
    ("Relu", Carrier::Through(carrier::activation::positive)),
    ("LeakyRelu", Carrier::Through(carrier::activation::positive)),
    ("PRelu", Carrier::Through(carrier::activation::positive)),
    ("Resize", Carrier::Through(carrier::resize::resize)),
    ("Upsample", Carrier::Through(carrier::resize::resize)),
    ("Pad", Carrier::Through(carrier::pad::pad)),
    (
        "DepthToSpace",
        Carrier::Through(carrier::depth_space::depth_to_space),
    ),
    (
        "SpaceToDepth",
        Carrier::Through(carrier::depth_space::space_to_depth),
    ),
    ("Slice", Carrier::Through(carrier::split::slice)),
    ("Split", carrier::split::SPLIT),
    ("Expand", Carrier::Through(carrier::expand::expand)),
    ("Tile", Carrier::Through(carrier::expand::tile)),
    ("Gather", Carrier::Through(carrier::gather::gather)),
    ("MatMul", carrier::matmul::PRODUCT_OF_VALUES),
    ("Concat", carrier::concat::CONCAT),
    ("Add", carrier::sum::SUM),
    ("Sub", carrier::sum::SUM),
    ("Sum", carrier::sum::SUM),
    ("Mean", carrier::alike::ALIKE),
    ("Max", carrier::alike::ALIKE),
    ("Min", carrier::alike::ALIKE),
    ("Where", carrier::alike::ALIKE),
    ("Mul", carrier::product::PRODUCT),
    ("Div", carrier::product::PRODUCT),
    ("BatchNormalization", carrier::norm::NORM),
    ("InstanceNormalization", carrier::norm::NORM),
    ("GroupNormalization", carrier::norm::NORM),
    ("LayerNormalization", carrier::norm::NORM),
];

/// How a node is laid out as a linear operator; a lookup in a value and a product of two values only carry.
fn taker(graph: &Graph<'_>, node: NodeId) -> Option<LayoutRule> {
    let op = &*graph.node(node).op;
    let is_computed = |slot: usize| {
        let value = graph.input(node, slot);
        value.is_some_and(|value| {
            let is_stored = matches!(graph.value(value).origin, Origin::Initializer { .. });
            !is_stored && !graph.is_constant(value)
        })
    };
    let carries = match op {
        "Gather" => is_computed(0),
        "MatMul" => is_computed(0) && is_computed(1),
        _ => false,
    };
    let found = LINEAR.iter().find(|(name, _)| *name == op && !carries);
    found.map(|(_, layout)| *layout)
}

/// Whether a node hands an affine behind it on to its inputs, rather than taking it or stopping it.
pub(crate) fn passes(graph: &Graph<'_>, node: NodeId) -> bool {
    let op = &*graph.node(node).op;
    let carries = CARRIERS.iter().any(|(name, _)| *name == op);
    carries && !op.ends_with("Normalization") && taker(graph, node).is_none()
}

/// The ways in which a node could bring about an affine behind one of its outputs, best first.
///
/// # Errors
/// Why there is none.
pub fn upstream(
    graph: &Graph<'_>,
    node: NodeId,
    slot: usize,
    affine: &Affine,
) -> Result<Vec<Step>, Refusal> {
    let op = &*graph.node(node).op;
    if let Some(layout) = taker(graph, node) {
        return linear::upstream(graph, node, &layout(graph, node)?, slot, affine)
            .map(|step| vec![step]);
    }
    match CARRIERS.iter().find(|(name, _)| *name == op) {
        Some((_, Carrier::Through(_))) if slot > 0 => Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it is not the first output",
        )),
        Some((_, Carrier::Through(carry))) => Ok(vec![Step {
            effects: Vec::new(),
            next: vec![(0, carry(graph, node, Direction::Upstream, affine)?)],
        }]),
        Some((_, Carrier::Joint { upstream, .. })) => upstream(graph, node, slot, affine),
        None => Err(barrier(graph, node)),
    }
}

/// What becomes of affines in front of a node's inputs.
///
/// # Errors
/// Why they can go no further.
pub fn downstream(
    graph: &Graph<'_>,
    node: NodeId,
    given: &[(usize, Affine)],
) -> Result<Vec<Step>, Refusal> {
    let op = &*graph.node(node).op;
    if let Some(layout) = taker(graph, node) {
        return linear::downstream(graph, node, &layout(graph, node)?, given);
    }
    match (CARRIERS.iter().find(|(name, _)| *name == op), given) {
        (Some((_, Carrier::Through(carry))), [(0, affine)]) => Ok(vec![Step {
            effects: Vec::new(),
            next: vec![(0, carry(graph, node, Direction::Downstream, affine)?)],
        }]),
        (Some((_, Carrier::Through(_))), _) => Err(refuse(
            graph,
            node,
            Code::Nonlinear,
            "it is not the first input",
        )),
        (Some((_, Carrier::Joint { downstream, .. })), _) => downstream(graph, node, given),
        (None, _) => Err(barrier(graph, node)),
    }
}

/// A refusal at a node.
pub(crate) fn refuse(
    graph: &Graph<'_>,
    node: NodeId,
    code: Code,
    detail: impl Into<String>,
) -> Refusal {
    let label = format!("{} ({})", graph.label(node), graph.node(node).op_type());
    Refusal::new(code, label, detail)
}

fn barrier(graph: &Graph<'_>, node: NodeId) -> Refusal {
    let op = graph.node(node).op_type();
    match &*graph.node(node).op {
        "" => refuse(
            graph,
            node,
            Code::UnknownOperator,
            format!("bnfold does not know the operator {op}"),
        ),
        "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" => {
            refuse(graph, node, Code::Quantized, "the value is quantized here")
        }
        known if UNRULED.contains(&known) => {
            let detail = format!("bnfold has no rule for {op}");
            refuse(graph, node, Code::Unruled, detail)
        }
        _ => refuse(
            graph,
            node,
            Code::Nonlinear,
            format!("{op} lets no affine pass"),
        ),
    }
}

/// Operators that are linear in what they read, or move it about, or hold graphs that may be.
const UNRULED: &[&str] = &[
    "Col2Im",
    "Compress",
    "ConcatFromSequence",
    "CumSum",
    "DFT",
    "DeformConv",
    "Einsum",
    "GatherElements",
    "GatherND",
    "GridSample",
    "If",
    "Loop",
    "MaxUnpool",
    "ReverseSequence",
    "RoiAlign",
    "STFT",
    "Scan",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "SequenceAt",
    "SequenceConstruct",
    "SplitToSequence",
    "Trilu",
];

/// An attribute that cannot be read, as a refusal.
pub(crate) fn readable<T>(
    graph: &Graph<'_>,
    node: NodeId,
    read: Result<T, Malformed>,
) -> Result<T, Refusal> {
    read.map_err(|malformed| {
        let code = match malformed {
            Malformed::Attribute(_) => Code::Malformed,
            Malformed::Callers(_) => Code::Callers,
        };
        refuse(graph, node, code, malformed.to_string())
    })
}

/// A value that a rule needs as a constant.
pub(crate) fn constant<T>(
    graph: &Graph<'_>,
    node: NodeId,
    value: ValueId,
    read: Result<T, NotConstant>,
) -> Result<T, Refusal> {
    read.map_err(|reason| {
        let name = &graph.value(value).name;
        match reason {
            NotConstant::Variable => refuse(
                graph,
                node,
                Code::VariableWeight,
                format!("{name} is computed while the model runs"),
            ),
            NotConstant::Overridable => refuse(
                graph,
                node,
                Code::Overridable,
                format!("{name} is an initializer and a graph input"),
            ),
            NotConstant::Unevaluated(why) => {
                refuse(graph, node, Code::Unevaluated, format!("{name}: {why}"))
            }
        }
    })
}

/// The shape of a value that a rule needs.
pub(crate) fn shape<'g>(
    graph: &'g Graph<'_>,
    node: NodeId,
    value: Option<ValueId>,
) -> Result<&'g crate::graph::Shape, Refusal> {
    let shape = value.and_then(|value| graph.shape(value));
    shape.ok_or_else(|| {
        refuse(
            graph,
            node,
            Code::UnknownShape,
            "the rank of a value around it is not known",
        )
    })
}

/// Refuses an affine that varies along axes that the node mixes.
pub(crate) fn fixed_along(
    graph: &Graph<'_>,
    node: NodeId,
    affine: &Affine,
    mixed: impl Fn(usize) -> bool,
) -> Result<(), Refusal> {
    match affine.varying_axes().into_iter().find(|&axis| mixed(axis)) {
        Some(axis) => Err(refuse(
            graph,
            node,
            Code::AxesMixed,
            format!("the affine varies along axis {axis}"),
        )),
        None => Ok(()),
    }
}
