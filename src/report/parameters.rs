//! What a BatchNormalization's parameters are like: ranges over its channels, and channels that stand out.
//!
//! `s = scale/√(var + ε)`, `t = B − mean·s`, in float64.
//! Only constant parameters are looked at.

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, NodeId};
use crate::verify::number;

/// How many bars a [`Parameters::histogram`] has.
pub const BINS: usize = 24;

/// A BatchNormalization's parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Parameters {
    /// Elements of each parameter.
    pub channels: usize,
    /// ε.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub epsilon: f64,
    /// s.
    pub scale: Range,
    /// t.
    pub shift: Range,
    /// The stored mean.
    pub mean: Range,
    /// The stored variance.
    pub var: Range,
    /// The largest magnitude among all four parameters, s and t.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub largest: f64,
    /// The largest |s| in units of the median of those that are not zero; 1 if all are.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub spread: f64,
    /// How many channels have their s in each of [`BINS`] equal parts of the range of s.
    pub histogram: Vec<usize>,
    /// Channels with s = 0, which give the same number for every input.
    pub dead: Vec<usize>,
    /// Channels with a negative variance.
    pub negative_var: Vec<usize>,
    /// Channels with a parameter, s or t that is NaN or infinite.
    pub not_finite: Vec<usize>,
}

/// The least and the greatest of some numbers; both NaN if one of them is, or there are none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Range {
    /// The least.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub min: f64,
    /// The greatest.
    #[serde(with = "number")]
    #[cfg_attr(test, schemars(with = "number::Number"))]
    pub max: f64,
}

impl Range {
    fn of(numbers: &[f64]) -> Range {
        if numbers.is_empty() || numbers.iter().any(|number| number.is_nan()) {
            return Range {
                min: f64::NAN,
                max: f64::NAN,
            };
        }
        Range {
            min: numbers.iter().copied().fold(f64::INFINITY, f64::min),
            max: numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl Parameters {
    /// The parameters of a node; `None` if they are not constant, or not of one length.
    pub(super) fn read(graph: &Graph<'_>, node: NodeId) -> Option<Parameters> {
        let epsilon = f64::from(graph.node(node).float("epsilon", 1e-5).ok()?);
        let parameter = |slot: usize| {
            let array = graph.floats(graph.input(node, slot)?).ok()?;
            Some(array.iter().copied().collect::<Vec<f64>>())
        };
        let parameters = [parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?];
        Parameters::of(&parameters, epsilon)
    }

    /// From scale, B, mean and var.
    fn of(parameters: &[Vec<f64>; 4], epsilon: f64) -> Option<Parameters> {
        let [scale, b, mean, var] = parameters;
        let channels = scale.len();
        if parameters.iter().any(|other| other.len() != channels) {
            return None;
        }
        let scales: Vec<f64> = scale
            .iter()
            .zip(var)
            .map(|(scale, var)| scale / (var + epsilon).sqrt())
            .collect();
        let shifts: Vec<f64> = (0..channels)
            .map(|channel| b[channel] - mean[channel] * scales[channel])
            .collect();
        let all = || parameters.iter().chain([&scales, &shifts]);
        let largest = all().flatten().map(|x| x.abs()).fold(0.0, f64::max);
        let such = |is: &dyn Fn(usize) -> bool| (0..channels).filter(|&at| is(at)).collect();
        Some(Parameters {
            channels,
            epsilon,
            scale: Range::of(&scales),
            shift: Range::of(&shifts),
            mean: Range::of(mean),
            var: Range::of(var),
            largest,
            spread: spread(&scales),
            histogram: histogram(&scales),
            dead: such(&|at| scales[at] == 0.0),
            negative_var: such(&|at| var[at] < 0.0),
            not_finite: such(&|at| all().any(|numbers| !numbers[at].is_finite())),
        })
    }
}

fn spread(scales: &[f64]) -> f64 {
    let mut magnitudes: Vec<f64> = scales.iter().map(|scale| scale.abs()).collect();
    magnitudes.retain(|&magnitude| magnitude > 0.0 && magnitude.is_finite());
    magnitudes.sort_by(f64::total_cmp);
    match magnitudes.last() {
        Some(largest) => largest / magnitudes[magnitudes.len() / 2],
        None => 1.0,
    }
}

fn histogram(scales: &[f64]) -> Vec<usize> {
    let mut bins = vec![0; BINS];
    let finite: Vec<f64> = scales.iter().copied().filter(|s| s.is_finite()).collect();
    let Range { min, max } = Range::of(&finite);
    for scale in finite {
        let place = ((scale - min) / (max - min) * BINS as f64) as usize;
        bins[place.min(BINS - 1)] += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scale: &[f64], var: &[f64]) -> Parameters {
        let zero = vec![0.0; scale.len()];
        Parameters::of(&[scale.to_vec(), zero.clone(), zero, var.to_vec()], 0.0).unwrap()
    }

    #[test]
    fn ranges_are_those_of_the_affine() {
        let parameters = [
            vec![2.0, -6.0],
            vec![1.0, 0.0],
            vec![3.0, -1.0],
            vec![4.0, 9.0],
        ];
        let found = Parameters::of(&parameters, 0.0).unwrap();
        assert_eq!(
            found.scale,
            Range {
                min: -2.0,
                max: 1.0
            }
        );
        assert_eq!(
            found.shift,
            Range {
                min: -2.0,
                max: -2.0
            }
        );
        assert_eq!((found.largest, found.spread), (9.0, 1.0));
    }

    #[test]
    fn channels_that_stand_out_are_named() {
        let found = of(&[1.0, 0.0, 1.0, 1.0, f64::NAN], &[1.0, 1.0, -1.0, 0.0, 1.0]);
        assert_eq!(found.dead, [1]);
        assert_eq!(found.negative_var, [2]);
        assert_eq!(found.not_finite, [2, 3, 4]);
        assert!(found.scale.min.is_nan());
    }

    #[test]
    fn every_finite_channel_is_in_the_histogram() {
        let scales: Vec<f64> = (0..100).map(f64::from).collect();
        let found = of(&scales, &vec![1.0; 100]);
        assert_eq!(found.histogram.iter().sum::<usize>(), 100);
        assert!(found.histogram.iter().all(|&count| count >= 4));
        assert_eq!(of(&[2.0; 3], &[1.0; 3]).histogram.iter().sum::<usize>(), 3);
    }

    #[test]
    fn one_channel_far_above_the_others_is_a_spread() {
        assert_eq!(
            of(&[1.0, 0.0, -2.0, 1.0, 64.0], &[1.0; 5]).spread,
            64.0 / 2.0
        );
        assert_eq!(of(&[0.0], &[1.0]).spread, 1.0);
    }
}
