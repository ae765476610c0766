//! How far a model's answers move with the batch that its samples are run in.
//!
//! The same samples run as one batch of the largest size and again in smaller ones; where a BN is in training mode, an
//! answer depends on the samples beside it, and the two differ.
//! Per output: the largest absolute difference, also relative to the root mean square of the largest batch's output.
//! Samples that fill no batch of a size are left out of its figures.

use std::collections::BTreeMap;

use super::CalibrateError;
use super::batches::{Batching, Cut, Inputs};
use crate::engine::{
    Budget, BuiltIn, Dim, Engine, EngineError, ModelBytes, NoObserver, Port, Precision, Session,
    Tensor,
};
use crate::verify::data::{DataError, Sample, Source};
use crate::verify::{Draw, Supply, VerifyOptions, difference};

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct DependenceOptions {
    /// Batch sizes.
    pub sizes: Vec<usize>,
    /// Extents of symbolic dimensions other than the batch.
    pub dims: BTreeMap<String, usize>,
    /// Seed of the draws.
    pub seed: u64,
    /// How inputs are made, by name.
    pub draws: BTreeMap<String, Draw>,
    /// Real samples, of which the first is taken; without them samples are drawn.
    pub data: Vec<Source>,
    /// What the model may take.
    pub budget: Budget,
}

/// How far a model's outputs move with the batch size.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Dependence {
    /// The largest batch, and the number of samples.
    pub samples: usize,
    /// Each output.
    pub outputs: Vec<OutputDependence>,
}

/// How far an output moves.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OutputDependence {
    /// The output.
    pub name: String,
    /// Its shape in the largest batch.
    pub shape: Vec<usize>,
    /// Root mean square in the largest batch.
    pub rms: f64,
    /// One entry per smaller size; `None` if the output has no batch axis.
    pub shifts: Option<Vec<Shift>>,
}

/// How far an output is from that of the largest batch.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Shift {
    /// The batch size.
    pub batch: usize,
    /// Samples compared.
    pub samples: usize,
    /// Largest absolute difference; infinite where one is NaN and the other is not.
    pub max_abs: f64,
    /// The same relative to the output's root mean square.
    pub relative: f64,
}

/// Runs a model on the same samples in batches of several sizes.
///
/// # Errors
/// If the model fixes its batch or has none, the samples are too few, or the model does not run.
pub fn dependence(
    model: ModelBytes<'_>,
    options: &DependenceOptions,
) -> Result<Dependence, CalibrateError> {
    let engine = BuiltIn {
        budget: options.budget,
    };
    let loaded = engine.load(model, Precision::Declared);
    let mut session = loaded.map_err(CalibrateError::Load)?;
    let mut sizes = options.sizes.clone();
    sizes.retain(|&size| size > 0);
    sizes.sort_unstable();
    sizes.dedup();
    let largest = match sizes.pop().filter(|_| !sizes.is_empty()) {
        Some(largest) => largest,
        None => {
            return Err(CalibrateError::Misfit(
                "give at least two batch sizes to compare".to_owned(),
            ));
        }
    };
    let ports = session.signature().inputs.clone();
    let batching = Batching::new(&ports, None, largest)?;
    open(&ports, &batching)?;
    let (cut, reference) = reference(session.as_mut(), &batching, options, largest)?;
    let mut outputs: Vec<OutputDependence> = reference.iter().map(describe).collect();
    for size in sizes {
        let parts = (0..largest / size).map(|part| cut.part(part * size, size));
        let runs = parts.map(|inputs| run(session.as_mut(), &inputs));
        let runs: Vec<_> = runs.collect::<Result<_, _>>().map_err(failed)?;
        for (index, output) in outputs.iter_mut().enumerate() {
            let parts: Vec<&Tensor> = runs
                .iter()
                .filter_map(|run| Some(&run.get(index)?.1))
                .collect();
            let most = furthest(&reference[index].1, &parts, size);
            let shift = most.map(|max_abs| Shift {
                batch: size,
                samples: largest / size * size,
                max_abs,
                relative: if max_abs == 0.0 {
                    0.0
                } else {
                    max_abs / output.rms
                },
            });
            output.shifts = output.shifts.take().zip(shift).map(|(mut shifts, shift)| {
                shifts.push(shift);
                shifts
            });
        }
    }
    Ok(Dependence {
        samples: largest,
        outputs,
    })
}

/// A batch axis that may have any extent.
fn open(ports: &[Port], batching: &Batching) -> Result<(), CalibrateError> {
    let said = match (batching.fixed, batching.has_batch()) {
        (None, true) => return Ok(()),
        (Some(fixed), _) => {
            let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
            format!(
                "the model fixes its batch at {fixed} (first extent of its inputs, {names:?}), so it runs at no other size; export it with a dynamic batch axis"
            )
        }
        (None, false) => "no input of the model has a batch axis".to_owned(),
    };
    Err(CalibrateError::Misfit(said))
}

/// The samples, and the outputs of all of them as one batch.
fn reference(
    session: &mut dyn Session,
    batching: &Batching,
    options: &DependenceOptions,
    largest: usize,
) -> Result<(Cut, Inputs), CalibrateError> {
    if let Some(source) = options.data.first() {
        let sample = source.read()?;
        let cut = batching.cut(&sample)?;
        if cut.n_rows() < largest {
            let reason = format!(
                "it holds {} samples, and a batch of {largest} needs as many; give more, or smaller sizes",
                cut.n_rows()
            );
            return Err(DataError::new(&sample.origin, reason).into());
        }
        let outputs = run(session, &cut.part(0, largest)).map_err(failed)?;
        return Ok((cut, outputs));
    }
    let mut verify = VerifyOptions {
        seed: options.seed,
        draws: options.draws.clone(),
        dims: options.dims.clone(),
        ..VerifyOptions::default()
    };
    verify
        .dims
        .extend(batching.symbols().map(|symbol| (symbol, largest)));
    let signature = session.signature().clone();
    let names = signature
        .inputs
        .iter()
        .map(|port| port.name.clone())
        .collect();
    let ranges = session.integer_ranges();
    let supply = Supply::new(&verify, signature, names, ranges).map_err(CalibrateError::Misfit)?;
    let mut first = None;
    for binding in supply.bindings() {
        let [inputs, _] = supply.inputs(0, &binding).map_err(CalibrateError::Misfit)?;
        match run(session, &inputs) {
            Ok(outputs) => return Ok((batching.cut(&drawn(inputs))?, outputs)),
            Err(error @ (EngineError::Node { .. } | EngineError::Panic { .. })) => {
                first = first.or(Some(error));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(first.map_or_else(
        || {
            CalibrateError::Misfit(
                "the model's dimensions cannot be settled; give them with --dim".to_owned(),
            )
        },
        failed,
    ))
}

fn drawn(inputs: Inputs) -> Sample {
    Sample {
        origin: "the drawn samples".into(),
        inputs: inputs
            .into_iter()
            .map(|(name, tensor)| (Some(name), tensor))
            .collect(),
        outputs: Vec::new(),
        is_strict: false,
    }
}

fn run(session: &mut dyn Session, inputs: &Inputs) -> Result<Inputs, EngineError> {
    session.run(inputs, &mut NoObserver)
}

fn failed(error: EngineError) -> CalibrateError {
    CalibrateError::Run {
        origin: "the samples".to_owned(),
        error,
    }
}

fn describe((name, tensor): &(String, Tensor)) -> OutputDependence {
    let numbers = tensor.to_f64().unwrap_or_default();
    let squares: f64 = numbers
        .iter()
        .filter(|x| x.is_finite())
        .map(|x| x * x)
        .sum();
    OutputDependence {
        name: name.clone(),
        shape: tensor.shape().to_vec(),
        rms: (squares / numbers.len().max(1) as f64).sqrt(),
        shifts: Some(Vec::new()),
    }
}

/// The largest difference between a batch's output and those of its parts; `None` without a batch axis.
fn furthest(whole: &Tensor, parts: &[&Tensor], size: usize) -> Option<f64> {
    let mut most = 0.0f64;
    for (index, part) in parts.iter().enumerate() {
        let expected = whole.rows(index * size, size)?;
        if expected.shape() != part.shape() {
            return None;
        }
        let pairs = expected.to_f64()?.into_iter().zip(part.to_f64()?);
        most = pairs.fold(most, |most, (a, b)| most.max(difference(a, b)));
    }
    Some(most)
}

impl Batching {
    fn has_batch(&self) -> bool {
        self.is_batched.contains(&true)
    }

    /// Names that the batch extents are bound under when samples are drawn.
    fn symbols(&self) -> impl Iterator<Item = String> + '_ {
        let batched = self
            .ports
            .iter()
            .zip(&self.is_batched)
            .filter(|(_, is)| **is);
        batched.filter_map(|(port, _)| match port.dims.as_ref()?.first()? {
            Dim::Symbol(name) => Some(name.clone()),
            Dim::Unknown => Some(format!("{}.0", port.name)),
            Dim::Fixed(_) => None,
        })
    }
}
