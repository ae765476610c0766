//! BatchNormalization in all its places and disguises.

use super::generator::{Draw, Generator};
use super::live::Live;
use crate::testing::Value;

pub(super) const DRAWS: &[(u32, Draw)] = &[
    (6, |generator, x| {
        (x.rank() >= 2).then(|| vec![batch_norm(generator, x)])
    }),
    (6, branches),
    (3, disguised),
    (2, scaled),
    (4, sequence),
    (3, layered),
    (8, relayed),
    (1, per_activation),
];

pub(super) const TRAINING: &[(u32, Draw)] = &[(1, training)];

/// An inference BatchNormalization, now and then with the parameters of an earlier one.
pub(super) fn batch_norm(generator: &mut Generator<'_>, x: &Live) -> Value {
    batch_norm_of(generator, &x.value, x.channels())
}

/// The same of a value that is not live yet.
pub(super) fn batch_norm_of(
    generator: &mut Generator<'_>,
    value: &Value,
    channels: usize,
) -> Value {
    let same = generator
        .statistics
        .iter()
        .filter(|(other, _)| *other == channels);
    let same: Vec<[Value; 4]> = same.map(|(_, parameters)| parameters.clone()).collect();
    if !same.is_empty() && generator.chance(0.15) {
        let [scale, b, mean, var] = generator.pick(&same).clone();
        return generator
            .graph
            .op("BatchNormalization", &[value, &scale, &b, &mean, &var]);
    }
    let mut value = value.batch_norm();
    if generator.chance(0.3) {
        value = value.negative_scales();
    }
    if generator.chance(0.3) {
        value = value.epsilon(*generator.pick(&[1e-3, 1e-6, 0.1]));
    }
    if generator.chance(0.2) {
        value = value.attr("momentum", 0.99);
    }
    let parameters = [1, 2, 3, 4].map(|index| value.operand(index));
    generator.statistics.push((channels, parameters));
    value
}

/// Branches over one value as RepVGG has them: convolutions, a BatchNormalization, the value.
fn branches(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let spatial = x.spatial().len();
    if spatial == 0 {
        return None;
    }
    let channels = x.channels();
    let group = if generator.chance(0.3) {
        channels as i64
    } else {
        1
    };
    let wide = x
        .value
        .conv(channels)
        .group(group)
        .pads(vec![1; 2 * spatial]);
    let mut sum = if generator.chance(0.7) {
        wide.batch_norm()
    } else {
        wide
    };
    if generator.chance(0.6) {
        let narrow = x.value.conv(channels).group(group).kernel(vec![1; spatial]);
        sum = sum.add(if generator.chance(0.7) {
            narrow.batch_norm()
        } else {
            narrow
        });
    }
    let identity = if generator.chance(0.75) {
        batch_norm(generator, x)
    } else {
        x.value.clone()
    };
    sum = match generator.random_below(4) {
        0 => identity.sub(sum),
        1 => generator.graph.op("Sum", &[&sum, &identity]),
        _ => sum.add(identity),
    };
    Some(vec![if generator.chance(0.7) {
        sum.relu()
    } else {
        sum
    }])
}

/// A scale and a shift per channel as plain arithmetic.
fn disguised(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if x.rank() < 2 {
        return None;
    }
    let mut shape = vec![1; x.rank() - 1];
    shape[0] = x.channels();
    if generator.chance(0.3) {
        shape.insert(0, 1);
    }
    let scale = generator.weight("scale", &shape, 0.5, 1.5);
    let shift = generator.weight("shift", &shape, -1.0, 1.0);
    let value = match generator.random_below(5) {
        0 => x.value.div(scale),
        1 => scale.mul(&x.value),
        2 => x.value.clone(),
        _ => x.value.mul(scale),
    };
    Some(vec![match generator.random_below(4) {
        0 => value.sub(shift),
        1 => shift.add(value),
        2 => shift.sub(value),
        _ => value.add(shift),
    }])
}

/// A positive scale per channel and no shift: the one affine that passes Relu and its kin.
fn scaled(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if x.rank() < 2 {
        return None;
    }
    let mut shape = vec![1; x.rank() - 1];
    shape[0] = x.channels();
    let value = match generator.random_below(5) {
        0 => x.value.op("LeakyRelu").attr("alpha", 0.3),
        1 => x.value.prelu(),
        2 => x.value.relu(),
        3 => x.value.reduce("ReduceSum", [0]).attr("keepdims", 1),
        _ => x.value.clone(),
    };
    let scale = generator.weight("scale", &shape, 0.5, 1.5);
    let by = |value: Value| value.mul(&scale);
    Some(vec![match generator.random_below(4) {
        0 => by(x.value.clone()).relu(),
        1 if !x.spatial().is_empty() && x.spatial().iter().all(|&extent| extent < 7) => {
            by(x.value.clone())
                .conv_transpose(3)
                .kernel(vec![2; x.spatial().len()])
        }
        _ => by(value),
    }])
}

/// A BatchNormalization between a sequence and the recurrent node that reads it.
fn sequence(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let [batch, _, length] = *x.shape() else {
        return None;
    };
    let turned = batch_norm(generator, x).transpose([2, 0, 1]);
    let hidden = 2 + generator.random_below(3) as i64;
    let value = match generator.random_below(3) {
        0 => turned.lstm(hidden),
        1 => turned.gru(hidden),
        _ => turned.rnn(hidden),
    };
    let value = value.shape([length, 1, batch, hidden as usize]);
    Some(vec![value.squeeze([1])])
}

/// A BatchNormalization behind a convolution, with an operator between that seldom stands there by chance.
fn relayed(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let spatial = x.spatial().to_vec();
    if spatial.is_empty() || spatial.iter().product::<usize>() < 6 {
        return None;
    }
    let value = x.value.conv(4).kernel(vec![1; spatial.len()]);
    let norm = |value: Value, channels: usize, spatial: &[usize]| {
        let shape = [&[x.shape()[0], channels], spatial].concat();
        value.shape(&shape).batch_norm()
    };
    let scaled =
        |by: fn(usize) -> usize| spatial.iter().map(|&extent| by(extent)).collect::<Vec<_>>();
    let is_even = spatial.iter().all(|extent| extent % 2 == 0);
    Some(match generator.random_below(11) {
        0 => {
            let values = value.split(1, [1, 3]).into_iter().zip([1, 3]);
            let norms = values.map(|(value, channels)| norm(value, channels, &spatial));
            norms.collect()
        }
        1 => vec![norm(value.instance_norm(), 4, &spatial)],
        2 if generator.opset >= 21 => vec![norm(value.group_norm(2), 4, &spatial)],
        3 if spatial.len() == 2 => {
            let value = value.op("DepthToSpace").attr("blocksize", 2);
            vec![norm(value, 1, &scaled(|extent| 2 * extent))]
        }
        4 if spatial.len() == 2 && is_even => {
            let value = value.op("SpaceToDepth").attr("blocksize", 2);
            vec![norm(value, 16, &scaled(|extent| extent / 2))]
        }
        5 | 6 if generator.opset >= 12 => vec![norm(value.op("Clip"), 4, &spatial)],
        8 if generator.opset >= 15 => {
            let like = generator.scalar(0.5);
            let value = generator.graph.op("CastLike", &[&value, &like]);
            vec![norm(value, 4, &spatial)]
        }
        7 if generator.opset >= 8 => {
            let op_type = *generator.pick(&["Max", "Min", "Mean"]);
            let other = value.relu().conv(4).kernel(vec![1; spatial.len()]);
            let value = generator.graph.op(op_type, &[&value, &other]);
            vec![norm(value, 4, &spatial)]
        }
        number => {
            let op_type = ["ReduceMin", "ReduceMax"][number % 2];
            let value = value
                .reduce(op_type, [x.rank() as i64 - 1])
                .attr("keepdims", 1);
            let mut spatial = spatial.clone();
            spatial.pop();
            spatial.push(1);
            vec![norm(value, 4, &spatial)]
        }
    })
}

/// A LayerNormalization over channels and a BatchNormalization of them.
fn layered(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if generator.opset < 17 || x.rank() < 2 || x.channels() < 4 {
        return None;
    }
    let rank = x.rank() as i64;
    let last: Vec<i64> = [0].into_iter().chain(2..rank).chain([1]).collect();
    let back: Vec<i64> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let value = x.value.transpose(last).layer_norm().transpose(back);
    Some(vec![batch_norm_of(generator, &value, x.channels())])
}

/// `spatial=0`, which opset 9 took away.
fn per_activation(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    (generator.opset < 9 && x.rank() > 2).then(|| vec![x.value.batch_norm().attr("spatial", 0)])
}

/// Statistics of the batch, which no fold may touch.
fn training(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if x.rank() < 2 || !x.channels_spread() {
        return None;
    }
    let value = x.value.batch_norm();
    let outputs = match generator.opset {
        14.. => value.attr("training_mode", 1).outputs(3),
        _ => value.outputs(5),
    };
    Some(outputs.into_iter().take(1).collect())
}
