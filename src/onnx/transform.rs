//! New elements of a weight from old ones, as they stream: `out[i] = round(f64(in[i]) · scale[i] + add[i])`.
//!
//! `scale` broadcasts against the tensor: each of its extents is 1 or full.
//! Where it is constant over a long inner run, one factor serves the run; where the runs are short,
//! the factors are laid out once for a whole period and multiplied element by element.
//! `add` names single elements, as a BN beside a convolution needs for its centre tap.
//!
//! Rounding is monotonic, so the largest input that shares a factor tells what becomes of all of them:
//! the check for overflow and underflow costs one maximum per element.

use ndarray::ArrayD;

use super::elements::{BF16, Element, F16, F32, F64};
use super::error::{EditError, Flaw, FlawKind};
use super::proto::tensor_proto::DataType;

/// Shorter runs of one factor are laid out as a period of factors.
const SHORT_RUN: usize = 32;
/// Periods of factors that are worth their memory.
const LARGEST_PERIOD: usize = 32 << 10;
const LANES: usize = 8;

/// What becomes of the elements of a tensor of extents `dims`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    dims: Vec<usize>,
    scale: ArrayD<f64>,
    add: Vec<(usize, f64)>,
}

impl Transform {
    /// A transform of tensors of extents `dims`; `add` gives flat indexes in ascending order.
    ///
    /// # Errors
    /// If `scale` does not broadcast against `dims`, an index is out of range or out of order, or a number is not finite.
    pub fn new(
        dims: Vec<usize>,
        scale: ArrayD<f64>,
        add: Vec<(usize, f64)>,
    ) -> Result<Transform, EditError> {
        let shape = scale.shape();
        let broadcasts = shape.len() == dims.len()
            && shape
                .iter()
                .zip(&dims)
                .all(|(&extent, &dim)| extent == 1 || extent == dim);
        let sorted = add
            .windows(2)
            .all(|pair| matches!(pair, [(first, _), (second, _)] if first < second));
        let inside = add
            .last()
            .is_none_or(|&(index, _)| index < dims.iter().product());
        let problem = if !broadcasts {
            format!("a scale of extents {shape:?} does not broadcast against {dims:?}")
        } else if !sorted || !inside {
            format!("the elements to add to are not in order, or not within {dims:?}")
        } else if !scale
            .iter()
            .chain(add.iter().map(|(_, value)| value))
            .all(|value| value.is_finite())
        {
            "a scale or addend is not finite".to_owned()
        } else {
            let scale = scale.as_standard_layout().into_owned();
            return Ok(Transform { dims, scale, add });
        };
        Err(EditError::Unsupported(problem))
    }

    /// The transform that changes nothing.
    pub fn identity(dims: Vec<usize>) -> Transform {
        let ones = vec![1; dims.len()];
        Transform {
            dims,
            scale: ArrayD::from_elem(ones, 1.0),
            add: Vec::new(),
        }
    }

    /// The extents of the tensors that it applies to.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    fn factors(&self) -> &[f64] {
        // `new` puts the array in standard layout.
        self.scale.as_slice().unwrap_or_default()
    }
}

/// How flat positions map to factors: `inner` neighbours share one, and the factors repeat after `period` such runs.
#[derive(Debug)]
struct Layout {
    inner: usize,
    period: usize,
    /// Extent and stride in the factors of each axis from the first to the last varying one; empty if these are contiguous.
    axes: Vec<(usize, usize)>,
}

impl Layout {
    fn of(dims: &[usize], shape: &[usize]) -> Layout {
        let varying = |axis: &usize| shape.get(*axis).is_some_and(|&extent| extent > 1);
        let axes = || 0..dims.len();
        let (Some(first), Some(last)) = (axes().find(varying), axes().rfind(varying)) else {
            return Layout {
                inner: dims.iter().product::<usize>().max(1),
                period: 1,
                axes: Vec::new(),
            };
        };
        let (mut stride, mut strides) = (1, Vec::new());
        for axis in (first..=last).rev() {
            strides.push((dims[axis], if varying(&axis) { stride } else { 0 }));
            stride *= shape[axis];
        }
        strides.reverse();
        let contiguous = strides
            .iter()
            .all(|&(extent, stride)| stride > 0 || extent == 1);
        Layout {
            inner: dims[last + 1..].iter().product::<usize>().max(1),
            period: dims[first..=last].iter().product::<usize>().max(1),
            axes: if contiguous { Vec::new() } else { strides },
        }
    }

    /// The factor of a run.
    fn factor(&self, run: usize) -> usize {
        let mut run = run % self.period;
        if self.axes.is_empty() {
            return run;
        }
        let mut index = 0;
        for &(extent, stride) in self.axes.iter().rev() {
            index += run % extent * stride;
            run /= extent;
        }
        index
    }
}

/// A transform on its way through a tensor of one type.
#[derive(Debug)]
pub(crate) struct Scaler<'a> {
    transform: &'a Transform,
    data_type: DataType,
    layout: Layout,
    /// Factors of one period, element by element, where runs are short.
    laid_out: Vec<f64>,
    /// The largest magnitude that met each factor (each element of `laid_out`, where that is in use).
    peaks: Vec<f64>,
    /// NaN once a value that is not finite has been seen.
    odd: f64,
    overflow: Option<usize>,
    position: usize,
    next_add: usize,
}

impl<'a> Scaler<'a> {
    /// `None` if the type is not a float type.
    pub(crate) fn new(transform: &'a Transform, data_type: i32) -> Option<Scaler<'a>> {
        let data_type = DataType::try_from(data_type).ok()?;
        matches!(
            data_type,
            DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16
        )
        .then_some(())?;
        let layout = Layout::of(&transform.dims, transform.scale.shape());
        let factors = transform.factors();
        let period = layout.period.saturating_mul(layout.inner);
        let lay_out = layout.period > 1
            && layout.inner < SHORT_RUN
            && period <= LARGEST_PERIOD.max(2 * factors.len());
        let laid_out: Vec<f64> = match lay_out {
            true => (0..period)
                .map(|element| factors[layout.factor(element / layout.inner)])
                .collect(),
            false => Vec::new(),
        };
        let peaks = vec![0.0; if lay_out { period } else { factors.len() }];
        Some(Scaler {
            transform,
            data_type,
            layout,
            laid_out,
            peaks,
            odd: 0.0,
            overflow: None,
            position: 0,
            next_add: 0,
        })
    }

    /// Replaces the next elements, given as little-endian bytes, by the transform's.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        match self.data_type {
            DataType::Double => self.apply_to::<F64, 8>(bytes.as_chunks_mut().0),
            DataType::Float16 => self.apply_to::<F16, 2>(bytes.as_chunks_mut().0),
            DataType::Bfloat16 => self.apply_to::<BF16, 2>(bytes.as_chunks_mut().0),
            _ => self.apply_to::<F32, 4>(bytes.as_chunks_mut().0),
        }
    }

    fn apply_to<T: Element<Bytes = [u8; N]>, const N: usize>(&mut self, elements: &mut [[u8; N]]) {
        let end = self.position + elements.len();
        let rest = self.transform.add.get(self.next_add..).unwrap_or_default();
        let added = &rest[..rest.partition_point(|&(index, _)| index < end)];
        let before: Vec<f64> = added
            .iter()
            .map(|&(index, _)| T::widen(elements[index - self.position]))
            .collect();
        if self.laid_out.is_empty() {
            self.scale_runs::<T, N>(elements);
        } else {
            self.scale_periods::<T, N>(elements);
        }
        for (&(index, addend), value) in added.iter().zip(before) {
            let factor = self.transform.factors()[self.layout.factor(index / self.layout.inner)];
            let sum = T::narrow(value * factor + addend);
            elements[index - self.position] = sum;
            if value.is_finite() && !T::widen(sum).is_finite() {
                self.overflow.get_or_insert(index);
            }
        }
        self.next_add += added.len();
        self.position = end;
    }

    fn scale_runs<T: Element<Bytes = [u8; N]>, const N: usize>(
        &mut self,
        mut elements: &mut [[u8; N]],
    ) {
        let inner = self.layout.inner;
        let (mut run, mut done) = (self.position / inner, self.position % inner);
        while !elements.is_empty() {
            let (now, later) = elements.split_at_mut(elements.len().min(inner - done));
            let factor = self.layout.factor(run);
            let (peak, odd) =
                scale_run::<T, N>(now, self.transform.factors()[factor], self.peaks[factor]);
            self.peaks[factor] = peak;
            self.odd += odd;
            (elements, run, done) = (later, run + 1, 0);
        }
    }

    fn scale_periods<T: Element<Bytes = [u8; N]>, const N: usize>(
        &mut self,
        mut elements: &mut [[u8; N]],
    ) {
        let mut start = self.position % self.laid_out.len();
        while !elements.is_empty() {
            let count = elements.len().min(self.laid_out.len() - start);
            let (now, later) = elements.split_at_mut(count);
            self.odd += scale_period::<T, N>(
                now,
                &self.laid_out[start..start + count],
                &mut self.peaks[start..start + count],
            );
            (elements, start) = (later, 0);
        }
    }

    /// What the type could not hold of what has been transformed so far.
    pub(crate) fn flaws(&self, tensor: &str) -> Vec<Flaw> {
        match self.data_type {
            DataType::Double => self.flaws_of::<F64, 8>(tensor),
            DataType::Float16 => self.flaws_of::<F16, 2>(tensor),
            DataType::Bfloat16 => self.flaws_of::<BF16, 2>(tensor),
            _ => self.flaws_of::<F32, 4>(tensor),
        }
    }

    fn flaws_of<T: Element<Bytes = [u8; N]>, const N: usize>(&self, tensor: &str) -> Vec<Flaw> {
        let factors = if self.laid_out.is_empty() {
            self.transform.factors()
        } else {
            &self.laid_out
        };
        let largest = |peak: f64, factor: f64| T::widen(T::narrow(peak * factor.abs()));
        let overflows =
            |&(peak, factor): &(f64, f64)| peak.is_finite() && largest(peak, factor).is_infinite();
        let underflows = |&(peak, factor): &(f64, f64)| {
            factor != 0.0
                && peak >= T::SMALLEST_NORMAL
                && largest(peak, factor) < T::SMALLEST_NORMAL
        };
        let pairs = || self.shared_peaks(factors);
        let flaw = |kind, index| Flaw {
            tensor: tensor.to_owned(),
            kind,
            index,
        };
        let overflow = pairs()
            .position(|pair| overflows(&pair))
            .map(|factor| self.first_element(factor))
            .or(self.overflow);
        let underflow = pairs()
            .position(|pair| underflows(&pair))
            .map(|factor| self.first_element(factor));
        let not_finite = self.odd.is_nan().then_some(0);
        let found = [
            (FlawKind::Overflow, overflow),
            (FlawKind::Underflow, underflow),
            (FlawKind::NotFinite, not_finite),
        ];
        found
            .into_iter()
            .filter_map(|(kind, index)| Some(flaw(kind, index?)))
            .collect()
    }

    /// Each factor with the largest magnitude that met it; laid-out copies of one factor share their peak.
    fn shared_peaks(&self, factors: &[f64]) -> impl Iterator<Item = (f64, f64)> {
        let mut peaks = self.peaks.clone();
        if !self.laid_out.is_empty() {
            let mut by_factor = vec![0.0f64; self.transform.factors().len()];
            for (element, &peak) in self.peaks.iter().enumerate() {
                let shared = &mut by_factor[self.layout.factor(element / self.layout.inner)];
                *shared = shared.max(peak);
            }
            for (element, peak) in peaks.iter_mut().enumerate() {
                *peak = by_factor[self.layout.factor(element / self.layout.inner)];
            }
        }
        peaks.into_iter().zip(factors.to_vec())
    }

    /// The flat index of the first element that meets a factor (an entry of `laid_out`, where that is in use).
    fn first_element(&self, factor: usize) -> usize {
        if !self.laid_out.is_empty() {
            return factor;
        }
        let (mut rest, mut index, mut stride) = (factor, 0, 1);
        for (&extent, &dim) in self
            .transform
            .scale
            .shape()
            .iter()
            .zip(&self.transform.dims)
            .rev()
        {
            index += rest % extent * stride;
            rest /= extent;
            stride *= dim;
        }
        index
    }
}

/// One factor for all elements; returns the largest magnitude and a NaN if one was not finite.
fn scale_run<T: Element<Bytes = [u8; N]>, const N: usize>(
    elements: &mut [[u8; N]],
    factor: f64,
    peak: f64,
) -> (f64, f64) {
    let (mut peaks, mut odd) = ([peak; LANES], [0.0; LANES]);
    let (groups, rest) = elements.as_chunks_mut::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            step::<T, N>(&mut group[lane], factor, &mut peaks[lane], &mut odd[lane]);
        }
    }
    for (lane, element) in rest.iter_mut().enumerate() {
        step::<T, N>(element, factor, &mut peaks[lane], &mut odd[lane]);
    }
    (
        peaks.into_iter().fold(peak, f64::max),
        odd.into_iter().sum(),
    )
}

/// A factor and a peak for each element; returns a NaN if one was not finite.
fn scale_period<T: Element<Bytes = [u8; N]>, const N: usize>(
    elements: &mut [[u8; N]],
    factors: &[f64],
    peaks: &mut [f64],
) -> f64 {
    let mut odd = [0.0; LANES];
    let (groups, rest) = elements.as_chunks_mut::<LANES>();
    let (factor_groups, factor_rest) = factors.as_chunks::<LANES>();
    let (peak_groups, peak_rest) = peaks.as_chunks_mut::<LANES>();
    for ((group, factors), peaks) in groups.iter_mut().zip(factor_groups).zip(peak_groups) {
        for lane in 0..LANES {
            step::<T, N>(
                &mut group[lane],
                factors[lane],
                &mut peaks[lane],
                &mut odd[lane],
            );
        }
    }
    for ((element, &factor), peak) in rest.iter_mut().zip(factor_rest).zip(peak_rest) {
        step::<T, N>(element, factor, peak, &mut odd[0]);
    }
    odd.into_iter().sum()
}

#[inline(always)]
fn step<T: Element<Bytes = [u8; N]>, const N: usize>(
    element: &mut [u8; N],
    factor: f64,
    peak: &mut f64,
    odd: &mut f64,
) {
    let value = T::widen(*element);
    let magnitude = value.abs();
    *peak = if magnitude > *peak { magnitude } else { *peak };
    *odd += value * 0.0;
    *element = T::narrow(value * factor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(transform: &Transform, values: &[f32]) -> Vec<f32> {
        let scale = transform.scale.broadcast(transform.dims.clone()).unwrap();
        let mut out: Vec<f64> = values
            .iter()
            .zip(scale.iter())
            .map(|(&value, &scale)| f64::from(value) * scale)
            .collect();
        for &(index, addend) in &transform.add {
            out[index] += addend;
        }
        out.into_iter().map(|value| value as f32).collect()
    }

    fn streamed(transform: &Transform, values: &[f32], chunk: usize) -> (Vec<f32>, Vec<Flaw>) {
        let mut bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let mut scaler = Scaler::new(transform, DataType::Float as i32).unwrap();
        for piece in bytes.chunks_mut(chunk * 4) {
            scaler.apply(piece);
        }
        (
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect(),
            scaler.flaws("w"),
        )
    }

    fn random_transform() -> impl Strategy<Value = (Transform, Vec<f32>, usize)> {
        (
            prop::collection::vec((1usize..6, any::<bool>()), 0..5),
            1usize..70,
            any::<u64>(),
        )
            .prop_map(|(axes, chunk, seed)| {
                let dims: Vec<usize> = axes.iter().map(|(extent, _)| *extent).collect();
                let shape: Vec<usize> = axes
                    .iter()
                    .map(|(extent, full)| if *full { *extent } else { 1 })
                    .collect();
                let number = |index: usize| {
                    ((index as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 1e6
                        - 8.0
                };
                let count: usize = dims.iter().product();
                let mut next = 0;
                let scale = ArrayD::from_shape_simple_fn(shape, || (next += 1, number(next)).1);
                let add = (0..count)
                    .filter(|index| (seed >> (index % 60)) & 3 == 0)
                    .map(|index| (index, number(index + 999)))
                    .collect();
                let values = (0..count)
                    .map(|index| number(index + 5000) as f32)
                    .collect();
                (Transform::new(dims, scale, add).unwrap(), values, chunk)
            })
    }

    proptest! {
        #[test]
        fn every_broadcast_and_chunking_agrees_with_the_naive_form((transform, values, chunk) in random_transform()) {
            let (out, flaws) = streamed(&transform, &values, chunk);
            prop_assert_eq!(out, naive(&transform, &values));
            prop_assert_eq!(flaws, Vec::new());
        }
    }

    #[test]
    fn long_runs_and_long_periods_agree_with_the_naive_form() {
        for (dims, shape) in [
            (vec![6, 50, 3, 3], vec![6, 1, 1, 1]),
            (vec![6, 50, 3, 3], vec![1, 50, 1, 1]),
            (vec![6, 50, 3, 3], vec![6, 50, 1, 1]),
            (vec![7, 900, 40], vec![7, 1, 40]),
            (vec![3, 40_000], vec![1, 40_000]),
            (vec![40_000, 3, 2], vec![40_000, 1, 2]),
        ] {
            let count: usize = dims.iter().product();
            let values: Vec<f32> = (0..count)
                .map(|index| (index as f32 * 0.37).sin())
                .collect();
            let factors: Vec<f64> = (0..shape.iter().product::<usize>())
                .map(|index| (index as f64 * 0.11).cos() + 2.0)
                .collect();
            let transform = Transform::new(
                dims,
                ArrayD::from_shape_vec(shape, factors).unwrap(),
                vec![],
            )
            .unwrap();
            assert_eq!(
                streamed(&transform, &values, 1000),
                (naive(&transform, &values), vec![])
            );
        }
    }

    fn flaws_of(scale: [f64; 2], values: [f32; 4]) -> Vec<(FlawKind, usize)> {
        let scale = ArrayD::from_shape_vec(vec![2, 1], scale.to_vec()).unwrap();
        let transform = Transform::new(vec![2, 2], scale, vec![]).unwrap();
        streamed(&transform, &values, 4)
            .1
            .into_iter()
            .map(|flaw| (flaw.kind, flaw.index))
            .collect()
    }

    #[test]
    fn what_the_type_cannot_hold_is_reported_with_its_place() {
        assert_eq!(
            flaws_of([1.0, 1e30], [1.0, 1.0, 1.0, 1e20]),
            [(FlawKind::Overflow, 2)]
        );
        assert_eq!(
            flaws_of([1.0, 1e-30], [1.0, 1.0, 1e-10, -1e-9]),
            [(FlawKind::Underflow, 2)]
        );
        assert_eq!(
            flaws_of([1.0, 1.0], [1.0, f32::NAN, 1.0, 1.0]),
            [(FlawKind::NotFinite, 0)]
        );
        assert_eq!(
            flaws_of([1.0, 0.0], [1.0, 1.0, f32::INFINITY, 1.0]),
            [(FlawKind::NotFinite, 0)]
        );
    }

    #[test]
    fn small_elements_beside_large_ones_and_zero_factors_are_no_flaw() {
        assert_eq!(flaws_of([1e-30, 0.0], [1.0, 1e-20, 1.0, 1.0]), []);
        assert_eq!(flaws_of([0.5, 1.0], [1e-40, 0.0, 0.0, 0.0]), []);
    }

    #[test]
    fn an_addend_that_overflows_is_reported() {
        let transform =
            Transform::new(vec![3], ArrayD::from_elem(vec![1], 1.0), vec![(1, 1e39)]).unwrap();
        assert_eq!(
            streamed(&transform, &[0.0; 3], 2).1[0].kind,
            FlawKind::Overflow
        );
    }

    #[test]
    fn a_transform_that_does_not_fit_is_refused() {
        let ones = |shape: Vec<usize>| ArrayD::from_elem(shape, 1.0);
        assert!(Transform::new(vec![2, 3], ones(vec![3, 1]), vec![]).is_err());
        assert!(Transform::new(vec![2, 3], ones(vec![2]), vec![]).is_err());
        assert!(Transform::new(vec![2, 3], ones(vec![2, 1]), vec![(6, 1.0)]).is_err());
        assert!(Transform::new(vec![2, 3], ones(vec![2, 1]), vec![(1, 1.0), (1, 1.0)]).is_err());
        assert!(
            Transform::new(vec![2, 3], ArrayD::from_elem(vec![1, 1], f64::NAN), vec![]).is_err()
        );
    }
}
