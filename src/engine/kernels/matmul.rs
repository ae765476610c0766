//! MatMul and Gemm on one matrix product per batch.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::binary::{Arithmetic, broadcast_shape, zip};
use super::each::{Real, for_number, for_real};
use super::product::matrix_multiply;
use super::strided::{broadcast_to, permuted};
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::{Element, Tensor};

/// `out = a · b`, row-major, extents (m, k) and (k, n).
pub(super) fn product<T: Real>(a: &[T], b: &[T], out: &mut [T], [m, k, n]: [usize; 3]) {
    let shapes = (
        ArrayView2::from_shape((m, k), a),
        ArrayView2::from_shape((k, n), b),
        ArrayViewMut2::from_shape((m, n), out),
    );
    if let (Ok(a), Ok(b), Ok(out)) = shapes {
        multiply(a, b, out);
    }
}

/// `out = a · b`; a single row is summed in order, since blocks of it would cost more than they save.
fn multiply<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, mut out: ArrayViewMut2<'_, T>) {
    if let ([1, _], Some(a), Some(out)) = (a.shape(), a.as_slice(), out.as_slice_mut()) {
        if let Some(rows) = b.as_slice() {
            return row_by_matrix(a, rows, out);
        }
        if let Some(columns) = b.t().as_slice() {
            return row_by_columns(a, columns, out);
        }
    }
    matrix_multiply(&a, &b, T::zero(), &mut out);
}

/// A row by a row-major matrix.
fn row_by_matrix<T: Real>(a: &[T], b: &[T], out: &mut [T]) {
    out.fill(<T as num_traits::Zero>::zero());
    for (&factor, row) in a.iter().zip(b.chunks(out.len().max(1))) {
        for (sum, &x) in out.iter_mut().zip(row) {
            *sum += factor * x;
        }
    }
}

/// A row by a column-major matrix, each sum in eight interleaved parts.
fn row_by_columns<T: Real>(a: &[T], b: &[T], out: &mut [T]) {
    let zero = <T as num_traits::Zero>::zero();
    if a.is_empty() {
        return out.fill(zero);
    }
    let (steps, rest) = a.as_chunks::<8>();
    for (sum, column) in out.iter_mut().zip(b.chunks(a.len())) {
        let mut lanes = [zero; 8];
        let (column_steps, column_rest) = column.as_chunks::<8>();
        for (step, column_step) in steps.iter().zip(column_steps) {
            for lane in 0..8 {
                lanes[lane] += step[lane] * column_step[lane];
            }
        }
        for (lane, (&x, &y)) in lanes.iter_mut().zip(rest.iter().zip(column_rest)) {
            *lane += x * y;
        }
        *sum = super::reduce::total(&lanes);
    }
}

fn integer_product<T: Arithmetic>(a: &[T], b: &[T], out: &mut [T], [m, k, n]: [usize; 3]) {
    for row in 0..m {
        for column in 0..n {
            let mut sum = T::default();
            for index in 0..k {
                sum = sum.plus(a[row * k + index].times(b[index * n + column]));
            }
            out[row * n + column] = sum;
        }
    }
}

/// Batched operands of a matrix product, with the shapes that the standard's rules give.
struct Operands {
    a: Tensor,
    b: Tensor,
    batch: usize,
    extents: [usize; 3],
    /// Whether one right operand serves all batches, which then are rows of one product.
    is_shared: bool,
    shape: Vec<usize>,
}

/// Extents of a product: the batch's, (m, k, n), and those of the result.
struct ProductShape {
    outer: Vec<usize>,
    extents: [usize; 3],
    result: Vec<usize>,
}

/// A vector on the left is a row, on the right a column.
fn lifted(shape: &[usize], is_left: bool) -> Vec<usize> {
    match shape {
        [extent] if is_left => vec![1, *extent],
        [extent] => vec![*extent, 1],
        shape => shape.to_vec(),
    }
}

fn product_shape(call: &Call<'_>, a: &[usize], b: &[usize]) -> Result<ProductShape, Fault> {
    let misfit = || Fault::invalid(format!("{a:?} by {b:?} is no product"));
    let (left, right) = (lifted(a, true), lifted(b, false));
    let ([outer_a @ .., m, k], [outer_b @ .., k_b, n]) = (&left[..], &right[..]) else {
        return Err(misfit());
    };
    if k != k_b {
        return Err(misfit());
    }
    let outer = broadcast_shape(&[outer_a, outer_b])?;
    let rows = if a.len() > 1 { &[*m][..] } else { &[] };
    let columns = if b.len() > 1 { &[*n][..] } else { &[] };
    let result = [&outer[..], rows, columns].concat();
    call.size(&result)?;
    Ok(ProductShape {
        outer,
        extents: [*m, *k, *n],
        result,
    })
}

fn operands(call: &Call<'_>, a: &Tensor, b: &Tensor) -> Result<Operands, Fault> {
    let ProductShape {
        outer,
        extents,
        result,
    } = product_shape(call, a.shape(), b.shape())?;
    let [m, k, n] = extents;
    let left = a.clone().reshaped(lifted(a.shape(), true))?;
    let right = b.clone().reshaped(lifted(b.shape(), false))?;
    let batch: usize = outer.iter().product();
    let shape = result;
    let is_shared = right.len() == k * n && left.len() == batch * m * k;
    if is_shared {
        let extents = [batch * m, k, n];
        return Ok(Operands {
            a: left,
            b: right,
            batch: 1,
            extents,
            is_shared,
            shape,
        });
    }
    let a = broadcast_to(&left, &[&outer[..], &[m, k]].concat())?;
    let b = broadcast_to(&right, &[&outer[..], &[k, n]].concat())?;
    Ok(Operands {
        a,
        b,
        batch,
        extents,
        is_shared,
        shape,
    })
}

/// The matrix product of two tensors by the rules of MatMul.
pub(super) fn matrix_product(call: &Call<'_>, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
    fn batched<T: Element + Default + Copy>(
        operands: Operands,
        product: impl Fn(&[T], &[T], &mut [T], [usize; 3]),
    ) -> Result<Tensor, Fault> {
        let [m, k, n] = operands.extents;
        let misfit = || Fault::invalid("the operands differ in type");
        let a = operands.a.elements::<T>().ok_or_else(misfit)?;
        let b = operands.b.elements::<T>().ok_or_else(misfit)?;
        let mut out = vec![T::default(); operands.batch * m * n];
        for index in 0..operands.batch {
            let right = if operands.is_shared { 0 } else { index };
            product(
                &a[index * m * k..(index + 1) * m * k],
                &b[right * k * n..(right + 1) * k * n],
                &mut out[index * m * n..(index + 1) * m * n],
                operands.extents,
            );
        }
        Ok(Tensor::new(operands.shape, out)?)
    }
    let operands = operands(call, a, b)?;
    if a.data().element().is_float() {
        return for_real!(a, T => batched::<T>(operands, product::<T>));
    }
    for_number!(a, T => batched::<T>(operands, integer_product::<T>))
}

/// The output's extents of MatMul, or of Gemm.
pub(super) fn output_shape(call: &Call<'_>) -> Result<Vec<usize>, Fault> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    if call.node.op_type == "MatMul" {
        return Ok(product_shape(call, a.shape(), b.shape())?.result);
    }
    let extents = |tensor: &Tensor, is_turned: bool| match (tensor.shape(), is_turned) {
        (&[rows, columns], false) | (&[columns, rows], true) => Ok((rows, columns)),
        (shape, _) => Err(Fault::invalid(format!("{shape:?} is no matrix"))),
    };
    let (m, k) = extents(a, call.flag("transA")?)?;
    let (k_b, n) = extents(b, call.flag("transB")?)?;
    let c = call.optional(2).map_or(&[][..], Tensor::shape);
    if k != k_b || broadcast_shape(&[&[m, n], c])? != [m, n] {
        let (a, b) = (a.shape(), b.shape());
        return Err(Fault::invalid(format!(
            "{a:?}, {b:?} and C {c:?} do not fit"
        )));
    }
    call.size(&[m, n])?;
    Ok(vec![m, n])
}

pub(super) fn matmul(call: &mut Call<'_>) -> Outcome {
    Ok(vec![matrix_product(call, call.input(0)?, call.input(1)?)?])
}

/// `A'·B'`; what is transposed is read across where it lies.
fn gemm_product(call: &Call<'_>) -> Result<Tensor, Fault> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    for (index, tensor) in [a, b].into_iter().enumerate() {
        if tensor.rank() != 2 {
            return Err(Fault::invalid(format!("input {index} is no matrix")));
        }
    }
    let (turns_a, turns_b) = (call.flag("transA")?, call.flag("transB")?);
    if !a.data().element().is_float() {
        let turned = |tensor: &Tensor, turns: bool| match turns {
            true => permuted(tensor, &[1, 0]),
            false => Ok(tensor.clone()),
        };
        return matrix_product(call, &turned(a, turns_a)?, &turned(b, turns_b)?);
    }
    let shape = output_shape(call)?;
    for_real!(a, T => {
        let mut out = vec![<T as Default>::default(); shape.iter().product()];
        let turned = |index: usize, turns: bool| -> Result<ArrayView2<'_, T>, Fault> {
            let (elements, shape) = (call.elements::<T>(index)?, call.input(index)?.shape());
            let view = ArrayView2::from_shape((shape[0], shape[1]), elements);
            let view = view.map_err(|error| Fault::invalid(error.to_string()))?;
            Ok(if turns { view.reversed_axes() } else { view })
        };
        let view = ArrayViewMut2::from_shape((shape[0], shape[1]), &mut out);
        let view = view.map_err(|error| Fault::invalid(error.to_string()))?;
        multiply(turned(0, turns_a)?, turned(1, turns_b)?, view);
        Ok(Tensor::new(shape, out)?)
    })
}

/// `α·A'·B' + β·C`, C broadcast to the product's shape.
pub(super) fn gemm(call: &mut Call<'_>) -> Outcome {
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let product = gemm_product(call)?;
    let shape = product.shape().to_vec();
    for_number!(product, T => {
        let scale = |factor: f64| T::from_f64(factor);
        let product = if alpha == 1.0 {
            product
        } else {
            super::unary::map::<T>(product, |x| x.times(scale(alpha)))?.swap_remove(0)
        };
        let Some(c) = call.optional(2) else { return Ok(vec![product]) };
        let beta = scale(beta);
        let sum = zip::<T, T, T>(call, &product, c, |x, c| x.plus(c.times(beta)))?;
        if sum.shape() != shape {
            return Err(Fault::invalid(format!("C of shape {:?} widens the product", c.shape())));
        }
        Ok(vec![sum])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_row_is_multiplied_as_any_other_and_keeps_nan() {
        let (k, n) = (19, 21);
        // Small integers, so that every order of summation gives the same number.
        let numbers =
            |count: usize| -> Vec<f64> { (0..count).map(|i| (i * 7 % 11) as f64).collect() };
        let (mut a, b) = (numbers(k), numbers(k * n));
        for special in [4.0, f64::NAN, f64::INFINITY] {
            a[3] = special;
            let entry = |column: usize| -> f64 { (0..k).map(|i| a[i] * b[i * n + column]).sum() };
            let expected: Vec<f64> = (0..n).map(entry).collect();
            let columns: Vec<f64> = (0..k * n).map(|at| b[at % k * n + at / k]).collect();
            let (mut by_rows, mut by_columns) = (vec![1.0; n], vec![1.0; n]);
            row_by_matrix(&a, &b, &mut by_rows);
            row_by_columns(&a, &columns, &mut by_columns);
            for found in [by_rows, by_columns] {
                let same = |(x, y): (&f64, &f64)| x == y || (x.is_nan() && y.is_nan());
                assert!(found.iter().zip(&expected).all(same), "{found:?}");
            }
        }
    }
}
