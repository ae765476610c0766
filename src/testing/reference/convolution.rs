//! Conv and ConvTranspose, over any number of spatial axes.
//!
//! Conv: Y[n, m, o] = B[m] + Σ W[m, c, k] · X[n, g·C/G + c, o·stride − pad + k·dilation], where m
//! lies in group g.
//! ConvTranspose: Y[n, g·M/G + m, i·stride − pad + k·dilation] += W[c, m, k] · X[n, c, i], where c
//! lies in group g.

use super::axes::{count, extent, extents, offset, positions};
use super::call::{Call, Operator, require};
use super::window::{Window, same_pads};
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    match op_type {
        "Conv" => Some(convolve),
        "ConvTranspose" => Some(convolve_transposed),
        _ => None,
    }
}

fn convolve(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, w) = operands(call)?;
    let (batch, channels, outputs) = (x.shape[0], x.shape[1], w.shape[0]);
    let group = extent(call.int("group", 1))?;
    let per_group = w.shape[1];
    require(
        group > 0 && per_group * group == channels && outputs % group == 0,
        || {
            format!(
                "{channels} channels, {outputs} outputs, group {group}, W {:?}",
                w.shape
            )
        },
    )?;
    kernel_matches(call, &w.shape[2..])?;
    let bias = bias(call, outputs)?;
    let window = Window::new(call, &x.shape[2..], w.shape[2..].to_vec())?;
    let taps = count(&window.kernel);
    let pixels = count(&x.shape[2..]);
    let places = count(&window.output);
    let mut data = vec![0.0; batch * outputs * places];
    for (place, output) in positions(&window.output).enumerate() {
        let reads = window.reads(&output);
        for n in 0..batch {
            for m in 0..outputs {
                let first = m / (outputs / group) * per_group;
                let mut sum = bias[m];
                for c in 0..per_group {
                    let plane = (n * channels + first + c) * pixels;
                    let weights = (m * per_group + c) * taps;
                    for &(tap, pixel) in &reads {
                        sum += w.data[weights + tap] * x.data[plane + pixel];
                    }
                }
                data[(n * outputs + m) * places + place] = sum;
            }
        }
    }
    let mut shape = vec![batch, outputs];
    shape.extend(&window.output);
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape,
        data,
    }])
}

fn convolve_transposed(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, w) = operands(call)?;
    let (batch, channels) = (x.shape[0], x.shape[1]);
    let group = extent(call.int("group", 1))?;
    require(
        group > 0 && w.shape[0] == channels && channels % group == 0,
        || format!("{channels} channels, group {group}, W {:?}", w.shape),
    )?;
    kernel_matches(call, &w.shape[2..])?;
    let per_group = w.shape[1];
    let outputs = per_group * group;
    let bias = bias(call, outputs)?;
    let geometry = Spread::new(call, &x.shape[2..], &w.shape[2..])?;
    let mut shape = vec![batch, outputs];
    shape.extend(&geometry.output);
    let mut data: Vec<f64> = positions(&shape)
        .map(|position| bias[position[1]])
        .collect();
    for from in positions(&x.shape) {
        let element = x.data[offset(&x.shape, &from)];
        let first = from[1] / (channels / group) * per_group;
        for tap in positions(&w.shape[2..]) {
            let Some(spatial) = geometry.target(&from[2..], &tap) else {
                continue;
            };
            for m in 0..per_group {
                let weight = [&[from[1], m], &tap[..]].concat();
                let to = [&[from[0], first + m], &spatial[..]].concat();
                data[offset(&shape, &to)] += w.data[offset(&w.shape, &weight)] * element;
            }
        }
    }
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape,
        data,
    }])
}

fn operands<'a>(call: &Call<'a>) -> Result<(&'a Tensor, &'a Tensor), String> {
    let (x, w) = (call.input(0)?, call.input(1)?);
    require(x.rank() >= 3 && x.rank() == w.rank(), || {
        format!("X {:?} and W {:?}", x.shape, w.shape)
    })?;
    Ok((x, w))
}

fn kernel_matches(call: &Call<'_>, spatial: &[usize]) -> Result<(), String> {
    let Some(kernel) = call.ints("kernel_shape") else {
        return Ok(());
    };
    require(extents(&kernel)? == spatial, || {
        format!("kernel_shape {kernel:?}, W {spatial:?}")
    })
}

fn bias(call: &Call<'_>, outputs: usize) -> Result<Vec<f64>, String> {
    let Some(bias) = call.optional(2) else {
        return Ok(vec![0.0; outputs]);
    };
    require(bias.shape == [outputs], || {
        format!("B {:?} for {outputs} outputs", bias.shape)
    })?;
    Ok(bias.data.clone())
}

/// Where ConvTranspose puts things.
struct Spread {
    output: Vec<usize>,
    begins: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
}

impl Spread {
    fn new(call: &Call<'_>, input: &[usize], kernel: &[usize]) -> Result<Spread, String> {
        let rank = input.len();
        let ints = |name: &str, default: Vec<i64>| {
            let given = call.ints(name).unwrap_or_else(|| default.clone());
            require(given.len() == default.len(), || format!("{name} {given:?}"))?;
            Ok::<_, String>(given)
        };
        let strides = ints("strides", vec![1; rank])?;
        let dilations = ints("dilations", vec![1; rank])?;
        let output_padding = ints("output_padding", vec![0; rank])?;
        let pads = ints("pads", vec![0; 2 * rank])?;
        let auto_pad = call.string("auto_pad", "NOTSET")?;
        let wanted = call.ints("output_shape");
        let (mut output, mut begins) = (Vec::new(), Vec::new());
        for axis in 0..rank {
            let (extent, stride) = (input[axis] as i64, strides[axis]);
            let span = (kernel[axis] as i64 - 1) * dilations[axis] + 1;
            let full = stride * (extent - 1) + output_padding[axis] + span;
            let target = match (&wanted, auto_pad.as_str()) {
                (Some(wanted), _) => Some(wanted[wanted.len() - rank + axis]),
                (None, "SAME_UPPER" | "SAME_LOWER") => Some(extent * stride),
                (None, _) => None,
            };
            // With output_shape the odd pad goes to the end for SAME_UPPER and to the beginning
            // otherwise (ConvTranspose, opset 11).
            let (begin, end) = match target {
                Some(target) => {
                    let side = if auto_pad == "SAME_UPPER" {
                        "SAME_UPPER"
                    } else {
                        "SAME_LOWER"
                    };
                    same_pads(side, (full - target).max(0))?
                }
                None if auto_pad == "VALID" => (0, 0),
                None => (pads[axis], pads[rank + axis]),
            };
            output.push(target.unwrap_or(full - begin - end));
            begins.push(begin);
        }
        Ok(Spread {
            output: extents(&output)?,
            begins,
            strides,
            dilations,
        })
    }

    /// The output position that the tap writes for the input at `from`, unless it is cut off.
    fn target(&self, from: &[usize], tap: &[usize]) -> Option<Vec<usize>> {
        let along = |axis: usize| {
            let at = from[axis] as i64 * self.strides[axis] - self.begins[axis]
                + tap[axis] as i64 * self.dilations[axis];
            usize::try_from(at)
                .ok()
                .filter(|&at| at < self.output[axis])
        };
        (0..from.len()).map(along).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;

    fn ones(shape: &[usize]) -> Tensor {
        Tensor::floats(shape, vec![1.0; count(shape)])
    }

    #[test]
    fn same_lower_puts_the_odd_pad_first() {
        let x = Tensor::floats(&[1, 1, 3], [1.0, 2.0, 3.0]);
        let w = Tensor::floats(&[1, 1, 2], [10.0, 1.0]);
        let run = |mode: &str| {
            evaluate("Conv", 11, &[x.clone(), w.clone()], |node| {
                node.auto_pad(mode)
            })
            .unwrap()
        };
        assert_eq!(run("SAME_LOWER")[0].data, [1.0, 12.0, 23.0]);
        assert_eq!(run("SAME_UPPER")[0].data, [12.0, 23.0, 30.0]);
        assert_eq!(run("VALID")[0].data, [12.0, 23.0]);
    }

    #[test]
    fn groups_see_their_own_channels() {
        let x = Tensor::floats(&[1, 4, 1], [1.0, 2.0, 3.0, 4.0]);
        let w = Tensor::floats(&[2, 2, 1], [1.0, 10.0, 1.0, 10.0]);
        let b = Tensor::floats(&[2], [100.0, 200.0]);
        let y = evaluate("Conv", 11, &[x, w, b], |node| node.group(2)).unwrap();
        assert_eq!(y[0].data, [121.0, 243.0]);
    }

    #[test]
    fn transposed_groups_write_their_own_outputs() {
        let x = Tensor::floats(&[1, 2, 1], [1.0, 2.0]);
        let w = Tensor::floats(&[2, 2, 1], [1.0, 10.0, 100.0, 1000.0]);
        let y = evaluate("ConvTranspose", 11, &[x, w], |node| node.group(2)).unwrap();
        assert_eq!(
            (&*y[0].shape, &*y[0].data),
            (&[1, 4, 1][..], &[1.0, 10.0, 200.0, 2000.0][..])
        );
    }

    #[test]
    fn an_odd_pad_for_output_shape_is_cut_at_the_beginning() {
        let inputs = [
            ones(&[1, 1, 2]),
            Tensor::floats(&[1, 1, 3], [1.0, 2.0, 3.0]),
        ];
        let full = evaluate("ConvTranspose", 11, &inputs, |node| node.strides([2])).unwrap();
        assert_eq!(full[0].data, [1.0, 2.0, 4.0, 2.0, 3.0]);
        let wanted = |mode: &str| {
            let node = |node: crate::testing::Value| {
                node.strides([2]).attr("output_shape", [4]).auto_pad(mode)
            };
            evaluate("ConvTranspose", 11, &inputs, node).unwrap()[0]
                .data
                .clone()
        };
        assert_eq!(wanted("NOTSET"), [2.0, 4.0, 2.0, 3.0]);
        assert_eq!(wanted("SAME_UPPER"), [1.0, 2.0, 4.0, 2.0]);
    }

    #[test]
    fn a_wrong_weight_is_an_error() {
        assert!(
            evaluate("Conv", 11, &[ones(&[1, 3, 4]), ones(&[2, 2, 1])], |node| {
                node
            })
            .is_err()
        );
        assert!(evaluate("Conv", 11, &[ones(&[1, 2]), ones(&[2, 2])], |node| node).is_err());
    }
}
