//! Slice and Split.

use super::axes::{axis, count, extents, offset, positions};
use super::call::{Call, Operator, require};
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    match op_type {
        "Slice" => Some(slice),
        "Split" => Some(split),
        _ => None,
    }
}

/// NumPy's start:end:step on the given axes; bounds past the ends are clamped.
fn slice(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let starts = call.ints_at("starts", 1).ok_or("starts are missing")?;
    let ends = call.ints_at("ends", 2).ok_or("ends are missing")?;
    let all = || (0..starts.len() as i64).collect();
    let given = call.ints_at("axes", 3).unwrap_or_else(all);
    let steps = call
        .ints_at("steps", 4)
        .unwrap_or_else(|| vec![1; starts.len()]);
    let lengths = [ends.len(), given.len(), steps.len()];
    require(lengths.iter().all(|&length| length == starts.len()), || {
        format!("{lengths:?}")
    })?;
    let mut taken: Vec<Vec<usize>> = x
        .shape
        .iter()
        .map(|&extent| (0..extent).collect())
        .collect();
    for (at, &number) in given.iter().enumerate() {
        let axis = axis(number, x.rank())?;
        require(steps[at] != 0, || "step 0".into())?;
        taken[axis] = picked(x.shape[axis] as i64, starts[at], ends[at], steps[at]);
    }
    let shape: Vec<usize> = taken.iter().map(Vec::len).collect();
    let element = |position: Vec<usize>| {
        let source: Vec<usize> = position
            .iter()
            .zip(&taken)
            .map(|(&at, from)| from[at])
            .collect();
        x.data[offset(&x.shape, &source)]
    };
    Ok(vec![Tensor {
        dtype: x.dtype,
        data: positions(&shape).map(element).collect(),
        shape,
    }])
}

fn picked(extent: i64, start: i64, end: i64, step: i64) -> Vec<usize> {
    let counted = |at: i64| {
        if at < 0 {
            at.saturating_add(extent)
        } else {
            at
        }
    };
    let (start, end) = (counted(start), counted(end));
    let mut found = Vec::new();
    if step > 0 {
        let mut at = start.clamp(0, extent);
        while at < end.clamp(0, extent) {
            found.push(at as usize);
            at = at.saturating_add(step);
        }
    } else {
        let mut at = start.clamp(-1, extent - 1);
        while at > end.clamp(-1, extent - 1) {
            found.push(at as usize);
            at = at.saturating_add(step);
        }
    }
    found
}

/// Part sizes come from attribute or input `split`; else the parts are equal, and with
/// `num_outputs` (opset 18) the last may be smaller.
fn split(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let axis = axis(call.int("axis", 0), x.rank())?;
    let extent = x.shape[axis];
    let sizes = match call.ints_at("split", 1) {
        Some(sizes) => extents(&sizes)?,
        None => {
            let named = call.node.output.len() as i64;
            let parts = super::axes::extent(call.int("num_outputs", named))?.max(1);
            let size = extent.div_ceil(parts);
            require(call.opset >= 18 || size * parts == extent, || {
                format!("{extent} in {parts} equal parts")
            })?;
            (0..parts)
                .map(|part| size.min(extent.saturating_sub(part * size)))
                .collect()
        }
    };
    require(sizes.iter().sum::<usize>() == extent, || {
        format!("{extent} in parts {sizes:?}")
    })?;
    let mut parts = Vec::new();
    let mut start = 0;
    for size in sizes {
        let mut shape = x.shape.clone();
        shape[axis] = size;
        let mut data = Vec::with_capacity(count(&shape));
        for mut position in positions(&shape) {
            position[axis] += start;
            data.push(x.data[offset(&x.shape, &position)]);
        }
        parts.push(Tensor {
            dtype: x.dtype,
            shape,
            data,
        });
        start += size;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;

    #[test]
    fn slices_clamp_and_run_backwards() {
        let run = |bounds: [i64; 3]| {
            let [start, end, step] = bounds.map(|bound| Tensor::ints(&[1], [bound]));
            let x = Tensor::floats(&[4], [0.0, 1.0, 2.0, 3.0]);
            let axes = Tensor::ints(&[1], [0]);
            evaluate("Slice", 13, &[x, start, end, axes, step], |node| node).unwrap()[0]
                .data
                .clone()
        };
        assert_eq!(run([1, i64::MAX, 1]), [1.0, 2.0, 3.0]);
        assert_eq!(run([-3, -1, 1]), [1.0, 2.0]);
        assert_eq!(run([-1, i64::MIN, -2]), [3.0, 1.0]);
        assert_eq!(run([2, 1, 1]), [0.0; 0]);
    }

    #[test]
    fn split_may_leave_a_smaller_last_part_since_opset_18() {
        let x = Tensor::floats(&[5], [0.0, 1.0, 2.0, 3.0, 4.0]);
        let node = |node: crate::testing::Value| node.attr("num_outputs", 2).outputs(2).remove(0);
        let parts = evaluate("Split", 18, [x.clone()], node).unwrap();
        assert_eq!((parts[0].data.len(), &*parts[1].data), (3, &[3.0, 4.0][..]));
        let two = |node: crate::testing::Value| node.outputs(2).remove(0);
        assert!(evaluate("Split", 11, &[x], two).is_err());
    }
}
