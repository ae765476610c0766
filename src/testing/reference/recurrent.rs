//! LSTM, GRU and RNN.
//!
//! W [directions, gates·hidden, inputs], R [directions, gates·hidden, hidden] and B [directions,
//! 2·gates·hidden] hold one block of `hidden` rows for each gate: i, o, f, c of an LSTM, z, r, h of
//! a GRU, i of an RNN.
//! Everything runs with layout 0, [sequence, batch, …]; layout 1 is transposed on the way in and
//! out.

use super::activation::sigmoid;
use super::axes::{count, extent};
use super::call::{Call, Operator, require};
use super::layout::transposed;
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    matches!(op_type, "LSTM" | "GRU" | "RNN").then_some(recurrent as Operator)
}

/// A function inside of a cell.
type Activation = Box<dyn Fn(f64) -> f64>;

/// The parameters of one direction.
struct Cell<'a> {
    op_type: &'a str,
    hidden: usize,
    inputs: usize,
    w: &'a [f64],
    r: &'a [f64],
    b: Vec<f64>,
    peepholes: Vec<f64>,
    activations: Vec<Activation>,
    clip: f64,
    linear_before_reset: bool,
    input_forget: bool,
}

fn recurrent(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let batch_first = call.flag("layout", false);
    let layout = |tensor: &Tensor| match batch_first {
        true => transposed(tensor, &[1, 0, 2]),
        false => Ok(tensor.clone()),
    };
    let x = layout(call.input(0)?)?;
    let [length, batch, inputs] = x.shape[..] else {
        return Err(format!("X {:?}", x.shape));
    };
    let hidden = hidden_size(call)?;
    let directions = directions(call)?;
    let lengths = lengths(call, length, batch)?;
    let states = vec![directions.len(), batch, hidden];
    let initial = |index: usize| match call.optional(index) {
        Some(state) => layout(state),
        None => Ok(Tensor {
            dtype: x.dtype,
            shape: states.clone(),
            data: vec![0.0; count(&states)],
        }),
    };
    let (mut h, mut c) = (initial(5)?, initial(6)?);
    require(h.shape == states && c.shape == states, || {
        format!("initial states {:?} and {:?}", h.shape, c.shape)
    })?;
    let mut y = vec![0.0; length * directions.len() * batch * hidden];
    for (direction, &backwards) in directions.iter().enumerate() {
        let cell = Cell::new(call, direction, directions.len(), inputs, hidden)?;
        for (entry, &own_length) in lengths.iter().enumerate() {
            let first = (direction * batch + entry) * hidden;
            let (h, c) = (
                &mut h.data[first..first + hidden],
                &mut c.data[first..first + hidden],
            );
            for step in 0..own_length {
                let time = if backwards {
                    own_length - 1 - step
                } else {
                    step
                };
                let at = (time * batch + entry) * inputs;
                cell.step(&x.data[at..at + inputs], h, c);
                let to = ((time * directions.len() + direction) * batch + entry) * hidden;
                y[to..to + hidden].copy_from_slice(h);
            }
        }
    }
    let y = Tensor {
        dtype: x.dtype,
        shape: vec![length, directions.len(), batch, hidden],
        data: y,
    };
    let y = if batch_first {
        transposed(&y, &[2, 0, 1, 3])?
    } else {
        y
    };
    Ok(vec![y, layout(&h)?, layout(&c)?])
}

fn hidden_size(call: &Call<'_>) -> Result<usize, String> {
    let r = call.input(2)?;
    let hidden = r.shape.last().copied().unwrap_or(0);
    let stated = extent(call.int("hidden_size", hidden as i64))?;
    require(stated == hidden, || {
        format!("hidden_size {stated}, R {:?}", r.shape)
    })?;
    Ok(hidden)
}

/// How many steps each entry of the batch has.
fn lengths(call: &Call<'_>, length: usize, batch: usize) -> Result<Vec<usize>, String> {
    let Some(stated) = call.optional(4) else {
        return Ok(vec![length; batch]);
    };
    let lengths = super::axes::extents(&stated.to_ints())?;
    let fit = lengths.len() == batch && lengths.iter().all(|&own| own <= length);
    require(fit, || {
        format!("sequence_lens {lengths:?} for {batch} of {length} steps")
    })?;
    Ok(lengths)
}

/// For each direction whether it runs backwards.
fn directions(call: &Call<'_>) -> Result<Vec<bool>, String> {
    let direction = call.string("direction", "forward")?.to_lowercase();
    match direction.as_str() {
        "forward" => Ok(vec![false]),
        "reverse" => Ok(vec![true]),
        "bidirectional" => Ok(vec![false, true]),
        _ => Err(format!("direction is `{direction}`")),
    }
}

impl<'a> Cell<'a> {
    fn new(
        call: &Call<'a>,
        direction: usize,
        directions: usize,
        inputs: usize,
        hidden: usize,
    ) -> Result<Cell<'a>, String> {
        let (op_type, gates, defaults): (_, _, &[&str]) = match call.node.op_type() {
            "LSTM" => ("LSTM", 4, &["Sigmoid", "Tanh", "Tanh"]),
            "GRU" => ("GRU", 3, &["Sigmoid", "Tanh"]),
            _ => ("RNN", 1, &["Tanh"]),
        };
        let rows = gates * hidden;
        let (w, r) = (call.input(1)?, call.input(2)?);
        require(
            w.shape == [directions, rows, inputs] && r.shape == [directions, rows, hidden],
            || format!("W {:?}, R {:?}", w.shape, r.shape),
        )?;
        let part = |tensor: Option<&Tensor>, size: usize| match tensor {
            Some(tensor) if tensor.data.len() == directions * size => {
                Ok(tensor.data[direction * size..(direction + 1) * size].to_vec())
            }
            Some(tensor) => Err(format!("{:?} for {directions} by {size}", tensor.shape)),
            None => Ok(vec![0.0; size]),
        };
        let peepholes = call.optional(7).filter(|_| op_type == "LSTM");
        Ok(Cell {
            op_type,
            hidden,
            inputs,
            w: &w.data[direction * rows * inputs..(direction + 1) * rows * inputs],
            r: &r.data[direction * rows * hidden..(direction + 1) * rows * hidden],
            b: part(call.optional(3), 2 * rows)?,
            peepholes: part(peepholes, 3 * hidden)?,
            activations: activations(call, defaults, direction, directions)?,
            clip: call.float("clip", f32::INFINITY),
            linear_before_reset: call.flag("linear_before_reset", false),
            input_forget: call.flag("input_forget", false),
        })
    }

    fn step(&self, x: &[f64], h: &mut [f64], c: &mut [f64]) {
        match self.op_type {
            "LSTM" => self.step_lstm(x, h, c),
            "GRU" => self.step_gru(x, h),
            _ => {
                let new: Vec<f64> = (0..self.hidden)
                    .map(|j| self.activate(0, self.input_part(0, j, x) + self.state_part(0, j, h)))
                    .collect();
                h.copy_from_slice(&new);
            }
        }
    }

    /// iₜ, oₜ, fₜ with f, c̃ₜ with g; Cₜ = fₜ·Cₜ₋₁ + iₜ·c̃ₜ; Hₜ = oₜ·h(Cₜ).
    fn step_lstm(&self, x: &[f64], h: &mut [f64], c: &mut [f64]) {
        let hidden = self.hidden;
        let peephole = |gate: usize, j: usize, c: f64| self.peepholes[gate * hidden + j] * c;
        let sum = |gate: usize, j: usize| self.input_part(gate, j, x) + self.state_part(gate, j, h);
        let mut new = vec![0.0; hidden];
        for j in 0..hidden {
            let input = self.activate(0, sum(0, j) + peephole(0, j, c[j]));
            let forget = match self.input_forget {
                true => 1.0 - input,
                false => self.activate(0, sum(2, j) + peephole(2, j, c[j])),
            };
            let candidate = self.activate(1, sum(3, j));
            c[j] = forget * c[j] + input * candidate;
            let output = self.activate(0, sum(1, j) + peephole(1, j, c[j]));
            new[j] = output * self.activations[2](c[j]);
        }
        h.copy_from_slice(&new);
    }

    /// Hₜ = (1 − zₜ)·h̃ₜ + zₜ·Hₜ₋₁; the reset gate meets the state before or after R.
    fn step_gru(&self, x: &[f64], h: &mut [f64]) {
        let hidden = self.hidden;
        let gate = |gate: usize, j: usize| {
            self.activate(0, self.input_part(gate, j, x) + self.state_part(gate, j, h))
        };
        let update: Vec<f64> = (0..hidden).map(|j| gate(0, j)).collect();
        let reset: Vec<f64> = (0..hidden).map(|j| gate(1, j)).collect();
        let kept: Vec<f64> = reset.iter().zip(&*h).map(|(reset, h)| reset * h).collect();
        let mut new = vec![0.0; hidden];
        for j in 0..hidden {
            let from_state = match self.linear_before_reset {
                true => reset[j] * self.state_part(2, j, h),
                false => self.state_part(2, j, &kept),
            };
            let candidate = self.activate(1, self.input_part(2, j, x) + from_state);
            new[j] = (1.0 - update[j]) * candidate + update[j] * h[j];
        }
        h.copy_from_slice(&new);
    }

    /// Row j of the gate: W·x + Wb.
    fn input_part(&self, gate: usize, j: usize, x: &[f64]) -> f64 {
        let row = gate * self.hidden + j;
        let weights = &self.w[row * self.inputs..(row + 1) * self.inputs];
        weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + self.b[row]
    }

    /// Row j of the gate: R·h + Rb.
    fn state_part(&self, gate: usize, j: usize, h: &[f64]) -> f64 {
        let row = gate * self.hidden + j;
        let weights = &self.r[row * self.hidden..(row + 1) * self.hidden];
        let bias = self.b[self.b.len() / 2 + row];
        weights.iter().zip(h).map(|(r, h)| r * h).sum::<f64>() + bias
    }

    fn activate(&self, which: usize, x: f64) -> f64 {
        self.activations[which](x.clamp(-self.clip, self.clip))
    }
}

/// The functions of one direction; alphas and betas go in order to those that take them.
fn activations(
    call: &Call<'_>,
    defaults: &[&str],
    direction: usize,
    directions: usize,
) -> Result<Vec<Activation>, String> {
    let default = || {
        defaults
            .repeat(directions)
            .into_iter()
            .map(str::to_string)
            .collect()
    };
    let names: Vec<String> = call.strings("activations").unwrap_or_else(default);
    require(names.len() == defaults.len() * directions, || {
        format!("activations {names:?}")
    })?;
    let mut alphas = call
        .floats("activation_alpha")
        .unwrap_or_default()
        .into_iter();
    let mut betas = call
        .floats("activation_beta")
        .unwrap_or_default()
        .into_iter();
    let mut functions = Vec::new();
    for name in names {
        functions.push(activation(&name, &mut alphas, &mut betas)?);
    }
    let first = direction * defaults.len();
    Ok(functions
        .into_iter()
        .skip(first)
        .take(defaults.len())
        .collect())
}

fn activation(
    name: &str,
    alphas: &mut impl Iterator<Item = f64>,
    betas: &mut impl Iterator<Item = f64>,
) -> Result<Activation, String> {
    let mut alpha = |default: f64| alphas.next().unwrap_or(default);
    let mut beta = |default: f64| betas.next().unwrap_or(default);
    Ok(match name.to_lowercase().as_str() {
        "relu" => Box::new(|x| x.max(0.0)),
        "tanh" => Box::new(f64::tanh),
        "sigmoid" => Box::new(sigmoid),
        "softsign" => Box::new(|x| x / (1.0 + x.abs())),
        "softplus" => Box::new(|x| (1.0 + x.exp()).ln()),
        "affine" => {
            let (alpha, beta) = (alpha(1.0), beta(0.0));
            Box::new(move |x| alpha * x + beta)
        }
        "leakyrelu" => {
            let alpha = alpha(0.01);
            Box::new(move |x| if x < 0.0 { alpha * x } else { x })
        }
        "thresholdedrelu" => {
            let alpha = alpha(1.0);
            Box::new(move |x| if x > alpha { x } else { 0.0 })
        }
        "scaledtanh" => {
            let (alpha, beta) = (alpha(1.0), beta(1.0));
            Box::new(move |x| alpha * (beta * x).tanh())
        }
        "hardsigmoid" => {
            let (alpha, beta) = (alpha(0.2), beta(0.5));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "elu" => {
            let alpha = alpha(1.0);
            Box::new(move |x| if x < 0.0 { alpha * (x.exp() - 1.0) } else { x })
        }
        _ => return Err(format!("activation `{name}` is not served")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;
    use crate::testing::Value;

    const STEPS: [f32; 3] = [0.5, -1.0, 2.0];

    fn parameters(gates: usize) -> [Tensor; 3] {
        let w: Vec<f32> = (0..gates).map(|gate| 0.3 + 0.2 * gate as f32).collect();
        let r: Vec<f32> = (0..gates).map(|gate| 0.1 - 0.3 * gate as f32).collect();
        [
            Tensor::floats(&[3, 1, 1], STEPS),
            Tensor::floats(&[1, gates, 1], w),
            Tensor::floats(&[1, gates, 1], r),
        ]
    }

    fn close(found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn an_rnn_is_its_recurrence_in_both_directions() {
        let run = |direction: &str| {
            evaluate("RNN", 14, parameters(1), |node: Value| {
                node.attr("direction", direction)
            })
        };
        let [_, w, r] = parameters(1).map(|tensor| tensor.data[0]);
        let step = |h: f64, x: f32| (w * f64::from(x) + r * h).tanh();
        let forward: Vec<f64> = (1..=3)
            .map(|n| STEPS[..n].iter().fold(0.0, |h, &x| step(h, x)))
            .collect();
        assert!(close(&run("forward").unwrap()[0].data, &forward));
        let reverse: Vec<f64> = (0..3)
            .map(|n| STEPS[n..].iter().rev().fold(0.0, |h, &x| step(h, x)))
            .collect();
        assert!(close(&run("reverse").unwrap()[0].data, &reverse));
    }

    #[test]
    fn lstm_gates_stand_in_the_order_i_o_f_c() {
        let [_, w, r] = parameters(4).map(|tensor| tensor.data);
        let (mut h, mut c) = (0.0, 0.0);
        for x in STEPS {
            let sum = |gate: usize| w[gate] * f64::from(x) + r[gate] * h;
            let (i, o, f) = (sigmoid(sum(0)), sigmoid(sum(1)), sigmoid(sum(2)));
            c = f * c + i * sum(3).tanh();
            h = o * c.tanh();
        }
        let found = evaluate("LSTM", 14, parameters(4), |node| node.outputs(3).remove(0)).unwrap();
        assert!(close(&found[1].data, &[h]) && close(&found[2].data, &[c]));
    }

    #[test]
    fn gru_gates_stand_in_the_order_z_r_h() {
        let [_, w, r] = parameters(3).map(|tensor| tensor.data);
        let mut h = 0.0;
        for x in STEPS {
            let x = f64::from(x);
            let (z, reset) = (sigmoid(w[0] * x + r[0] * h), sigmoid(w[1] * x + r[1] * h));
            h = (1.0 - z) * (w[2] * x + r[2] * reset * h).tanh() + z * h;
        }
        let found = evaluate("GRU", 14, parameters(3), |node| node.outputs(2).remove(0)).unwrap();
        assert!(close(&found[1].data, &[h]));
    }
}
