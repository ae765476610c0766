//! MatMul, Gemm and Einsum on one matrix product per batch.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::binary::{Arithmetic, broadcast_shape, zip};
use super::each::{Real, for_number, for_real};
use super::movement::{broadcast_to, permuted};
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::{Element, Tensor};

/// `out = a · b`, row-major, extents (m, k) and (k, n).
pub(super) fn product<T: Real>(a: &[T], b: &[T], out: &mut [T], [m, k, n]: [usize; 3]) {
    let shapes = (
        ArrayView2::from_shape((m, k), a),
        ArrayView2::from_shape((k, n), b),
        ArrayViewMut2::from_shape((m, n), out),
    );
    if let (Ok(a), Ok(b), Ok(mut out)) = shapes {
        general_mat_mul(T::one(), &a, &b, T::zero(), &mut out);
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

fn operands(call: &Call<'_>, a: &Tensor, b: &Tensor) -> Result<Operands, Fault> {
    let lifted = |tensor: &Tensor, is_left: bool| {
        let mut shape = tensor.shape().to_vec();
        if shape.len() == 1 {
            shape.insert(if is_left { 0 } else { 1 }, 1);
        }
        tensor.clone().reshaped(shape)
    };
    let (left, right) = (lifted(a, true)?, lifted(b, false)?);
    let misfit = || Fault::invalid(format!("{:?} by {:?} is no product", a.shape(), b.shape()));
    let ([outer_a @ .., m, k], [outer_b @ .., k_b, n]) = (left.shape(), right.shape()) else {
        return Err(misfit());
    };
    let (m, k, n) = (*m, *k, *n);
    if k != *k_b {
        return Err(misfit());
    }
    let outer = broadcast_shape(&[outer_a, outer_b])?;
    let mut shape = outer.clone();
    if a.rank() > 1 {
        shape.push(m);
    }
    if b.rank() > 1 {
        shape.push(n);
    }
    call.size(&shape)?;
    let batch: usize = outer.iter().product();
    if outer_b.iter().all(|&extent| extent == 1) && outer_a.len() >= outer_b.len() {
        let extents = [batch * m, k, n];
        return Ok(Operands {
            a: left,
            b: right,
            batch: 1,
            extents,
            is_shared: true,
            shape,
        });
    }
    let a = broadcast_to(&left, &[&outer[..], &[m, k]].concat())?;
    let b = broadcast_to(&right, &[&outer[..], &[k, n]].concat())?;
    Ok(Operands {
        a,
        b,
        batch,
        extents: [m, k, n],
        is_shared: false,
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

pub(super) fn matmul(call: &mut Call<'_>) -> Outcome {
    Ok(vec![matrix_product(call, call.input(0)?, call.input(1)?)?])
}

/// `α·A'·B' + β·C`, C broadcast to the product's shape.
pub(super) fn gemm(call: &mut Call<'_>) -> Outcome {
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let operand = |index: usize, name: &str| -> Result<Tensor, Fault> {
        let tensor = call.input(index)?;
        if tensor.rank() != 2 {
            return Err(Fault::invalid(format!("input {index} is no matrix")));
        }
        if call.flag(name)? {
            permuted(tensor, &[1, 0])
        } else {
            Ok(tensor.clone())
        }
    };
    let (a, b) = (operand(0, "transA")?, operand(1, "transB")?);
    let product = matrix_product(call, &a, &b)?;
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

/// Two operands at a time: labels are batch, contracted, left only or right only.
pub(super) fn einsum(call: &mut Call<'_>) -> Outcome {
    let equation: String = call
        .text("equation", "")?
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    if equation.contains('.') {
        return Err(Fault::unsupported("an equation with an ellipsis"));
    }
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms.to_owned(), result.to_owned()),
        None => (equation.clone(), implicit_result(&equation)),
    };
    let terms: Vec<Vec<char>> = terms
        .split(',')
        .map(|term| term.chars().collect())
        .collect();
    let result: Vec<char> = result.chars().collect();
    if terms.len() != call.inputs.len() {
        return Err(Fault::invalid(
            "the equation's terms and the inputs differ in number",
        ));
    }
    let mut labelled = Labelled::new(call.input(0)?.clone(), terms[0].clone())?;
    for index in 1..terms.len() {
        let other = Labelled::new(call.input(index)?.clone(), terms[index].clone())?;
        let is_needed = |label: &char| {
            result.contains(label) || terms[index + 1..].iter().any(|t| t.contains(label))
        };
        labelled = labelled.contract(other, is_needed, call)?;
    }
    let summed = labelled.summed(&|label| result.contains(label), call)?;
    Ok(vec![summed.ordered(&result)?])
}

/// Labels that appear once, in alphabetical order.
fn implicit_result(terms: &str) -> String {
    let mut labels: Vec<char> = terms.chars().filter(|c| *c != ',').collect();
    labels.sort_unstable();
    let once = |c: &&char| terms.matches(**c).count() == 1;
    labels.iter().filter(once).collect()
}

struct Labelled {
    tensor: Tensor,
    labels: Vec<char>,
}

impl Labelled {
    fn new(tensor: Tensor, labels: Vec<char>) -> Result<Labelled, Fault> {
        if tensor.rank() != labels.len() {
            return Err(Fault::invalid("a term and its input differ in rank"));
        }
        if labels
            .iter()
            .enumerate()
            .any(|(i, label)| labels[..i].contains(label))
        {
            return Err(Fault::unsupported("an equation with a diagonal"));
        }
        Ok(Labelled { tensor, labels })
    }

    fn extent(&self, label: char) -> usize {
        let at = self.labels.iter().position(|&l| l == label);
        at.map_or(1, |at| self.tensor.shape()[at])
    }

    fn ordered(&self, labels: &[char]) -> Result<Tensor, Fault> {
        let place = |label: &char| self.labels.iter().position(|l| l == label);
        let order: Option<Vec<usize>> = labels.iter().map(place).collect();
        permuted(
            &self.tensor,
            &order.ok_or_else(|| Fault::invalid("a label is unknown"))?,
        )
    }

    /// Sums over labels that nobody needs any more.
    fn summed(self, needed: &dyn Fn(&char) -> bool, call: &Call<'_>) -> Result<Labelled, Fault> {
        let (kept, gone): (Vec<char>, Vec<char>) = self.labels.iter().partition(|l| needed(l));
        if gone.is_empty() {
            return Ok(self);
        }
        let rows = self.ordered(&[&kept[..], &gone[..]].concat())?;
        let length = gone.iter().map(|&label| self.extent(label)).product();
        let shape: Vec<usize> = kept.iter().map(|&label| self.extent(label)).collect();
        let count = call.size(&shape)?;
        let matrix = rows.reshaped(vec![count, length])?;
        let ones = for_number!(matrix, T => {
            Ok::<_, Fault>(Tensor::new(vec![length], vec![T::from_f64(1.0); length])?)
        })?;
        let tensor = matrix_product(call, &matrix, &ones)?.reshaped(shape)?;
        Ok(Labelled {
            tensor,
            labels: kept,
        })
    }

    fn contract(
        self,
        other: Labelled,
        needed: impl Fn(&char) -> bool,
        call: &Call<'_>,
    ) -> Result<Labelled, Fault> {
        let left = self.labels.clone();
        let right = other.labels.clone();
        let a = self.summed(&|label| needed(label) || right.contains(label), call)?;
        let b = other.summed(&|label| needed(label) || left.contains(label), call)?;
        let shared = |label: &&char| b.labels.contains(label);
        let batch: Vec<char> = a
            .labels
            .iter()
            .filter(shared)
            .filter(|l| needed(l))
            .copied()
            .collect();
        let inner: Vec<char> = a
            .labels
            .iter()
            .filter(shared)
            .filter(|l| !needed(l))
            .copied()
            .collect();
        let rows: Vec<char> = a
            .labels
            .iter()
            .filter(|l| !b.labels.contains(l))
            .copied()
            .collect();
        let columns: Vec<char> = b
            .labels
            .iter()
            .filter(|l| !a.labels.contains(l))
            .copied()
            .collect();
        let size = |labels: &[char], of: &Labelled| -> usize {
            labels.iter().map(|&label| of.extent(label)).product()
        };
        let (n_batch, m, k, n) = (
            size(&batch, &a),
            size(&rows, &a),
            size(&inner, &a),
            size(&columns, &b),
        );
        let lhs = a
            .ordered(&[&batch[..], &rows, &inner].concat())?
            .reshaped(vec![n_batch, m, k])?;
        let rhs = b
            .ordered(&[&batch[..], &inner, &columns].concat())?
            .reshaped(vec![n_batch, k, n])?;
        let extents = |labels: &[char], of: &Labelled| -> Vec<usize> {
            labels.iter().map(|&label| of.extent(label)).collect()
        };
        let shape = [
            extents(&batch, &a),
            extents(&rows, &a),
            extents(&columns, &b),
        ]
        .concat();
        let tensor = matrix_product(call, &lhs, &rhs)?.reshaped(shape)?;
        Ok(Labelled {
            tensor,
            labels: [batch, rows, columns].concat(),
        })
    }
}
