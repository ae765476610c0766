//! Operators that look at several elements at a time, without weights.

use super::drawing::On;
use crate::testing::Value;

pub(super) fn pool(on: &On<'_>) -> Option<Value> {
    if !on.is_wide(2) {
        return None;
    }
    let op = if on.a.is_multiple_of(2) {
        "AveragePool"
    } else {
        "MaxPool"
    };
    let value = on.x.op(op).kernel(vec![2; on.spatial()]);
    let value = value.strides(vec![1 + (on.b & 1) as i64; on.spatial()]);
    let value = if on.b & 2 == 0 {
        value
    } else {
        value.pads(vec![1; 2 * on.spatial()])
    };
    let counts_pads = on.a.is_multiple_of(2) && on.b & 4 != 0;
    Some(if counts_pads {
        value.attr("count_include_pad", 1)
    } else {
        value
    })
}

pub(super) fn global_pool(on: &On<'_>) -> Option<Value> {
    let value = match on.a % 2 {
        _ if on.spatial() == 0 => return None,
        0 => on.x.global_average_pool(),
        _ => on.x.global_max_pool(),
    };
    Some(if on.b.is_multiple_of(2) {
        value
    } else {
        value.flatten()
    })
}

pub(super) fn reduce(on: &On<'_>) -> Option<Value> {
    if on.rank() < 2 {
        return None;
    }
    let op = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"][on.a % 4];
    let axis = on.axis(on.b) as i64;
    Some(
        on.x.reduce(op, [axis])
            .attr("keepdims", i64::from(on.a & 4 == 0)),
    )
}
