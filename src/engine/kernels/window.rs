//! Where the windows of convolutions and pools lie.

use crate::engine::call::{Call, Fault};

/// Windows over the spatial axes.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    pub(super) pads_before: Vec<isize>,
    pub(super) pads_after: Vec<isize>,
    pub(super) input: Vec<usize>,
    pub(super) output: Vec<usize>,
}

fn positive(call: &Call<'_>, name: &str, rank: usize) -> Result<Vec<usize>, Fault> {
    let Some(list) = call.ints(name)? else {
        return Ok(vec![1; rank]);
    };
    let values: Option<Vec<usize>> = list
        .iter()
        .map(|&x| usize::try_from(x).ok().filter(|&x| x > 0))
        .collect();
    values
        .filter(|values| values.len() == rank)
        .ok_or_else(|| Fault::invalid(format!("attribute {name} is {list:?}")))
}

impl Window {
    /// The windows of a node over an input of these spatial extents; `auto_pad` and `ceil_mode` are settled.
    pub(super) fn read(
        call: &Call<'_>,
        input: &[usize],
        kernel: &[usize],
    ) -> Result<Window, Fault> {
        let rank = input.len();
        if kernel.len() != rank || kernel.contains(&0) {
            return Err(Fault::invalid(format!(
                "a kernel of shape {kernel:?} over rank {rank}"
            )));
        }
        let strides = positive(call, "strides", rank)?;
        let dilations = positive(call, "dilations", rank)?;
        let mut window = Window {
            kernel: kernel.to_vec(),
            strides,
            dilations,
            pads_before: vec![0; rank],
            pads_after: vec![0; rank],
            input: input.to_vec(),
            output: Vec::new(),
        };
        match call.text("auto_pad", "NOTSET")? {
            "NOTSET" => window.read_pads(call)?,
            "VALID" => {}
            "SAME_UPPER" => window.pad_to_same(true),
            "SAME_LOWER" => window.pad_to_same(false),
            other => return Err(Fault::invalid(format!("auto_pad is {other:?}"))),
        }
        let is_ceil = call.flag("ceil_mode")?;
        window.output = (0..rank)
            .map(|at| window.count(at, is_ceil))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Fault::invalid("a window is larger than its padded input"))?;
        Ok(window)
    }

    pub(super) fn read_pads(&mut self, call: &Call<'_>) -> Result<(), Fault> {
        let Some(pads) = call.ints("pads")? else {
            return Ok(());
        };
        let rank = self.input.len();
        if pads.len() != 2 * rank {
            return Err(Fault::invalid(format!("attribute pads is {pads:?}")));
        }
        let limit = 1i64 << 40;
        if pads.iter().any(|pad| pad.abs() > limit) {
            return Err(Fault::invalid(format!("attribute pads is {pads:?}")));
        }
        self.pads_before = pads[..rank].iter().map(|&pad| pad as isize).collect();
        self.pads_after = pads[rank..].iter().map(|&pad| pad as isize).collect();
        Ok(())
    }

    /// Padding so that the output has ⌈input / stride⌉ elements, the odd one after (upper) or before.
    fn pad_to_same(&mut self, is_upper: bool) {
        for at in 0..self.input.len() {
            let output = self.input[at].div_ceil(self.strides[at]);
            let needed = (output.saturating_sub(1) * self.strides[at] + self.span(at)) as isize
                - self.input[at] as isize;
            let total = needed.max(0);
            let small = total / 2;
            let (before, after) = if is_upper {
                (small, total - small)
            } else {
                (total - small, small)
            };
            (self.pads_before[at], self.pads_after[at]) = (before, after);
        }
    }

    /// Extent that one window covers.
    pub(super) fn span(&self, at: usize) -> usize {
        (self.kernel[at] - 1) * self.dilations[at] + 1
    }

    /// With `ceil_mode` a window that would start in the padding after the input is left out.
    fn count(&self, at: usize, is_ceil: bool) -> Option<usize> {
        let padded = self.input[at] as isize + self.pads_before[at] + self.pads_after[at];
        let room = padded - self.span(at) as isize;
        if room < 0 {
            return None;
        }
        let (room, stride) = (room as usize, self.strides[at]);
        let count = if is_ceil {
            room.div_ceil(stride) + 1
        } else {
            room / stride + 1
        };
        let last = ((count - 1) * stride) as isize;
        let starts_outside = last >= self.input[at] as isize + self.pads_before[at];
        Some(if is_ceil && starts_outside {
            count - 1
        } else {
            count
        })
    }

    /// The input index that a tap reads at an output index; it may lie in the padding.
    pub(super) fn source(&self, at: usize, output: usize, tap: usize) -> isize {
        (output * self.strides[at] + tap * self.dilations[at]) as isize - self.pads_before[at]
    }

    /// Output indices along an axis at which a tap reads inside the input.
    pub(super) fn valid_outputs(&self, at: usize, tap: usize) -> std::ops::Range<usize> {
        let stride = self.strides[at] as isize;
        let offset = (tap * self.dilations[at]) as isize - self.pads_before[at];
        let extent = self.input[at] as isize;
        let low = if offset >= 0 {
            0
        } else {
            (-offset + stride - 1) / stride
        };
        let high = if extent > offset {
            (extent - 1 - offset) / stride + 1
        } else {
            0
        };
        let high = (high.max(0) as usize).min(self.output[at]);
        (low.max(0) as usize).min(high)..high
    }
}
