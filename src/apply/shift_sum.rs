//! `Σ W·t` over a weight that streams past in pieces.

use ndarray::{ArrayD, Axis};

use crate::affine::broadcast;

/// A running `Σ W·t`, with the rounding errors of the sum carried along (Neumaier).
pub(super) struct ShiftSum {
    /// Neighbours that share a factor and a sum.
    run: usize,
    /// Extent, stride in the factors, stride in the sums of the axes outside a run.
    axes: Vec<(usize, usize, usize)>,
    factors: Vec<f64>,
    sums: Vec<(f64, f64)>,
}

impl ShiftSum {
    pub(super) fn new(dims: &[usize], shift: &ArrayD<f64>, kept: &[bool]) -> ShiftSum {
        let inner = dims.iter().zip(kept).enumerate().rev();
        let inner = inner
            .take_while(|(axis, (_, kept))| !**kept && shift.len_of(Axis(*axis)) == 1)
            .count();
        let outer = dims.len() - inner;
        let (mut factor_stride, mut sum_stride) = (1, 1);
        let mut axes = Vec::new();
        for axis in (0..outer).rev() {
            let extent = shift.len_of(Axis(axis));
            let factor = if extent > 1 { factor_stride } else { 0 };
            let sum = if kept[axis] { sum_stride } else { 0 };
            axes.push((dims[axis], factor, sum));
            factor_stride *= extent;
            sum_stride *= if kept[axis] { dims[axis] } else { 1 };
        }
        axes.reverse();
        ShiftSum {
            run: dims[outer..].iter().product(),
            axes,
            factors: broadcast(shift, shift.shape()).iter().copied().collect(),
            sums: vec![(0.0, 0.0); sum_stride],
        }
    }

    pub(super) fn add(&mut self, first: usize, chunk: &[f64]) {
        let mut at = first;
        let mut rest = chunk;
        while !rest.is_empty() {
            let here = (self.run - at % self.run).min(rest.len());
            let (head, tail) = rest.split_at(here);
            let (mut index, mut factor, mut place) = (at / self.run, 0, 0);
            for &(extent, factor_stride, sum_stride) in self.axes.iter().rev() {
                let digit = index % extent;
                index /= extent;
                factor += digit * factor_stride;
                place += digit * sum_stride;
            }
            let t = self.factors[factor];
            if t != 0.0 {
                let (sum, error) = &mut self.sums[place];
                for w in head {
                    let term = w * t;
                    let next = *sum + term;
                    *error += if sum.abs() >= term.abs() {
                        (*sum - next) + term
                    } else {
                        (term - next) + *sum
                    };
                    *sum = next;
                }
            }
            at += here;
            rest = tail;
        }
    }

    pub(super) fn total(self) -> Vec<f64> {
        self.sums
            .into_iter()
            .map(|(sum, error)| sum + error)
            .collect()
    }
}
