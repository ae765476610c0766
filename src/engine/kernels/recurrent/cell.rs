//! One step of a cell: the gates from the input's share and the state.

use super::activation::Activation;
use crate::engine::kernels::each::Real;
use crate::engine::kernels::matmul::product;
use crate::engine::kernels::unary::clamp;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Lstm,
    Gru,
    Rnn,
}

impl Cell {
    pub(super) fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
            Cell::Rnn => 1,
        }
    }

    pub(super) fn default_activations(self) -> &'static [&'static str] {
        match self {
            Cell::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Cell::Gru => &["Sigmoid", "Tanh"],
            Cell::Rnn => &["Tanh"],
        }
    }
}

/// What one direction reads.
pub(super) struct Direction<'a, T> {
    pub(super) cell: Cell,
    pub(super) r: &'a [T],
    /// Recurrent bias, one per gate row.
    pub(super) rb: Vec<T>,
    pub(super) peepholes: Vec<T>,
    pub(super) activations: Vec<Activation<T>>,
    pub(super) clip: Option<T>,
    pub(super) couples_forget: bool,
    pub(super) resets_before: bool,
    pub(super) hidden: usize,
}

impl<T: Real> Direction<'_, T> {
    fn gate(&self, activation: usize, x: T) -> T {
        let x = match self.clip {
            Some(clip) => clamp(x, -clip, clip),
            None => x,
        };
        self.activations[activation].of(x)
    }

    /// One step: `row` holds the input's share of the gates, `hs` and `cs` the state.
    pub(super) fn step(&self, row: &mut [T], hs: &mut [T], cs: &mut [T]) {
        match self.cell {
            Cell::Lstm => self.lstm(row, hs, cs),
            Cell::Gru => self.gru(row, hs),
            Cell::Rnn => self.rnn(row, hs),
        }
    }

    fn recurrent(&self, hs: &[T]) -> Vec<T> {
        let gates = self.cell.gates() * self.hidden;
        let mut out = vec![T::zero(); gates];
        product(hs, self.r, &mut out, [1, self.hidden, gates]);
        for (value, bias) in out.iter_mut().zip(&self.rb) {
            *value += *bias;
        }
        out
    }

    /// Gate order i, o, f, c.
    fn lstm(&self, row: &[T], hs: &mut [T], cs: &mut [T]) {
        let h = self.hidden;
        let recurrent = self.recurrent(hs);
        let sum = |gate: usize, k: usize| row[gate * h + k] + recurrent[gate * h + k];
        let p = &self.peepholes;
        for k in 0..h {
            let i = self.gate(0, sum(0, k) + p[k] * cs[k]);
            let f = if self.couples_forget {
                T::one() - i
            } else {
                self.gate(0, sum(2, k) + p[2 * h + k] * cs[k])
            };
            let candidate = self.gate(1, sum(3, k));
            cs[k] = f * cs[k] + i * candidate;
            let o = self.gate(0, sum(1, k) + p[h + k] * cs[k]);
            hs[k] = o * self.activations[2].of(cs[k]);
        }
    }

    /// Gate order z, r, h.
    fn gru(&self, row: &[T], hs: &mut [T]) {
        let h = self.hidden;
        let recurrent = self.recurrent(hs);
        let gate = |g: usize, k: usize| self.gate(0, row[g * h + k] + recurrent[g * h + k]);
        let z: Vec<T> = (0..h).map(|k| gate(0, k)).collect();
        let r: Vec<T> = (0..h).map(|k| gate(1, k)).collect();
        let candidate: Vec<T> = if self.resets_before {
            let reset: Vec<T> = r.iter().zip(hs.iter()).map(|(&r, &h)| r * h).collect();
            let after = self.recurrent(&reset);
            (0..h)
                .map(|k| self.gate(1, row[2 * h + k] + after[2 * h + k]))
                .collect()
        } else {
            (0..h)
                .map(|k| self.gate(1, row[2 * h + k] + r[k] * recurrent[2 * h + k]))
                .collect()
        };
        for k in 0..h {
            hs[k] = (T::one() - z[k]) * candidate[k] + z[k] * hs[k];
        }
    }

    fn rnn(&self, row: &[T], hs: &mut [T]) {
        let recurrent = self.recurrent(hs);
        for (k, state) in hs.iter_mut().enumerate() {
            *state = self.gate(0, row[k] + recurrent[k]);
        }
    }
}
