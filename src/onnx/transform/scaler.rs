//! A transform's arithmetic, a run or a period of factors at a time, and what the type could not hold.
//!
//! Elements go in groups of a few lanes so that the compiler vectorises; all arithmetic is in f64.

use super::Transform;
use super::layout::Layout;
use crate::onnx::elements::{BF16, Element, F16, F32, F64};
use crate::onnx::error::{Flaw, FlawKind};
use crate::onnx::proto::tensor_proto::DataType;

/// Shorter runs of one factor are laid out as a period of factors.
const SHORT_RUN: usize = 32;
/// Periods of factors that are worth their memory.
const LARGEST_PERIOD: usize = 32 << 10;
const LANES: usize = 8;

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
