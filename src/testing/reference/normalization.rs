//! Operators that subtract a mean and divide by a deviation.

use super::axes::{around, axis, count, cut, extent, lines, offset, position, positions};
use super::call::{Call, Operator, require, same_as};
use super::elementwise::stretched;
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    Some(match op_type {
        "InstanceNormalization" => instance_normalization,
        "GroupNormalization" => group_normalization,
        "LayerNormalization" => layer_normalization,
        "RMSNormalization" => rms_normalization,
        "MeanVarianceNormalization" => mean_variance_normalization,
        "LpNormalization" => lp_normalization,
        "LRN" => local_response_normalization,
        _ => return None,
    })
}

/// Each line of elements minus its mean, over √(variance + epsilon).
fn standardize(x: &Tensor, lines: &[Vec<usize>], epsilon: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut data = vec![0.0; x.data.len()];
    let (mut means, mut inverses) = (Vec::new(), Vec::new());
    for line in lines {
        let length = line.len() as f64;
        let mean = line.iter().map(|&at| x.data[at]).sum::<f64>() / length;
        let var = line
            .iter()
            .map(|&at| (x.data[at] - mean).powi(2))
            .sum::<f64>()
            / length;
        let inverse = 1.0 / (var + epsilon).sqrt();
        for &at in line {
            data[at] = (x.data[at] - mean) * inverse;
        }
        means.push(mean);
        inverses.push(inverse);
    }
    (data, means, inverses)
}

fn instance_normalization(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, scale, bias) = (call.input(0)?, call.input(1)?, call.input(2)?);
    require(x.rank() >= 2, || format!("X {:?}", x.shape))?;
    let channels = x.shape[1];
    require(
        scale.shape == [channels] && bias.shape == [channels],
        || {
            format!(
                "scale {:?}, B {:?} for X {:?}",
                scale.shape, bias.shape, x.shape
            )
        },
    )?;
    let lines = lines(&[count(&x.shape[..2]), count(&x.shape[2..])], 1);
    let (data, ..) = standardize(x, &lines, call.float("epsilon", 1e-5));
    let scaled = |(at, element): (usize, f64)| {
        let channel = position(&x.shape, at)[1];
        element * scale.data[channel] + bias.data[channel]
    };
    Ok(vec![same_as(
        x,
        data.into_iter().enumerate().map(scaled).collect(),
    )])
}

/// Opset 18 has a scale for each group, opset 21 for each channel.
fn group_normalization(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, scale, bias) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let groups = extent(call.int("num_groups", 0))?;
    require(
        x.rank() >= 2 && groups > 0 && x.shape[1].is_multiple_of(groups),
        || format!("{groups} groups of X {:?}", x.shape),
    )?;
    let channels = x.shape[1];
    let parameters = if call.opset < 21 { groups } else { channels };
    require(
        scale.shape == [parameters] && bias.shape == [parameters],
        || {
            format!(
                "scale {:?}, bias {:?} for X {:?}",
                scale.shape, bias.shape, x.shape
            )
        },
    )?;
    let lines = lines(&[x.shape[0] * groups, count(&x.shape[1..]) / groups], 1);
    let (data, ..) = standardize(x, &lines, call.float("epsilon", 1e-5));
    let scaled = |(at, element): (usize, f64)| {
        let parameter = position(&x.shape, at)[1] / (channels / parameters);
        element * scale.data[parameter] + bias.data[parameter]
    };
    Ok(vec![same_as(
        x,
        data.into_iter().enumerate().map(scaled).collect(),
    )])
}

fn layer_normalization(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let at = cut(call.int("axis", -1), x.rank())?;
    let (outer, inner) = (count(&x.shape[..at]), count(&x.shape[at..]));
    let lines = lines(&[outer, inner], 1);
    let (data, means, inverses) = standardize(x, &lines, call.float("epsilon", 1e-5));
    let y = scaled_and_shifted(call, same_as(x, data))?;
    let mut shape = x.shape.clone();
    shape[at..].fill(1);
    let dtype = call
        .dtype("stash_type")?
        .unwrap_or(crate::testing::DataType::Float);
    let side = |data| Tensor {
        dtype,
        shape: shape.clone(),
        data,
    };
    Ok(vec![y, side(means), side(inverses)])
}

fn rms_normalization(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let at = cut(call.int("axis", -1), x.rank())?;
    let epsilon = call.float("epsilon", 1e-5);
    let mut data = vec![0.0; x.data.len()];
    for line in lines(&[count(&x.shape[..at]), count(&x.shape[at..])], 1) {
        let squares: f64 = line.iter().map(|&at| x.data[at].powi(2)).sum();
        let root = (squares / line.len() as f64 + epsilon).sqrt();
        for at in line {
            data[at] = x.data[at] / root;
        }
    }
    Ok(vec![scaled_and_shifted(call, same_as(x, data))?])
}

/// Times input 1, plus input 2 if it is there, both stretched.
fn scaled_and_shifted(call: &Call<'_>, x: Tensor) -> Result<Tensor, String> {
    let (scale, bias) = (call.input(1)?, call.optional(2));
    let fits = |tensor: &Tensor| {
        super::elementwise::broadcast_shape(&[&tensor.shape, &x.shape]).is_ok_and(|s| s == x.shape)
    };
    require(fits(scale) && bias.is_none_or(fits), || {
        format!("scale {:?}", scale.shape)
    })?;
    let scaled = |(position, element): (Vec<usize>, &f64)| {
        element * stretched(scale, &position) + bias.map_or(0.0, |bias| stretched(bias, &position))
    };
    let data = positions(&x.shape).zip(&x.data).map(scaled).collect();
    Ok(Tensor { data, ..x })
}

fn mean_variance_normalization(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let given = call.ints("axes").unwrap_or_else(|| vec![0, 2, 3]);
    let reduced = super::axes::axes(&given, x.rank())?;
    let kept: Vec<usize> = (0..x.rank())
        .filter(|axis| !reduced.contains(axis))
        .collect();
    let kept_shape: Vec<usize> = kept.iter().map(|&axis| x.shape[axis]).collect();
    let mut lines = vec![Vec::new(); count(&kept_shape)];
    for (at, position) in positions(&x.shape).enumerate() {
        let group: Vec<usize> = kept.iter().map(|&axis| position[axis]).collect();
        lines[offset(&kept_shape, &group)].push(at);
    }
    let mut data = vec![0.0; x.data.len()];
    for line in lines {
        let length = line.len() as f64;
        let mean = line.iter().map(|&at| x.data[at]).sum::<f64>() / length;
        let var = line
            .iter()
            .map(|&at| (x.data[at] - mean).powi(2))
            .sum::<f64>()
            / length;
        for at in line {
            data[at] = (x.data[at] - mean) / (var.sqrt() + 1e-9);
        }
    }
    Ok(vec![same_as(x, data)])
}

fn lp_normalization(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let (at, p) = (axis(call.int("axis", -1), x.rank())?, call.int("p", 2));
    let mut data = vec![0.0; x.data.len()];
    for line in lines(&x.shape, at) {
        let norm = match p {
            1 => line.iter().map(|&at| x.data[at].abs()).sum::<f64>(),
            _ => line
                .iter()
                .map(|&at| x.data[at].powi(2))
                .sum::<f64>()
                .sqrt(),
        };
        for at in line {
            data[at] = if norm == 0.0 { 0.0 } else { x.data[at] / norm };
        }
    }
    Ok(vec![same_as(x, data)])
}

/// Y = X / (bias + alpha/size · Σ X²)^beta over channels from c − ⌊(size−1)/2⌋ to c + ⌈(size−1)/2⌉.
fn local_response_normalization(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    require(x.rank() >= 2, || format!("X {:?}", x.shape))?;
    let size = extent(call.int("size", 1))?.max(1);
    let (alpha, beta) = (call.float("alpha", 1e-4), call.float("beta", 0.75));
    let bias = call.float("bias", 1.0);
    let (_, channels, inner) = around(&x.shape, 1);
    let below = (size - 1) / 2;
    let above = size - 1 - below;
    let normalized = |(at, element): (usize, &f64)| {
        let channel = at / inner % channels;
        let first = at - channel * inner;
        let reach = channel.saturating_sub(below)..=(channel + above).min(channels - 1);
        let squares: f64 = reach.map(|c| x.data[first + c * inner].powi(2)).sum();
        element / (bias + alpha / size as f64 * squares).powf(beta)
    };
    Ok(vec![same_as(
        x,
        x.data.iter().enumerate().map(normalized).collect(),
    )])
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;

    #[test]
    fn group_parameters_are_per_group_and_then_per_channel() {
        let x = Tensor::floats(&[1, 4, 1], [-1.0, 1.0, -1.0, 1.0]);
        let run = |opset: i64, count: usize| {
            let scale = Tensor::floats(&[count], (1..=count).map(|x| x as f32));
            let bias = Tensor::floats(&[count], vec![0.0; count]);
            let node = |node: crate::testing::Value| node.attr("num_groups", 2).epsilon(0.0);
            evaluate("GroupNormalization", opset, &[x.clone(), scale, bias], node)
        };
        assert_eq!(run(18, 2).unwrap()[0].data, [-1.0, 1.0, -2.0, 2.0]);
        assert_eq!(run(21, 4).unwrap()[0].data, [-1.0, 2.0, -3.0, 4.0]);
        assert!(run(18, 4).is_err() && run(21, 2).is_err());
    }
}
