//! Strided views of tensors, and what is copied through them.
//!
//! Element (i, j, …) of a view is at `start + i·strides[0] + j·strides[1] + …`; strides count elements.

use super::each::for_any;
use crate::engine::call::{Fault, axis};
use crate::engine::tensor::{Element, Tensor, volume};

/// Row-major strides in elements.
pub(super) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; shape.len()];
    let mut step = 1isize;
    for (stride, &extent) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step = step.saturating_mul(extent as isize);
    }
    strides
}

/// A strided view of a tensor's elements.
pub(super) struct View {
    pub(super) start: isize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<isize>,
}

impl View {
    /// Joins neighbouring axes that one stride walks through.
    fn merged(&self) -> (Vec<usize>, Vec<isize>) {
        let mut shape: Vec<usize> = Vec::new();
        let mut strides: Vec<isize> = Vec::new();
        for (&extent, &stride) in self.shape.iter().zip(&self.strides) {
            match (shape.last_mut(), strides.last_mut()) {
                (Some(last), Some(step)) if *step == stride * extent as isize => {
                    *last *= extent;
                    *step = stride;
                }
                _ if extent == 1 => {}
                _ => {
                    shape.push(extent);
                    strides.push(stride);
                }
            }
        }
        (shape, strides)
    }

    fn copy<T: Element>(&self, source: &[T], out: &mut Vec<T>) -> Result<(), Fault> {
        if self.shape.contains(&0) {
            return Ok(());
        }
        let (shape, strides) = self.merged();
        walk(source, self.start, &shape, &strides, out)
            .ok_or_else(|| Fault::invalid("an index is outside the input"))
    }
}

fn walk<T: Element>(
    source: &[T],
    start: isize,
    shape: &[usize],
    strides: &[isize],
    out: &mut Vec<T>,
) -> Option<()> {
    match (shape, strides) {
        ([count], [1]) => {
            let from = usize::try_from(start).ok()?;
            out.extend_from_slice(source.get(from..from.checked_add(*count)?)?);
        }
        ([count], [stride]) => {
            let mut at = start;
            for _ in 0..*count {
                out.push(source.get(usize::try_from(at).ok()?)?.clone());
                at += stride;
            }
        }
        ([count, shape @ ..], [stride, strides @ ..]) => {
            let mut at = start;
            for _ in 0..*count {
                walk(source, at, shape, strides, out)?;
                at += stride;
            }
        }
        _ => out.push(source.get(usize::try_from(start).ok()?)?.clone()),
    }
    Some(())
}

/// A tensor of the elements that a view names.
pub(super) fn gather_view(tensor: &Tensor, view: &View) -> Result<Tensor, Fault> {
    let size = volume(&view.shape).ok_or_else(|| Fault::invalid("the result is too large"))?;
    for_any!(tensor, T => {
        let source = tensor.elements::<T>().unwrap_or_default();
        let mut out = Vec::with_capacity(size);
        view.copy::<T>(source, &mut out)?;
        Ok(Tensor::new(view.shape.clone(), out)?.declared(tensor.element()))
    })
}

/// The tensor with its axes in another order.
pub(super) fn permuted(tensor: &Tensor, order: &[usize]) -> Result<Tensor, Fault> {
    let steps = strides(tensor.shape());
    let mut seen = vec![false; tensor.rank()];
    for &axis in order {
        match seen.get_mut(axis) {
            Some(flag) if !*flag => *flag = true,
            _ => return Err(Fault::invalid(format!("{order:?} is no order of the axes"))),
        }
    }
    if order.len() != tensor.rank() {
        return Err(Fault::invalid(format!("{order:?} is no order of the axes")));
    }
    let shape = order.iter().map(|&axis| tensor.shape()[axis]).collect();
    let strides = order.iter().map(|&axis| steps[axis]).collect();
    gather_view(
        tensor,
        &View {
            start: 0,
            shape,
            strides,
        },
    )
}

/// The part of a tensor from `start`, `count` elements along `axis`.
pub(super) fn narrow(
    tensor: &Tensor,
    axis: usize,
    start: usize,
    count: usize,
) -> Result<Tensor, Fault> {
    let strides = strides(tensor.shape());
    let mut shape = tensor.shape().to_vec();
    let (Some(extent), Some(&stride)) = (shape.get_mut(axis), strides.get(axis)) else {
        return Err(Fault::invalid(format!(
            "axis {axis} is outside rank {}",
            tensor.rank()
        )));
    };
    if start.checked_add(count).is_none_or(|end| end > *extent) {
        return Err(Fault::invalid(format!("a part ends outside axis {axis}")));
    }
    *extent = count;
    gather_view(
        tensor,
        &View {
            start: start as isize * stride,
            shape,
            strides,
        },
    )
}

/// The slice at `index` of `axis`, without that axis.
pub(in crate::engine) fn index_axis(
    tensor: &Tensor,
    axis: usize,
    index: usize,
) -> Result<Tensor, Fault> {
    let part = narrow(tensor, axis, index, 1)?;
    let mut shape = part.shape().to_vec();
    shape.remove(axis);
    Ok(part.reshaped(shape)?)
}

/// Tensors joined along a new axis.
pub(in crate::engine) fn stack(tensors: &[Tensor], at: i64) -> Result<Tensor, Fault> {
    let Some(first) = tensors.first() else {
        return Ok(Tensor::new(vec![0], Vec::<f32>::new())?);
    };
    let at = axis(at, first.rank() + 1)?;
    let lift = |tensor: &Tensor| {
        let mut shape = tensor.shape().to_vec();
        shape.insert(at, 1);
        tensor.clone().reshaped(shape)
    };
    let lifted = tensors.iter().map(lift).collect::<Result<Vec<_>, _>>()?;
    joined(&lifted, at)
}

/// Tensors joined along an axis that they have.
pub(super) fn joined(tensors: &[Tensor], axis: usize) -> Result<Tensor, Fault> {
    let first = tensors
        .first()
        .ok_or_else(|| Fault::invalid("nothing is given to join"))?;
    let mut shape = first.shape().to_vec();
    let mut total = 0usize;
    for tensor in tensors {
        let mut other = tensor.shape().to_vec();
        let extent = other.get_mut(axis).map(std::mem::take);
        let extent = extent.ok_or_else(|| Fault::invalid("the axis is outside the rank"))?;
        total = total.saturating_add(extent);
        shape[axis] = 0;
        if other != shape || tensor.data().element() != first.data().element() {
            return Err(Fault::invalid("the inputs differ off the axis, or in type"));
        }
    }
    shape[axis] = total;
    let size = volume(&shape).ok_or_else(|| Fault::invalid("the result is too large"))?;
    let outer: usize = shape[..axis].iter().product();
    for_any!(first, T => {
        let mut out: Vec<T> = Vec::with_capacity(size);
        let sources: Vec<&[T]> =
            tensors.iter().map(|tensor| tensor.elements::<T>().unwrap_or_default()).collect();
        for block in 0..outer {
            for source in &sources {
                let length = source.len() / outer;
                out.extend_from_slice(&source[block * length..(block + 1) * length]);
            }
        }
        Ok(Tensor::new(shape, out)?.declared(first.element()))
    })
}

/// A tensor broadcast to a shape that it broadcasts to.
pub(super) fn broadcast_to(tensor: &Tensor, shape: &[usize]) -> Result<Tensor, Fault> {
    let mut steps = vec![0isize; shape.len()];
    let own = strides(tensor.shape());
    let offset = shape.len().checked_sub(tensor.rank());
    let offset = offset.ok_or_else(|| Fault::invalid("the rank shrinks"))?;
    for (index, (&extent, &stride)) in tensor.shape().iter().zip(&own).enumerate() {
        if extent == shape[offset + index] {
            steps[offset + index] = stride;
        } else if extent != 1 {
            return Err(Fault::invalid(format!(
                "{:?} does not broadcast",
                tensor.shape()
            )));
        }
    }
    gather_view(
        tensor,
        &View {
            start: 0,
            shape: shape.to_vec(),
            strides: steps,
        },
    )
}
