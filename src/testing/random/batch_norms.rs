//! BatchNormalization in all its places and disguises.

use super::generator::{Draw, Generator, Live};
use crate::testing::Value;

pub(super) const DRAWS: &[(u32, Draw)] = &[
    (6, |generator, x| {
        (x.rank() >= 2).then(|| vec![batch_norm(generator, x)])
    }),
    (6, branches),
    (3, disguised),
    (1, per_activation),
];

pub(super) const TRAINING: &[(u32, Draw)] = &[(1, training)];

/// An inference BatchNormalization, now and then with the parameters of an earlier one.
pub(super) fn batch_norm(generator: &mut Generator<'_>, x: &Live) -> Value {
    let channels = x.channels();
    let same = generator
        .statistics
        .iter()
        .filter(|(other, _)| *other == channels);
    let same: Vec<[Value; 4]> = same.map(|(_, parameters)| parameters.clone()).collect();
    if !same.is_empty() && generator.chance(0.15) {
        let [scale, b, mean, var] = generator.pick(&same).clone();
        return generator
            .graph
            .op("BatchNormalization", &[&x.value, &scale, &b, &mean, &var]);
    }
    let mut value = x.value.batch_norm();
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
