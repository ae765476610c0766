//! Samples as mini-batches: which inputs have a batch axis, and a sample cut along it.
//!
//! The batch axis is the first. The first input that has one decides: inputs whose first extent has the same symbol, or
//! none, or the same number, are cut with it; the others are given whole to every mini-batch.
//! A sample is never joined with another, because their other extents may differ.

use crate::engine::{Dim, Port, Tensor};
use crate::verify::data::{DataError, Sample, resolve};
use crate::verify::unravel;

use super::CalibrateError;

/// Values for one run, by input.
pub(super) type Inputs = Vec<(String, Tensor)>;

/// How a model's samples are cut.
#[derive(Clone, Debug)]
pub(super) struct Batching {
    /// Inputs; a batch extent that the model fixes is open, because a sample is cut to it.
    pub(super) ports: Vec<Port>,
    pub(super) is_batched: Vec<bool>,
    /// The batch that the model fixes.
    pub(super) fixed: Option<usize>,
    size: usize,
}

/// The mini-batches of one sample.
#[derive(Debug)]
pub(super) struct Cut {
    /// The whole sample, by input.
    whole: Inputs,
    is_batched: Vec<bool>,
    rows: usize,
    size: usize,
    /// Rows that fill no batch of the size that the model fixes.
    pub(super) left_over: usize,
}

impl Batching {
    /// `size` rows at a time, or as many as the model fixes.
    ///
    /// # Errors
    /// A size that the model excludes.
    pub(super) fn new(
        ports: &[Port],
        size: Option<usize>,
        default: usize,
    ) -> Result<Batching, CalibrateError> {
        let first = |port: &Port| match &port.dims {
            Some(dims) => dims.first().cloned(),
            None => Some(Dim::Unknown),
        };
        let deciding = ports.iter().find_map(first);
        let belongs = |port: &Port| match (first(port), &deciding) {
            (None, _) | (_, None) => false,
            (Some(Dim::Unknown), Some(Dim::Symbol(_) | Dim::Unknown)) => true,
            (Some(Dim::Symbol(_)), Some(Dim::Unknown)) => true,
            (Some(own), Some(deciding)) => own == *deciding,
        };
        let fixed = match deciding {
            Some(Dim::Fixed(extent)) => Some(extent),
            _ => None,
        };
        if let (Some(fixed), Some(size)) = (fixed, size.filter(|size| Some(*size) != fixed)) {
            return Err(CalibrateError::Misfit(format!(
                "the model fixes its batch at {fixed}, so it cannot run batches of {size}; leave the size out, or export the model with a dynamic batch axis"
            )));
        }
        let is_batched: Vec<bool> = ports.iter().map(belongs).collect();
        let mut ports = ports.to_vec();
        for (port, _) in ports.iter_mut().zip(&is_batched).filter(|(_, is)| **is) {
            let extent = port.dims.as_mut().and_then(|dims| dims.first_mut());
            if let Some(extent @ Dim::Fixed(_)) = extent {
                *extent = Dim::Unknown;
            }
        }
        Ok(Batching {
            ports,
            is_batched,
            fixed,
            size: fixed.or(size).unwrap_or(default).max(1),
        })
    }

    /// A sample's values by input, checked, and where it is to be cut.
    ///
    /// # Errors
    /// Values of the wrong name, type or shape, or that are not finite; fewer rows than the model takes.
    pub(super) fn cut(&self, sample: &Sample) -> Result<Cut, CalibrateError> {
        let found = resolve(sample, "input", &sample.inputs, &self.ports);
        let found = found.map_err(CalibrateError::Misfit)?;
        let mut whole = Inputs::new();
        for (port, tensor) in self.ports.iter().zip(found) {
            finite(sample, port, tensor)?;
            whole.push((port.name.clone(), tensor.clone()));
        }
        let rows = self.rows(sample, &whole)?;
        let (size, left_over) = match self.fixed {
            Some(fixed) => (fixed.max(1), rows % fixed.max(1)),
            None => (self.size, 0),
        };
        Ok(Cut {
            whole,
            is_batched: self.is_batched.clone(),
            rows: rows - left_over,
            size,
            left_over,
        })
    }

    fn rows(&self, sample: &Sample, whole: &Inputs) -> Result<usize, CalibrateError> {
        let fault = |reason: String| Err(DataError::new(&sample.origin, reason).into());
        let mut rows = None;
        for ((name, tensor), _) in whole.iter().zip(&self.is_batched).filter(|(_, is)| **is) {
            let Some(&extent) = tensor.shape().first() else {
                continue;
            };
            match rows.replace((name, extent)) {
                Some((other, known)) if known != extent => {
                    return fault(format!(
                        "input {other:?} holds {known} samples and input {name:?} {extent}; make them equal"
                    ));
                }
                _ => {}
            }
        }
        let rows = rows.map_or(1, |(_, extent)| extent);
        match self.fixed {
            _ if rows == 0 => fault("it holds no samples".to_owned()),
            Some(fixed) if rows < fixed => fault(format!(
                "it holds {rows} samples, the model takes {fixed} at a time; give at least as many"
            )),
            _ => Ok(rows),
        }
    }
}

fn finite(sample: &Sample, port: &Port, tensor: &Tensor) -> Result<(), CalibrateError> {
    let Some(position) = tensor.first_not_finite() else {
        return Ok(());
    };
    let index = unravel(position, tensor.shape());
    let reason = format!(
        "input {:?} is NaN or infinite at index {index:?}; leave such samples out",
        port.name
    );
    Err(DataError::new(&sample.origin, reason).into())
}

impl Cut {
    /// How many rows the mini-batches have together.
    pub(super) fn n_rows(&self) -> usize {
        self.rows
    }

    /// The mini-batches, in order; the last may be smaller.
    pub(super) fn batches(&self) -> impl Iterator<Item = Inputs> + '_ {
        let starts = (0..self.rows).step_by(self.size);
        starts.map(|start| self.part(start, self.size.min(self.rows - start)))
    }

    pub(super) fn part(&self, start: usize, count: usize) -> Inputs {
        let inputs = self.whole.iter().zip(&self.is_batched);
        let part = |((name, tensor), is_batched): (&(String, Tensor), &bool)| {
            let is_cut = *is_batched && tensor.shape().first() != Some(&count);
            let rows = is_cut.then(|| tensor.rows(start, count)).flatten();
            (name.clone(), rows.unwrap_or_else(|| tensor.clone()))
        };
        inputs.map(part).collect()
    }
}
