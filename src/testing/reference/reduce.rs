//! Reductions over axes.
//!
//! The axes are an attribute up to opset 17 (12 for ReduceSum) and an input since; none means all,
//! unless `noop_with_empty_axes` says none.

use super::axes::{axes, count, offset, positions};
use super::call::{Call, Operator, same_as};
use super::pool::maximum;
use crate::testing::element::{is_float, round_to};
use crate::testing::{DataType, Tensor};

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    Some(match op_type {
        "ReduceSum" => |call| reduce(call, |x| x.iter().sum()),
        "ReduceMean" => |call| reduce(call, |x| x.iter().sum::<f64>() / x.len() as f64),
        "ReduceMax" => |call| reduce(call, |x| x.iter().copied().fold(f64::NEG_INFINITY, maximum)),
        "ReduceMin" => |call| {
            reduce(call, |x| {
                -x.iter().map(|x| -x).fold(f64::NEG_INFINITY, maximum)
            })
        },
        "ReduceProd" => |call| reduce(call, |x| x.iter().product()),
        "ReduceSumSquare" => |call| reduce(call, |x| x.iter().map(|x| x * x).sum()),
        "ReduceL1" => |call| reduce(call, |x| x.iter().map(|x| x.abs()).sum()),
        "ReduceL2" => |call| reduce(call, |x| x.iter().map(|x| x * x).sum::<f64>().sqrt()),
        "ReduceLogSum" => |call| reduce(call, |x| x.iter().sum::<f64>().ln()),
        "ReduceLogSumExp" => |call| reduce(call, log_sum_exp),
        _ => return None,
    })
}

fn log_sum_exp(elements: &[f64]) -> f64 {
    let greatest = elements.iter().copied().fold(f64::NEG_INFINITY, maximum);
    if greatest.is_infinite() {
        return greatest;
    }
    greatest
        + elements
            .iter()
            .map(|x| (x - greatest).exp())
            .sum::<f64>()
            .ln()
}

fn reduce(call: &Call<'_>, f: impl Fn(&[f64]) -> f64) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let given = call.ints_at("axes", 1).unwrap_or_default();
    let mut reduced = axes(&given, x.rank())?;
    if reduced.is_empty() && call.flag("noop_with_empty_axes", false) {
        return Ok(vec![same_as(x, x.data.iter().map(|&x| f(&[x])).collect())]);
    }
    if reduced.is_empty() {
        reduced = (0..x.rank()).collect();
    }
    let mut kept = x.shape.clone();
    for &axis in &reduced {
        kept[axis] = 1;
    }
    let mut groups = vec![Vec::new(); count(&kept)];
    for (mut position, &element) in positions(&x.shape).zip(&x.data) {
        for &axis in &reduced {
            position[axis] = 0;
        }
        groups[offset(&kept, &position)].push(element);
    }
    let data = groups
        .iter()
        .map(|group| bounded(x.dtype, f(group)))
        .collect();
    let keeps = call.flag("keepdims", true);
    let shape = (0..x.rank()).filter(|axis| keeps || !reduced.contains(axis));
    let shape = shape.map(|axis| kept[axis]).collect();
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape,
        data,
    }])
}

/// The result for an empty set may be infinite, which integers and booleans bound.
fn bounded(dtype: DataType, x: f64) -> f64 {
    match dtype {
        DataType::Bool => f64::from(u8::from(x > 0.0)),
        dtype if is_float(dtype) => x,
        dtype => round_to(dtype, x),
    }
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use crate::testing::Tensor;

    #[test]
    fn axes_come_as_attribute_or_input() {
        let x = Tensor::floats(&[2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let old = evaluate("ReduceMean", 13, [x.clone()], |node| {
            node.attr("axes", [-1]).attr("keepdims", 0)
        });
        assert_eq!(old.unwrap()[0].data, [2.0, 5.0]);
        let axes = Tensor::ints(&[1], [0]);
        let new = evaluate("ReduceMean", 18, &[x.clone(), axes], |node| node).unwrap();
        assert_eq!(
            (&*new[0].shape, &*new[0].data),
            (&[1, 3][..], &[2.5, 3.5, 4.5][..])
        );
        let all = evaluate("ReduceSum", 13, [x.clone()], |node| node).unwrap();
        assert_eq!((&*all[0].shape, &*all[0].data), (&[1, 1][..], &[21.0][..]));
        let none = evaluate("ReduceSum", 13, [x.clone()], |node| {
            node.attr("noop_with_empty_axes", 1)
        });
        assert_eq!(none.unwrap()[0], x);
    }
}
