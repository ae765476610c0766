//! A transform's arithmetic, a run or a period of factors at a time, and what the type could not hold.
//!
//! Products are f64, rounded once. Magnitudes are compared as integers, which orders NaN above all.
//! Elements go in groups of a few lanes so that the compiler vectorises.

use super::Transform;
use super::layout::Layout;
use crate::onnx::elements::{BF16, Element, F16, F32, F64};
use crate::onnx::error::{Flaw, FlawKind};
use crate::onnx::proto::tensor_proto::DataType;

/// Shorter runs of one factor are laid out as a period of factors.
const SHORT_RUN: usize = 32;
/// Periods of factors that are worth their memory.
const LARGEST_PERIOD: usize = 32 << 10;
const LANES: usize = 16;

/// A transform on its way through a tensor of one type.
#[derive(Debug)]
pub(crate) enum Scaler<'a> {
    Float(Typed<'a, F32, 4>),
    Double(Typed<'a, F64, 8>),
    Float16(Typed<'a, F16, 2>),
    Bfloat16(Typed<'a, BF16, 2>),
}

impl<'a> Scaler<'a> {
    /// `None` if the type is not a float type.
    pub(crate) fn new(transform: &'a Transform, data_type: i32) -> Option<Scaler<'a>> {
        Some(match DataType::try_from(data_type).ok()? {
            DataType::Float => Scaler::Float(Typed::new(transform)),
            DataType::Double => Scaler::Double(Typed::new(transform)),
            DataType::Float16 => Scaler::Float16(Typed::new(transform)),
            DataType::Bfloat16 => Scaler::Bfloat16(Typed::new(transform)),
            _ => return None,
        })
    }

    /// Replaces the next elements, given as little-endian bytes, by the transform's.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        match self {
            Scaler::Float(scaler) => scaler.apply(bytes.as_chunks_mut().0),
            Scaler::Double(scaler) => scaler.apply(bytes.as_chunks_mut().0),
            Scaler::Float16(scaler) => scaler.apply(bytes.as_chunks_mut().0),
            Scaler::Bfloat16(scaler) => scaler.apply(bytes.as_chunks_mut().0),
        }
    }

    /// What the type could not hold of what has been transformed so far.
    pub(crate) fn flaws(&self, tensor: &str) -> Vec<Flaw> {
        match self {
            Scaler::Float(scaler) => scaler.flaws(tensor),
            Scaler::Double(scaler) => scaler.flaws(tensor),
            Scaler::Float16(scaler) => scaler.flaws(tensor),
            Scaler::Bfloat16(scaler) => scaler.flaws(tensor),
        }
    }
}

/// A transform on its way through elements of type `T`.
#[derive(Debug)]
pub(crate) struct Typed<'a, T: Element<N>, const N: usize> {
    transform: &'a Transform,
    layout: Layout,
    /// Factors of one period, element by element, where runs are short.
    laid_out: Vec<f64>,
    /// The largest magnitude that met each factor (each element of `laid_out`, where that is in use).
    peaks: Vec<T::Magnitude>,
    /// The first element that an addend made infinite.
    overflow: Option<usize>,
    position: usize,
    next_add: usize,
}

impl<'a, T: Element<N>, const N: usize> Typed<'a, T, N> {
    fn new(transform: &'a Transform) -> Typed<'a, T, N> {
        let layout = Layout::of(&transform.dims, transform.scale.shape());
        let factors = transform.factors();
        let period = layout.period.saturating_mul(layout.inner);
        let lay_out = layout.period > 1
            && layout.inner < SHORT_RUN
            && period <= LARGEST_PERIOD.max(factors.len().saturating_mul(2));
        let factor_of = |element| factors[layout.factor(element / layout.inner)];
        let laid_out: Vec<f64> = if lay_out {
            (0..period).map(factor_of).collect()
        } else {
            Vec::new()
        };
        let peaks = vec![T::Magnitude::default(); if lay_out { period } else { factors.len() }];
        Typed {
            transform,
            layout,
            laid_out,
            peaks,
            overflow: None,
            position: 0,
            next_add: 0,
        }
    }

    fn apply(&mut self, elements: &mut [[u8; N]]) {
        let end = self.position + elements.len();
        let rest = self.transform.add.get(self.next_add..).unwrap_or_default();
        let added = &rest[..rest.partition_point(|&(index, _)| index < end)];
        let before: Vec<f64> = added
            .iter()
            .map(|&(index, _)| T::widen(elements[index - self.position]))
            .collect();
        if self.laid_out.is_empty() {
            self.scale_runs(elements);
        } else {
            self.scale_periods(elements);
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

    fn scale_runs(&mut self, mut elements: &mut [[u8; N]]) {
        let inner = self.layout.inner;
        let (mut run, mut done) = (self.position / inner, self.position % inner);
        while !elements.is_empty() {
            let (now, later) = elements.split_at_mut(elements.len().min(inner - done));
            let factor = self.layout.factor(run);
            let peak = scale_run::<T, N>(now, self.transform.factors()[factor]);
            self.peaks[factor] = self.peaks[factor].max(peak);
            (elements, run, done) = (later, run + 1, 0);
        }
    }

    fn scale_periods(&mut self, mut elements: &mut [[u8; N]]) {
        let mut start = self.position % self.laid_out.len();
        while !elements.is_empty() {
            let count = elements.len().min(self.laid_out.len() - start);
            let (now, later) = elements.split_at_mut(count);
            scale_period::<T, N>(
                now,
                &self.laid_out[start..start + count],
                &mut self.peaks[start..start + count],
            );
            (elements, start) = (later, 0);
        }
    }

    /// Rounding is monotonic, so what becomes of the largest magnitude tells of all that share its factor.
    fn flaws(&self, tensor: &str) -> Vec<Flaw> {
        let (mut overflow, mut underflow, mut not_finite) = (self.overflow, None, None);
        for (index, (peak, &factor)) in self
            .peaks_by_factor()
            .into_iter()
            .zip(self.transform.factors())
            .enumerate()
        {
            let peak = T::value_of(peak);
            let largest = T::widen(T::narrow(peak * factor.abs()));
            let first = match () {
                () if !peak.is_finite() => &mut not_finite,
                () if largest.is_infinite() => &mut overflow,
                () if factor != 0.0
                    && peak >= T::SMALLEST_NORMAL
                    && largest < T::SMALLEST_NORMAL =>
                {
                    &mut underflow
                }
                () => continue,
            };
            first.get_or_insert_with(|| self.first_element(index));
        }
        let found = [
            (FlawKind::Overflow, overflow),
            (FlawKind::Underflow, underflow),
            (FlawKind::NotFinite, not_finite),
        ];
        let flaw = |(kind, index): (FlawKind, Option<usize>)| {
            Some(Flaw {
                tensor: tensor.to_owned(),
                kind,
                index: index?,
            })
        };
        found.into_iter().filter_map(flaw).collect()
    }

    /// The largest magnitude that met each factor, laid-out copies taken together.
    fn peaks_by_factor(&self) -> Vec<T::Magnitude> {
        if self.laid_out.is_empty() {
            return self.peaks.clone();
        }
        let mut shared = vec![T::Magnitude::default(); self.transform.factors().len()];
        for (element, &peak) in self.peaks.iter().enumerate() {
            let factor = &mut shared[self.layout.factor(element / self.layout.inner)];
            *factor = peak.max(*factor);
        }
        shared
    }

    /// The flat index of the first element that meets a factor.
    fn first_element(&self, factor: usize) -> usize {
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

/// One factor for all elements; returns the largest magnitude.
fn scale_run<T: Element<N>, const N: usize>(elements: &mut [[u8; N]], factor: f64) -> T::Magnitude {
    let mut peaks = [T::Magnitude::default(); LANES];
    let (groups, rest) = elements.as_chunks_mut::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            step::<T, N>(&mut group[lane], factor, &mut peaks[lane]);
        }
    }
    for (element, peak) in rest.iter_mut().zip(&mut peaks) {
        step::<T, N>(element, factor, peak);
    }
    peaks.into_iter().max().unwrap_or_default()
}

/// A factor and a peak for each element.
fn scale_period<T: Element<N>, const N: usize>(
    elements: &mut [[u8; N]],
    factors: &[f64],
    peaks: &mut [T::Magnitude],
) {
    let (groups, rest) = elements.as_chunks_mut::<LANES>();
    let (factor_groups, factor_rest) = factors.as_chunks::<LANES>();
    let (peak_groups, peak_rest) = peaks.as_chunks_mut::<LANES>();
    for ((group, factors), peaks) in groups.iter_mut().zip(factor_groups).zip(peak_groups) {
        for lane in 0..LANES {
            step::<T, N>(&mut group[lane], factors[lane], &mut peaks[lane]);
        }
    }
    for ((element, &factor), peak) in rest.iter_mut().zip(factor_rest).zip(peak_rest) {
        step::<T, N>(element, factor, peak);
    }
}

#[inline(always)]
fn step<T: Element<N>, const N: usize>(
    element: &mut [u8; N],
    factor: f64,
    peak: &mut T::Magnitude,
) {
    *peak = T::magnitude(*element).max(*peak);
    *element = T::narrow(T::widen(*element) * factor);
}
