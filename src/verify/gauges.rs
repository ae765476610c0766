//! How far two models' runs are from the truth, and what is allowed.
//!
//! The floor counts roundings of the largest magnitude, so channels of very different sizes (boxes in
//! pixels beside scores) are measured in [`Bands`] of their own too: else the large ones excuse any
//! error of the small.

use super::figures::{Gauge, Worst};
use super::slices::axes;
use crate::engine::{ElementType, Precision};

/// How many times the floor float64 outputs have: their truth rounds as they do, so the original shows no error.
const OF_DOUBLES: f64 = 32.0;
/// Powers of two by which the largest magnitudes of two bands' channels are apart.
const APART: u64 = 10;
/// Fewest elements of a channel in one run that tell its size from chance.
const FEW: usize = 16;

/// The runs of one sample, as elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'a> {
    pub(super) truth: &'a [f64],
    pub(super) original: &'a [f64],
    pub(super) rewritten: &'a [f64],
    /// The rewritten model in float64.
    pub(super) rewrite: &'a [f64],
    pub(super) sample: usize,
}

/// Distances from the truth in float64.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    /// Of the original in its own types.
    pub(super) original: Gauge,
    /// Of the rewritten model in its own types.
    pub(super) rewritten: Gauge,
    /// Of the rewritten model in float64.
    pub(super) rewrite: Gauge,
    /// Of the original in float64 with perturbed weights.
    pub(super) noise: Gauge,
}

impl Gauges {
    pub(super) fn add(
        &mut self,
        runs: Elements<'_>,
        element: ElementType,
        is_of_it: impl Fn(usize) -> bool,
    ) {
        let pairs = [
            (&mut self.original, runs.original),
            (&mut self.rewritten, runs.rewritten),
            (&mut self.rewrite, runs.rewrite),
        ];
        for (gauge, values) in pairs {
            gauge.add_where(runs.truth, values, element, runs.sample, &is_of_it);
        }
    }

    /// The element by which a run exceeds what is accepted of it, and what that is.
    pub(super) fn excess(&self, element: ElementType, k: f64, floor: f64) -> Option<(Worst, f64)> {
        let sharp = (&self.rewrite, self.allowed_rewrite(element, k, floor));
        let plain = (&self.rewritten, self.allowed(element, k, floor));
        let exceeds = |(gauge, (most, rms)): &(&Gauge, (f64, f64))| {
            gauge.max_abs > *most || gauge.rms() > *rms
        };
        let (gauge, (allowed, _)) = [sharp, plain].into_iter().find(exceeds)?;
        Some((gauge.worst?, allowed))
    }

    /// (largest, root mean square) error that the yardstick accepts of a run in the output's type.
    pub(super) fn allowed(&self, element: ElementType, k: f64, floor: f64) -> (f64, f64) {
        self.bound(element, (k, k), floor)
    }

    /// The same of a run in float64, which has no rounding of its own: that of the weights is left.
    fn allowed_rewrite(&self, element: ElementType, k: f64, floor: f64) -> (f64, f64) {
        if element == ElementType::Float64 {
            return self.bound(element, (k, k), floor);
        }
        self.bound(element, (k / 16.0, k / 2.0), floor / 8.0)
    }

    fn bound(&self, element: ElementType, (own, noise): (f64, f64), floor: f64) -> (f64, f64) {
        let roundoff = element.unit_roundoff().unwrap_or(0.0);
        let is_double = element == ElementType::Float64;
        let floor = if is_double { OF_DOUBLES * floor } else { floor };
        // Halves are computed in float32, so their own rounding is that much coarser.
        let held = Precision::Declared.compute_type(element);
        let ratio = own * roundoff / held.unit_roundoff().unwrap_or(1.0);
        let most = (ratio * self.original.max_abs).max(noise * self.noise.max_abs);
        let rms = (ratio * self.original.rms()).max(noise * self.noise.rms());
        (
            most + floor * roundoff * self.original.reference_max,
            rms + floor * roundoff * self.original.reference_rms(),
        )
    }
}

/// Channels of one output by size, as the first run's truth has them.
#[derive(Debug)]
pub(super) struct Bands {
    extent: usize,
    /// Elements of a channel that lie side by side.
    inner: usize,
    /// The band of each channel.
    of: Vec<usize>,
    gauges: Vec<Gauges>,
}

impl Bands {
    /// The bands along the axis whose channels differ most in size; `None` where none differ by much.
    pub(super) fn new(shape: &[usize], truth: &[f64]) -> Option<Bands> {
        let along = |axis: usize| {
            let extent = shape.get(axis).copied().unwrap_or(1);
            let inner: usize = shape.iter().skip(axis + 1).product();
            (truth.len() / extent.max(1) >= FEW).then(|| sized(truth, extent, inner))
        };
        let candidates = axes(shape.len()).into_iter().filter_map(along);
        candidates
            .max_by_key(|bands| bands.gauges.len())
            .filter(|bands| bands.gauges.len() > 1)
    }

    pub(super) fn add(&mut self, runs: Elements<'_>, element: ElementType) {
        for (index, gauges) in self.gauges.iter_mut().enumerate() {
            let band = |position: usize| self.of[(position / self.inner) % self.extent];
            gauges.add(runs, element, |position| band(position) == index);
        }
    }

    pub(super) fn add_noise(
        &mut self,
        truth: &[f64],
        values: &[f64],
        element: ElementType,
        sample: usize,
    ) {
        for (index, gauges) in self.gauges.iter_mut().enumerate() {
            let band = |position: usize| self.of[(position / self.inner) % self.extent];
            let is_of_it = |position: usize| band(position) == index;
            gauges
                .noise
                .add_where(truth, values, element, sample, is_of_it);
        }
    }

    pub(super) fn gauges(&self) -> &[Gauges] {
        &self.gauges
    }
}

/// Channels of zeros alone are with the largest: nothing tells how large they are meant to be.
fn sized(truth: &[f64], extent: usize, inner: usize) -> Bands {
    let inner = inner.max(1);
    let mut sizes = vec![0.0_f64; extent];
    for (block, elements) in truth.chunks(inner).enumerate() {
        let finite = elements.iter().filter(|number| number.is_finite());
        let size = &mut sizes[block % extent];
        *size = finite.fold(*size, |most, number| most.max(number.abs()));
    }
    let largest = sizes.iter().copied().fold(0.0, f64::max);
    // A logarithm would round, in one library otherwise than in another.
    let exponent = |size: f64| size.to_bits() >> 52;
    let distance = |&size: &f64| match size > 0.0 {
        true => (exponent(largest) - exponent(size)) / APART,
        false => 0,
    };
    let distances: Vec<u64> = sizes.iter().map(distance).collect();
    let mut kinds = distances.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let band = |distance: &u64| kinds.binary_search(distance).unwrap_or(0);
    Bands {
        extent,
        inner,
        of: distances.iter().map(band).collect(),
        gauges: kinds.iter().map(|_| Gauges::default()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bands(shape: &[usize], truth: &[f64]) -> Option<Vec<usize>> {
        Bands::new(shape, truth).map(|bands| bands.of)
    }

    #[test]
    fn channels_of_very_different_sizes_are_apart() {
        let channel = |size: f64| (0..20).map(move |at| size * (f64::from(at) - 9.5) / 9.5);
        let sizes = [640.0, 600.0, 1e-3, 0.0, 1e-7, 2e-3];
        let truth: Vec<f64> = sizes.into_iter().flat_map(channel).collect();
        assert_eq!(bands(&[1, 6, 20], &truth).unwrap(), [0, 0, 1, 0, 2, 1]);
        let last: Vec<f64> = (0..20)
            .flat_map(|at| sizes.map(|size| size * (f64::from(at) - 9.5) / 9.5))
            .collect();
        assert_eq!(bands(&[1, 20, 6], &last).unwrap(), [0, 0, 1, 0, 2, 1]);
        assert_eq!(bands(&[1, 2, 20], &truth[..40]), None);
        // A number alone is as likely to be small by chance.
        assert_eq!(bands(&[1, 6], &sizes), None);
    }
}
