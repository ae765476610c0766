//! Nested graphs and model-local functions around a chain of nodes that keeps its shape.

use super::generator::{Draw, Generator};
use super::live::Live;
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::testing::{DataType, Graph, Tensor, Value};

pub(super) const NESTED: &[(u32, Draw)] = &[(3, if_), (2, loop_), (2, scan)];

pub(super) const FUNCTIONS: &[(u32, Draw)] = &[(3, call)];

/// Some nodes behind the value, in its graph, that keep its shape; `shape` is what is known of it.
fn chain(generator: &mut Generator<'_>, mut value: Value, shape: &[usize]) -> Value {
    for _ in 0..1 + generator.random_below(3) {
        value = link(generator, &value, shape);
    }
    value
}

fn link(generator: &mut Generator<'_>, value: &Value, shape: &[usize]) -> Value {
    let spatial = shape.len().saturating_sub(2);
    match generator.random_below(7) {
        0 | 1 if shape.len() >= 2 => value.batch_norm(),
        2 | 3 if spatial > 0 => {
            let value = value.conv(shape[1]).pads(vec![1; 2 * spatial]);
            if generator.chance(0.5) {
                value.bias()
            } else {
                value
            }
        }
        4 if shape.len() >= 2 && shape[shape.len() - 1] <= 32 => {
            value.matmul(shape[shape.len() - 1])
        }
        5 => value.tanh(),
        6 => {
            let name = generator.fresh("offset");
            value.add(value.graph().drawn_parameter(&name, &[1], -1.0, 1.0))
        }
        _ => value.relu(),
    }
}

fn if_(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let graph = generator.graph;
    let yes = Tensor::bools(&[], [generator.chance(0.5)]);
    let condition = graph.constant_parameter("condition", yes);
    let names = [generator.fresh("then"), generator.fresh("else")];
    let [then, otherwise] = names.map(|name| {
        graph.body(|body| {
            let inner = chain(generator, body.capture(&x.value), x.shape());
            inner.shape(x.shape()).output(&name)
        })
    });
    let value = graph.op("If", &[&condition]).attr("then_branch", then);
    Some(vec![value.attr("else_branch", otherwise)])
}

/// Two or three rounds over the value, which the body adds to its captured self.
fn loop_(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let graph = generator.graph;
    let rounds = Tensor::scalar(DataType::Int64, 2.0 + generator.random_below(2) as f64);
    let rounds = graph.constant_parameter("rounds", rounds);
    let goes_on = graph.constant_parameter("goes_on", Tensor::bools(&[], [true]));
    let names =
        ["round", "on", "state", "still_on", "next", "seen"].map(|stem| generator.fresh(stem));
    let scans = generator.chance(0.5);
    let body = graph.body(|body| {
        body.typed_input(&names[0], DataType::Int64, []);
        let on = body.typed_input(&names[1], DataType::Bool, []);
        let state = body.input(&names[2], x.shape());
        on.identity().output(&names[3]);
        let next = chain(generator, state, x.shape())
            .add(body.capture(&x.value))
            .tanh();
        next.shape(x.shape()).output(&names[4]);
        if scans {
            next.identity().shape(x.shape()).output(&names[5]);
        }
    });
    let value = graph
        .op("Loop", &[&rounds, &goes_on, &x.value])
        .attr("body", body);
    Some(if scans { value.outputs(2) } else { vec![value] })
}

/// The body sees the value's parts along the first axis.
fn scan(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let graph = generator.graph;
    let shape = x.shape().get(1..).filter(|shape| !shape.is_empty())?;
    if generator.opset < 9 {
        return None;
    }
    let names = ["state", "part", "sum", "result"].map(|stem| generator.fresh(stem));
    let initial = generator.weight("initial", shape, -1.0, 1.0);
    let body = graph.body(|body| {
        let state = body.input(&names[0], shape);
        let part = body.input(&names[1], shape);
        let sum = state.add(part).tanh().output(&names[2]);
        chain(generator, sum, shape).shape(shape).output(&names[3])
    });
    let value = graph.op("Scan", &[&initial, &x.value]).attr("body", body);
    let backwards = i64::from(generator.chance(0.5));
    let value = value
        .attr("num_scan_inputs", 1)
        .attr("scan_input_directions", [backwards]);
    Some(value.outputs(2))
}

/// A function of its own around a chain, called once or twice, with an attribute reference.
fn call(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let graph = generator.graph;
    let name = generator.fresh("Block");
    let shape = x.shape();
    let default = generator.chance(0.5);
    graph.function("local", &name, |function| {
        match default {
            true => drop(function.attribute_default("slope", 0.1)),
            false => drop(function.attribute("slope")),
        }
        let inner = chain(generator, function.input("x", shape), shape);
        inner
            .op("LeakyRelu")
            .attr_ref("alpha", AttributeType::Float, "slope")
            .output("y")
    });
    let called = |value: &Value, graph: &Graph| {
        let value = graph.op(&name, &[value]).domain("local").shape(shape);
        if default {
            value
        } else {
            value.attr("slope", 0.3)
        }
    };
    let value = called(&x.value, graph);
    Some(vec![if generator.chance(0.3) {
        called(&value, graph)
    } else {
        value
    }])
}
