//! If, Loop and Scan: operators that run a nested graph.

use super::axes::{axis, count, extent};
use super::call::{Call, require, single};
use super::layout::transposed;
use super::scope::Scope;
use crate::onnx::proto::GraphProto;
use crate::testing::{DataType, Tensor};

/// Computes a node's outputs, with the scope that its bodies see.
pub(super) type Control = fn(&Call<'_>, &Scope<'_>) -> Result<Vec<Tensor>, String>;

pub(super) fn operator(op_type: &str) -> Option<Control> {
    match op_type {
        "If" => Some(if_),
        "Loop" => Some(loop_),
        "Scan" => Some(scan),
        _ => None,
    }
}

fn body<'a>(call: &Call<'a>, name: &str) -> Result<&'a GraphProto, String> {
    let graph = call
        .attribute(name)
        .and_then(|attribute| attribute.g.as_ref());
    graph.ok_or_else(|| format!("attribute {name} is no graph"))
}

/// Runs a body on its inputs.
fn run(graph: &GraphProto, scope: &Scope<'_>, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, String> {
    require(graph.input.len() == inputs.len(), || {
        format!(
            "{} inputs for a body of {}",
            inputs.len(),
            graph.input.len()
        )
    })?;
    let mut inner = scope.inner();
    for (input, tensor) in graph.input.iter().zip(inputs) {
        inner.set(input.name(), tensor);
    }
    inner.run_graph(graph)?;
    inner.outputs(graph)
}

fn if_(call: &Call<'_>, scope: &Scope<'_>) -> Result<Vec<Tensor>, String> {
    let chosen = if single(call.input(0)?)? != 0.0 {
        "then_branch"
    } else {
        "else_branch"
    };
    run(body(call, chosen)?, scope, Vec::new())
}

/// Inputs M, cond and the carried values; the body maps (iteration, cond, carried) to (cond,
/// carried, scanned), and what it scans is stacked on a new first axis.
fn loop_(call: &Call<'_>, scope: &Scope<'_>) -> Result<Vec<Tensor>, String> {
    let graph = body(call, "body")?;
    let most = call
        .optional(0)
        .map(single)
        .transpose()?
        .unwrap_or(f64::INFINITY);
    let mut goes_on = call.optional(1).map(single).transpose()?.unwrap_or(1.0) != 0.0;
    let carried_inputs = 2..call.inputs.len();
    let mut carried: Vec<Tensor> = carried_inputs
        .map(|at| call.input(at).cloned())
        .collect::<Result<_, _>>()?;
    let scans = graph.output.len().checked_sub(1 + carried.len());
    let scans = scans.ok_or_else(|| format!("the body has {} outputs", graph.output.len()))?;
    let mut scanned: Vec<Vec<Tensor>> = vec![Vec::new(); scans];
    let mut iteration = 0.0;
    while goes_on && iteration < most {
        require(iteration < 1e6, || "a million iterations and no end".into())?;
        let mut inputs = vec![
            Tensor::scalar(DataType::Int64, iteration),
            Tensor::scalar(DataType::Bool, 1.0),
        ];
        inputs.append(&mut carried);
        let mut outputs = run(graph, scope, inputs)?.into_iter();
        goes_on = single(&outputs.next().ok_or("the body has no condition")?)? != 0.0;
        carried = outputs
            .by_ref()
            .take(graph.output.len() - 1 - scans)
            .collect();
        for (stack, tensor) in scanned.iter_mut().zip(outputs) {
            stack.push(tensor);
        }
        iteration += 1.0;
    }
    let declared = graph.output.iter().rev().take(scans).rev();
    let stacks = scanned.iter().zip(declared);
    let stacks = stacks
        .map(|(stack, output)| stacked(stack, 0).or_else(|error| empty_scan(output).ok_or(error)));
    let stacks = stacks.collect::<Result<Vec<_>, String>>()?;
    Ok(carried.into_iter().chain(stacks).collect())
}

/// What a Loop scans when it never ran: no elements, of the declared type and extents.
fn empty_scan(output: &crate::onnx::proto::ValueInfoProto) -> Option<Tensor> {
    use crate::onnx::proto::tensor_shape_proto::dimension::Value::DimValue;
    use crate::onnx::proto::type_proto::Value::TensorType;
    let Some(TensorType(tensor)) = output.r#type.as_ref()?.value.as_ref() else {
        return None;
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
    let extents = dims.map(|dim| match dim.value {
        Some(DimValue(extent)) => usize::try_from(extent).unwrap_or(0),
        _ => 0,
    });
    let shape = [0].into_iter().chain(extents).collect();
    let dtype = crate::testing::element::data_type(tensor.elem_type?).ok()?;
    Some(Tensor {
        dtype,
        shape,
        data: Vec::new(),
    })
}

/// Tensors of one shape along a new axis.
fn stacked(tensors: &[Tensor], axis: usize) -> Result<Tensor, String> {
    let first = tensors.first().ok_or("nothing was scanned")?;
    require(
        tensors.iter().all(|tensor| tensor.shape == first.shape),
        || "the shape of what is scanned changes".into(),
    )?;
    let shape = [&[tensors.len()], &first.shape[..]].concat();
    let data = tensors
        .iter()
        .flat_map(|tensor| &tensor.data)
        .copied()
        .collect();
    let stack = Tensor {
        dtype: first.dtype,
        shape,
        data,
    };
    let mut perm: Vec<i64> = (1..stack.rank() as i64).collect();
    perm.insert(axis, 0);
    transposed(&stack, &perm)
}

/// The parts of a tensor along one axis, without that axis.
fn unstacked(tensor: &Tensor, axis: usize) -> Result<Vec<Tensor>, String> {
    let mut perm: Vec<i64> = (0..tensor.rank() as i64)
        .filter(|&at| at != axis as i64)
        .collect();
    perm.insert(0, axis as i64);
    let moved = transposed(tensor, &perm)?;
    let shape = moved.shape[1..].to_vec();
    let size = count(&shape);
    let part = |number: usize| {
        let data = moved.data[number * size..(number + 1) * size].to_vec();
        Tensor {
            dtype: tensor.dtype,
            shape: shape.clone(),
            data,
        }
    };
    Ok((0..moved.shape[0]).map(part).collect())
}

/// States, then scanned inputs; the body maps (states, elements) to (states, elements).
///
/// Opset 8 has a leading input of sequence lengths and a batch axis in front of everything.
fn scan(call: &Call<'_>, scope: &Scope<'_>) -> Result<Vec<Tensor>, String> {
    let inputs = if call.opset < 9 {
        &call.inputs[1..]
    } else {
        &call.inputs[..]
    };
    let present = |input: &Option<&Tensor>| input.cloned().ok_or("a Scan input is missing");
    let inputs = inputs.iter().map(present).collect::<Result<Vec<_>, _>>()?;
    if call.opset >= 9 {
        return scan_once(call, scope, inputs);
    }
    require(call.optional(0).is_none(), || {
        "sequence_lens of a Scan are not served".into()
    })?;
    let batched = inputs
        .iter()
        .map(|input| unstacked(input, 0))
        .collect::<Result<Vec<_>, _>>()?;
    let batch = batched.first().map_or(0, Vec::len);
    let mut results: Vec<Vec<Tensor>> = Vec::new();
    for entry in 0..batch {
        let entries = batched.iter().map(|input| input[entry].clone()).collect();
        results.push(scan_once(call, scope, entries)?);
    }
    let outputs = results.first().map_or(0, Vec::len);
    let output = |at: usize| {
        let parts: Vec<Tensor> = results.iter().map(|result| result[at].clone()).collect();
        stacked(&parts, 0)
    };
    (0..outputs).map(output).collect()
}

fn scan_once(
    call: &Call<'_>,
    scope: &Scope<'_>,
    inputs: Vec<Tensor>,
) -> Result<Vec<Tensor>, String> {
    let graph = body(call, "body")?;
    let scanned_inputs = extent(call.int("num_scan_inputs", 0))?;
    let states = inputs
        .len()
        .checked_sub(scanned_inputs)
        .ok_or("too few inputs")?;
    let old = if call.opset < 9 {
        "directions"
    } else {
        "scan_input_directions"
    };
    let setting = |name: &str, at: usize| {
        call.ints(name)
            .and_then(|values| values.get(at).copied())
            .unwrap_or(0)
    };
    let mut sequences = Vec::new();
    for (at, input) in inputs[states..].iter().enumerate() {
        let along = axis(setting("scan_input_axes", at), input.rank())?;
        let mut parts = unstacked(input, along)?;
        if setting(old, at) != 0 {
            parts.reverse();
        }
        sequences.push(parts);
    }
    let length = sequences.first().map_or(0, Vec::len);
    require(sequences.iter().all(|parts| parts.len() == length), || {
        "lengths differ".into()
    })?;
    let mut state = inputs[..states].to_vec();
    let mut scanned: Vec<Vec<Tensor>> = vec![Vec::new(); graph.output.len().saturating_sub(states)];
    for step in 0..length {
        let elements = sequences.iter().map(|parts| parts[step].clone());
        let given = state.drain(..).chain(elements).collect();
        let mut outputs = run(graph, scope, given)?.into_iter();
        state = outputs.by_ref().take(states).collect();
        for (stack, tensor) in scanned.iter_mut().zip(outputs) {
            stack.push(tensor);
        }
    }
    let mut outputs = state;
    for (at, mut stack) in scanned.into_iter().enumerate() {
        if setting("scan_output_directions", at) != 0 {
            stack.reverse();
        }
        let rank = stack.first().map_or(0, Tensor::rank) + 1;
        outputs.push(stacked(
            &stack,
            axis(setting("scan_output_axes", at), rank)?,
        )?);
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use crate::testing::reference::run_outputs;
    use crate::testing::{DataType, Tensor, model};

    #[test]
    fn a_loop_carries_and_scans() {
        let built = model(|g| {
            let rounds = g.initializer("rounds", Tensor::scalar(DataType::Int64, 3.0));
            let x = g.input("x", [2]);
            let body = g.body(|b| {
                b.typed_input("round", DataType::Int64, []);
                b.typed_input("on", DataType::Bool, [])
                    .identity()
                    .output("still_on");
                let sum = b.input("sum", [2]).add(b.capture(&x)).output("next");
                sum.identity().output("seen")
            });
            let outputs = g
                .op("Loop", &[&rounds, &g.absent(), &x])
                .attr("body", body)
                .outputs(2);
            outputs[0].output("last");
            outputs[1].output("all")
        });
        let found = run_outputs(&built, &[("x", Tensor::floats(&[2], [1.0, -2.0]))]).unwrap();
        assert_eq!(found[0].data, [4.0, -8.0]);
        assert_eq!(
            (&*found[1].shape, found[1].data[..2].to_vec()),
            (&[3, 2][..], vec![2.0, -4.0])
        );
    }

    #[test]
    fn a_scan_runs_either_way() {
        let built = |backwards: i64| {
            model(|g| {
                let start = g.initializer("start", Tensor::floats(&[], [1.0]));
                let x = g.input("x", [3]);
                let body = g.body(|b| {
                    let product = b.input("state", []).mul(b.input("part", []));
                    product.op("Neg").output("next").identity().output("seen")
                });
                let scan = g.op("Scan", &[&start, &x]).attr("body", body);
                let scan = scan.attr("num_scan_inputs", 1);
                scan.attr("scan_input_directions", [backwards]).outputs(2)[1].output("y")
            })
        };
        let run = |backwards| {
            let x = Tensor::floats(&[3], [2.0, 3.0, 5.0]);
            run_outputs(&built(backwards), &[("x", x)])
                .unwrap()
                .remove(0)
                .data
        };
        assert_eq!(run(0), [-2.0, 6.0, -30.0]);
        assert_eq!(run(1), [-5.0, 15.0, -30.0]);
    }
}
