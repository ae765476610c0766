//! The sliding window of Conv and of the pools: which input element each tap reads.
//!
//! Along each spatial axis, output o and tap k read input o·stride − pad + k·dilation; outside of
//! the input they read padding.

use super::axes::{extents, positions};
use super::call::{Call, require};

pub(super) struct Window {
    input: Vec<usize>,
    pub(super) kernel: Vec<usize>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    begins: Vec<i64>,
    ends: Vec<i64>,
    /// Spatial extents of the output.
    pub(super) output: Vec<usize>,
}

/// What a tap of the window meets.
pub(super) enum Tap {
    /// The input element at that spatial position.
    Input(Vec<usize>),
    /// Padding that the node asks for.
    Padding,
    /// Beyond the padding, where only `ceil_mode` leads.
    Beyond,
}

impl Window {
    /// The window that the node's attributes describe, over spatial extents `input`.
    pub(super) fn new(
        call: &Call<'_>,
        input: &[usize],
        kernel: Vec<usize>,
    ) -> Result<Window, String> {
        let rank = input.len();
        let strides = call.ints("strides").unwrap_or_else(|| vec![1; rank]);
        let dilations = call.ints("dilations").unwrap_or_else(|| vec![1; rank]);
        let pads = call.ints("pads").unwrap_or_else(|| vec![0; 2 * rank]);
        require(
            kernel.len() == rank && kernel.iter().all(|&extent| extent > 0),
            || format!("kernel {kernel:?} over {rank} spatial axes"),
        )?;
        require(
            strides.len() == rank && strides.iter().all(|&stride| stride > 0),
            || format!("strides {strides:?} over {rank} spatial axes"),
        )?;
        require(
            dilations.len() == rank && dilations.iter().all(|&dilation| dilation > 0),
            || format!("dilations {dilations:?} over {rank} spatial axes"),
        )?;
        require(pads.len() == 2 * rank, || {
            format!("pads {pads:?} over {rank} spatial axes")
        })?;
        let (begins, ends) = (pads[..rank].to_vec(), pads[rank..].to_vec());
        let input = input.to_vec();
        let mut window = Window {
            input,
            kernel,
            strides,
            dilations,
            begins,
            ends,
            output: Vec::new(),
        };
        window.settle(
            &call.string("auto_pad", "NOTSET")?,
            call.flag("ceil_mode", false),
            call.opset >= 22,
        )?;
        Ok(window)
    }

    /// Settles pads and output extents.
    ///
    /// Since opset 22 a window that would start in the padding at the end does not count.
    fn settle(&mut self, auto_pad: &str, ceil: bool, clipped: bool) -> Result<(), String> {
        let mut output = Vec::new();
        for axis in 0..self.input.len() {
            let input = self.input[axis] as i64;
            let stride = self.strides[axis];
            let span = (self.kernel[axis] as i64 - 1) * self.dilations[axis] + 1;
            if auto_pad.starts_with("SAME") {
                let extent = divided_up(input, stride);
                let total = ((extent - 1) * stride + span - input).max(0);
                (self.begins[axis], self.ends[axis]) = same_pads(auto_pad, total)?;
                output.push(extent);
                continue;
            }
            if auto_pad == "VALID" {
                (self.begins[axis], self.ends[axis]) = (0, 0);
            } else {
                require(auto_pad == "NOTSET", || format!("auto_pad is `{auto_pad}`"))?;
            }
            let room = input + self.begins[axis] + self.ends[axis] - span;
            require(room >= 0, || {
                format!("the window is wider than the input on axis {axis}")
            })?;
            let ceil = ceil && auto_pad == "NOTSET";
            let mut steps = if ceil {
                divided_up(room, stride)
            } else {
                room / stride
            };
            if ceil && clipped && steps * stride >= input + self.begins[axis] {
                steps -= 1;
            }
            output.push(steps + 1);
        }
        self.output = extents(&output)?;
        Ok(())
    }

    /// What the tap at `kernel` meets for the output at `output`.
    pub(super) fn tap(&self, output: &[usize], kernel: &[usize]) -> Tap {
        let mut position = Vec::with_capacity(output.len());
        let mut padding = false;
        for axis in 0..output.len() {
            let at = output[axis] as i64 * self.strides[axis] - self.begins[axis]
                + kernel[axis] as i64 * self.dilations[axis];
            let extent = self.input[axis] as i64;
            if at >= extent + self.ends[axis].max(0) {
                return Tap::Beyond;
            }
            padding |= at < 0 || at >= extent;
            position.push(at.max(0) as usize);
        }
        if padding {
            Tap::Padding
        } else {
            Tap::Input(position)
        }
    }

    /// The input elements that the output at `output` reads: tap number and spatial offset.
    pub(super) fn reads(&self, output: &[usize]) -> Vec<(usize, usize)> {
        let mut reads = Vec::new();
        for (number, kernel) in positions(&self.kernel).enumerate() {
            if let Tap::Input(position) = self.tap(output, &kernel) {
                reads.push((number, super::axes::offset(&self.input, &position)));
            }
        }
        reads
    }
}

/// Pads of SAME_UPPER and SAME_LOWER: the odd one goes to the end or to the beginning.
pub(super) fn same_pads(auto_pad: &str, total: i64) -> Result<(i64, i64), String> {
    match auto_pad {
        "SAME_UPPER" => Ok((total / 2, total - total / 2)),
        "SAME_LOWER" => Ok((total - total / 2, total / 2)),
        other => Err(format!("auto_pad is `{other}`")),
    }
}

pub(super) fn divided_up(value: i64, by: i64) -> i64 {
    (value + by - 1).div_euclid(by)
}
