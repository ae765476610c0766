//! Operators with a weight.

use super::batch_norms;
use super::generator::{Draw, Generator};
use super::live::Live;
use crate::testing::{DataType, Tensor, Value};

pub(super) const DRAWS: &[(u32, Draw)] = &[
    (26, conv),
    (4, conv_transpose),
    (6, gemm),
    (6, matmul),
    (3, recurrent),
    (5, normalize),
    (2, gather),
    (3, embedding),
];

fn conv(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let spatial = x.spatial().to_vec();
    if spatial.is_empty() {
        return None;
    }
    let channels = x.channels();
    let (group, outputs) = generator.group_and_outputs(channels);
    let kernel: Vec<i64> = spatial
        .iter()
        .map(|&extent| *generator.pick(if extent >= 3 { &[1, 3, 3, 2] } else { &[1] }))
        .collect();
    let shape = [
        &[outputs, channels / group],
        &*kernel.iter().map(|&k| k as usize).collect::<Vec<_>>(),
    ]
    .concat();
    let shared = generator
        .kernels
        .iter()
        .find(|(other, _)| *other == shape)
        .map(|(_, w)| w.clone());
    let shared = shared.filter(|_| generator.chance(0.3));
    let hidden = shared.is_none() && generator.chance(0.1);
    let weight = if hidden {
        Some(generator.hidden_weight(&shape))
    } else {
        shared
    };
    let value = x.value.conv(outputs).group(group as i64);
    let mut value = window(generator, value, &kernel);
    if let Some(weight) = weight {
        value = value.weight(&weight);
    }
    if generator.chance(0.5) {
        value = value.bias();
    }
    generator.kernels.push((shape, value.operand(1)));
    Some(vec![value])
}

/// The kernel with pads, strides and dilations.
fn window(generator: &mut Generator<'_>, conv: Value, kernel: &[i64]) -> Value {
    let rank = kernel.len();
    let value = conv.kernel(kernel);
    let value = match generator.random_below(6) {
        0 => value.auto_pad(generator.auto_pad()),
        1 | 2 => value,
        3 => value.pads(generator.numbers(2 * rank, 0)),
        _ => value.pads(
            [kernel, kernel]
                .concat()
                .iter()
                .map(|k| k / 2)
                .collect::<Vec<_>>(),
        ),
    };
    if generator.chance(0.25) {
        value.strides(generator.numbers(rank, 1))
    } else if generator.chance(0.1) {
        value.dilations(vec![2; rank])
    } else {
        value
    }
}

fn conv_transpose(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let rank = x.spatial().len();
    if rank == 0 || x.spatial().iter().any(|&extent| extent > 8) {
        return None;
    }
    let (group, outputs) = generator.group_and_outputs(x.channels());
    let mut value = x
        .value
        .conv_transpose(outputs)
        .group(group as i64)
        .kernel(vec![3; rank]);
    value = match generator.random_below(4) {
        0 => value.pads(vec![1; 2 * rank]),
        1 => value
            .strides(vec![2; rank])
            .attr("output_padding", vec![1; rank]),
        2 => {
            let wanted: Vec<i64> = x
                .spatial()
                .iter()
                .map(|&extent| 2 * extent as i64)
                .collect();
            value.strides(vec![2; rank]).attr("output_shape", wanted)
        }
        _ => value,
    };
    Some(vec![if generator.chance(0.5) {
        value.bias()
    } else {
        value
    }])
}

fn gemm(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let [rows, _] = *x.shape() else { return None };
    let outputs = 2 + generator.random_below(8);
    let mut value = x.value.gemm(outputs);
    if generator.chance(0.6) {
        value = value.attr("transB", 1);
    }
    let transposed = generator.chance(0.15) && x.value.sizes().is_some();
    if transposed {
        value = value.attr("transA", 1);
    }
    if generator.chance(0.3) {
        value = value.attr("alpha", 0.5);
    }
    if generator.chance(0.3) {
        value = value.attr("beta", 2.0);
    }
    if generator.chance(0.4) {
        let rows = if transposed { x.shape()[1] } else { rows };
        let shapes = [
            vec![],
            vec![1],
            vec![1, outputs],
            vec![rows, 1],
            vec![rows, outputs],
        ];
        let shape = generator.pick(&shapes).clone();
        let c = generator.weight("C", &shape, -1.0, 1.0);
        value = value.with_input(2, &c);
    } else if generator.opset >= 11 && generator.chance(0.2) {
        value = value.no_bias();
    }
    Some(vec![value])
}

fn matmul(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let last = *x.shape().last()?;
    let outputs = 2 + generator.random_below(8);
    if x.rank() < 2 || last > 64 {
        return None;
    }
    let bound = (3.0 / last as f64).sqrt();
    let value = match generator.random_below(5) {
        0 => {
            let inner = x.shape()[x.rank() - 2];
            let left = generator.weight("left", &[outputs, inner], -bound, bound);
            left.matmul_by(&x.value)
        }
        1 if x.rank() > 2 => {
            let shape = [&x.shape()[..x.rank() - 2], &[last, outputs]].concat();
            let right = generator.weight("right", &shape, -bound, bound);
            x.value.matmul_by(right)
        }
        _ => x.value.matmul(outputs),
    };
    if generator.chance(0.5) {
        let bias = generator.weight("bias", &[outputs], -0.5, 0.5);
        let last = value.sizes()?.last().copied();
        return Some(vec![if last == Some(outputs) {
            bias.add(value)
        } else {
            value
        }]);
    }
    Some(vec![value])
}

fn recurrent(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let [length, batch, _] = *x.shape() else {
        return None;
    };
    let hidden = 2 + generator.random_below(4) as i64;
    let direction = *generator.pick(&["forward", "reverse", "bidirectional"]);
    let directions: usize = if direction == "bidirectional" { 2 } else { 1 };
    let value = match generator.random_below(3) {
        0 => x.value.lstm(hidden),
        1 => x
            .value
            .gru(hidden)
            .attr("linear_before_reset", i64::from(generator.chance(0.5))),
        _ => x.value.rnn(hidden),
    };
    let value = value.attr("direction", direction);
    let value = if generator.chance(0.3) {
        value.no_bias()
    } else {
        value
    };
    let shape = [length, directions, batch, hidden as usize];
    let value = value.shape(shape).transpose([0, 2, 1, 3]);
    Some(vec![value.reshape([length as i64, batch as i64, -1])])
}

fn normalize(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let (batch, channels) = (*x.shape().first()?, x.channels());
    match generator.random_below(4) {
        0 if x.rank() > 2 && x.spreads_over(batch * channels) => {
            Some(vec![x.value.instance_norm()])
        }
        1 if generator.opset >= 21 && x.rank() > 2 => {
            let groups = *generator.pick(&generator.divisors(channels));
            x.spreads_over(batch * groups)
                .then(|| vec![x.value.group_norm(groups as i64)])
        }
        2 if generator.opset >= 17 => {
            let last = x.shape()[x.rank() - 1];
            x.spreads_over(x.sample.data.len() / last)
                .then(|| vec![x.value.layer_norm()])
        }
        3 if x.rank() == 4 => Some(vec![x.value.op("LRN").attr("size", 3)]),
        _ => None,
    }
}

/// Rows of a table at constant places, added along the last axis.
fn gather(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let last = *x.shape().last()?;
    let rows = 2 + generator.random_below(4);
    let table = generator.weight("table", &[rows, last], -1.0, 1.0);
    let index = Tensor::scalar(DataType::Int64, generator.random_below(rows) as f64);
    let index = generator.graph.constant_parameter("index", index);
    let row = generator.graph.op("Gather", &[&table, &index]);
    Some(vec![x.value.add(row)])
}

/// Rows of a table at places that are an input, which then are channels.
fn embedding(generator: &mut Generator<'_>, _: &Live) -> Option<Vec<Value>> {
    let indices = generator.indices.first()?.clone();
    let (rows, width) = (2 + generator.random_below(3), 3 + generator.random_below(4));
    let table = generator.weight("table", &[rows, width], -1.0, 1.0);
    let value = generator.graph.op("Gather", &[&table, &indices]);
    let value = value.transpose([0, 2, 1]);
    Some(vec![batch_norms::batch_norm_of(generator, &value, width)])
}

impl Generator<'_> {
    fn group_and_outputs(&mut self, channels: usize) -> (usize, usize) {
        let group = *self.pick(&self.divisors(channels));
        let group = if self.chance(0.5) { 1 } else { group };
        let per_group = if group == channels {
            1 + self.random_below(2)
        } else {
            1 + self.random_below(3)
        };
        let outputs = group * per_group;
        if group == 1 && self.chance(0.7) {
            (1, *self.pick(&[channels, 3, 4, 6, 8]))
        } else {
            (group, outputs)
        }
    }

    /// That many numbers, each `least` or one more.
    fn numbers(&mut self, count: usize, least: i64) -> Vec<i64> {
        (0..count)
            .map(|_| least + self.random_below(2) as i64)
            .collect()
    }

    pub(super) fn divisors(&self, count: usize) -> Vec<usize> {
        (1..=count)
            .filter(|&divisor| count.is_multiple_of(divisor))
            .collect()
    }

    /// A weight that a node computes from a constant.
    fn hidden_weight(&mut self, shape: &[usize]) -> Value {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (3.0 / fan_in as f64).sqrt();
        match self.random_below(3) {
            0 => self.weight("W", shape, -bound, bound).identity(),
            1 => {
                let turned: Vec<usize> = shape.iter().rev().copied().collect();
                let perm: Vec<i64> = (0..shape.len() as i64).rev().collect();
                self.weight("W", &turned, -bound, bound).transpose(perm)
            }
            _ => {
                let count = shape.iter().product();
                let wanted: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
                self.weight("W", &[count], -bound, bound).reshape(wanted)
            }
        }
    }
}
