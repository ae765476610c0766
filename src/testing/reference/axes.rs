//! Extents, axes and positions.

use std::ops::Range;

/// Axis numbers count from the end when negative.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(counted) {
        Ok(found) if found < rank => Ok(found),
        _ => Err(format!("axis {axis} of a value of rank {rank}")),
    }
}

/// As [`axis()`], but the axis may lie one past the last, as where Flatten cuts.
pub(super) fn cut(at: i64, rank: usize) -> Result<usize, String> {
    if at == rank as i64 {
        Ok(rank)
    } else {
        axis(at, rank)
    }
}

/// Several axes, sorted.
pub(super) fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut found = given
        .iter()
        .map(|&at| axis(at, rank))
        .collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    found.dedup();
    if found.len() == given.len() {
        Ok(found)
    } else {
        Err(format!("axes {given:?} repeat one"))
    }
}

/// Extents, counts and positions must not be negative.
pub(super) fn extent(value: i64) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| format!("negative extent {value}"))
}

/// Several extents.
pub(super) fn extents(values: &[i64]) -> Result<Vec<usize>, String> {
    values.iter().map(|&value| extent(value)).collect()
}

/// The number of elements.
pub(super) fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Where the element at `position` lies in a row-major tensor.
pub(super) fn offset(shape: &[usize], position: &[usize]) -> usize {
    position
        .iter()
        .zip(shape)
        .fold(0, |offset, (&at, &extent)| offset * extent + at)
}

/// Every position in a shape, the last axis fastest.
pub(super) fn positions(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let shape = shape.to_vec();
    (0..count(&shape)).map(move |number| position(&shape, number))
}

/// The position of the element that lies at `offset`.
pub(super) fn position(shape: &[usize], mut offset: usize) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (at, &extent) in position.iter_mut().zip(shape).rev() {
        *at = offset % extent;
        offset /= extent;
    }
    position
}

/// The extents before an axis, on it, and after it, each multiplied together.
pub(super) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (
        count(&shape[..axis]),
        shape[axis],
        count(&shape[axis + 1..]),
    )
}

/// The offsets of the elements along one axis, one list for each position on the other axes.
pub(super) fn lines(shape: &[usize], axis: usize) -> Vec<Vec<usize>> {
    let (outer, extent, inner) = around(shape, axis);
    let line = |number: usize| {
        let start = number / inner * extent * inner + number % inner;
        (0..extent).map(|at| start + at * inner).collect()
    };
    Range {
        start: 0,
        end: outer * inner,
    }
    .map(line)
    .collect()
}
