//! Where the channels of a value lie in its memory.
//!
//! A contiguous value is `outer × channels × inner` elements, whatever the order of its axes:
//! `inner` neighbours share a channel, `channels` such rows follow each other, `outer` times.
//! An [N, C, H, W] value has `inner = H·W`, one stored channels-last `inner = 1`.

use ndarray::ArrayViewD;

use super::error::BatchNormError;

/// Extents of a contiguous value by channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) channels: usize,
    pub(super) inner: usize,
}

/// The number of channels, or of activations per sample, of a value of this shape.
pub(super) fn channels(shape: &[usize], spatial: bool) -> Result<usize, BatchNormError> {
    match shape {
        [] => Err(BatchNormError::Scalar),
        [_] => Ok(1),
        [_, channels, ..] if spatial => Ok(*channels),
        [_, features @ ..] => Ok(features.iter().product()),
    }
}

impl Geometry {
    /// The geometry of a value of this shape, with elements, in standard order.
    pub(super) fn standard(shape: &[usize], channels: usize, spatial: bool) -> Self {
        let inner = match shape {
            [length] => *length,
            [_, _, rest @ ..] if spatial => rest.iter().product(),
            _ => 1,
        };
        Self { channels, inner }
    }

    /// The geometry of `view` in memory order, if its elements fill a slice in an order that
    /// [`Geometry`] can express.
    pub(super) fn of<T>(view: &ArrayViewD<'_, T>, spatial: bool) -> Option<Self> {
        let channels = channels(view.shape(), spatial).ok()?;
        if channels == 1 {
            let inner = view.len();
            return view
                .as_slice_memory_order()
                .map(|_| Self { channels, inner });
        }
        if !spatial {
            let inner = 1;
            return view
                .is_standard_layout()
                .then_some(Self { channels, inner });
        }
        let inner = channel_stride(view.shape(), view.strides())?;
        Some(Self { channels, inner })
    }
}

/// The stride of axis 1, if the strides are those of a contiguous value under some order of axes.
fn channel_stride(shape: &[usize], strides: &[isize]) -> Option<usize> {
    let mut axes: Vec<(usize, usize)> = Vec::with_capacity(shape.len());
    for (axis, (&length, &stride)) in shape.iter().zip(strides).enumerate() {
        if length != 1 {
            axes.push((usize::try_from(stride).ok()?, axis));
        }
    }
    axes.sort_unstable();
    let mut inner = None;
    let mut expected = 1;
    for (stride, axis) in axes {
        if stride != expected {
            return None;
        }
        if axis == 1 {
            inner = Some(expected);
        }
        expected *= shape[axis];
    }
    inner
}
