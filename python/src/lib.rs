//! The part of the Python module that is written in Rust: bytes and JSON in, bytes and JSON out.
//!
//! `python/bnfold/__init__.py` gives it its Python face.

mod options;

use std::path::PathBuf;

use bnfold::apply::Applied;
use bnfold::check::{Audit, Audited, findings};
use bnfold::engine::ModelBytes;
use bnfold::fold::fold as plan_and_apply;
use bnfold::onnx::Model;
use bnfold::settle::{Settled, settle};
use bnfold::verify::isolated::{Source, serve, verify_isolated};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use options::Options;

/// A model as Python hands it over: a path, or bytes.
#[derive(FromPyObject)]
enum Given {
    Bytes(Vec<u8>),
    Path(PathBuf),
}

impl Given {
    fn name(&self) -> String {
        match self {
            Given::Bytes(_) => "<bytes>".to_owned(),
            Given::Path(path) => path.display().to_string(),
        }
    }

    fn open(&self) -> Result<Model, String> {
        let model = match self {
            Given::Bytes(bytes) => Model::from_bytes(bytes.clone()),
            Given::Path(path) => Model::open(path),
        };
        model.map_err(|error| error.to_string())
    }

    fn source(&self) -> Source<'_> {
        match self {
            Given::Bytes(bytes) => Source::Bytes(ModelBytes::new(bytes)),
            Given::Path(path) => Source::File(path),
        }
    }
}

/// A fold's result: the rewritten model, or nothing if it was not to be had, and the report as JSON.
struct Outcome {
    bytes: Option<Vec<u8>>,
    audit: Audit,
}

/// Folds a model and compares the result; `worker` is the command line that serves a comparison.
fn run(
    given: Given,
    options: &Options,
    worker: Vec<String>,
    wants_bytes: bool,
) -> Result<Outcome, String> {
    let name = given.name();
    let model = given.open().map_err(|error| match error.contains(&name) {
        true => error,
        false => format!("{name}: {error}"),
    })?;
    let mut plan_options = options.plan_options()?;
    let folded = plan_and_apply(&model, options.reading(), &plan_options)
        .map_err(|error| format!("{name}: {error}"))?;
    let worker = options.worker(worker)?;
    let mut compare = |bytes: &[u8], applied: &Applied<'_>| {
        let mut verify = options.verify_options();
        verify.compare_values.clone_from(&applied.ends);
        verify.changed_values.clone_from(&applied.changed);
        let directory = model.directory();
        let rewritten = Source::Bytes(ModelBytes { bytes, directory });
        verify_isolated(&worker, given.source(), rewritten, &verify)
    };
    let settled = settle(
        folded,
        &mut plan_options,
        options.on_different.into(),
        options.verify.then_some(&mut compare),
    )
    .map_err(|error| format!("{name}: {error}"))?;
    let bytes = match wants_bytes {
        true => Some(rendered(&model, &settled)?),
        false => None,
    };
    let report = settled.report(&name);
    let audited = Audited {
        path: name,
        findings: findings(&report, &options.policy()?),
        trouble: None,
        report: Some(report),
    };
    Ok(Outcome {
        bytes,
        audit: Audit::new(vec![audited]),
    })
}

fn rendered(model: &Model, settled: &Settled<'_>) -> Result<Vec<u8>, String> {
    let edits = &settled.folded.applied.edits;
    let rope = edits.to_rope().map_err(|error| error.to_string())?;
    let (bytes, flaws) = rope.to_vec(model).map_err(|error| error.to_string())?;
    match flaws.first() {
        None => Ok(bytes),
        Some(flaw) => Err(flaw.to_string()),
    }
}

fn json(audit: &Audit) -> PyResult<String> {
    serde_json::to_string(audit).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// Folds a model: the new bytes and the audit as JSON.
#[pyfunction]
fn fold<'py>(
    python: Python<'py>,
    model: Given,
    options: &str,
    worker: Vec<String>,
) -> PyResult<(Bound<'py, PyBytes>, String)> {
    let options = Options::parse(options).map_err(PyValueError::new_err)?;
    let outcome = python
        .detach(|| run(model, &options, worker, true))
        .map_err(PyValueError::new_err)?;
    let bytes = PyBytes::new(python, &outcome.bytes.unwrap_or_default());
    Ok((bytes, json(&outcome.audit)?))
}

/// Looks at a model: the audit as JSON.
#[pyfunction]
fn check(python: Python<'_>, model: Given, options: &str, worker: Vec<String>) -> PyResult<String> {
    let options = Options::parse(options).map_err(PyValueError::new_err)?;
    let outcome = python
        .detach(|| run(model, &options, worker, false))
        .map_err(PyValueError::new_err)?;
    json(&outcome.audit)
}

/// Serves one comparison on standard input and output; called by the process that a comparison starts.
#[pyfunction]
fn serve_one(python: Python<'_>) -> PyResult<()> {
    python.detach(serve).map_err(PyRuntimeError::new_err)
}

#[pymodule]
fn _bnfold(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(fold, module)?)?;
    module.add_function(wrap_pyfunction!(check, module)?)?;
    module.add_function(wrap_pyfunction!(serve_one, module)?)
}
