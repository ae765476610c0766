//! Matrix products.

use super::axes::{count, cut, offset, positions};
use super::call::{Call, Operator, require};
use super::elementwise::{broadcast_shape, stretch, stretched};
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    match op_type {
        "MatMul" => Some(mat_mul),
        "Gemm" => Some(gemm),
        _ => None,
    }
}

/// NumPy's matmul: a vector gains an axis, the axes before the last two broadcast.
fn mat_mul(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (mut a, mut b) = (call.input(0)?.clone(), call.input(1)?.clone());
    let (row, column) = (a.rank() == 1, b.rank() == 1);
    require(a.rank() > 0 && b.rank() > 0, || "a scalar operand".into())?;
    if row {
        a.shape.insert(0, 1);
    }
    if column {
        b.shape.push(1);
    }
    let (rows, inner) = (a.shape[a.rank() - 2], a.shape[a.rank() - 1]);
    let columns = b.shape[b.rank() - 1];
    require(b.shape[b.rank() - 2] == inner, || {
        format!("{:?} times {:?}", a.shape, b.shape)
    })?;
    let (a_batch, b_batch) = (&a.shape[..a.rank() - 2], &b.shape[..b.rank() - 2]);
    let batch = broadcast_shape(&[a_batch, b_batch])?;
    let mut shape = [&batch[..], &[rows, columns]].concat();
    let a = stretch(&a, &[&batch[..], &[rows, inner]].concat())?;
    let b = stretch(&b, &[&batch[..], &[inner, columns]].concat())?;
    let mut data = Vec::with_capacity(count(&shape));
    for matrix in 0..count(&batch) {
        for i in 0..rows {
            for j in 0..columns {
                let term = |k: usize| {
                    a.data[(matrix * rows + i) * inner + k]
                        * b.data[(matrix * inner + k) * columns + j]
                };
                data.push((0..inner).map(term).sum());
            }
        }
    }
    if column {
        shape.pop();
    }
    if row {
        shape.remove(batch.len());
    }
    Ok(vec![Tensor {
        dtype: a.dtype,
        shape,
        data,
    }])
}

/// Y = alpha·A'·B' + beta·C; before opset 7 C stretches only with `broadcast=1`.
fn gemm(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (mut a, b) = (call.input(0)?.clone(), call.input(1)?);
    if call.opset < 7 && a.rank() > 2 {
        let at = cut(1, a.rank())?;
        a.shape = vec![count(&a.shape[..at]), count(&a.shape[at..])];
    }
    require(a.rank() == 2 && b.rank() == 2, || {
        format!("A {:?}, B {:?}", a.shape, b.shape)
    })?;
    let (a_across, b_across) = (call.flag("transA", false), call.flag("transB", false));
    let (rows, inner) = (
        a.shape[usize::from(a_across)],
        a.shape[usize::from(!a_across)],
    );
    let (b_inner, columns) = (
        b.shape[usize::from(b_across)],
        b.shape[usize::from(!b_across)],
    );
    require(inner == b_inner, || {
        format!("A {:?}, B {:?}", a.shape, b.shape)
    })?;
    let (alpha, beta) = (call.float("alpha", 1.0), call.float("beta", 1.0));
    let shape = vec![rows, columns];
    let c = call.optional(2);
    if let Some(c) = c {
        let fits = broadcast_shape(&[&c.shape, &shape])? == shape;
        require(fits, || format!("C {:?} for {shape:?}", c.shape))?;
    }
    let at = |across: bool, i: usize, j: usize| if across { [j, i] } else { [i, j] };
    let mut data = Vec::with_capacity(rows * columns);
    for position in positions(&shape) {
        let (i, j) = (position[0], position[1]);
        let term = |k: usize| {
            a.data[offset(&a.shape, &at(a_across, i, k))]
                * b.data[offset(&b.shape, &at(b_across, k, j))]
        };
        let product: f64 = (0..inner).map(term).sum();
        let added = c.map_or(0.0, |c| beta * stretched(c, &position));
        data.push(alpha * product + added);
    }
    Ok(vec![Tensor {
        dtype: a.dtype,
        shape,
        data,
    }])
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use crate::testing::Tensor;

    #[test]
    fn vectors_gain_and_lose_their_axis() {
        let matrix = Tensor::floats(&[2, 2], [1.0, 2.0, 3.0, 4.0]);
        let vector = Tensor::floats(&[2], [1.0, 10.0]);
        let run = |a: &Tensor, b: &Tensor| {
            evaluate("MatMul", 13, &[a.clone(), b.clone()], |node| node)
                .unwrap()
                .remove(0)
        };
        assert_eq!(run(&vector, &matrix).data, [31.0, 42.0]);
        assert_eq!(run(&matrix, &vector).data, [21.0, 43.0]);
        assert_eq!(
            (run(&vector, &vector).shape, run(&vector, &vector).data),
            (vec![], vec![101.0])
        );
        let batch = Tensor::floats(&[3, 1, 2], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(run(&batch, &matrix).shape, [3, 1, 2]);
        assert_eq!(run(&batch, &matrix).data, [1.0, 2.0, 3.0, 4.0, 4.0, 6.0]);
    }

    #[test]
    fn gemm_scales_both_terms() {
        let a = Tensor::floats(&[2, 1], [1.0, 2.0]);
        let b = Tensor::floats(&[3, 2], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let c = Tensor::floats(&[1, 1], [1.0]);
        let node = |node: crate::testing::Value| {
            node.attr("transA", 1)
                .attr("transB", 1)
                .attr("alpha", 2.0)
                .attr("beta", 0.5)
        };
        let y = evaluate("Gemm", 13, &[a, b, c], node).unwrap();
        assert_eq!(
            (&*y[0].shape, &*y[0].data),
            (&[1, 3][..], &[2.5, 4.5, 6.5][..])
        );
    }
}
