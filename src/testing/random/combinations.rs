//! Operators over several live values.

use super::generator::{Draw, Generator};
use super::live::Live;
use crate::testing::Value;

pub(super) const DRAWS: &[(u32, Draw)] = &[
    (8, binary),
    (4, variadic),
    (5, concat),
    (2, product),
    (2, gated),
];

impl Generator<'_> {
    /// Another live value that the test holds for.
    fn partner(&mut self, fits: impl Fn(&Live) -> bool) -> Option<Live> {
        let fitting: Vec<usize> = (0..self.live.len())
            .filter(|&at| fits(&self.live[at]))
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let at = *self.pick(&fitting);
        Some(self.live[at].clone())
    }
}

fn broadcasts(a: &[usize], b: &[usize]) -> bool {
    a.iter()
        .rev()
        .zip(b.iter().rev())
        .all(|(a, b)| a == b || *a == 1 || *b == 1)
}

fn binary(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let same = generator.chance(0.8);
    let other = generator.partner(|other| {
        if same {
            other.shape() == x.shape()
        } else {
            broadcasts(other.shape(), x.shape())
        }
    })?;
    let op_type = *generator.pick(&["Add", "Add", "Add", "Sub", "Mul"]);
    Some(vec![generator.graph.op(op_type, &[&x.value, &other.value])])
}

fn variadic(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let second = generator.partner(|other| other.shape() == x.shape())?;
    let third = generator.partner(|other| other.shape() == x.shape())?;
    let op_type = *generator.pick(&["Sum", "Sum", "Sum", "Mean", "Max", "Min"]);
    Some(vec![
        generator
            .graph
            .op(op_type, &[&x.value, &second.value, &third.value]),
    ])
}

fn concat(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if x.rank() == 0 {
        return None;
    }
    let axis = if x.rank() > 1 && generator.chance(0.7) {
        1
    } else {
        generator.random_below(x.rank())
    };
    let other = generator.partner(|other| {
        other.rank() == x.rank()
            && (0..x.rank()).all(|at| at == axis || other.shape()[at] == x.shape()[at])
    })?;
    let negative = generator.chance(0.2);
    let axis = if negative && generator.opset >= 11 {
        axis as i64 - x.rank() as i64
    } else {
        axis as i64
    };
    Some(vec![x.value.concat(&[&other.value], axis)])
}

/// A product of two live values, tamed.
fn product(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let inner = *x.shape().last()?;
    let other = generator.partner(|other| {
        other.rank() == x.rank()
            && x.rank() >= 2
            && other.shape()[x.rank() - 2] == inner
            && other.shape()[..x.rank() - 2] == x.shape()[..x.rank() - 2]
    })?;
    let factor = generator.scalar(1.0 / (inner as f64).sqrt());
    Some(vec![x.value.matmul_by(&other.value).mul(factor)])
}

/// Squeeze and excitation: a gate for each channel, computed from the value.
fn gated(_: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let spatial = x.spatial().len();
    if spatial == 0 {
        return None;
    }
    let kernel = vec![1; spatial];
    let squeezed = x.value.global_average_pool().conv(3).kernel(&kernel).relu();
    let gate = squeezed.conv(x.channels()).kernel(&kernel).bias().sigmoid();
    Some(vec![x.value.mul(gate)])
}
