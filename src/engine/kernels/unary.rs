//! Element-wise operators of one input, with NaN kept wherever the standard's formula keeps it.

use num_traits::Zero;

use super::each::{Real, for_number, for_real};
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::{Element, Tensor};

/// Applies `f` to every element, in place where nobody else holds the tensor.
pub(super) fn map<T: Element>(tensor: Tensor, f: impl Fn(T) -> T) -> Outcome {
    let shape = tensor.shape().to_vec();
    let elements = match tensor.exclusive::<T>() {
        Ok(mut elements) => {
            for element in &mut elements {
                *element = f(element.clone());
            }
            elements
        }
        Err(shared) => return Ok(vec![map_to(&shared, |x: &T| f(x.clone()))?]),
    };
    Ok(vec![Tensor::new(shape, elements)?])
}

/// Applies `f` to every element, giving another type.
pub(super) fn map_to<T: Element, U: Element>(
    tensor: &Tensor,
    f: impl Fn(&T) -> U,
) -> Result<Tensor, Fault> {
    let elements = tensor.elements::<T>();
    let elements =
        elements.ok_or_else(|| Fault::unsupported(format!("element type {}", tensor.element())))?;
    Ok(Tensor::new(
        tensor.shape().to_vec(),
        elements.iter().map(f).collect(),
    )?)
}

macro_rules! real_functions {
    ($($name:ident($x:ident) = $body:expr;)*) => {
        $(pub(super) fn $name(call: &mut Call<'_>) -> Outcome {
            let tensor = call.take(0)?;
            for_real!(tensor, T => map::<T>(tensor, |$x: T| $body))
        })*
    };
}

fn one<T: Real>() -> T {
    T::one()
}

/// ln(1 + eˣ) without overflow.
fn softplus_of<T: Real>(x: T) -> T {
    if x > T::zero() {
        x + (-x).exp().ln_1p()
    } else {
        x.exp().ln_1p()
    }
}

fn sigmoid_of<T: Real>(x: T) -> T {
    one::<T>() / (one::<T>() + (-x).exp())
}

/// To the nearest integer, halves to the even one.
fn round_half_even<T: Real>(x: T) -> T {
    let rounded = x.round();
    let is_tie = (x - x.trunc()).abs() == T::of(0.5);
    if is_tie {
        T::of(2.0) * (x / T::of(2.0)).round()
    } else {
        rounded
    }
}

real_functions! {
    sigmoid(x) = sigmoid_of(x);
    tanh(x) = x.tanh();
    exp(x) = x.exp();
    log(x) = x.ln();
    sqrt(x) = x.sqrt();
    reciprocal(x) = x.recip();
    floor(x) = x.floor();
    ceil(x) = x.ceil();
    round(x) = round_half_even(x);
    sin(x) = x.sin();
    cos(x) = x.cos();
    tan(x) = x.tan();
    asin(x) = x.asin();
    acos(x) = x.acos();
    atan(x) = x.atan();
    sinh(x) = x.sinh();
    cosh(x) = x.cosh();
    asinh(x) = x.asinh();
    acosh(x) = x.acosh();
    atanh(x) = x.atanh();
    erf(x) = Real::erf(x);
    softplus(x) = softplus_of(x);
    softsign(x) = x / (one::<T>() + x.abs());
    mish(x) = x * softplus_of(x).tanh();
    hard_swish(x) = x * clamp(x / T::of(6.0) + T::of(0.5), T::zero(), one::<T>());
}

/// NaN stays NaN.
pub(super) fn clamp<T: PartialOrd>(x: T, low: T, high: T) -> T {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

macro_rules! parametric_functions {
    ($($name:ident($x:ident; $($p:ident: $attribute:literal = $default:expr),*) = $body:expr;)*) => {
        $(pub(super) fn $name(call: &mut Call<'_>) -> Outcome {
            $(let $p = call.float($attribute, $default)?;)*
            let tensor = call.take(0)?;
            for_real!(tensor, T => {
                $(let $p = T::of($p);)*
                map::<T>(tensor, |$x: T| $body)
            })
        })*
    };
}

parametric_functions! {
    leaky_relu(x; alpha: "alpha" = 0.01) = if x < T::zero() { alpha * x } else { x };
    thresholded_relu(x; alpha: "alpha" = 1.0) = if x > alpha || x.is_nan() { x } else { T::zero() };
    elu(x; alpha: "alpha" = 1.0) = if x < T::zero() { alpha * x.exp_m1() } else { x };
    // Constants of the standard's default attributes (Selu, opset 6).
    selu(x; alpha: "alpha" = 1.673_263_2, gamma: "gamma" = 1.050_701) =
        gamma * if x < T::zero() { alpha * x.exp_m1() } else { x };
    celu(x; alpha: "alpha" = 1.0) =
        if x < T::zero() { alpha * (x / alpha).exp_m1() } else { x };
    hard_sigmoid(x; alpha: "alpha" = 0.2, beta: "beta" = 0.5) =
        clamp(alpha * x + beta, T::zero(), one::<T>());
    shrink(x; lambd: "lambd" = 0.5, bias: "bias" = 0.0) =
        if x < -lambd { x + bias } else if x > lambd { x - bias }
        else if x.is_nan() { x } else { T::zero() };
    swish(x; alpha: "alpha" = 1.0) = x * sigmoid_of(alpha * x);
    scaled_tanh(x; alpha: "alpha" = 1.0, beta: "beta" = 1.0) = alpha * (beta * x).tanh();
}

pub(super) fn gelu(call: &mut Call<'_>) -> Outcome {
    let is_tanh = call.text("approximate", "none")? == "tanh";
    let tensor = call.take(0)?;
    for_real!(tensor, T => {
        let half = T::of(0.5);
        if is_tanh {
            let c = T::of((2.0 / std::f64::consts::PI).sqrt());
            let cubic = T::of(0.044_715);
            map::<T>(tensor, |x| half * x * (one::<T>() + (c * (x + cubic * x * x * x)).tanh()))
        } else {
            let root = T::of(std::f64::consts::FRAC_1_SQRT_2);
            map::<T>(tensor, |x| half * x * (one::<T>() + Real::erf(x * root)))
        }
    })
}

/// A number type with an order, a zero and, where it has signs, a negation.
pub(super) trait Number: Element + Copy + PartialOrd + Default {
    fn negate(self) -> Option<Self>;
    fn unit() -> Self;
}

macro_rules! numbers {
    ($($type:ty: $negate:expr, $unit:expr;)*) => {
        $(impl Number for $type {
            fn negate(self) -> Option<Self> {
                let negate: fn($type) -> Option<$type> = $negate;
                negate(self)
            }
            fn unit() -> Self {
                $unit
            }
        })*
    };
}

numbers! {
    f32: |x| Some(-x), 1.0;
    f64: |x| Some(-x), 1.0;
    i8: |x| Some(x.wrapping_neg()), 1;
    i16: |x| Some(x.wrapping_neg()), 1;
    i32: |x| Some(x.wrapping_neg()), 1;
    i64: |x| Some(x.wrapping_neg()), 1;
    u8: |_| None, 1;
    u16: |_| None, 1;
    u32: |_| None, 1;
    u64: |_| None, 1;
}

pub(super) fn relu(call: &mut Call<'_>) -> Outcome {
    let tensor = call.take(0)?;
    for_number!(tensor, T => {
        let zero = T::default();
        map::<T>(tensor, |x| if x < zero { zero } else { x })
    })
}

pub(super) fn abs(call: &mut Call<'_>) -> Outcome {
    let tensor = call.take(0)?;
    for_number!(tensor, T => {
        let zero = T::default();
        map::<T>(tensor, |x| if x < zero { Number::negate(x).unwrap_or(x) } else { x + zero })
    })
}

pub(super) fn neg(call: &mut Call<'_>) -> Outcome {
    let tensor = call.take(0)?;
    for_number!(tensor, T => {
        if Number::negate(T::default()).is_none() {
            return Err(Fault::invalid("an unsigned type has no negation"));
        }
        map::<T>(tensor, |x| Number::negate(x).unwrap_or(x))
    })
}

pub(super) fn sign(call: &mut Call<'_>) -> Outcome {
    let tensor = call.take(0)?;
    for_number!(tensor, T => {
        let (zero, unit) = (T::default(), <T as Number>::unit());
        map::<T>(tensor, |x| {
            if x > zero {
                unit
            } else if x < zero {
                Number::negate(unit).unwrap_or(unit)
            } else {
                x
            }
        })
    })
}

pub(super) fn not(call: &mut Call<'_>) -> Outcome {
    map::<bool>(call.take(0)?, |x| !x)
}

pub(super) fn is_nan(call: &mut Call<'_>) -> Outcome {
    let tensor = call.take(0)?;
    for_real!(tensor, T => Ok(vec![map_to::<T, bool>(&tensor, |x| x.is_nan())?]))
}

pub(super) fn is_inf(call: &mut Call<'_>) -> Outcome {
    let positive = call.int("detect_positive", 1)? != 0;
    let negative = call.int("detect_negative", 1)? != 0;
    let tensor = call.take(0)?;
    for_real!(tensor, T => {
        let zero = <T as Default>::default();
        let test = |x: &T| x.is_infinite() && if *x > zero { positive } else { negative };
        Ok(vec![map_to::<T, bool>(&tensor, test)?])
    })
}

/// Bounds are attributes up to opset 10, inputs from opset 11.
pub(super) fn clip(call: &mut Call<'_>) -> Outcome {
    let bounds = if call.version() < 11 {
        let low = call
            .has("min")
            .then(|| call.float("min", 0.0))
            .transpose()?;
        let high = call
            .has("max")
            .then(|| call.float("max", 0.0))
            .transpose()?;
        [low.map(Tensor::scalar), high.map(Tensor::scalar)]
    } else {
        [call.optional(1).cloned(), call.optional(2).cloned()]
    };
    let tensor = call.take(0)?;
    for_number!(tensor, T => {
        let bound = |tensor: &Option<Tensor>| -> Result<Option<T>, Fault> {
            let Some(tensor) = tensor else { return Ok(None) };
            if let Some([bound]) = tensor.elements::<T>() {
                return Ok(Some(*bound));
            }
            let wide = tensor.elements::<f64>().and_then(|list| list.first());
            let bound = wide.map(|&wide| wide as T);
            bound.map(Some).ok_or_else(|| Fault::invalid("a bound is no single number"))
        };
        let (low, high) = (bound(&bounds[0])?, bound(&bounds[1])?);
        map::<T>(tensor, |x| {
            let x = low.filter(|low| x < *low).unwrap_or(x);
            high.filter(|high| x > *high).unwrap_or(x)
        })
    })
}
