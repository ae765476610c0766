//! What was found at the compared values, slice by slice.
//!
//! What one rounding of the weights may do is u·max|value| per slice of a value (each index of axis 1
//! and of the last axis), u the unit roundoff of the value's declared type; where cancellation makes it
//! more, a run of the original with perturbed weights measures it.

use std::collections::{BTreeSet, HashMap};

use super::figures::unravel;
use super::scan::{self, Found};
use super::verification::{Furthest, ValueReport};
use crate::engine::{ElementType, Tensor};

/// Slices with fewer elements than this also use the whole value's scale.
const FEW: usize = 64;
/// Roundings of a slice's largest magnitude that are always accepted.
const ROUNDINGS: f64 = 8.0;
/// The same for float64 values, whose run in float64 rounds as much as their weights do.
const ROUNDINGS_OF_DOUBLES: f64 = 256.0;
/// How many times the measured effect of perturbed weights is accepted.
const NOISE_FACTOR: f64 = 8.0;

/// What was found at each compared value, in the order in which they arose.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    /// What one model would have given to a node that was left out, and the other would not.
    pub(super) unmatched: BTreeSet<String>,
}

impl Table {
    pub(super) fn entry(&mut self, name: &str, node: &str) -> &mut Entry {
        let next = self.entries.len();
        let index = *self.by_name.entry(name.to_owned()).or_insert(next);
        if index == next {
            self.entries.push(Entry::new(name, node));
        }
        &mut self.entries[index]
    }

    /// Whether a value of this name was compared, in whatever scope.
    pub(super) fn gives(&self, name: &str) -> bool {
        let nested = format!("/{name}");
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.name == name || entry.name.ends_with(&nested))
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// One index of one axis, over all samples.
#[derive(Clone, Debug, Default)]
struct Slice {
    count: usize,
    scale: f64,
    difference: f64,
    noise: f64,
    worst: Option<Difference>,
}

/// Where two runs differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) position: usize,
    pub(super) original: f64,
    pub(super) rewritten: f64,
    pub(super) sample: usize,
}

/// What was found at one compared value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) node: String,
    pub(super) shape: Vec<usize>,
    /// Whether it is what a node read that could not be run on it, and so proves nothing if it differs.
    pub(super) is_doubtful: bool,
    /// Whether no input of the model changes it, so that it may well be one number everywhere.
    pub(super) is_fixed: bool,
    /// Set where the two models give the value different types or extents.
    pub(super) mismatch: Option<String>,
    element: Option<ElementType>,
    /// By axis (1, then the last one if it is another), then index.
    slices: Vec<Vec<Slice>>,
    /// What perturbed weights do at most, anywhere in the value.
    noise: f64,
    sum_squares: f64,
    count: usize,
    low: f64,
    high: f64,
    n_finite: usize,
}

/// A difference that is more than rounding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Excess {
    pub(super) difference: Difference,
    pub(super) allowed: f64,
}

impl Entry {
    fn new(name: &str, node: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            node: node.to_owned(),
            shape: Vec::new(),
            is_doubtful: false,
            is_fixed: false,
            mismatch: None,
            element: None,
            slices: Vec::new(),
            noise: 0.0,
            sum_squares: 0.0,
            count: 0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            n_finite: 0,
        }
    }

    pub(super) fn add(&mut self, original: &Tensor, other: &Tensor, sample: usize, is_noise: bool) {
        if original.shape() != other.shape() || original.element() != other.element() {
            let describe = |t: &Tensor| format!("{}{:?}", t.element(), t.shape());
            self.mismatch = Some(format!(
                "value {:?} is {} in the original and {} in the rewritten model",
                self.name,
                describe(original),
                describe(other)
            ));
            return;
        }
        let (Some(truth), Some(values)) = (original.as_f64(), other.as_f64()) else {
            return;
        };
        self.shape = original.shape().to_vec();
        self.element = Some(original.element());
        if !is_noise {
            let survey = scan::survey(&truth);
            self.n_finite += survey.n_finite;
            self.sum_squares += survey.sum_squares;
            self.low = self.low.min(survey.low);
            self.high = self.high.max(survey.high);
            self.count += truth.len();
        }
        let axes = axes(self.shape.len());
        self.slices.resize(axes.len(), Vec::new());
        for (slices, axis) in self.slices.iter_mut().zip(axes) {
            let tensors = Compared {
                shape: &self.shape,
                truth: &truth,
                values: &values,
                sample,
                is_noise,
            };
            tensors.add_along(axis, slices);
            if is_noise {
                let noises = slices.iter().map(|slice| slice.noise);
                self.noise = noises.fold(self.noise, f64::max);
            }
        }
    }

    /// The scale that roundings are counted in for a slice.
    fn scale(&self, slice: &Slice) -> f64 {
        let rms = (self.sum_squares / self.n_finite.max(1) as f64).sqrt();
        let share = if slice.count < FEW { 4.0 } else { 64.0 };
        slice.scale.max(rms / share)
    }

    fn allowed(&self, slice: &Slice) -> f64 {
        let roundings = match self.element {
            Some(ElementType::Float64) => ROUNDINGS_OF_DOUBLES,
            _ => ROUNDINGS,
        };
        let roundoff = self
            .element
            .and_then(ElementType::unit_roundoff)
            .unwrap_or(0.0);
        (roundings * roundoff * self.scale(slice))
            .max(NOISE_FACTOR * slice.noise)
            .max(2.0 * self.noise)
    }

    /// Whether the two models give it different extents or numbers.
    pub(super) fn differs(&self) -> bool {
        self.mismatch.is_some() || self.excess().is_some()
    }

    /// The difference that exceeds what is allowed by the largest factor.
    pub(super) fn excess(&self) -> Option<Excess> {
        let slices = self.slices.iter().flatten();
        let exceeding = slices.filter(|slice| slice.difference > self.allowed(slice));
        let factor = |slice: &Slice| slice.difference / self.allowed(slice).max(f64::MIN_POSITIVE);
        let worst = exceeding.max_by(|a, b| factor(a).total_cmp(&factor(b)))?;
        Some(Excess {
            difference: worst.worst?,
            allowed: self.allowed(worst),
        })
    }

    /// Where the two models differ most.
    pub(super) fn furthest(&self) -> Option<Furthest> {
        let slices = self.slices.iter().flatten();
        let worst = slices
            .max_by(|a, b| a.difference.total_cmp(&b.difference))?
            .worst?;
        Some(Furthest {
            index: unravel(worst.position, &self.shape),
            original: worst.original,
            rewritten: worst.rewritten,
            sample: worst.sample,
        })
    }

    /// What the value is on every sample, if it is the same everywhere and so shows nothing.
    pub(super) fn uninformative(&self) -> Option<&'static str> {
        let is_float = self.element.is_some_and(ElementType::is_float);
        uninformative(is_float, self.count, self.n_finite, self.low, self.high)
    }

    pub(super) fn report(&self) -> ValueReport {
        let slices = self.slices.iter().flatten();
        let roundoff = self
            .element
            .and_then(ElementType::unit_roundoff)
            .unwrap_or(0.0);
        let in_roundings = |slice: &Slice| {
            let unit = (roundoff * self.scale(slice)).max(slice.noise);
            if slice.difference == 0.0 {
                0.0
            } else {
                slice.difference / unit
            }
        };
        ValueReport {
            name: self.name.clone(),
            node: self.node.clone(),
            max_abs: slices
                .clone()
                .map(|slice| slice.difference)
                .fold(0.0, f64::max),
            in_roundings: slices.map(in_roundings).fold(0.0, f64::max),
            agrees: self.mismatch.is_none() && self.excess().is_none(),
        }
    }
}

/// What elements between `low` and `high` are, if nothing can be seen from them.
pub(super) fn uninformative(
    is_float: bool,
    count: usize,
    n_finite: usize,
    low: f64,
    high: f64,
) -> Option<&'static str> {
    if !is_float || count == 0 {
        return None;
    }
    if n_finite == 0 {
        return Some("not finite");
    }
    if low == 0.0 && high == 0.0 {
        return Some("zero everywhere");
    }
    (count > 1 && low == high).then_some("one constant")
}

/// The axes whose slices are looked at one by one.
pub(super) fn axes(rank: usize) -> Vec<usize> {
    match rank {
        0 | 1 => vec![0],
        2 => vec![1],
        _ => vec![1, rank - 1],
    }
}

/// Two tensors of one shape.
struct Compared<'a> {
    shape: &'a [usize],
    truth: &'a [f64],
    values: &'a [f64],
    sample: usize,
    is_noise: bool,
}

impl Compared<'_> {
    fn add_along(&self, axis: usize, slices: &mut Vec<Slice>) {
        let extent = self.shape.get(axis).copied().unwrap_or(1);
        let inner: usize = self.shape.iter().skip(axis + 1).product();
        if slices.len() < extent {
            slices.resize(extent, Slice::default());
        }
        if inner == 1 {
            let found = scan::columns(self.truth, self.values, extent);
            let count = self.truth.len() / extent.max(1);
            for (slice, found) in slices.iter_mut().zip(found) {
                self.add(slice, found, count);
            }
            return;
        }
        let blocks = self.truth.chunks(inner.max(1));
        let blocks = blocks.zip(self.values.chunks(inner.max(1)));
        for (block, (truth, values)) in blocks.enumerate() {
            let slice = &mut slices[block % extent];
            let mut found = scan::run(truth, values, slice.difference);
            found.position += block * inner;
            self.add(slice, found, truth.len());
        }
    }

    fn add(&self, slice: &mut Slice, found: Found, count: usize) {
        if self.is_noise {
            slice.noise = slice.noise.max(found.difference);
            return;
        }
        slice.count += count;
        slice.scale = slice.scale.max(found.scale);
        if found.difference > slice.difference {
            slice.difference = found.difference;
            slice.worst = Some(Difference {
                position: found.position,
                original: self.truth[found.position],
                rewritten: self.values[found.position],
                sample: self.sample,
            });
        }
    }
}
