//! Operators that compute each element from the elements at the same place.
//!
//! Since opset 7 the inputs broadcast multidirectionally: aligned at the last axis, an extent of 1
//! stretches. Before, `broadcast=1` stretches the second input only, placed at `axis`.

use super::axes::{count, offset, positions};
use super::call::{Call, Operator, require, same_as};
use crate::testing::element::is_float;
use crate::testing::{DataType, Tensor};

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    Some(match op_type {
        "Add" => |call| binary(call, |a, b| a + b),
        "Sub" => |call| binary(call, |a, b| a - b),
        "Mul" => |call| binary(call, |a, b| a * b),
        "Div" => divide,
        "Mod" => modulo,
        "Pow" => |call| binary(call, f64::powf),
        "PRelu" => |call| binary(call, |x, slope| if x < 0.0 { slope * x } else { x }),
        "Sum" => |call| variadic(call, |terms| terms.iter().sum()),
        "Mean" => |call| variadic(call, |terms| terms.iter().sum::<f64>() / terms.len() as f64),
        "Max" => |call| variadic(call, |terms| extreme(terms, |a, b| a > b)),
        "Min" => |call| variadic(call, |terms| extreme(terms, |a, b| a < b)),
        "And" => |call| compare(call, |a, b| a != 0.0 && b != 0.0),
        "Or" => |call| compare(call, |a, b| a != 0.0 || b != 0.0),
        "Xor" => |call| compare(call, |a, b| (a != 0.0) != (b != 0.0)),
        "Equal" => |call| compare(call, |a, b| a == b),
        "Less" => |call| compare(call, |a, b| a < b),
        "LessOrEqual" => |call| compare(call, |a, b| a <= b),
        "Greater" => |call| compare(call, |a, b| a > b),
        "GreaterOrEqual" => |call| compare(call, |a, b| a >= b),
        "Where" => where_,
        _ => return None,
    })
}

/// The shape that the shapes broadcast to.
pub(super) fn broadcast_shape(shapes: &[&[usize]]) -> Result<Vec<usize>, String> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut result = vec![1; rank];
    for shape in shapes {
        for (extent, &own) in result.iter_mut().rev().zip(shape.iter().rev()) {
            require(*extent == own || *extent == 1 || own == 1, || {
                format!("shapes {shapes:?} do not broadcast")
            })?;
            if own != 1 {
                *extent = own;
            }
        }
    }
    Ok(result)
}

/// The element of `tensor` that stands at `position` once the tensor is stretched.
pub(super) fn stretched(tensor: &Tensor, position: &[usize]) -> f64 {
    let skipped = position.len() - tensor.rank();
    let own: Vec<usize> = position[skipped..]
        .iter()
        .zip(&tensor.shape)
        .map(|(&at, &extent)| if extent == 1 { 0 } else { at })
        .collect();
    tensor.data[offset(&tensor.shape, &own)]
}

/// The tensor stretched to a shape that it broadcasts to.
pub(super) fn stretch(tensor: &Tensor, shape: &[usize]) -> Result<Tensor, String> {
    let together = broadcast_shape(&[&tensor.shape, shape])?;
    require(together == shape, || {
        format!("shape {:?} in place of {shape:?}", tensor.shape)
    })?;
    let data = positions(shape)
        .map(|position| stretched(tensor, &position))
        .collect();
    Ok(Tensor {
        dtype: tensor.dtype,
        shape: shape.to_vec(),
        data,
    })
}

/// Combines the tensors element by element.
fn combine(
    dtype: DataType,
    tensors: &[&Tensor],
    combined: impl Fn(&[f64]) -> f64,
) -> Result<Tensor, String> {
    let shapes: Vec<&[usize]> = tensors.iter().map(|tensor| &*tensor.shape).collect();
    let shape = broadcast_shape(&shapes)?;
    let mut terms = vec![0.0; tensors.len()];
    let mut data = Vec::with_capacity(count(&shape));
    for position in positions(&shape) {
        for (term, tensor) in terms.iter_mut().zip(tensors) {
            *term = stretched(tensor, &position);
        }
        data.push(combined(&terms));
    }
    Ok(Tensor { dtype, shape, data })
}

fn binary(call: &Call<'_>, f: impl Fn(f64, f64) -> f64) -> Result<Vec<Tensor>, String> {
    let (a, b) = operands(call)?;
    Ok(vec![combine(a.dtype, &[&a, &b], |terms| {
        f(terms[0], terms[1])
    })?])
}

fn compare(call: &Call<'_>, f: impl Fn(f64, f64) -> bool) -> Result<Vec<Tensor>, String> {
    let (a, b) = operands(call)?;
    let holds = |terms: &[f64]| f64::from(u8::from(f(terms[0], terms[1])));
    Ok(vec![combine(DataType::Bool, &[&a, &b], holds)?])
}

/// Both operands, the second placed where the opset says.
fn operands(call: &Call<'_>) -> Result<(Tensor, Tensor), String> {
    let (a, b) = (call.input(0)?.clone(), call.input(1)?.clone());
    if call.opset >= 7 {
        return Ok((a, b));
    }
    if call.node.op_type() == "PRelu" {
        return Ok((a.clone(), slope_before_opset_7(&a, b)));
    }
    if !call.flag("broadcast", false) {
        require(a.shape == b.shape, || {
            format!("{:?} and {:?} need broadcast=1", a.shape, b.shape)
        })?;
        return Ok((a, b));
    }
    let suffix = a.rank().saturating_sub(b.rank()) as i64;
    let axis = super::axes::cut(call.int("axis", suffix), a.rank())?;
    let trailing = a.rank().checked_sub(axis + b.rank());
    let trailing = trailing.ok_or_else(|| format!("{:?} at axis {axis}", b.shape))?;
    let mut shape = vec![1; axis];
    shape.extend(&b.shape);
    shape.extend(vec![1; trailing]);
    let together = broadcast_shape(&[&a.shape, &shape])?;
    require(together == a.shape, || {
        format!("{:?} widens {:?}", b.shape, a.shape)
    })?;
    Ok((a, Tensor { shape, ..b }))
}

/// Before opset 7 a slope of more than one element runs along axis 1.
fn slope_before_opset_7(a: &Tensor, slope: Tensor) -> Tensor {
    let channels = a.shape.get(1).copied();
    if slope.rank() == 1 && Some(slope.data.len()) == channels && a.rank() > 1 {
        let mut shape = vec![1; a.rank() - 1];
        shape[0] = slope.data.len();
        return Tensor { shape, ..slope };
    }
    slope
}

fn variadic(call: &Call<'_>, f: impl Fn(&[f64]) -> f64) -> Result<Vec<Tensor>, String> {
    let tensors = call.variadic()?;
    let first = tensors.first().ok_or("no input")?;
    if call.opset < 8 {
        require(
            tensors.iter().all(|tensor| tensor.shape == first.shape),
            || "the shapes differ before opset 8".into(),
        )?;
    }
    Ok(vec![combine(first.dtype, &tensors, f)?])
}

/// The term that beats all others; NaN beats everything.
fn extreme(terms: &[f64], beats: impl Fn(f64, f64) -> bool) -> f64 {
    let better = |best: f64, &term: &f64| {
        if best.is_nan() || !(term.is_nan() || beats(term, best)) {
            best
        } else {
            term
        }
    };
    terms.iter().skip(1).fold(terms[0], better)
}

fn divide(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    if is_float(call.input(0)?.dtype) {
        return binary(call, |a, b| a / b);
    }
    let divisor = call.input(1)?;
    require(divisor.data.iter().all(|&b| b != 0.0), || {
        "integer division by zero".into()
    })?;
    binary(call, |a, b| (a / b).trunc())
}

fn modulo(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    if call.flag("fmod", false) {
        return binary(call, |a, b| a % b);
    }
    binary(call, |a, b| {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
            rest + b
        } else {
            rest
        }
    })
}

fn where_(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let tensors = [call.input(0)?, call.input(1)?, call.input(2)?];
    let choose = |terms: &[f64]| if terms[0] != 0.0 { terms[1] } else { terms[2] };
    Ok(vec![combine(tensors[1].dtype, &tensors, choose)?])
}

/// Applies a function to each element.
pub(super) fn map(tensor: &Tensor, f: impl Fn(f64) -> f64) -> Vec<Tensor> {
    vec![same_as(tensor, tensor.data.iter().map(|&x| f(x)).collect())]
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use crate::testing::Tensor;

    #[test]
    fn opset_1_places_the_second_operand_at_an_axis() {
        let a = Tensor::floats(&[2, 3, 1], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let b = Tensor::floats(&[3], [10.0, 20.0, 30.0]);
        let sum = evaluate("Add", 6, &[a.clone(), b.clone()], |node| {
            node.attr("broadcast", 1).axis(1)
        });
        assert_eq!(sum.unwrap()[0].data, [11.0, 22.0, 33.0, 14.0, 25.0, 36.0]);
        assert!(evaluate("Add", 6, &[a.clone(), b.clone()], |node| node).is_err());
        let outer = evaluate("Add", 7, &[a, b], |node| node).unwrap();
        assert_eq!(outer[0].shape, [2, 3, 3]);
    }

    #[test]
    fn broadcasting_aligns_the_last_axes() {
        let a = Tensor::floats(&[2, 1, 2], [1.0, 2.0, 3.0, 4.0]);
        let b = Tensor::floats(&[3, 1], [10.0, 20.0, 30.0]);
        let product = evaluate("Mul", 14, &[a, b], |node| node).unwrap();
        assert_eq!(product[0].shape, [2, 3, 2]);
        assert_eq!(product[0].data[..6], [10.0, 20.0, 20.0, 40.0, 30.0, 60.0]);
    }

    #[test]
    fn integers_divide_towards_zero() {
        let a = Tensor::ints(&[2], [7, -7]);
        let b = Tensor::ints(&[], [2]);
        assert_eq!(
            evaluate("Div", 14, &[a, b], |node| node).unwrap()[0].data,
            [3.0, -3.0]
        );
    }

    #[test]
    fn nan_wins_max_and_min() {
        let a = Tensor::floats(&[2], [f32::NAN, 1.0]);
        let b = Tensor::floats(&[2], [1.0, f32::NAN]);
        for op_type in ["Max", "Min"] {
            let found = evaluate(op_type, 13, &[a.clone(), b.clone()], |node| node).unwrap();
            assert!(found[0].data.iter().all(|x| x.is_nan()), "{op_type}");
        }
    }
}
