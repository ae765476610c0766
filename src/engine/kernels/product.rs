//! Matrix products, by blocks that suit the processor or, for what ends in files, in one order everywhere.
//!
//! Blocks are summed with fused multiplication where the processor has it, so last bits differ between processors.
//! In order, each element is `Σ a·b` from the first term to the last, each product and each sum rounded.

use std::cell::Cell;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::each::Real;

thread_local! {
    static IN_ORDER: Cell<bool> = const { Cell::new(false) };
}

/// Computes with products in order, as far as this thread does.
pub(in crate::engine) fn in_order<R>(compute: impl FnOnce() -> R) -> R {
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            IN_ORDER.set(self.0);
        }
    }

    let _restore = Restore(IN_ORDER.replace(true));
    compute()
}

/// `out = a · b + beta·out`.
pub(super) fn matrix_multiply<T: Real>(
    a: &ArrayView2<'_, T>,
    b: &ArrayView2<'_, T>,
    beta: T,
    out: &mut ArrayViewMut2<'_, T>,
) {
    if !IN_ORDER.get() {
        return general_mat_mul(T::one(), a, b, beta, out);
    }
    for (row, mut out) in a.rows().into_iter().zip(out.rows_mut()) {
        for (column, out) in b.columns().into_iter().zip(&mut out) {
            let sum = row
                .iter()
                .zip(column)
                .fold(T::zero(), |sum, (&a, &b)| sum + a * b);
            *out = if beta.is_zero() {
                sum
            } else {
                sum + beta * *out
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn in_order_each_sum_is_the_plain_one() {
        let a = Array2::from_shape_fn((9, 40), |(i, k)| (i as f64 + 1.3).sin() * (k as f64).cos());
        let b = Array2::from_shape_fn((40, 11), |(k, j)| (k as f64 * 0.7).cos() + 0.1 * j as f64);
        let mut out = Array2::from_elem((9, 11), 0.5);
        in_order(|| matrix_multiply(&a.view(), &b.view(), 1.0, &mut out.view_mut()));
        for ((i, j), &found) in out.indexed_iter() {
            let mut sum = 0.0;
            for k in 0..40 {
                sum += a[[i, k]] * b[[k, j]];
            }
            assert_eq!(found.to_bits(), (sum + 0.5).to_bits());
        }
        assert!(!IN_ORDER.get());
    }
}
