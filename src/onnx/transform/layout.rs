//! Which factor meets which element.

/// How flat positions map to factors: `inner` neighbours share one, and the factors repeat after `period` such runs.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) inner: usize,
    pub(super) period: usize,
    /// Extent and stride in the factors of each axis from the first to the last varying one; empty if these are contiguous.
    axes: Vec<(usize, usize)>,
}

impl Layout {
    pub(super) fn of(dims: &[usize], shape: &[usize]) -> Layout {
        let varying = |axis: &usize| shape.get(*axis).is_some_and(|&extent| extent > 1);
        let axes = || 0..dims.len();
        let (Some(first), Some(last)) = (axes().find(varying), axes().rfind(varying)) else {
            return Layout {
                inner: dims.iter().product::<usize>().max(1),
                period: 1,
                axes: Vec::new(),
            };
        };
        let (mut stride, mut strides) = (1, Vec::new());
        for axis in (first..=last).rev() {
            strides.push((dims[axis], if varying(&axis) { stride } else { 0 }));
            stride *= shape[axis];
        }
        strides.reverse();
        let contiguous = strides
            .iter()
            .all(|&(extent, stride)| stride > 0 || extent == 1);
        Layout {
            inner: dims[last + 1..].iter().product::<usize>().max(1),
            period: dims[first..=last].iter().product::<usize>().max(1),
            axes: if contiguous { Vec::new() } else { strides },
        }
    }

    /// The factor of a run.
    pub(super) fn factor(&self, run: usize) -> usize {
        let mut run = run % self.period;
        if self.axes.is_empty() {
            return run;
        }
        let mut index = 0;
        for &(extent, stride) in self.axes.iter().rev() {
            index += run % extent * stride;
            run /= extent;
        }
        index
    }
}
