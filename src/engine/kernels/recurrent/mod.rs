//! LSTM, GRU and RNN in every direction.
//!
//! Gates are rows of one product: `x·Wᵀ + Wb` for all steps, then `h·Rᵀ + Rb` step by step.
//! A reverse direction walks each sequence from its own end, so that padding after it is not read.

mod activation;
mod cell;

use activation::Activation;
use cell::{Cell, Direction};

use super::each::{Real, for_real};
use super::matmul::product;
use super::strided::permuted;
use crate::engine::call::{Call, Fault, Outcome};
use crate::engine::tensor::Tensor;

pub(super) fn lstm(call: &mut Call<'_>) -> Outcome {
    run(call, Cell::Lstm)
}

pub(super) fn gru(call: &mut Call<'_>) -> Outcome {
    run(call, Cell::Gru)
}

pub(super) fn rnn(call: &mut Call<'_>) -> Outcome {
    run(call, Cell::Rnn)
}

struct Shape {
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    directions: Vec<bool>,
    lengths: Vec<usize>,
    is_batch_first: bool,
}

impl Shape {
    fn read(call: &Call<'_>, cell: Cell) -> Result<Shape, Fault> {
        let is_batch_first = call.flag("layout")?;
        let directions = match call.text("direction", "forward")? {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(Fault::invalid(format!("direction is {other:?}"))),
        };
        let [first, second, input] = *call.input(0)?.shape() else {
            return Err(Fault::invalid("X is not of rank 3"));
        };
        let (steps, batch) = if is_batch_first {
            (second, first)
        } else {
            (first, second)
        };
        let r = call.input(2)?.shape();
        let hidden = r.last().copied().unwrap_or(0);
        let gates = cell.gates() * hidden;
        let n = directions.len();
        if call.input(1)?.shape() != [n, gates, input] || r != [n, gates, hidden] {
            return Err(Fault::invalid("W or R does not fit X and the direction"));
        }
        let lengths = match call.integers(4)? {
            Some(list) => list
                .iter()
                .map(|&x| usize::try_from(x).ok().filter(|&x| x <= steps))
                .collect::<Option<Vec<_>>>()
                .filter(|lengths| lengths.len() == batch)
                .ok_or_else(|| Fault::invalid("sequence_lens does not fit X"))?,
            None => vec![steps; batch],
        };
        Ok(Shape {
            steps,
            batch,
            input,
            hidden,
            directions,
            lengths,
            is_batch_first,
        })
    }

    /// An optional state (directions, batch, hidden), zero where absent; `layout` 1 swaps the first two axes.
    fn state<T: Real>(&self, call: &Call<'_>, index: usize) -> Result<Vec<T>, Fault> {
        let (n, b, h) = (self.directions.len(), self.batch, self.hidden);
        let Some(tensor) = call.optional(index) else {
            return Ok(vec![T::zero(); n * b * h]);
        };
        let tensor = if self.is_batch_first {
            permuted(tensor, &[1, 0, 2])?
        } else {
            tensor.clone()
        };
        if tensor.shape() != [n, b, h] {
            return Err(Fault::invalid(format!("input {index} does not fit X")));
        }
        tensor
            .into_elements()
            .map_err(|_| Fault::invalid("an initial state differs in type"))
    }
}

fn run(call: &mut Call<'_>, cell: Cell) -> Outcome {
    let shape = Shape::read(call, cell)?;
    for_real!(call.input(0)?, T => run_as::<T>(call, cell, &shape))
}

fn run_as<T: Real>(call: &Call<'_>, cell: Cell, shape: &Shape) -> Outcome {
    let (n, b, h, steps) = (
        shape.directions.len(),
        shape.batch,
        shape.hidden,
        shape.steps,
    );
    let gates = cell.gates() * h;
    let x = call.input(0)?;
    let x = if shape.is_batch_first {
        permuted(x, &[1, 0, 2])?
    } else {
        x.clone()
    };
    let x = x.elements::<T>().unwrap_or_default();
    let bias = match call.optional(3) {
        Some(tensor) if tensor.shape() != [n, 2 * gates] => {
            return Err(Fault::invalid("B does not fit W and R"));
        }
        Some(_) => call.elements::<T>(3)?.to_vec(),
        None => vec![T::zero(); n * 2 * gates],
    };
    let wt = permuted(call.input(1)?, &[0, 2, 1])?;
    let wt = wt
        .elements::<T>()
        .ok_or_else(|| Fault::invalid("W differs in type"))?;
    let rt = permuted(call.input(2)?, &[0, 2, 1])?;
    let rt = rt
        .elements::<T>()
        .ok_or_else(|| Fault::invalid("R differs in type"))?;
    let mut h_state = shape.state::<T>(call, 5)?;
    let mut c_state = if cell == Cell::Lstm {
        shape.state::<T>(call, 6)?
    } else {
        vec![T::zero(); n * b * h]
    };
    let mut y = vec![T::zero(); steps * n * b * h];
    for (d, &is_reverse) in shape.directions.iter().enumerate() {
        let direction = direction(
            call,
            cell,
            shape,
            d,
            &bias,
            &rt[d * h * gates..(d + 1) * h * gates],
        )?;
        let mut projected = vec![T::zero(); steps * b * gates];
        let w = &wt[d * shape.input * gates..(d + 1) * shape.input * gates];
        product(x, w, &mut projected, [steps * b, shape.input, gates]);
        let wb = &bias[d * 2 * gates..d * 2 * gates + gates];
        for row in projected.chunks_mut(gates.max(1)) {
            for (value, bias) in row.iter_mut().zip(wb) {
                *value += *bias;
            }
        }
        for item in 0..b {
            let state = (d * b + item) * h;
            let (hs, cs) = (
                &mut h_state[state..state + h],
                &mut c_state[state..state + h],
            );
            for step in 0..shape.lengths[item] {
                let at = if is_reverse {
                    shape.lengths[item] - 1 - step
                } else {
                    step
                };
                let row = &mut projected[(at * b + item) * gates..(at * b + item + 1) * gates];
                direction.step(row, hs, cs);
                let place = ((at * n + d) * b + item) * h;
                y[place..place + h].copy_from_slice(hs);
            }
        }
    }
    outputs(shape, cell, y, h_state, c_state)
}

fn outputs<T: Real>(shape: &Shape, cell: Cell, y: Vec<T>, hs: Vec<T>, cs: Vec<T>) -> Outcome {
    let (n, b, h) = (shape.directions.len(), shape.batch, shape.hidden);
    let y = Tensor::new(vec![shape.steps, n, b, h], y)?;
    let mut states = vec![Tensor::new(vec![n, b, h], hs)?];
    if cell == Cell::Lstm {
        states.push(Tensor::new(vec![n, b, h], cs)?);
    }
    let mut outputs = Vec::new();
    if shape.is_batch_first {
        outputs.push(permuted(&y, &[2, 0, 1, 3])?);
        for state in states {
            outputs.push(permuted(&state, &[1, 0, 2])?);
        }
    } else {
        outputs.push(y);
        outputs.extend(states);
    }
    Ok(outputs)
}

fn direction<'a, T: Real>(
    call: &Call<'_>,
    cell: Cell,
    shape: &Shape,
    d: usize,
    bias: &[T],
    r: &'a [T],
) -> Result<Direction<'a, T>, Fault> {
    let h = shape.hidden;
    let gates = cell.gates() * h;
    let defaults = cell.default_activations();
    let names = call.texts("activations")?.unwrap_or_default();
    let alphas = call.floats("activation_alpha")?.unwrap_or_default();
    let betas = call.floats("activation_beta")?.unwrap_or_default();
    let mut activations = Vec::with_capacity(defaults.len());
    for (index, default) in defaults.iter().enumerate() {
        let at = d * defaults.len() + index;
        let name = names.get(at).copied().unwrap_or(default);
        activations.push(Activation::named(
            name,
            alphas.get(at).copied(),
            betas.get(at).copied(),
        )?);
    }
    let peepholes = match call.optional(7) {
        Some(tensor) if cell == Cell::Lstm => {
            let all = tensor
                .elements::<T>()
                .filter(|p| p.len() == shape.directions.len() * 3 * h);
            let all = all.ok_or_else(|| Fault::invalid("P does not fit R"))?;
            all[d * 3 * h..(d + 1) * 3 * h].to_vec()
        }
        _ => vec![T::zero(); 3 * h],
    };
    let clip = call
        .has("clip")
        .then(|| call.float("clip", 0.0))
        .transpose()?;
    Ok(Direction {
        cell,
        r,
        rb: bias[d * 2 * gates + gates..(d + 1) * 2 * gates].to_vec(),
        peepholes,
        activations,
        clip: clip.map(T::of),
        couples_forget: call.flag("input_forget")?,
        resets_before: !call.flag("linear_before_reset")?,
        hidden: h,
    })
}
