//! Graph outputs, gathered over all samples and held against the tolerance.

use super::figures::{Gauge, Worst, unravel};
use super::gauges::{Bands, Elements, Gauges};
use super::options::{Tolerance, default_fixed};
use super::slices::uninformative;
use super::verdict::Counterexample;
use super::verification::OutputReport;
use crate::engine::{Data, ElementType, Tensor};

/// The runs of one sample, an output each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs<'a> {
    pub(super) original: &'a Tensor,
    pub(super) rewritten: &'a Tensor,
    /// Both in float64; absent where the engine has no truth.
    pub(super) truth: Option<(&'a Tensor, &'a Tensor)>,
    pub(super) sample: usize,
}

/// What was gathered about one output.
#[derive(Debug)]
pub(super) struct Output {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    gauges: Gauges,
    bands: Option<Bands>,
    difference: Gauge,
    has_truth: bool,
    n_runs: usize,
    n_elements: usize,
    /// The first few different numbers.
    distinct: Vec<f64>,
    /// Runs in which every element is at an end of its activation.
    n_saturated: usize,
    argmax_changes: usize,
    fault: Option<Fault>,
    low: f64,
    high: f64,
    n_finite: usize,
}

#[derive(Debug)]
enum Fault {
    Shape(String),
    Unequal {
        position: usize,
        original: String,
        rewritten: String,
        sample: usize,
    },
    /// The fixed tolerance is exceeded.
    Fixed {
        worst: Worst,
        allowed: f64,
    },
}

/// How an output fails.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) counterexample: Counterexample,
    /// Whether further samples may show that it was chance.
    pub(super) is_statistical: bool,
}

impl Output {
    pub(super) fn new(name: &str) -> Output {
        Output {
            name: name.to_owned(),
            element: ElementType::Float32,
            shape: Vec::new(),
            gauges: Gauges::default(),
            bands: None,
            difference: Gauge::default(),
            has_truth: false,
            n_runs: 0,
            n_elements: 0,
            distinct: Vec::new(),
            n_saturated: 0,
            argmax_changes: 0,
            fault: None,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            n_finite: 0,
        }
    }

    pub(super) fn add(&mut self, runs: Runs<'_>, tolerance: Tolerance) {
        let (original, rewritten) = (runs.original, runs.rewritten);
        if self.fault.is_some() {
            return;
        }
        let describe = |tensor: &Tensor| format!("{}{:?}", tensor.element(), tensor.shape());
        if describe(original) != describe(rewritten) {
            self.fault = Some(Fault::Shape(format!(
                "output {:?} is {} in the original and {} in the rewritten model",
                self.name,
                describe(original),
                describe(rewritten)
            )));
            return;
        }
        self.shape = original.shape().to_vec();
        self.element = original.element();
        self.n_runs += 1;
        self.n_elements += original.len();
        if !self.element.is_float() {
            self.fault = unequal(original, rewritten, runs.sample);
            // Strings count as telling something.
            let numbers = original.to_f64().unwrap_or_else(|| vec![0.0, 1.0]);
            for number in numbers {
                (self.low, self.high) = (self.low.min(number), self.high.max(number));
            }
            return;
        }
        let (Some(before), Some(after)) = (original.as_f64(), rewritten.as_f64()) else {
            return;
        };
        self.difference
            .add(&before, &after, self.element, runs.sample);
        self.argmax_changes += argmax_changes(&self.shape, &before, &after);
        if let Tolerance::Fixed { atol, rtol } = tolerance {
            self.hold_fixed(&before, &after, (atol, rtol), runs.sample);
        }
        let truth = runs
            .truth
            .and_then(|(truth, rewrite)| truth.as_f64().zip(rewrite.as_f64()));
        let reference = truth.as_ref().map_or(&before, |(truth, _)| truth);
        for &number in reference.iter().filter(|number| number.is_finite()) {
            self.n_finite += 1;
            if self.distinct.len() < 3 && !self.distinct.contains(&number) {
                self.distinct.push(number);
            }
            (self.low, self.high) = (self.low.min(number), self.high.max(number));
        }
        self.n_saturated += usize::from(is_saturated(reference));
        if let Some((truth, rewrite)) = &truth {
            let elements = Elements {
                truth,
                original: &before,
                rewritten: &after,
                rewrite,
                sample: runs.sample,
            };
            if !self.has_truth {
                self.bands = Bands::new(&self.shape, truth);
            }
            self.has_truth = true;
            self.gauges.add(elements, self.element, |_| true);
            if let Some(bands) = &mut self.bands {
                bands.add(elements, self.element);
            }
        }
    }

    /// Adds what perturbed weights do to this output.
    pub(super) fn add_noise(&mut self, truth: &Tensor, perturbed: &Tensor, sample: usize) {
        if let (Some(truth), Some(values)) = (truth.as_f64(), perturbed.as_f64()) {
            self.gauges.noise.add(&truth, &values, self.element, sample);
            if let Some(bands) = &mut self.bands {
                bands.add_noise(&truth, &values, self.element, sample);
            }
        }
    }

    fn hold_fixed(
        &mut self,
        before: &[f64],
        after: &[f64],
        (atol, rtol): (Option<f64>, Option<f64>),
        sample: usize,
    ) {
        let (default_atol, default_rtol) = default_fixed(self.element);
        let (atol, rtol) = (atol.unwrap_or(default_atol), rtol.unwrap_or(default_rtol));
        let mut most = 0.0;
        for (position, (&reference, &value)) in before.iter().zip(after).enumerate() {
            let allowed = atol
                + rtol
                    * if reference.is_finite() {
                        reference.abs()
                    } else {
                        0.0
                    };
            let excess = super::figures::difference(reference, value) - allowed;
            if excess > most {
                most = excess;
                let worst = Worst {
                    position,
                    sample,
                    reference,
                    value,
                };
                self.fault = Some(Fault::Fixed { worst, allowed });
            }
        }
    }

    /// How the output fails, if it does.
    pub(super) fn failure(&self, tolerance: Tolerance, seed: u64) -> Option<Failure> {
        match &self.fault {
            Some(Fault::Shape(what)) => {
                let counterexample = Counterexample::Interface { what: what.clone() };
                return Some(Failure {
                    counterexample,
                    is_statistical: false,
                });
            }
            Some(Fault::Unequal {
                position,
                original,
                rewritten,
                sample,
            }) => {
                let counterexample = Counterexample::Unequal {
                    name: self.name.clone(),
                    index: unravel(*position, &self.shape),
                    original: original.clone(),
                    rewritten: rewritten.clone(),
                    sample: *sample,
                    seed,
                };
                return Some(Failure {
                    counterexample,
                    is_statistical: false,
                });
            }
            Some(Fault::Fixed { worst, allowed }) => {
                let counterexample = self.element_at(*worst, worst.reference, *allowed, seed);
                return Some(Failure {
                    counterexample,
                    is_statistical: false,
                });
            }
            None => {}
        }
        let Tolerance::Yardstick { k, floor } = tolerance else {
            return None;
        };
        if !self.has_truth {
            return None;
        }
        let bands = self.bands.iter().flat_map(Bands::gauges);
        let mut all = std::iter::once(&self.gauges).chain(bands);
        let (worst, allowed) = all.find_map(|gauges| gauges.excess(self.element, k, floor))?;
        let counterexample = self.element_at(worst, worst.reference, allowed, seed);
        Some(Failure {
            counterexample,
            is_statistical: true,
        })
    }

    /// Whether the output fails by so little that further samples may explain it.
    pub(super) fn is_close_call(&self, tolerance: Tolerance) -> bool {
        const CLOSE: f64 = 4.0;
        let Tolerance::Yardstick { k, floor } = tolerance else {
            return false;
        };
        let wide = Tolerance::Yardstick {
            k: CLOSE * k,
            floor: CLOSE * floor,
        };
        self.failure(tolerance, 0).is_some() && self.failure(wide, 0).is_none()
    }

    fn element_at(&self, worst: Worst, original: f64, allowed: f64, seed: u64) -> Counterexample {
        Counterexample::Element {
            name: self.name.clone(),
            is_output: true,
            node: None,
            index: unravel(worst.position, &self.shape),
            original,
            rewritten: worst.value,
            allowed,
            sample: worst.sample,
            seed,
        }
    }

    /// What the output is on every sample, if nothing can be seen from it.
    pub(super) fn uninformative(&self) -> Option<&'static str> {
        let (count, is_float) = (self.difference.count, self.element.is_float());
        let blank = uninformative(is_float, count, self.n_finite, self.low, self.high);
        if blank.is_some() || !is_float || count < 16 {
            return blank;
        }
        if self.n_saturated == self.n_runs {
            return Some("saturated at the ends of its activation");
        }
        (self.distinct.len() == 2).then_some("saturated at two numbers")
    }

    /// Whether it has no elements, or the same integer everywhere and on every sample.
    pub(super) fn shows_nothing(&self) -> bool {
        self.n_elements == 0 || !self.element.is_float() && self.low >= self.high
    }

    /// The original's own error relative to the output's size, both as root mean squares.
    pub(super) fn own_error(&self) -> f64 {
        let scale = self.gauges.original.reference_rms();
        if self.has_truth && scale > 0.0 {
            self.gauges.original.rms() / scale
        } else {
            0.0
        }
    }

    /// Whether any run gave the output.
    pub(super) fn is_reached(&self) -> bool {
        self.n_runs > 0
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn report(&self, tolerance: Tolerance) -> OutputReport {
        let figures = |gauge: &Gauge| self.has_truth.then(|| gauge.figures());
        let allowed = match tolerance {
            Tolerance::Yardstick { k, floor } => self.gauges.allowed(self.element, k, floor).0,
            Tolerance::Fixed { atol, .. } => atol.unwrap_or(default_fixed(self.element).0),
        };
        OutputReport {
            name: self.name.clone(),
            element: self.element.to_string(),
            shape: self.shape.clone(),
            original: figures(&self.gauges.original),
            rewritten: figures(&self.gauges.rewritten),
            rewrite: figures(&self.gauges.rewrite),
            difference: self.element.is_float().then(|| self.difference.figures()),
            allowed,
            argmax_changes: self.argmax_changes,
            n_elements: self.n_elements,
            agrees: self.failure(tolerance, 0).is_none(),
        }
    }
}

/// Whether a sigmoid, softmax or tangent is driven to its ends: every element at −1, 0 or 1, not all at 0.
fn is_saturated(numbers: &[f64]) -> bool {
    const NEAR: f64 = 1e-4;
    let is_end = |&number: &f64| {
        [-1.0, 0.0, 1.0]
            .iter()
            .any(|end| (number - end).abs() < NEAR)
    };
    numbers.iter().all(is_end) && numbers.iter().any(|number| number.abs() > 0.5)
}

/// The first element in which two tensors that are no floats differ.
fn unequal(original: &Tensor, rewritten: &Tensor, sample: usize) -> Option<Fault> {
    fn first<T: PartialEq + ToString>(a: &[T], b: &[T], sample: usize) -> Option<Fault> {
        let position = a.iter().zip(b).position(|(a, b)| a != b)?;
        let (original, rewritten) = (a.get(position)?.to_string(), b.get(position)?.to_string());
        Some(Fault::Unequal {
            position,
            original,
            rewritten,
            sample,
        })
    }
    match (original.data(), rewritten.data()) {
        (Data::String(a), Data::String(b)) => first(a, b, sample),
        (Data::Bool(a), Data::Bool(b)) => first(a, b, sample),
        (Data::U64(a), Data::U64(b)) => first(a, b, sample),
        _ => first(&original.to_i64()?, &rewritten.to_i64()?, sample),
    }
}

/// Rows along the last axis, of rank 2 or more, whose largest element moves.
fn argmax_changes(shape: &[usize], before: &[f64], after: &[f64]) -> usize {
    let Some(&length) = shape
        .last()
        .filter(|&&length| shape.len() > 1 && length > 1)
    else {
        return 0;
    };
    let argmax = |row: &[f64]| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map(|(index, _)| index)
    };
    let rows = before.chunks(length).zip(after.chunks(length));
    rows.filter(|(before, after)| argmax(before) != argmax(after))
        .count()
}
