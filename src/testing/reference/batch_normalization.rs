//! BatchNormalization of every opset, in inference and in training.

use super::axes::{count, offset, positions};
use super::call::{Call, Operator, require, same_as};
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    (op_type == "BatchNormalization").then_some(batch_normalization as Operator)
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
        let y = evaluate("BatchNormalization", 15, inputs(x()), |node| {
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
            let found = evaluate("BatchNormalization", opset, inputs(x()), |n| {
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
        let found = evaluate("BatchNormalization", 15, inputs(x()), node).unwrap();
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
}
