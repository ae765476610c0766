//! Element-wise operators of several inputs, with the standard's broadcasting.
//!
//! Integer arithmetic wraps; a division of integers by zero is a fault.

use ndarray::{ArrayView, ArrayViewMut, IxDyn, Zip};
use num_traits::Zero;

use super::each::{Real, for_any, for_number, for_real};
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::{Element, Tensor};

/// The shape that shapes broadcast to, aligned at the last axis.
pub(super) fn broadcast_shape(shapes: &[&[usize]]) -> Result<Vec<usize>, Fault> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut result = vec![1usize; rank];
    for shape in shapes {
        for (place, &extent) in result.iter_mut().rev().zip(shape.iter().rev()) {
            if *place == 1 {
                *place = extent;
            } else if extent != 1 && extent != *place {
                return Err(Fault::invalid(format!(
                    "shapes {shapes:?} do not broadcast"
                )));
            }
        }
    }
    Ok(result)
}

pub(super) fn view<T: Element>(tensor: &Tensor) -> Result<ArrayView<'_, T, IxDyn>, Fault> {
    let elements = tensor.elements::<T>();
    let elements = elements.ok_or_else(|| {
        Fault::invalid(format!(
            "an input is of type {} instead of {}",
            tensor.data().element(),
            T::TYPE
        ))
    })?;
    ArrayView::from_shape(IxDyn(tensor.shape()), elements)
        .map_err(|error| Fault::invalid(error.to_string()))
}

/// `f` of two broadcast tensors.
pub(super) fn zip<A: Element, B: Element, C: Element + Default>(
    call: &Call<'_>,
    a: &Tensor,
    b: &Tensor,
    f: impl Fn(&A, &B) -> C,
) -> Result<Tensor, Fault> {
    let shape = broadcast_shape(&[a.shape(), b.shape()])?;
    let (left, right) = (view::<A>(a)?, view::<B>(b)?);
    let size = call.size(&shape)?;
    if let (Some(left), Some(right)) = (left.as_slice(), right.as_slice()) {
        let elements = if a.shape() == b.shape() {
            Some(left.iter().zip(right).map(|(x, y)| f(x, y)).collect())
        } else if let ([y], true) = (right, left.len() == size) {
            Some(left.iter().map(|x| f(x, y)).collect())
        } else if let ([x], true) = (left, right.len() == size) {
            Some(right.iter().map(|y| f(x, y)).collect())
        } else {
            None
        };
        if let Some(elements) = elements {
            return Ok(Tensor::new(shape, elements)?);
        }
    }
    let mut elements = vec![C::default(); size];
    let misfit = || Fault::invalid("shapes do not broadcast");
    let left = left.broadcast(IxDyn(&shape)).ok_or_else(misfit)?;
    let right = right.broadcast(IxDyn(&shape)).ok_or_else(misfit)?;
    let out = ArrayViewMut::from_shape(IxDyn(&shape), &mut elements);
    let out = out.map_err(|error| Fault::invalid(error.to_string()))?;
    Zip::from(out)
        .and(left)
        .and(right)
        .for_each(|out, x, y| *out = f(x, y));
    Ok(Tensor::new(shape, elements)?)
}

/// Wrapping arithmetic that is plain arithmetic for floating-point types.
pub(super) trait Arithmetic: Element + Copy + Default + PartialOrd {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// `None` for an integer division by zero.
    fn over(self, other: Self) -> Option<Self>;
    /// The remainder with the divisor's sign; `None` for an integer division by zero.
    fn modulo(self, other: Self) -> Option<Self>;
    /// The remainder with the dividend's sign.
    fn remainder(self, other: Self) -> Option<Self>;
    fn from_f64(number: f64) -> Self;
    fn to_f64(self) -> f64;
}

macro_rules! integer_arithmetic {
    ($($type:ty),*) => {
        $(impl Arithmetic for $type {
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            fn over(self, other: Self) -> Option<Self> {
                (other != 0).then(|| self.wrapping_div(other))
            }
            fn modulo(self, other: Self) -> Option<Self> {
                let rest = self.remainder(other)?;
                #[allow(unused_comparisons, reason = "the macro also serves unsigned types")]
                let crosses = rest != 0 && (rest < 0) != (other < 0);
                Some(if crosses { rest.wrapping_add(other) } else { rest })
            }
            fn remainder(self, other: Self) -> Option<Self> {
                (other != 0).then(|| self.wrapping_rem(other))
            }
            fn from_f64(number: f64) -> Self {
                number as $type
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
        })*
    };
}

macro_rules! real_arithmetic {
    ($($type:ty),*) => {
        $(impl Arithmetic for $type {
            fn plus(self, other: Self) -> Self {
                self + other
            }
            fn minus(self, other: Self) -> Self {
                self - other
            }
            fn times(self, other: Self) -> Self {
                self * other
            }
            fn over(self, other: Self) -> Option<Self> {
                Some(self / other)
            }
            fn modulo(self, other: Self) -> Option<Self> {
                let rest = self % other;
                let crosses = rest != 0.0 && (rest < 0.0) != (other < 0.0);
                Some(if crosses { rest + other } else { rest })
            }
            fn remainder(self, other: Self) -> Option<Self> {
                Some(self % other)
            }
            fn from_f64(number: f64) -> Self {
                number as $type
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
        })*
    };
}

integer_arithmetic!(i8, i16, i32, i64, u8, u16, u32, u64);
real_arithmetic!(f32, f64);

macro_rules! arithmetic {
    ($($name:ident = $method:ident;)*) => {
        $(pub(super) fn $name(call: &mut Call<'_>) -> Outcome {
            let b = legacy_broadcast(call)?;
            let a = call.take(0)?;
            for_number!(a, T => Ok(vec![onto::<T>(call, a, &b, |x, y| x.$method(y))?]))
        })*
    };
}

/// `f` of two broadcast tensors, in place of the first where it has the result's shape and no other holder.
fn onto<T: Arithmetic>(
    call: &Call<'_>,
    a: Tensor,
    b: &Tensor,
    f: impl Fn(T, T) -> T,
) -> Result<Tensor, Fault> {
    let apply = |x: &T, y: &T| f(*x, *y);
    let is_alike = a.shape() == b.shape();
    let Some(right) = b.elements::<T>().filter(|_| is_alike) else {
        return zip(call, &a, b, apply);
    };
    match a.exclusive::<T>() {
        Ok(mut elements) => {
            for (x, y) in elements.iter_mut().zip(right) {
                *x = apply(x, y);
            }
            Ok(Tensor::new(b.shape().to_vec(), elements)?)
        }
        Err(shared) => zip(call, &shared, b, apply),
    }
}

arithmetic! {
    add = plus;
    sub = minus;
    mul = times;
}

/// Up to opset 6, `broadcast=1` aligns the second input at `axis` instead of at the last axis.
fn legacy_broadcast(call: &Call<'_>) -> Result<Tensor, Fault> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    if call.version() >= 7 || !call.flag("broadcast")? || !call.has("axis") {
        return Ok(b.clone());
    }
    let axis = crate::engine::call::axis(call.int("axis", 0)?, a.rank())?;
    let trailing = a.rank().checked_sub(axis + b.rank());
    let trailing = trailing.ok_or_else(|| Fault::invalid("axis leaves no room for the input"))?;
    let mut shape = b.shape().to_vec();
    shape.extend(std::iter::repeat_n(1, trailing));
    Ok(b.clone().reshaped(shape)?)
}

pub(super) fn div(call: &mut Call<'_>) -> Outcome {
    let b = legacy_broadcast(call)?;
    let a = call.input(0)?;
    for_number!(a, T => {
        let zero = T::default();
        let divides = b.elements::<T>().is_some_and(|list| list.contains(&zero));
        if divides && zero.over(zero).is_none() {
            return Err(Fault::invalid("an integer is divided by zero"));
        }
        Ok(vec![zip::<T, T, T>(call, a, &b, |x, y| x.over(*y).unwrap_or_default())?])
    })
}

pub(super) fn modulus(call: &mut Call<'_>) -> Outcome {
    let keeps_sign = call.flag("fmod")?;
    let (a, b) = (call.input(0)?, call.input(1)?);
    for_number!(a, T => {
        let zero = T::default();
        let divides = b.elements::<T>().is_some_and(|list| list.contains(&zero));
        if divides && zero.over(zero).is_none() {
            return Err(Fault::invalid("an integer is divided by zero"));
        }
        let rest = |x: &T, y: &T| if keeps_sign { x.remainder(*y) } else { x.modulo(*y) };
        Ok(vec![zip::<T, T, T>(call, a, b, |x, y| rest(x, y).unwrap_or_default())?])
    })
}

/// The exponent may be of another type; the result is of the base's.
pub(super) fn pow(call: &mut Call<'_>) -> Outcome {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let exponent = b
        .to_f64()
        .ok_or_else(|| Fault::invalid("the exponent is no number"))?;
    let b = Tensor::new(b.shape().to_vec(), exponent)?;
    for_number!(a, T => {
        Ok(vec![zip::<T, f64, T>(call, a, &b, |x, y| power(*x, *y))?])
    })
}

fn power<T: Arithmetic>(base: T, exponent: f64) -> T {
    if exponent == 2.0 {
        return base.times(base);
    }
    if exponent == 3.0 {
        return base.times(base).times(base);
    }
    T::from_f64(base.to_f64().powf(exponent))
}

/// NaN in either input gives NaN.
fn greater<T: Arithmetic>(x: T, y: T) -> T {
    if x > y || is_nan(x) { x } else { y }
}

fn lesser<T: Arithmetic>(x: T, y: T) -> T {
    if x < y || is_nan(x) { x } else { y }
}

#[expect(
    clippy::eq_op,
    reason = "only NaN differs from itself, and T need not be a float"
)]
fn is_nan<T: PartialOrd>(x: T) -> bool {
    x != x
}

fn fold(
    call: &Call<'_>,
    f: impl Fn(&Call<'_>, &Tensor, &Tensor) -> Result<Tensor, Fault>,
) -> Result<Tensor, Fault> {
    let mut inputs = call.inputs.iter().flatten();
    let first = inputs
        .next()
        .ok_or_else(|| Fault::invalid("it has no inputs"))?
        .clone();
    inputs.try_fold(first, |sum, input| f(call, &sum, input))
}

macro_rules! variadic {
    ($($name:ident = $function:expr;)*) => {
        $(pub(super) fn $name(call: &mut Call<'_>) -> Outcome {
            let first = call.input(0)?;
            for_number!(first, T => {
                let function: fn(T, T) -> T = $function;
                let result = fold(call, |call, a, b| {
                    zip::<T, T, T>(call, a, b, |x, y| function(*x, *y))
                })?;
                Ok(vec![result])
            })
        })*
    };
}

variadic! {
    max = greater;
    min = lesser;
    sum = Arithmetic::plus;
}

pub(super) fn mean(call: &mut Call<'_>) -> Outcome {
    let count = call.inputs.iter().flatten().count() as f64;
    let total = sum(call)?;
    let total = total
        .into_iter()
        .next()
        .ok_or_else(|| Fault::invalid("it has no inputs"))?;
    for_real!(total, T => super::unary::map::<T>(total, |x| x / T::of(count)))
}

pub(super) fn prelu(call: &mut Call<'_>) -> Outcome {
    let (x, slope) = (call.input(0)?, call.input(1)?);
    // Up to opset 6 a slope of rank 1 runs along axis 1; later it broadcasts from the last axis.
    let slope = if call.version() < 7 && slope.rank() == 1 && slope.len() > 1 && x.rank() > 1 {
        let mut shape = vec![1; x.rank() - 1];
        if let Some(extent) = shape.first_mut() {
            *extent = slope.len();
        }
        slope.clone().reshaped(shape)?
    } else {
        slope.clone()
    };
    for_real!(x, T => {
        let result = zip::<T, T, T>(call, x, &slope, |x, slope| {
            if *x < T::zero() { *slope * *x } else { *x }
        })?;
        Ok(vec![result])
    })
}

macro_rules! comparisons {
    ($($name:ident = $operator:tt;)*) => {
        $(pub(super) fn $name(call: &mut Call<'_>) -> Outcome {
            let b = legacy_broadcast(call)?;
            let a = call.input(0)?;
            for_any!(a, T => Ok(vec![zip::<T, T, bool>(call, a, &b, |x, y| x $operator y)?]))
        })*
    };
}

comparisons! {
    equal = ==;
    greater_than = >;
    less_than = <;
    greater_or_equal = >=;
    less_or_equal = <=;
}

macro_rules! logic {
    ($($name:ident = $operator:tt;)*) => {
        $(pub(super) fn $name(call: &mut Call<'_>) -> Outcome {
            let b = legacy_broadcast(call)?;
            let a = call.input(0)?;
            Ok(vec![zip::<bool, bool, bool>(call, a, &b, |x, y| *x $operator *y)?])
        })*
    };
}

logic! {
    and = &&;
    or = ||;
    xor = ^;
}

/// `Where(condition, x, y)`.
pub(super) fn select(call: &mut Call<'_>) -> Outcome {
    let (condition, x, y) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let shape = broadcast_shape(&[condition.shape(), x.shape(), y.shape()])?;
    let size = call.size(&shape)?;
    for_any!(x, T => {
        let misfit = || Fault::invalid("shapes do not broadcast");
        let (condition, x, y) = (view::<bool>(condition)?, view::<T>(x)?, view::<T>(y)?);
        let condition = condition.broadcast(IxDyn(&shape)).ok_or_else(misfit)?;
        let x = x.broadcast(IxDyn(&shape)).ok_or_else(misfit)?;
        let y = y.broadcast(IxDyn(&shape)).ok_or_else(misfit)?;
        let mut elements = vec![T::default(); size];
        let out = ArrayViewMut::from_shape(IxDyn(&shape), &mut elements);
        let out = out.map_err(|error| Fault::invalid(error.to_string()))?;
        Zip::from(out).and(condition).and(x).and(y).for_each(|out, condition, x, y| {
            out.clone_from(if *condition { x } else { y });
        });
        Ok(vec![Tensor::new(shape, elements)?])
    })
}
