//! Operators that subtract a mean and divide by a deviation.

use super::axes::{around, axis, count, cut, extent, lines, offset, position, positions};
use super::call::{Call, Operator, require, same_as};
use super::elementwise::stretched;
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    Some(match op_type {
        "BatchNormalization" => batch_normalization,
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

/// Y = scale·(X − mean)/√(var + epsilon) + B, per channel.
///
/// Training takes mean and var from X: asked for by `is_test=0` up to opset 6, by a named
/// statistics output from 7 to 13, by `training_mode` from 14.
/// `spatial=0` (up to opset 8) has parameters for each activation.
/// A value of rank 1 has one channel (opset 9).
fn batch_normalization(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let spatial = call.opset >= 9 || call.flag("spatial", true);
    let (groups, extents) = statistics_groups(&x.shape, spatial);
    let parameter = |index: usize| {
        let tensor = call.input(index)?;
        require(tensor.data.len() == extents, || {
            format!(
                "input {index} of shape {:?} for {:?}",
                tensor.shape, x.shape
            )
        })?;
        Ok::<_, String>(tensor)
    };
    let (scale, bias) = (parameter(1)?, parameter(2)?);
    let (input_mean, input_var) = (parameter(3)?, parameter(4)?);
    let (mut mean, mut var) = (input_mean.data.clone(), input_var.data.clone());
    let training = match call.opset {
        ..7 => !call.flag("is_test", false),
        7..14 => (1..5).any(|index| call.wants_output(index)),
        14.. => call.flag("training_mode", false),
    };
    if training {
        (mean, var) = statistics(x, &groups, extents);
    }
    let epsilon = call.float("epsilon", 1e-5);
    let normalize = |(&element, &group): (&f64, &usize)| {
        (element - mean[group]) / (var[group] + epsilon).sqrt() * scale.data[group]
            + bias.data[group]
    };
    let y = same_as(x, x.data.iter().zip(&groups).map(normalize).collect());
    let mut outputs = vec![y];
    if training {
        let momentum = call.float("momentum", 0.9);
        let running = |old: &Tensor, new: &[f64]| {
            let mix = |(old, new): (&f64, &f64)| old * momentum + new * (1.0 - momentum);
            same_as(old, old.data.iter().zip(new).map(mix).collect())
        };
        outputs.push(running(input_mean, &mean));
        outputs.push(running(input_var, &var));
        if call.opset < 14 {
            outputs.push(same_as(input_mean, mean));
            outputs.push(same_as(input_var, var));
        }
    }
    Ok(outputs)
}

/// For each element the number of the group whose statistics it shares, and how many there are.
fn statistics_groups(shape: &[usize], spatial: bool) -> (Vec<usize>, usize) {
    if shape.len() < 2 {
        return (vec![0; count(shape)], 1);
    }
    let kept = if spatial { &shape[1..2] } else { &shape[1..] };
    let group = |position: Vec<usize>| offset(kept, &position[1..=kept.len()]);
    (positions(shape).map(group).collect(), count(kept))
}

/// Mean and population variance of each group.
fn statistics(x: &Tensor, groups: &[usize], extents: usize) -> (Vec<f64>, Vec<f64>) {
    let mean_of = |values: &mut dyn Iterator<Item = (f64, usize)>| {
        let (mut sums, mut counts) = (vec![0.0; extents], vec![0.0; extents]);
        for (value, group) in values {
            sums[group] += value;
            counts[group] += 1.0;
        }
        sums.iter()
            .zip(counts)
            .map(|(sum, count)| sum / count)
            .collect::<Vec<f64>>()
    };
    let elements = || x.data.iter().zip(groups);
    let mean = mean_of(&mut elements().map(|(&element, &group)| (element, group)));
    let square = |(&element, &group): (&f64, &usize)| ((element - mean[group]).powi(2), group);
    let var = mean_of(&mut elements().map(square));
    (mean, var)
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

    fn inputs(x: Tensor) -> [Tensor; 5] {
        let parameter = |element: f32| Tensor::floats(&[2], [element, 2.0 * element]);
        [
            x,
            parameter(3.0),
            parameter(1.0),
            parameter(0.5),
            parameter(4.0),
        ]
    }

    fn x() -> Tensor {
        Tensor::floats(&[1, 2, 2], [1.0, 3.0, 5.0, 9.0])
    }

    #[test]
    fn inference_uses_the_given_statistics() {
        let y = evaluate("BatchNormalization", 15, &inputs(x()), |node| {
            node.epsilon(0.0)
        })
        .unwrap();
        let deviation = 8f64.sqrt();
        let expected = [
            1.75,
            4.75,
            4.0 / deviation * 6.0 + 2.0,
            8.0 / deviation * 6.0 + 2.0,
        ];
        assert!(y[0].max_difference(&Tensor::doubles(&[1, 2, 2], expected)) < 1e-12);
    }

    #[test]
    fn each_opset_asks_for_training_in_its_own_way() {
        let of_the_batch = [-2.0, 4.0, -4.0, 8.0];
        let trains = |opset: i64, node: fn(crate::testing::Value) -> crate::testing::Value| {
            let found = evaluate("BatchNormalization", opset, &inputs(x()), |n| {
                node(n.epsilon(0.0))
            });
            let found = found.unwrap();
            found[0].max_difference(&Tensor::doubles(&[1, 2, 2], of_the_batch)) < 1e-12
        };
        assert!(trains(6, |node| node.attr("is_test", 0)));
        assert!(!trains(6, |node| node.attr("is_test", 1)));
        assert!(!trains(9, |node| node));
        assert!(trains(9, |node| node.outputs(5).remove(0)));
        assert!(trains(15, |node| node.attr("training_mode", 1)));
        assert!(!trains(15, |node| node.attr("training_mode", 0)));
    }

    #[test]
    fn running_statistics_mix_by_momentum() {
        let node = |node: crate::testing::Value| {
            node.attr("training_mode", 1)
                .attr("momentum", 0.5)
                .outputs(3)
                .remove(0)
        };
        let found = evaluate("BatchNormalization", 15, &inputs(x()), node).unwrap();
        assert_eq!(found[1].data, [1.25, 4.0]);
        assert_eq!(found[2].data, [2.5, 6.0]);
    }

    #[test]
    fn a_single_axis_has_one_channel() {
        let one = |element: f32| Tensor::floats(&[1], [element]);
        let x = Tensor::floats(&[3], [1.0, 2.0, 3.0]);
        let inputs = [x, one(2.0), one(1.0), one(2.0), one(1.0)];
        let y = evaluate("BatchNormalization", 9, &inputs, |node| node.epsilon(0.0)).unwrap();
        assert_eq!(y[0].data, [-1.0, 1.0, 3.0]);
    }

    #[test]
    fn spatial_0_has_parameters_for_each_activation() {
        let parameter = |elements: [f32; 2]| Tensor::floats(&[1, 2], elements);
        let inputs = [
            Tensor::floats(&[1, 1, 2], [1.0, 1.0]),
            parameter([1.0, 2.0]),
            parameter([0.0, 10.0]),
            parameter([0.0, 0.0]),
            parameter([1.0, 4.0]),
        ];
        let node = |node: crate::testing::Value| node.epsilon(0.0).attr("spatial", 0);
        let y = evaluate("BatchNormalization", 7, &inputs, node).unwrap();
        assert_eq!(y[0].data, [1.0, 11.0]);
    }

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
