//! If, Loop and Scan: operators that run graphs.
//!
//! Loop and Scan build their scan outputs by concatenating what the iterations give.
//! For an observer that explores, a body that is not entered is run once beside: on what it captures, on
//! the values it would begin with, and on stand-ins where there are none.

use super::call::{Call, Fault, axis};
use super::error::EngineError;
use super::graph::{Attribute, Graph, Node};
use super::kernels::strided;
use super::run::Run;
use super::tensor::Tensor;

/// Whether this module runs the operator.
pub(super) fn is_control(op_type: &str) -> bool {
    matches!(op_type, "If" | "Loop" | "Scan")
}

pub(super) fn run(
    run: &mut Run<'_>,
    call: &mut Call<'_>,
    outer: &[Option<Tensor>],
) -> Result<Vec<Tensor>, EngineError> {
    match call.node.op_type.as_str() {
        "If" => branch(run, call, outer),
        "Loop" => repeat(run, call, outer),
        _ => scan(run, call, outer),
    }
}

/// Runs every body of a node that cannot be run itself, if the observer explores.
pub(super) fn explore_all(
    run: &mut Run<'_>,
    node: &Node,
    outer: &[Option<Tensor>],
) -> Result<(), EngineError> {
    if !is_control(&node.op_type) {
        return Ok(());
    }
    let mut names: Vec<&String> = node.attributes.keys().collect();
    names.sort();
    for name in names {
        if let Some(Attribute::Graph(body)) = node.attributes.get(name) {
            explore(run, body, Vec::new(), outer)?;
        }
    }
    Ok(())
}

/// Runs a body for its observer alone, if that one explores.
fn explore(
    run: &mut Run<'_>,
    body: &Graph,
    mut inputs: Vec<Option<Tensor>>,
    outer: &[Option<Tensor>],
) -> Result<(), EngineError> {
    if !run.is_partial || !run.observer.explores() {
        return Ok(());
    }
    inputs.resize(body.inputs.len(), None);
    run.graph_partial(body, inputs, outer).map(drop)
}

fn checked<T>(run: &Run<'_>, call: &Call<'_>, result: Result<T, Fault>) -> Result<T, EngineError> {
    result.map_err(|fault| run.fault(call.node, &fault))
}

fn truth(tensor: &Tensor) -> Result<bool, Fault> {
    match tensor.elements::<bool>() {
        Some([value]) => Ok(*value),
        _ => Err(Fault::invalid("a condition is no single boolean")),
    }
}

fn branch(
    run: &mut Run<'_>,
    call: &mut Call<'_>,
    outer: &[Option<Tensor>],
) -> Result<Vec<Tensor>, EngineError> {
    let condition = checked(run, call, call.input(0).and_then(truth))?;
    let (name, other) = if condition {
        ("then_branch", "else_branch")
    } else {
        ("else_branch", "then_branch")
    };
    let body = checked(run, call, call.graph(name).cloned())?;
    let outputs = run.graph(&body, Vec::new(), outer)?;
    if let Ok(other) = call.graph(other).cloned() {
        explore(run, &other, Vec::new(), outer)?;
    }
    Ok(outputs)
}

fn repeat(
    run: &mut Run<'_>,
    call: &mut Call<'_>,
    outer: &[Option<Tensor>],
) -> Result<Vec<Tensor>, EngineError> {
    let body = checked(run, call, call.graph("body").cloned())?;
    let trips = checked(run, call, call.integers(0))?.and_then(|list| list.first().copied());
    let mut goes_on = match call.optional(1) {
        Some(tensor) => checked(run, call, truth(tensor))?,
        None => true,
    };
    let mut state: Vec<Option<Tensor>> = call.inputs.iter().skip(2).cloned().collect();
    let n_state = state.len();
    let mut collected: Vec<Vec<Tensor>> =
        vec![Vec::new(); body.outputs.len().saturating_sub(1 + n_state)];
    let mut iteration = 0i64;
    while goes_on && trips.is_none_or(|trips| iteration < trips) {
        let mut inputs = vec![
            Some(Tensor::scalar(iteration)),
            Some(Tensor::scalar(goes_on)),
        ];
        inputs.extend(state);
        let mut outputs = run.graph(&body, inputs, outer)?.into_iter();
        let condition = outputs.next();
        let condition = condition.ok_or_else(|| Fault::invalid("its body gives no condition"));
        goes_on = checked(run, call, condition.and_then(|tensor| truth(&tensor)))?;
        state = outputs.by_ref().take(n_state).map(Some).collect();
        for (list, tensor) in collected.iter_mut().zip(outputs) {
            list.push(tensor);
        }
        iteration += 1;
    }
    if iteration == 0 {
        let mut inputs = vec![Some(Tensor::scalar(0i64)), Some(Tensor::scalar(true))];
        inputs.extend(state.iter().cloned());
        explore(run, &body, inputs, outer)?;
    }
    let mut results = Vec::with_capacity(n_state + collected.len());
    for value in state {
        results.push(checked(
            run,
            call,
            value.ok_or_else(|| Fault::invalid("a state is absent")),
        )?);
    }
    for list in collected {
        results.push(checked(run, call, strided::stack(&list, 0))?);
    }
    Ok(results)
}

/// Scan of opset 9 and later; opset 8 has a batch axis and is refused.
fn scan(
    run: &mut Run<'_>,
    call: &mut Call<'_>,
    outer: &[Option<Tensor>],
) -> Result<Vec<Tensor>, EngineError> {
    let body = checked(run, call, call.graph("body").cloned())?;
    let form = checked(run, call, ScanForm::read(call))?;
    let mut state: Vec<Option<Tensor>> = call.inputs.iter().take(form.n_state).cloned().collect();
    let n_outputs = body.outputs.len().saturating_sub(form.n_state);
    let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); n_outputs];
    for iteration in 0..form.length {
        let mut inputs = state;
        for (index, scanned) in form.scanned.iter().enumerate() {
            let at = if scanned.is_reversed {
                form.length - 1 - iteration
            } else {
                iteration
            };
            let whole = checked(run, call, call.input(form.n_state + index))?;
            inputs.push(Some(checked(
                run,
                call,
                strided::index_axis(whole, scanned.axis, at),
            )?));
        }
        let mut outputs = run.graph(&body, inputs, outer)?.into_iter();
        state = outputs.by_ref().take(form.n_state).map(Some).collect();
        for (list, tensor) in collected.iter_mut().zip(outputs) {
            list.push(tensor);
        }
    }
    if form.length == 0 {
        explore(run, &body, state.clone(), outer)?;
    }
    let mut results = Vec::new();
    for value in state {
        results.push(checked(
            run,
            call,
            value.ok_or_else(|| Fault::invalid("a state is absent")),
        )?);
    }
    for (index, mut list) in collected.into_iter().enumerate() {
        if form.output_reversed.get(index).copied().unwrap_or(false) {
            list.reverse();
        }
        let at = form.output_axes.get(index).copied().unwrap_or(0);
        results.push(checked(run, call, strided::stack(&list, at))?);
    }
    Ok(results)
}

struct Scanned {
    axis: usize,
    is_reversed: bool,
}

struct ScanForm {
    n_state: usize,
    scanned: Vec<Scanned>,
    length: usize,
    output_axes: Vec<i64>,
    output_reversed: Vec<bool>,
}

impl ScanForm {
    fn read(call: &Call<'_>) -> Result<ScanForm, Fault> {
        if call.version() < 9 {
            return Err(Fault::unsupported("Scan of opset 8"));
        }
        let n_scanned = usize::try_from(call.int("num_scan_inputs", 0)?).unwrap_or(0);
        let n_state = call
            .inputs
            .len()
            .checked_sub(n_scanned)
            .filter(|_| n_scanned > 0);
        let n_state = n_state.ok_or_else(|| Fault::invalid("num_scan_inputs does not fit"))?;
        let reversed = call.ints("scan_input_directions")?.unwrap_or_default();
        let axes = call.ints("scan_input_axes")?.unwrap_or_default();
        let mut scanned = Vec::with_capacity(n_scanned);
        let mut length = None;
        for index in 0..n_scanned {
            let tensor = call.input(n_state + index)?;
            let at = axis(axes.get(index).copied().unwrap_or(0), tensor.rank())?;
            let extent = tensor.shape().get(at).copied();
            if length.is_some() && length != extent {
                return Err(Fault::invalid("its scanned inputs differ in length"));
            }
            length = extent;
            scanned.push(Scanned {
                axis: at,
                is_reversed: reversed.get(index) == Some(&1),
            });
        }
        let flags = call.ints("scan_output_directions")?.unwrap_or_default();
        Ok(ScanForm {
            n_state,
            scanned,
            length: length.unwrap_or(0),
            output_axes: call.ints("scan_output_axes")?.unwrap_or_default().to_vec(),
            output_reversed: flags.iter().map(|&flag| flag == 1).collect(),
        })
    }
}
