//! Operators that work element by element.

use super::drawing::{Drawing, On};
use crate::testing::Value;

impl Drawing<'_> {
    pub(super) fn with_constant(&mut self, on: &On<'_>) -> Option<Value> {
        let axis = on.axis(on.a);
        let extents = match on.b % 4 {
            0 => Vec::new(),
            1 => on.shape.to_vec(),
            _ => {
                let mut extents = vec![1; on.rank() - axis.min(on.rank())];
                if let Some(first) = extents.first_mut() {
                    *first = on.shape[axis];
                }
                extents
            }
        };
        let name = format!("constant_{}", self.live.len());
        let constant = self.graph.weight_between(&name, &extents, 0.5, 1.5);
        Some(match on.b / 4 % 6 {
            0 => on.x.add(constant),
            1 => on.x.sub(constant),
            2 => on.x.mul(constant),
            3 => on.x.div(constant),
            4 => constant.sub(on.x),
            _ => constant.mul(on.x),
        })
    }
}

pub(super) fn activation(on: &On<'_>) -> Option<Value> {
    Some(match on.a % 9 {
        0 => on.x.relu(),
        1 => on.x.leaky_relu(0.25),
        2 => on.x.sigmoid(),
        3 => on.x.tanh(),
        4 => on.x.identity(),
        5 => on.x.dropout(),
        6 => (on.rank() > 1).then(|| on.x.prelu())?,
        7 => on.x.op("Neg"),
        _ => on.x.op("Abs"),
    })
}
pub(super) fn arithmetic(on: &On<'_>) -> Option<Value> {
    if !on.is_like_other() {
        return None;
    }
    Some(match on.a % 3 {
        0 => on.x.add(on.other),
        1 => on.x.sub(on.other),
        _ => on.x.mul(on.other),
    })
}
