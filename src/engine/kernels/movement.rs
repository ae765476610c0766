//! Operators that move elements without computing with them.

use super::binary::broadcast_shape;
use super::strided::{View, broadcast_to, gather_view, joined, narrow, permuted, strides};
use crate::engine::call::{Call, Fault, Outcome, axes, axis};
use crate::engine::tensor::Tensor;

pub(super) fn transpose(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let order = match call.ints("perm")? {
        Some(list) => list
            .iter()
            .map(|&a| axis(a, tensor.rank()))
            .collect::<Result<_, _>>()?,
        None => (0..tensor.rank()).rev().collect::<Vec<_>>(),
    };
    Ok(vec![permuted(tensor, &order)?])
}

pub(super) fn concat(call: &mut Call<'_>) -> Outcome {
    let rank = call.input(0)?.rank();
    // Opsets 1 to 3 have axis 1 as default.
    let at = axis(call.int("axis", 1)?, rank)?;
    let inputs: Vec<Tensor> = call.inputs.iter_mut().filter_map(Option::take).collect();
    Ok(vec![joined(&inputs, at)?])
}

/// Parts by the attribute up to opset 12, by an input from 13; else equal, the last one smaller (opset 18).
pub(super) fn split(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let at = axis(call.int("axis", 0)?, tensor.rank())?;
    let extent = tensor.shape()[at];
    let listed = match call.integers(1)? {
        Some(list) => Some(list),
        None => call.ints("split")?.map(<[i64]>::to_vec),
    };
    let n_parts = usize::try_from(call.int("num_outputs", 0)?).unwrap_or(0);
    let n_parts = if n_parts > 0 {
        n_parts
    } else {
        call.node.outputs.len().max(1)
    };
    let sizes: Vec<usize> = match listed {
        Some(list) => {
            let sizes: Result<Vec<usize>, _> = list.iter().map(|&x| usize::try_from(x)).collect();
            sizes.map_err(|_| Fault::invalid("a part has a negative size"))?
        }
        None => {
            let chunk = extent.div_ceil(n_parts);
            (0..n_parts)
                .map(|i| chunk.min(extent.saturating_sub(i * chunk)))
                .collect()
        }
    };
    if sizes
        .iter()
        .fold(0usize, |sum, &size| sum.saturating_add(size))
        != extent
    {
        return Err(Fault::invalid(format!(
            "parts {sizes:?} do not make up extent {extent}"
        )));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for size in sizes {
        parts.push(narrow(tensor, at, start, size)?);
        start += size;
    }
    Ok(parts)
}

/// Attributes up to opset 9, inputs from opset 10.
pub(super) fn slice(call: &mut Call<'_>) -> Outcome {
    let listed = |index: usize, name: &str| -> Result<Option<Vec<i64>>, Fault> {
        match call.integers(index)? {
            Some(list) => Ok(Some(list)),
            None => Ok(call.ints(name)?.map(<[i64]>::to_vec)),
        }
    };
    let missing = |what: &str| Fault::invalid(format!("{what} is missing"));
    let starts = listed(1, "starts")?.ok_or_else(|| missing("starts"))?;
    let ends = listed(2, "ends")?.ok_or_else(|| missing("ends"))?;
    let along = listed(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = listed(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), along.len(), steps.len()]
        .iter()
        .any(|&count| count != starts.len())
    {
        return Err(Fault::invalid(
            "starts, ends, axes and steps differ in length",
        ));
    }
    let tensor = call.input(0)?;
    let mut view = View {
        start: 0,
        shape: tensor.shape().to_vec(),
        strides: strides(tensor.shape()),
    };
    for index in 0..starts.len() {
        let at = axis(along[index], tensor.rank())?;
        let range = SliceRange::new(starts[index], ends[index], steps[index], tensor.shape()[at])?;
        view.start += range.start as isize * view.strides[at];
        view.shape[at] = range.count;
        view.strides[at] = view.strides[at].saturating_mul(range.step as isize);
    }
    Ok(vec![gather_view(tensor, &view)?])
}

struct SliceRange {
    start: i64,
    step: i64,
    count: usize,
}

impl SliceRange {
    /// Clamped as the standard's Slice says (opset 10): a negative step walks down from extent − 1.
    fn new(start: i64, end: i64, step: i64, extent: usize) -> Result<SliceRange, Fault> {
        if extent == 0 {
            return Ok(SliceRange {
                start: 0,
                step: 1,
                count: 0,
            });
        }
        let extent = extent as i64;
        let from_end = |x: i64| if x < 0 { x.saturating_add(extent) } else { x };
        let (low, high) = if step > 0 {
            (0, extent)
        } else {
            (-1, extent - 1)
        };
        let start = from_end(start).clamp(0, high);
        let end = from_end(end).clamp(low, high);
        let distance = if step > 0 { end - start } else { start - end };
        let magnitude = step.checked_abs().filter(|&step| step > 0);
        let magnitude = magnitude.ok_or_else(|| Fault::invalid("a step is zero"))?;
        let count = usize::try_from((distance.max(0) + magnitude - 1) / magnitude).unwrap_or(0);
        Ok(SliceRange { start, step, count })
    }
}

pub(super) fn expand(call: &mut Call<'_>) -> Outcome {
    let target = super::shape::extents(call.integers(1)?, "the shape")?;
    let shape = broadcast_shape(&[call.input(0)?.shape(), &target])?;
    call.size(&shape)?;
    Ok(vec![broadcast_to(call.input(0)?, &shape)?])
}

pub(super) fn tile(call: &mut Call<'_>) -> Outcome {
    let repeats = super::shape::extents(call.integers(1)?, "repeats")?;
    let tensor = call.input(0)?;
    if repeats.len() != tensor.rank() {
        return Err(Fault::invalid("repeats and rank differ"));
    }
    // (repeat, extent) pairs with stride 0 along each repeat.
    let own = strides(tensor.shape());
    let (mut shape, mut steps, mut result) = (Vec::new(), Vec::new(), Vec::new());
    for ((&repeat, &extent), &stride) in repeats.iter().zip(tensor.shape()).zip(&own) {
        shape.extend([repeat, extent]);
        steps.extend([0, stride]);
        result.push(repeat.saturating_mul(extent));
    }
    call.size(&result)?;
    let tiled = gather_view(
        tensor,
        &View {
            start: 0,
            shape,
            strides: steps,
        },
    )?;
    Ok(vec![tiled.reshaped(result)?])
}

/// Block-wise moves between channels and space, as a reshape, a permutation and a reshape.
pub(super) fn depth_to_space(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let block = block_size(call)?;
    let [n, c, h, w] = *tensor.shape() else {
        return Err(Fault::invalid("the input is not of rank 4"));
    };
    let depth = c / (block * block);
    let (split, order): (_, &[usize]) = if call.text("mode", "DCR")? == "CRD" {
        (vec![n, depth, block, block, h, w], &[0, 1, 4, 2, 5, 3])
    } else {
        (vec![n, block, block, depth, h, w], &[0, 3, 4, 1, 5, 2])
    };
    let moved = permuted(&tensor.clone().reshaped(split)?, order)?;
    Ok(vec![moved.reshaped(vec![
        n,
        depth,
        h * block,
        w * block,
    ])?])
}

pub(super) fn space_to_depth(call: &mut Call<'_>) -> Outcome {
    let tensor = call.input(0)?;
    let block = block_size(call)?;
    let [n, c, h, w] = *tensor.shape() else {
        return Err(Fault::invalid("the input is not of rank 4"));
    };
    let split = vec![n, c, h / block, block, w / block, block];
    let order = if call.text("mode", "DCR")? == "CRD" {
        [0, 1, 3, 5, 2, 4]
    } else {
        [0, 3, 5, 1, 2, 4]
    };
    let moved = permuted(&tensor.clone().reshaped(split)?, &order)?;
    Ok(vec![moved.reshaped(vec![
        n,
        c * block * block,
        h / block,
        w / block,
    ])?])
}

fn block_size(call: &Call<'_>) -> Result<usize, Fault> {
    let size = usize::try_from(call.int("blocksize", 0)?)
        .ok()
        .filter(|&size| size > 0);
    size.ok_or_else(|| Fault::invalid("blocksize is not positive"))
}

/// Axes by the attribute up to opset 12, by an input from 13; all of extent 1 if none are given.
pub(super) fn squeeze(call: &mut Call<'_>) -> Outcome {
    let listed = listed_axes(call)?;
    let tensor = call.take(0)?;
    let dropped = match listed {
        Some(list) => axes(&list, tensor.rank())?,
        None => (0..tensor.rank())
            .filter(|&at| tensor.shape()[at] == 1)
            .collect(),
    };
    if dropped.iter().any(|&at| tensor.shape()[at] != 1) {
        return Err(Fault::invalid("an axis to be removed is not of extent 1"));
    }
    let kept = (0..tensor.rank()).filter(|at| !dropped.contains(at));
    let shape = kept.map(|at| tensor.shape()[at]).collect();
    Ok(vec![tensor.reshaped(shape)?])
}

pub(super) fn unsqueeze(call: &mut Call<'_>) -> Outcome {
    let listed = listed_axes(call)?.ok_or_else(|| Fault::invalid("axes is missing"))?;
    let tensor = call.take(0)?;
    let rank = tensor.rank() + listed.len();
    let added = axes(&listed, rank)?;
    let mut own = tensor.shape().iter();
    let place = |at| {
        if added.contains(&at) {
            1
        } else {
            own.next().copied().unwrap_or(1)
        }
    };
    let shape = (0..rank).map(place).collect();
    Ok(vec![tensor.reshaped(shape)?])
}

fn listed_axes(call: &Call<'_>) -> Result<Option<Vec<i64>>, Fault> {
    match call.integers(1)? {
        Some(list) => Ok(Some(list)),
        None => Ok(call.ints("axes")?.map(<[i64]>::to_vec)),
    }
}
