//! Operators with weights, and bodies that hold some.

use super::Kind;
use super::drawing::{Drawing, On};
use crate::testing::{DataType, Tensor, Value};

impl Drawing<'_> {
    pub(super) fn batch_norm(&mut self, kind: Kind, on: &On<'_>) -> Option<Value> {
        if on.rank() < 2 {
            return None;
        }
        let key = vec![on.shape[1]];
        if matches!(kind, Kind::SharedBatchNorm) {
            let (_, known) = self
                .parameters
                .iter()
                .find(|(channels, _)| *channels == key)?;
            let inputs: Vec<&Value> = [on.x].into_iter().chain(known).collect();
            return Some(self.graph.op("BatchNormalization", &inputs));
        }
        let value = on.x.batch_norm().epsilon([1e-5, 1e-3, 0.1][on.b % 3]);
        let value = if on.a % 2 == 1 {
            value.negative_scales()
        } else {
            value
        };
        let parameters = [1, 2, 3, 4].map(|index| value.operand(index));
        self.parameters.push((key, parameters.to_vec()));
        Some(value)
    }

    pub(super) fn conv(&mut self, kind: Kind, on: &On<'_>) -> Option<Value> {
        let size = 1 + on.a % 3;
        if !on.is_wide(size) {
            return None;
        }
        let channels = on.shape[1];
        let group = if on.b & 8 != 0 { channels } else { 1 };
        let outputs = group * (1 + on.a / 3 % 3);
        let mut key = vec![outputs, channels / group];
        key.extend(vec![size; on.spatial()]);
        let shared = self.parameters.iter().find(|(shape, _)| *shape == key);
        let shared = shared.filter(|_| matches!(kind, Kind::SharedConv));
        let shared = shared.map(|(_, values)| values[0].clone());
        let mut value =
            on.x.conv(outputs)
                .group(group as i64)
                .kernel(vec![size as i64; on.spatial()]);
        value = match on.b % 4 {
            1 => value.pads(vec![(size / 2) as i64; 2 * on.spatial()]),
            2 => value.strides(vec![2; on.spatial()]),
            3 => value.auto_pad("SAME_UPPER"),
            _ => value,
        };
        value = match shared {
            Some(weight) => value.weight(&weight),
            None => value,
        };
        value = if on.b & 4 != 0 { value.bias() } else { value };
        self.parameters.push((key, vec![value.operand(1)]));
        Some(value)
    }

    pub(super) fn normalization(&self, on: &On<'_>) -> Option<Value> {
        match on.a % 3 {
            0 => (on.spatial() > 0).then(|| on.x.instance_norm()),
            1 if self.opset < 17 => None,
            1 if on.b % 2 == 1 => self.layer_norm_without_b(on),
            1 => (on.rank() > 0).then(|| on.x.layer_norm()),
            _ => (self.opset >= 21 && on.spatial() > 0).then(|| on.x.group_norm(1)),
        }
    }

    fn layer_norm_without_b(&self, on: &On<'_>) -> Option<Value> {
        let last = *on.shape.last()?;
        let name = format!("scale_{}", self.live.len());
        let scale = self.graph.weight_between(&name, [last], 0.5, 1.5);
        let value = self.graph.op("LayerNormalization", &[on.x, &scale]);
        Some(value.shape(on.shape))
    }

    /// An If whose branches work on the captured value.
    pub(super) fn branches(&self, on: &On<'_>) -> Option<Value> {
        if on.rank() < 2 {
            return None;
        }
        let yes = Tensor::bools(&[], [on.b.is_multiple_of(2)]);
        let condition = self.graph.constant_parameter("condition", yes);
        let number = self.live.len();
        let branch = |name: &str, deep: bool| {
            self.graph.body(|body| {
                let inner = body.capture(on.x);
                let inner = match deep && on.is_wide(3) {
                    true => inner
                        .conv(on.shape[1])
                        .pads(vec![1; 2 * on.spatial()])
                        .batch_norm(),
                    false => inner.batch_norm(),
                };
                inner.shape(on.shape).output(&format!("{name}_{number}"))
            })
        };
        let (then, otherwise) = (branch("then", true), branch("else", on.a.is_multiple_of(2)));
        let value = self.graph.op("If", &[&condition]).attr("then_branch", then);
        Some(
            value
                .attr("else_branch", otherwise)
                .shape(on.shape)
                .dtype(DataType::Double),
        )
    }
}

pub(super) fn conv_transpose(on: &On<'_>) -> Option<Value> {
    if !on.is_wide(1) {
        return None;
    }
    let value =
        on.x.conv_transpose(1 + on.a % 4)
            .kernel(vec![2; on.spatial()]);
    let value = match on.b % 3 {
        0 => value,
        1 => value.strides(vec![2; on.spatial()]),
        _ => value.pads([vec![0; on.spatial()], vec![1; on.spatial()]].concat()),
    };
    Some(if on.a & 4 != 0 { value.bias() } else { value })
}

pub(super) fn gemm(on: &On<'_>) -> Option<Value> {
    if on.rank() != 2 {
        return None;
    }
    let outputs = 1 + on.a % 5;
    let value = if on.b & 1 == 0 {
        on.x.gemm(outputs)
    } else {
        on.x.linear(outputs)
    };
    let value = if on.b & 2 == 0 {
        value
    } else {
        value.attr("alpha", 0.5)
    };
    Some(if on.b & 4 == 0 {
        value
    } else {
        value.attr("beta", 2.0)
    })
}
pub(super) fn recurrent(on: &On<'_>) -> Option<Value> {
    if on.rank() != 3 {
        return None;
    }
    let hidden = 1 + (on.b % 3) as i64;
    Some(match on.a % 3 {
        0 => on.x.lstm(hidden),
        1 => on.x.gru(hidden),
        _ => on.x.rnn(hidden),
    })
}
