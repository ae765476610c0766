//! The engine's own kernels, one file per family, and the table that finds them.
//!
//! A kernel computes in the type its inputs are held in, float32 and float64 by the same source.
//! What has no kernel here, and what the delegate wants, goes to the delegate.

mod batch_norm;
mod binary;
mod cast;
mod conv;
mod conv_transpose;
pub(super) mod each;
mod einsum;
mod gather;
mod matmul;
mod movement;
mod norm;
mod pad;
mod pool;
pub(super) mod product;
mod quantize;
mod ranking;
mod recurrent;
mod reduce;
mod resize;
mod shape;
mod softmax;
pub(super) mod strided;
mod unary;
mod unpool;
mod window;

use super::call::{Call, Fault, Outcome};
use super::delegate::Delegate;
use super::graph::Callee;
use super::tensor::Tensor;

type Kernel = fn(&mut Call<'_>) -> Outcome;

/// Computes a node; `None` if nobody has its operator.
pub(super) fn run(
    mut call: Call<'_>,
    delegate: &mut dyn Delegate,
) -> Result<Option<Vec<Tensor>>, Fault> {
    let is_standard = matches!(call.node.callee, Callee::Operator);
    let own = kernel(&call.node.op_type).filter(|_| is_standard);
    if own.is_none() || delegate.is_preferred(&call) {
        // A delegate may take invalid nodes; the standard's shape is asked for first.
        let shape = match call.node.op_type.as_str() {
            "Conv" if is_standard => Some(conv::output_shape(&call)?),
            "Gemm" | "MatMul" if is_standard => Some(matmul::output_shape(&call)?),
            _ => None,
        };
        let fits = |tensor: &Tensor| shape.as_ref().is_none_or(|shape| tensor.shape() == shape);
        let outputs = delegate.run(&call);
        if let Some(outputs) = outputs.filter(|outputs| outputs.iter().all(fits)) {
            return Ok(Some(outputs));
        }
    }
    own.map(|kernel| kernel(&mut call)).transpose()
}

fn kernel(op_type: &str) -> Option<Kernel> {
    element_wise(op_type)
        .or_else(|| moving(op_type))
        .or_else(|| computing(op_type))
}

fn element_wise(op_type: &str) -> Option<Kernel> {
    Some(match op_type {
        "Abs" => unary::abs,
        "Acos" => unary::acos,
        "Acosh" => unary::acosh,
        "Add" => binary::add,
        "And" => binary::and,
        "Asin" => unary::asin,
        "Asinh" => unary::asinh,
        "Atan" => unary::atan,
        "Atanh" => unary::atanh,
        "Cast" => cast::cast,
        "CastLike" => cast::cast_like,
        "Ceil" => unary::ceil,
        "Celu" => unary::celu,
        "Clip" => unary::clip,
        "Cos" => unary::cos,
        "Cosh" => unary::cosh,
        "Div" => binary::div,
        "Elu" => unary::elu,
        "Equal" => binary::equal,
        "Erf" => unary::erf,
        "Exp" => unary::exp,
        "Floor" => unary::floor,
        "Gelu" => unary::gelu,
        "Greater" => binary::greater_than,
        "GreaterOrEqual" => binary::greater_or_equal,
        "HardSigmoid" => unary::hard_sigmoid,
        "HardSwish" => unary::hard_swish,
        "IsInf" => unary::is_inf,
        "IsNaN" => unary::is_nan,
        "LeakyRelu" => unary::leaky_relu,
        "Less" => binary::less_than,
        "LessOrEqual" => binary::less_or_equal,
        "Log" => unary::log,
        "Max" => binary::max,
        "Mean" => binary::mean,
        "Min" => binary::min,
        "Mish" => unary::mish,
        "Mod" => binary::modulus,
        "Mul" => binary::mul,
        "Neg" => unary::neg,
        "Not" => unary::not,
        "Or" => binary::or,
        "PRelu" => binary::prelu,
        "Pow" => binary::pow,
        "Reciprocal" => unary::reciprocal,
        "Relu" => unary::relu,
        "Round" => unary::round,
        "ScaledTanh" => unary::scaled_tanh,
        "Selu" => unary::selu,
        "Shrink" => unary::shrink,
        "Sigmoid" => unary::sigmoid,
        "Sign" => unary::sign,
        "Sin" => unary::sin,
        "Sinh" => unary::sinh,
        "Softplus" => unary::softplus,
        "Softsign" => unary::softsign,
        "Sqrt" => unary::sqrt,
        "Sub" => binary::sub,
        "Sum" => binary::sum,
        "Swish" => unary::swish,
        "Tan" => unary::tan,
        "Tanh" => unary::tanh,
        "ThresholdedRelu" => unary::thresholded_relu,
        "Where" => binary::select,
        "Xor" => binary::xor,
        _ => return None,
    })
}

fn moving(op_type: &str) -> Option<Kernel> {
    Some(match op_type {
        "Compress" => gather::compress,
        "Concat" => movement::concat,
        "ConstantOfShape" => shape::constant_of_shape,
        "DepthToSpace" => movement::depth_to_space,
        "Dropout" => shape::dropout,
        "Expand" => movement::expand,
        "EyeLike" => shape::eye_like,
        "Flatten" => shape::flatten,
        "Gather" => gather::gather,
        "GatherElements" => gather::gather_elements,
        "GatherND" => gather::gather_nd,
        "Identity" => shape::identity,
        "NonZero" => gather::non_zero,
        "OneHot" => gather::one_hot,
        "Pad" => pad::pad,
        "Range" => shape::range,
        "Reshape" => shape::reshape,
        "ReverseSequence" => pad::reverse_sequence,
        "Scatter" | "ScatterElements" => gather::scatter_elements,
        "ScatterND" => gather::scatter_nd,
        "Shape" => shape::shape,
        "Size" => shape::size,
        "Slice" => movement::slice,
        "SpaceToDepth" => movement::space_to_depth,
        "Split" => movement::split,
        "Squeeze" => movement::squeeze,
        "Tile" => movement::tile,
        "Transpose" => movement::transpose,
        "Trilu" => pad::trilu,
        "Unsqueeze" => movement::unsqueeze,
        _ => return None,
    })
}

fn computing(op_type: &str) -> Option<Kernel> {
    Some(match op_type {
        "ArgMax" => ranking::arg_max,
        "ArgMin" => ranking::arg_min,
        "AveragePool" => pool::average_pool,
        "BatchNormalization" => batch_norm::batch_normalization,
        "Conv" => conv::conv,
        "ConvTranspose" => conv_transpose::conv_transpose,
        "CumSum" => ranking::cum_sum,
        "DequantizeLinear" => quantize::dequantize_linear,
        "Einsum" => einsum::einsum,
        "GRU" => recurrent::gru,
        "Gemm" => matmul::gemm,
        "GlobalAveragePool" => reduce::global_average_pool,
        "GlobalLpPool" => reduce::global_lp_pool,
        "GlobalMaxPool" => reduce::global_max_pool,
        "GroupNormalization" => norm::group_normalization,
        "Hardmax" => softmax::hardmax,
        "InstanceNormalization" => norm::instance_normalization,
        "LRN" => norm::lrn,
        "LSTM" => recurrent::lstm,
        "LayerNormalization" => norm::layer_normalization,
        "LogSoftmax" => softmax::log_softmax,
        "LpNormalization" => norm::lp_normalization,
        "LpPool" => pool::lp_pool,
        "MatMul" => matmul::matmul,
        "MaxPool" => pool::max_pool,
        "MaxUnpool" => unpool::max_unpool,
        "MeanVarianceNormalization" => norm::mean_variance_normalization,
        "QuantizeLinear" => quantize::quantize_linear,
        "RMSNormalization" => norm::rms_normalization,
        "RNN" => recurrent::rnn,
        "ReduceL1" => reduce::reduce_l1,
        "ReduceL2" => reduce::reduce_l2,
        "ReduceLogSum" => reduce::reduce_log_sum,
        "ReduceLogSumExp" => reduce::reduce_log_sum_exp,
        "ReduceMax" => reduce::reduce_max,
        "ReduceMean" => reduce::reduce_mean,
        "ReduceMin" => reduce::reduce_min,
        "ReduceProd" => reduce::reduce_prod,
        "ReduceSum" => reduce::reduce_sum,
        "ReduceSumSquare" => reduce::reduce_sum_square,
        "Resize" => resize::resize,
        "Softmax" => softmax::softmax,
        "TopK" => ranking::top_k,
        "Upsample" => resize::upsample,
        _ => return None,
    })
}
