//! Naive f64 references and data for the tests of this room.

use ndarray::{ArrayD, ArrayViewD, Dimension, IxDyn, ShapeBuilder};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::element::Element;
use super::parameters::Parameters;

pub(super) const EPSILON: f64 = 1e-5;

/// Normals around `mean`, rounded to `T`, the same for the same seed.
pub(super) fn normals<T: Element>(
    seed: u64,
    shape: &[usize],
    mean: f64,
    deviation: f64,
) -> ArrayD<T> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        let normal: f64 = StandardNormal.sample(&mut generator);
        T::from_f64(mean + deviation * normal)
    })
}

/// Random parameters whose values `T1` and `T2` hold exactly.
pub(super) fn parameters<T1: Element, T2: Element>(seed: u64, channels: usize) -> Parameters {
    let vector = |seed, mean| {
        normals::<T1>(seed, &[channels], mean, 0.7)
            .into_raw_vec_and_offset()
            .0
    };
    let mean = normals::<T2>(seed + 2, &[channels], 0.3, 1.0);
    let var =
        normals::<T2>(seed + 3, &[channels], 1.0, 0.5).mapv(|v| T2::from_f64(v.to_f64().abs()));
    Parameters::new(
        &vector(seed, 1.0),
        &vector(seed + 1, 0.0),
        mean.as_slice().unwrap(),
        var.as_slice().unwrap(),
    )
    .unwrap()
}

/// The channel of the element at `index`, by the standard's text.
pub(super) fn channel(index: &[usize], shape: &[usize], spatial: bool) -> usize {
    match index.len() {
        1 => 0,
        _ if spatial => index[1],
        _ => index[1..]
            .iter()
            .zip(&shape[1..])
            .fold(0, |flat, (i, n)| flat * n + i),
    }
}

/// The formula in f64, element by element in the order in which the standard writes it.
pub(super) fn naive<T: Element>(
    x: &ArrayViewD<'_, T>,
    parameters: &Parameters,
    epsilon: f64,
    spatial: bool,
) -> ArrayD<f64> {
    let shape = x.shape().to_vec();
    let mut y = ArrayD::zeros(x.raw_dim());
    for (index, value) in y.indexed_iter_mut() {
        let c = channel(index.slice(), &shape, spatial);
        let centred = x[&index].to_f64() - parameters.mean[c];
        let root = (parameters.var[c] + epsilon).sqrt();
        *value = centred / root * parameters.scale[c] + parameters.b[c];
    }
    y
}

/// The unit roundoff of `T`: 2⁻¹¹ for f16, 2⁻⁸ for bf16, 2⁻²⁴ for f32, 2⁻⁵³ for f64.
pub(super) fn unit<T: Element>() -> f64 {
    (1..60)
        .map(|bits| 0.5f64.powi(bits))
        .find(|&step| T::from_f64(1.0 + step).to_f64() == 1.0)
        .unwrap()
}

/// Mean and population variance per channel, in two plain passes with compensated sums.
pub(super) fn naive_moments<T: Element>(
    x: &ArrayViewD<'_, T>,
    channels: usize,
    spatial: bool,
) -> (Vec<f64>, Vec<f64>) {
    let of = |index: &IxDyn| channel(index.slice(), x.shape(), spatial);
    let count = (x.len() / channels) as f64;
    let mut mean = vec![Sum::default(); channels];
    for (index, value) in x.indexed_iter() {
        mean[of(&index)].add(value.to_f64());
    }
    let mean: Vec<f64> = mean.iter().map(|sum| sum.value() / count).collect();
    let mut sums = vec![[Sum::default(), Sum::default()]; channels];
    for (index, value) in x.indexed_iter() {
        let deviation = value.to_f64() - mean[of(&index)];
        let [first, second] = &mut sums[of(&index)];
        first.add(deviation);
        second.add(deviation * deviation);
    }
    // The mean itself is rounded, which is not to count as variance.
    let var = sums.iter().map(|[first, second]| {
        let rounding = first.value() / count;
        second.value() / count - rounding * rounding
    });
    let var = var.collect();
    (mean, var)
}

/// Neumaier's sum: as good as one in twice the precision.
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let (large, small) = if self.sum.abs() >= value.abs() {
            (self.sum, value)
        } else {
            (value, self.sum)
        };
        if sum.is_finite() {
            self.lost += (large - sum) + small;
        }
        self.sum = sum;
    }

    fn value(&self) -> f64 {
        self.sum + self.lost
    }
}

/// Asserts that both have the same bits.
pub(super) fn assert_same<T: Element>(left: &ArrayD<T>, right: &ArrayD<T>) {
    assert_eq!(left.shape(), right.shape());
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left.to_f64().to_bits(), right.to_f64().to_bits());
    }
}

/// Views of the same values in other memory orders.
pub(super) fn layouts<T: Element>(x: &ArrayD<T>) -> Vec<ArrayD<T>> {
    let fortran = {
        let mut y = ArrayD::from_elem(IxDyn(x.shape()).f(), T::default());
        y.assign(x);
        y
    };
    let channels_last = {
        let mut order: Vec<usize> = (0..x.ndim()).collect();
        order[1..].rotate_left(1);
        let mut back: Vec<usize> = (0..x.ndim()).collect();
        back[1..].rotate_right(1);
        x.view()
            .permuted_axes(order)
            .as_standard_layout()
            .into_owned()
            .permuted_axes(back)
    };
    vec![fortran, channels_last]
}

/// The smallest positive value of `T`.
pub(super) fn smallest<T: Element>() -> f64 {
    let powers = (1..1075).map(|bits| 2f64.powi(-bits));
    powers
        .take_while(|&power| T::from_f64(power).to_f64() > 0.0)
        .last()
        .unwrap()
}
