//! Pools over a sliding window and over all spatial axes.

use super::axes::{count, extents, offset, positions};
use super::call::{Call, Operator, require};
use super::window::{Tap, Window};
use crate::testing::element::is_float;
use crate::testing::{DataType, Tensor};

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    Some(match op_type {
        "MaxPool" => max_pool,
        "AveragePool" => average_pool,
        "LpPool" => lp_pool,
        "GlobalAveragePool" => |call| global(call, |x| x.iter().sum::<f64>() / x.len() as f64),
        "GlobalMaxPool" => {
            |call| global(call, |x| x.iter().copied().fold(f64::NEG_INFINITY, maximum))
        }
        "GlobalLpPool" => global_lp_pool,
        _ => return None,
    })
}

/// The greater of the two; NaN beats everything.
pub(super) fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

fn window(call: &Call<'_>) -> Result<Window, String> {
    let x = call.input(0)?;
    require(x.rank() >= 3, || format!("X {:?}", x.shape))?;
    let kernel = call.ints("kernel_shape").ok_or("kernel_shape is missing")?;
    Window::new(call, &x.shape[2..], extents(&kernel)?)
}

/// Applies `f` to what the window meets at each place: input elements and how many of the taps
/// met input or padding.
fn slide(
    x: &Tensor,
    window: &Window,
    f: impl Fn(&[f64], usize) -> f64,
) -> Result<Vec<Tensor>, String> {
    let (planes, pixels) = (count(&x.shape[..2]), count(&x.shape[2..]));
    let places = count(&window.output);
    let mut data = vec![0.0; planes * places];
    for (place, output) in positions(&window.output).enumerate() {
        let reads = window.reads(&output);
        let met = positions(&window.kernel)
            .filter(|kernel| !matches!(window.tap(&output, kernel), Tap::Beyond))
            .count();
        for plane in 0..planes {
            let elements: Vec<f64> = reads
                .iter()
                .map(|&(_, pixel)| x.data[plane * pixels + pixel])
                .collect();
            data[plane * places + place] = f(&elements, met);
        }
    }
    let shape = [&x.shape[..2], &window.output[..]].concat();
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape,
        data,
    }])
}

fn max_pool(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, window) = (call.input(0)?, window(call)?);
    let least = if is_float(x.dtype) {
        f64::NEG_INFINITY
    } else {
        lowest(x.dtype)
    };
    let mut outputs = slide(x, &window, |x, _| x.iter().copied().fold(least, maximum))?;
    if call.wants_output(1) {
        outputs.push(indices(x, &window, call.flag("storage_order", false)));
    }
    Ok(outputs)
}

fn lowest(dtype: DataType) -> f64 {
    if dtype == DataType::Int8 {
        f64::from(i8::MIN)
    } else {
        0.0
    }
}

/// Where in X each maximum stands, counted over the whole tensor; `storage_order=1` counts the
/// spatial axes with the first one fastest.
fn indices(x: &Tensor, window: &Window, first_fastest: bool) -> Tensor {
    let (planes, spatial) = (count(&x.shape[..2]), &x.shape[2..]);
    let (pixels, places) = (count(spatial), count(&window.output));
    let mut data = vec![0.0; planes * places];
    for (place, output) in positions(&window.output).enumerate() {
        let reads = window.reads(&output);
        for plane in 0..planes {
            let mut best: Option<(f64, usize)> = None;
            for &(_, pixel) in &reads {
                let element = x.data[plane * pixels + pixel];
                if best.is_none_or(|(greatest, _)| element > greatest) {
                    best = Some((element, pixel));
                }
            }
            let mut pixel = best.map_or(0, |(_, pixel)| pixel);
            if first_fastest {
                let backwards: Vec<usize> = spatial.iter().rev().copied().collect();
                let mut position = super::axes::position(spatial, pixel);
                position.reverse();
                pixel = offset(&backwards, &position);
            }
            data[plane * places + place] = (plane * pixels + pixel) as f64;
        }
    }
    let shape = [&x.shape[..2], &window.output[..]].concat();
    Tensor {
        dtype: DataType::Int64,
        shape,
        data,
    }
}

fn average_pool(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, window) = (call.input(0)?, window(call)?);
    let all = call.flag("count_include_pad", false);
    slide(x, &window, |elements, met| {
        elements.iter().sum::<f64>() / if all { met } else { elements.len() } as f64
    })
}

fn norm(elements: &[f64], p: f64) -> f64 {
    elements
        .iter()
        .map(|x| x.abs().powf(p))
        .sum::<f64>()
        .powf(1.0 / p)
}

/// `p` is a float in opset 1 and an integer since.
fn exponent(call: &Call<'_>) -> f64 {
    if call.opset < 2 {
        call.float("p", 2.0)
    } else {
        call.int("p", 2) as f64
    }
}

fn lp_pool(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let p = exponent(call);
    slide(call.input(0)?, &window(call)?, |elements, _| {
        norm(elements, p)
    })
}

fn global_lp_pool(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let p = exponent(call);
    global(call, |elements| norm(elements, p))
}

fn global(call: &Call<'_>, f: impl Fn(&[f64]) -> f64) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    require(x.rank() >= 2, || format!("X {:?}", x.shape))?;
    let pixels = count(&x.shape[2..]);
    require(pixels > 0, || format!("X {:?} is empty", x.shape))?;
    let mut shape = x.shape.clone();
    shape[2..].fill(1);
    let data = x.data.chunks(pixels).map(f).collect();
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape,
        data,
    }])
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;

    fn x() -> Tensor {
        Tensor::floats(&[1, 1, 4], [1.0, 2.0, 3.0, 4.0])
    }

    #[test]
    fn an_average_counts_padding_only_if_asked_to() {
        let run = |all: i64| {
            let node = |node: crate::testing::Value| {
                node.kernel([3]).pads([1, 1]).attr("count_include_pad", all)
            };
            evaluate("AveragePool", 11, &[x()], node).unwrap()[0]
                .data
                .clone()
        };
        assert_eq!(run(0), [1.5, 2.0, 3.0, 3.5]);
        assert_eq!(run(1), [1.0, 2.0, 3.0, 7.0 / 3.0]);
    }

    #[test]
    fn ceil_mode_never_counts_what_lies_beyond_the_padding() {
        let node = |node: crate::testing::Value| {
            node.kernel([3])
                .strides([2])
                .attr("ceil_mode", 1)
                .attr("count_include_pad", 1)
        };
        let y = evaluate("AveragePool", 11, &[x()], node).unwrap();
        assert_eq!(y[0].data, [2.0, 3.5]);
    }

    #[test]
    fn a_window_in_the_end_padding_is_dropped_since_opset_22() {
        let node = |node: crate::testing::Value| {
            node.kernel([1])
                .strides([3])
                .pads([0, 3])
                .attr("ceil_mode", 1)
        };
        let old = evaluate("MaxPool", 12, &[x()], node).unwrap();
        assert_eq!(old[0].data, [1.0, 4.0, f64::NEG_INFINITY]);
        let new = evaluate("MaxPool", 22, &[x()], node).unwrap();
        assert_eq!(new[0].data, [1.0, 4.0]);
    }

    #[test]
    fn indices_count_over_the_whole_value() {
        let x = Tensor::floats(&[1, 2, 2, 2], [4.0, 3.0, 2.0, 1.0, 1.0, 5.0, 3.0, 4.0]);
        let run = |order: i64| {
            let node = |node: crate::testing::Value| {
                node.kernel([2, 2])
                    .attr("storage_order", order)
                    .outputs(2)
                    .remove(0)
            };
            evaluate("MaxPool", 12, [x.clone()], node).unwrap()[1]
                .data
                .clone()
        };
        assert_eq!(run(0), [0.0, 5.0]);
        assert_eq!(run(1), [0.0, 6.0]);
    }
}
