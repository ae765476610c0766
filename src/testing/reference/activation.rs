//! Functions of one element, and those of one line of elements (Softmax and its kin).

use super::axes::{axis, count, cut, lines};
use super::call::{Call, Operator, require, same_as, single};
use super::elementwise::map;
use crate::testing::element::is_float;
use crate::testing::{DataType, Tensor};

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    if scalar(op_type).is_some() {
        return Some(unary);
    }
    Some(match op_type {
        "Identity" => |call| Ok(vec![call.input(0)?.clone()]),
        "Dropout" => dropout,
        "LeakyRelu" => leaky_relu,
        "Elu" => elu,
        "Selu" => selu,
        "Celu" => celu,
        "ThresholdedRelu" => thresholded_relu,
        "HardSigmoid" => hard_sigmoid,
        "Shrink" => shrink,
        "Gelu" => gelu,
        "Clip" => clip,
        "Softmax" => |call| along_lines(call, softmax),
        "LogSoftmax" => |call| along_lines(call, log_softmax),
        "Hardmax" => |call| along_lines(call, hardmax),
        "IsNaN" => |call| predicate(call, f64::is_nan),
        "IsInf" => |call| predicate(call, f64::is_infinite),
        "Not" => |call| predicate(call, |x| x == 0.0),
        _ => return None,
    })
}

fn unary(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let f = scalar(call.node.op_type()).ok_or("no such function")?;
    Ok(map(call.input(0)?, f))
}

/// Functions without a parameter.
fn scalar(op_type: &str) -> Option<fn(f64) -> f64> {
    Some(match op_type {
        "Neg" => |x| -x,
        "Abs" => f64::abs,
        "Sqrt" => f64::sqrt,
        "Reciprocal" => |x| 1.0 / x,
        "Exp" => f64::exp,
        "Log" => f64::ln,
        "Sin" => f64::sin,
        "Cos" => f64::cos,
        "Tan" => f64::tan,
        "Asin" => f64::asin,
        "Acos" => f64::acos,
        "Atan" => f64::atan,
        "Sinh" => f64::sinh,
        "Cosh" => f64::cosh,
        "Tanh" => f64::tanh,
        "Asinh" => f64::asinh,
        "Acosh" => f64::acosh,
        "Atanh" => f64::atanh,
        "Ceil" => f64::ceil,
        "Floor" => f64::floor,
        "Round" => f64::round_ties_even,
        "Sign" => |x| {
            if x == 0.0 || x.is_nan() {
                x
            } else {
                x.signum()
            }
        },
        "Erf" => erf,
        "Relu" => |x| if x < 0.0 { 0.0 } else { x },
        "Sigmoid" => sigmoid,
        "Softplus" => softplus,
        "Softsign" => |x| x / (1.0 + x.abs()),
        "Mish" => |x| x * softplus(x).tanh(),
        "HardSwish" => |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        _ => return None,
    })
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// erf x = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)), whose terms have one sign.
fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

fn leaky_relu(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let alpha = call.float("alpha", 0.01);
    Ok(map(call.input(0)?, |x| if x < 0.0 { alpha * x } else { x }))
}

fn elu(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let alpha = call.float("alpha", 1.0);
    Ok(map(call.input(0)?, |x| {
        if x < 0.0 { alpha * (x.exp() - 1.0) } else { x }
    }))
}

fn selu(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let old = call.opset < 6;
    let alpha = call.float("alpha", if old { 1.6732 } else { 1.673_263_2 });
    let gamma = call.float("gamma", if old { 1.0507 } else { 1.050_701 });
    Ok(map(call.input(0)?, |x| {
        gamma * if x > 0.0 { x } else { alpha * x.exp() - alpha }
    }))
}

fn celu(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let alpha = call.float("alpha", 1.0);
    Ok(map(call.input(0)?, |x| {
        x.max(0.0) + (alpha * ((x / alpha).exp() - 1.0)).min(0.0)
    }))
}

fn thresholded_relu(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let alpha = call.float("alpha", 1.0);
    Ok(map(call.input(0)?, |x| if x > alpha { x } else { 0.0 }))
}

fn hard_sigmoid(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (alpha, beta) = (call.float("alpha", 0.2), call.float("beta", 0.5));
    Ok(map(call.input(0)?, |x| (alpha * x + beta).clamp(0.0, 1.0)))
}

fn shrink(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (lambd, bias) = (call.float("lambd", 0.5), call.float("bias", 0.0));
    let shrunk = |x: f64| match x {
        x if x < -lambd => x + bias,
        x if x > lambd => x - bias,
        _ => 0.0,
    };
    Ok(map(call.input(0)?, shrunk))
}

fn gelu(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let exact = |x: f64| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()));
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let tanh = |x: f64| 0.5 * x * (1.0 + (root * (x + 0.044_715 * x * x * x)).tanh());
    match call.string("approximate", "none")?.as_str() {
        "none" => Ok(map(call.input(0)?, exact)),
        "tanh" => Ok(map(call.input(0)?, tanh)),
        other => Err(format!("approximate is `{other}`")),
    }
}

/// min(max, max(x, min)): where the bounds cross, the greatest wins.
fn clip(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let least = call.number_at("min", 1)?;
    let greatest = call.number_at("max", 2)?;
    let clipped = |x: f64| match (least, greatest) {
        (_, Some(greatest)) if x > greatest => greatest,
        (Some(least), greatest) if x < least => least.min(greatest.unwrap_or(least)),
        _ => x,
    };
    Ok(map(call.input(0)?, clipped))
}

fn predicate(call: &Call<'_>, holds: impl Fn(f64) -> bool) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let (negative, positive) = (
        call.flag("detect_negative", true),
        call.flag("detect_positive", true),
    );
    let wanted = |x: f64| !x.is_infinite() || if x < 0.0 { negative } else { positive };
    let data = x
        .data
        .iter()
        .map(|&x| f64::from(u8::from(holds(x) && wanted(x))))
        .collect();
    Ok(vec![Tensor {
        dtype: DataType::Bool,
        ..same_as(x, data)
    }])
}

/// In inference the data passes and the mask is all true; `training_mode` true (opset 12) and
/// `is_test` 0 (opset 1 and 6) draw at random, unless the ratio is 0.
fn dropout(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let ratio = call.number_at("ratio", 1)?.unwrap_or(0.5);
    let training = match call.opset {
        ..7 => !call.flag("is_test", false),
        7..12 => false,
        12.. => call
            .optional(2)
            .map(single)
            .transpose()?
            .is_some_and(|mode| mode != 0.0),
    };
    require(!training || ratio == 0.0, || {
        "random training is not served".into()
    })?;
    let dtype = if call.opset < 10 {
        x.dtype
    } else {
        DataType::Bool
    };
    let mask = Tensor {
        dtype,
        ..same_as(x, vec![1.0; x.data.len()])
    };
    Ok(vec![x.clone(), mask])
}

/// Since opset 13 a line is one axis; before, it is everything from the axis on.
fn along_lines(call: &Call<'_>, f: impl Fn(&[f64]) -> Vec<f64>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    require(is_float(x.dtype), || "the elements are no floats".into())?;
    let offsets = if call.opset >= 13 {
        lines(&x.shape, axis(call.int("axis", -1), x.rank())?)
    } else {
        let at = cut(call.int("axis", 1), x.rank())?;
        lines(&[count(&x.shape[..at]), count(&x.shape[at..])], 1)
    };
    let mut data = vec![0.0; x.data.len()];
    for line in offsets {
        let elements: Vec<f64> = line.iter().map(|&at| x.data[at]).collect();
        for (at, result) in line.iter().zip(f(&elements)) {
            data[*at] = result;
        }
    }
    Ok(vec![same_as(x, data)])
}

fn softmax(line: &[f64]) -> Vec<f64> {
    let greatest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = line.iter().map(|x| (x - greatest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn log_softmax(line: &[f64]) -> Vec<f64> {
    let greatest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = line.iter().map(|x| (x - greatest).exp()).sum();
    line.iter().map(|x| x - greatest - sum.ln()).collect()
}

fn hardmax(line: &[f64]) -> Vec<f64> {
    let greatest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = line.iter().position(|&x| x == greatest);
    (0..line.len())
        .map(|at| f64::from(u8::from(Some(at) == first)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;

    #[test]
    fn erf_matches_tables() {
        let known = [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
        ];
        for (x, expected) in known {
            assert!((erf(x) - expected).abs() < 1e-15 && (erf(-x) + expected).abs() < 1e-15);
        }
        assert!((erf(3.0) - 0.999_977_909_503_001_4).abs() < 1e-15);
        assert_eq!(erf(7.0), 1.0);
    }

    #[test]
    fn softmax_before_opset_13_takes_everything_from_the_axis() {
        let x = Tensor::floats(&[1, 2, 2], [0.0; 4]);
        let old = evaluate("Softmax", 11, [x.clone()], |node| node.axis(1)).unwrap();
        assert_eq!(old[0].data, [0.25; 4]);
        let new = evaluate("Softmax", 13, &[x], |node| node.axis(1)).unwrap();
        assert_eq!(new[0].data, [0.5; 4]);
    }

    #[test]
    fn clip_takes_bounds_in_both_forms() {
        let x = Tensor::floats(&[3], [-2.0, 0.5, 9.0]);
        let old = evaluate("Clip", 6, [x.clone()], |node| {
            node.attr("min", -1.0).attr("max", 6.0)
        });
        assert_eq!(old.unwrap()[0].data, [-1.0, 0.5, 6.0]);
        let bounds = [-1.0, 6.0].map(|bound| Tensor::floats(&[], [bound]));
        let [least, greatest] = bounds;
        let new = evaluate("Clip", 13, &[x, least, greatest], |node| node).unwrap();
        assert_eq!(new[0].data, [-1.0, 0.5, 6.0]);
    }
}
