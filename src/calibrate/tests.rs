//! Calibration against naive two-pass sums over all data at once, and against hand-made models.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::Tensor;
use crate::graph::Reading;
use crate::onnx::proto::{ModelProto, NodeProto};
use crate::testing::builder::Parameters;
use crate::testing::reference::run_outputs;
use crate::testing::{DataType, Tensor as Reference, ToBytes, model};
use crate::verify::data::Sample;
use prost::Message;

const SHAPE: [usize; 4] = [60, 3, 5, 4];

/// Numbers whose channels differ in mean and deviation.
fn numbers(seed: u64, shape: &[usize]) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let inner: usize = shape[2..].iter().product();
    let count = shape.iter().product::<usize>();
    let number = |at: usize| {
        let channel = (at / inner % shape[1]) as f64;
        let noise: f64 = (0..4).map(|_| random.random_range(-1.0..1.0)).sum();
        f64::from((10.0 * channel - 3.0 + (channel + 0.5) * noise) as f32)
    };
    (0..count).map(number).collect()
}

/// Rows `from..to` of the numbers as a sample.
fn rows(numbers: &[f64], shape: &[usize], element: DataType, from: usize, to: usize) -> Source {
    let length: usize = shape[1..].iter().product();
    let part = numbers[from * length..to * length].to_vec();
    let shape = [&[to - from], &shape[1..]].concat();
    let tensor = Tensor::new(shape, part).unwrap();
    let element = crate::engine::ElementType::from_onnx(element.into()).unwrap();
    Source::Given(Sample {
        origin: "given".into(),
        inputs: vec![(Some("x".to_owned()), tensor.rounded_to(element))],
        outputs: Vec::new(),
    })
}

/// Mean and population variance per channel, in two passes over everything.
fn naive(numbers: &[f64], shape: &[usize]) -> [Vec<f64>; 2] {
    let inner: usize = shape[2..].iter().product();
    let channel = |c: usize| {
        let own = move |(at, _): &(usize, &f64)| at / inner % shape[1] == c;
        numbers
            .iter()
            .enumerate()
            .filter(own)
            .map(|(_, x)| *x)
            .collect::<Vec<f64>>()
    };
    let channels: Vec<Vec<f64>> = (0..shape[1]).map(channel).collect();
    let average = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let mean: Vec<f64> = channels.iter().map(|list| average(list)).collect();
    let var = channels.iter().zip(&mean).map(|(list, mean)| {
        average(
            &list
                .iter()
                .map(|x| (x - mean) * (x - mean))
                .collect::<Vec<f64>>(),
        )
    });
    let var = var.collect();
    [mean, var]
}

fn close(found: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(
            error <= bound * expected.abs().max(1.0),
            "{found:e} for {expected:e}: off by {error:e}"
        );
    }
}

/// The calibrated model as other tools would read it, and what was estimated.
fn calibrated(
    proto: &ModelProto,
    data: &[Source],
    options: &Options,
) -> Result<(ModelProto, Vec<Estimate>, usize), CalibrateError> {
    let read = Model::from_bytes(proto.to_bytes()).unwrap();
    let graph = Graph::new(&read, Reading::default()).unwrap();
    let found = calibrate(&graph, data, options, &mut |_| {})?;
    let (bytes, flaws) = found.edits.to_rope().unwrap().to_vec(&read).unwrap();
    assert_eq!(flaws, []);
    let written = ModelProto::decode(&*bytes).unwrap();
    Ok((written, found.nodes, found.passes))
}

fn refusal(proto: &ModelProto, data: &[Source], options: &Options) -> String {
    let outcome = calibrated(proto, data, options);
    outcome.map(|_| ()).unwrap_err().to_string()
}

fn tensor(model: &ModelProto, name: &str) -> Vec<f64> {
    let stored = &model.graph.as_ref().unwrap().initializer;
    let proto = stored.iter().find(|tensor| tensor.name() == name).unwrap();
    Reference::from_proto(proto).unwrap().data
}

fn node<'a>(model: &'a ModelProto, name: &str) -> &'a NodeProto {
    let nodes = &model.graph.as_ref().unwrap().node;
    nodes.iter().find(|node| node.name() == name).unwrap()
}

fn training(opset: i64) -> ModelProto {
    model(|g| {
        g.opset(opset);
        let node = g.input("x", "N,3,5,4").batch_norm();
        match opset {
            ..7 => node.attr("is_test", 0).outputs(5)[0].output("y"),
            7..14 => node.outputs(5)[0].output("y"),
            _ => node.attr("training_mode", 1).outputs(3)[0].output("y"),
        };
    })
}

fn whole(seed: u64) -> (Vec<f64>, Vec<Source>) {
    let numbers = numbers(seed, &SHAPE);
    let data = vec![rows(&numbers, &SHAPE, DataType::Float, 0, SHAPE[0])];
    (numbers, data)
}

#[test]
fn statistics_are_those_of_all_data_however_they_are_cut() {
    let (numbers, one) = whole(1);
    let [mean, var] = naive(&numbers, &SHAPE);
    let part = |from, to| rows(&numbers, &SHAPE, DataType::Float, from, to);
    let cuts = [
        one,
        vec![part(0, 1), part(1, 33), part(33, 60)],
        (0..60).map(|row| part(row, row + 1)).collect(),
    ];
    for data in &cuts {
        for batch_size in [None, Some(1), Some(7), Some(59), Some(1000)] {
            let options = Options {
                batch_size,
                ..Options::default()
            };
            let (_, nodes, passes) = calibrated(&training(17), data, &options).unwrap();
            assert_eq!((passes, nodes[0].count), (1, 60 * 20));
            close(&nodes[0].mean, &mean, 1e-12);
            close(&nodes[0].var, &var, 1e-12);
        }
    }
}

#[test]
fn every_opset_gets_its_own_inference_form_with_statistics_rounded_once() {
    let (numbers, data) = whole(2);
    let [mean, var] = naive(&numbers, &SHAPE);
    let rounded = |list: &[f64]| {
        list.iter()
            .map(|&x| f64::from(x as f32))
            .collect::<Vec<f64>>()
    };
    for opset in [1, 6, 7, 8, 9, 13, 14, 15, 22] {
        let original = training(opset);
        let (written, _, _) = calibrated(&original, &data, &Options::default()).unwrap();
        let attribute = |name: &str| {
            let attributes = &node(&written, "bn_0").attribute;
            attributes.iter().find(|a| a.name() == name).map(|a| a.i())
        };
        assert_eq!(
            attribute("is_test"),
            (opset < 7).then_some(1),
            "opset {opset}"
        );
        assert_eq!(attribute("training_mode"), None);
        assert_eq!(node(&written, "bn_0").output, ["y"], "opset {opset}");
        assert_eq!(
            tensor(&written, "bn_0.mean"),
            rounded(&mean),
            "opset {opset}"
        );
        assert_eq!(tensor(&written, "bn_0.var"), rounded(&var), "opset {opset}");
        let inputs = |model: &ModelProto| model.graph.clone().unwrap().input;
        assert_eq!(inputs(&written), inputs(&original), "opset {opset}");
        let graph = written.graph.as_ref().unwrap();
        assert_eq!(graph.initializer.len(), 4);
        formula(&written, &numbers, &mean, &var);
    }
}

/// The model's output is `(x − mean)·scale/√(var + ε) + B`.
fn formula(written: &ModelProto, numbers: &[f64], mean: &[f64], var: &[f64]) {
    let x = Reference::floats(&SHAPE, numbers.iter().map(|&x| x as f32));
    let y = run_outputs(written, &[("x", x)]).unwrap();
    let (scale, b) = (tensor(written, "bn_0.scale"), tensor(written, "bn_0.B"));
    for (at, x) in numbers.iter().enumerate() {
        let c = at / 20 % 3;
        let root = (var[c] + f64::from(1e-5f32)).sqrt();
        let expected = (x - mean[c]) * scale[c] / root + b[c];
        assert!((y[0].data[at] - expected).abs() < 1e-5);
    }
}

/// Two BNs in a row with a squaring between, in float64.
fn two() -> ModelProto {
    model(|g| {
        g.dtype(DataType::Double);
        let first = g
            .input("x", "N,3,5,4")
            .batch_norm()
            .attr("training_mode", 1);
        let squared = first.mul(&first);
        squared.batch_norm().attr("training_mode", 1).output("y")
    })
}

fn normalised(
    model: &ModelProto,
    numbers: &[f64],
    shape: &[usize],
    [mean, var]: [&[f64]; 2],
) -> Vec<f64> {
    let (scale, b) = (tensor(model, "bn_0.scale"), tensor(model, "bn_0.B"));
    let inner: usize = shape[2..].iter().product();
    let one = |(at, x): (usize, &f64)| {
        let c = at / inner % shape[1];
        let y = (x - mean[c]) * scale[c] / (var[c] + f64::from(1e-5f32)).sqrt() + b[c];
        y * y
    };
    numbers.iter().enumerate().map(one).collect()
}

#[test]
fn later_nodes_see_earlier_ones_in_inference_mode() {
    let numbers = numbers(3, &SHAPE);
    let data = [rows(&numbers, &SHAPE, DataType::Double, 0, 60)];
    let model = two();
    let [mean, var] = naive(&numbers, &SHAPE);
    let between = normalised(&model, &numbers, &SHAPE, [&mean, &var]);
    let [second_mean, second_var] = naive(&between, &SHAPE);
    for batch_size in [Some(1), Some(7), None] {
        let options = Options {
            batch_size,
            ..Options::default()
        };
        let (written, nodes, passes) = calibrated(&model, &data, &options).unwrap();
        assert_eq!(passes, 2);
        close(&nodes[1].mean, &second_mean, 1e-12);
        close(&nodes[1].var, &second_var, 1e-12);
        close(&tensor(&written, "bn_1.var"), &second_var, 1e-12);
    }
}

#[test]
fn one_pass_sees_earlier_nodes_in_the_mode_that_they_have() {
    let numbers = numbers(3, &SHAPE);
    let data = [rows(&numbers, &SHAPE, DataType::Double, 0, 60)];
    let model = two();
    let options = Options {
        batch_size: Some(20),
        one_pass: true,
        ..Options::default()
    };
    let (_, nodes, passes) = calibrated(&model, &data, &options).unwrap();
    let between = numbers.chunks(20 * 60).flat_map(|batch| {
        let [mean, var] = naive(batch, &SHAPE);
        normalised(&model, batch, &SHAPE, [&mean, &var])
    });
    let [mean, var] = naive(&between.collect::<Vec<f64>>(), &SHAPE);
    assert_eq!(passes, 1);
    close(&nodes[1].mean, &mean, 1e-12);
    close(&nodes[1].var, &var, 1e-12);
    let behind = Options {
        batch_size: Some(20),
        ..Options::default()
    };
    let (_, later, _) = calibrated(&model, &data, &behind).unwrap();
    let moved = (later[1].var[0] - nodes[1].var[0]).abs();
    assert!(
        moved > 1e-6,
        "both orders agree to {moved:e}, so the test says nothing"
    );
}

#[test]
fn nodes_beside_each_other_share_a_pass() {
    let m = model(|g| {
        let x = g.input("x", "N,3,5,4");
        let left = x.batch_norm().attr("training_mode", 1).relu();
        let right = x.batch_norm().attr("training_mode", 1);
        left.add(right)
            .batch_norm()
            .attr("training_mode", 1)
            .output("y")
    });
    let (_, data) = whole(4);
    let (_, nodes, passes) = calibrated(&m, &data, &Options::default()).unwrap();
    assert_eq!((nodes.len(), passes), (3, 2));
}

#[test]
fn nodes_in_inference_mode_are_taken_only_with_all() {
    let m = model(|g| {
        let x = g.input("x", "N,3,5,4").batch_norm().relu();
        x.batch_norm().attr("training_mode", 1).output("y")
    });
    let (numbers, data) = whole(5);
    let (written, nodes, _) = calibrated(&m, &data, &Options::default()).unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(tensor(&written, "bn_0.mean"), tensor(&m, "bn_0.mean"));
    let mut options = Options::default();
    options.choice.all = true;
    let (_, nodes, passes) = calibrated(&m, &data, &options).unwrap();
    assert_eq!((nodes.len(), passes, nodes[0].was_training), (2, 2, false));
    close(&nodes[0].var, &naive(&numbers, &SHAPE)[1], 1e-12);
    assert_eq!(
        nodes[0].old[0].as_deref(),
        Some(&tensor(&m, "bn_0.mean")[..])
    );
}

#[test]
fn shared_statistics_are_cloned_and_other_readers_keep_the_old() {
    for opset in [8, 17] {
        let m = model(|g| {
            g.opset(opset);
            let x = g.input("x", "N,3,5,4");
            let first = x.batch_norm();
            let outputs = if opset < 14 { 5 } else { 1 };
            let first = match opset {
                8 => first.outputs(outputs)[0].clone(),
                _ => first.attr("training_mode", 1),
            };
            let (mean, var) = (first.operand(3), first.operand(4));
            let second = first
                .relu()
                .batch_norm()
                .with_input(3, &mean)
                .with_input(4, &var);
            let second = match opset {
                8 => second.outputs(outputs)[0].clone(),
                _ => second.attr("training_mode", 1),
            };
            second.output("y");
            mean.op("Identity").output("z");
        });
        let (_, data) = whole(6);
        let (written, nodes, _) = calibrated(&m, &data, &Options::default()).unwrap();
        assert_eq!(
            tensor(&written, "bn_0.mean"),
            tensor(&m, "bn_0.mean"),
            "opset {opset}"
        );
        let graph = written.graph.as_ref().unwrap();
        let is_gone = graph
            .initializer
            .iter()
            .all(|tensor| tensor.name() != "bn_0.var");
        assert!(is_gone, "nothing reads the old variance any more");
        assert!(graph.input.iter().all(|input| input.name() != "bn_0.var"));
        let names: std::collections::HashSet<&String> = (0..2)
            .flat_map(|at| &node(&written, &format!("bn_{at}")).input[3..])
            .collect();
        assert_eq!(names.len(), 4, "{names:?}");
        // Below IR version 4 an initializer would be a new graph input.
        let constants = graph
            .node
            .iter()
            .filter(|node| node.op_type() == "Constant");
        assert_eq!(constants.count(), if opset == 8 { 4 } else { 0 });
        let x = Reference::floats(&[1, 3, 5, 4], (0..60).map(|x| x as f32));
        assert!(run_outputs(&written, &[("x", x)]).is_ok());
        assert_ne!(nodes[0].mean, nodes[1].mean);
    }
}

#[test]
fn float16_statistics_are_rounded_once_or_refused() {
    let m = model(|g| {
        g.dtype(DataType::Float16);
        g.input("x", "N,3,5,4")
            .batch_norm()
            .attr("training_mode", 1)
            .output("y")
    });
    let numbers = numbers(7, &SHAPE);
    let element = crate::engine::ElementType::Float16;
    let data = [rows(&numbers, &SHAPE, DataType::Float16, 0, 60)];
    let seen = Tensor::new(SHAPE.to_vec(), numbers)
        .unwrap()
        .rounded_to(element);
    let seen = seen.to_f64().unwrap();
    let (written, _, _) = calibrated(&m, &data, &Options::default()).unwrap();
    let [mean, var] = naive(&seen, &SHAPE);
    for (name, exact) in [("bn_0.mean", mean), ("bn_0.var", var)] {
        let rounded = Tensor::vector(exact).rounded_to(element).to_f64().unwrap();
        assert_eq!(tensor(&written, name), rounded);
    }
    let far: Vec<f64> = (0..3600)
        .map(|at| if at % 2 == 0 { 6e4 } else { -6e4 })
        .collect();
    let said = refusal(
        &m,
        &[rows(&far, &SHAPE, DataType::Float16, 0, 60)],
        &Options::default(),
    );
    assert!(
        said.contains("bn_0.var") && said.contains("overflow"),
        "{said}"
    );
}

#[test]
fn everything_else_stays_as_it_is() {
    let mut m = training(17);
    m.doc_string = Some("a model".into());
    let (_, data) = whole(8);
    let (mut written, _, _) = calibrated(&m, &data, &Options::default()).unwrap();
    let graph = written.graph.as_mut().unwrap();
    let before = m.graph.as_ref().unwrap();
    graph.node[0]
        .attribute
        .clone_from(&before.node[0].attribute);
    graph.node[0].output.clone_from(&before.node[0].output);
    for (tensor, old) in graph.initializer.iter_mut().zip(&before.initializer) {
        if tensor.name().ends_with(".mean") || tensor.name().ends_with(".var") {
            assert_ne!(tensor.raw_data, old.raw_data);
            tensor.raw_data.clone_from(&old.raw_data);
        }
    }
    assert_eq!(written, m);
}

#[test]
fn branches_and_loop_bodies_are_calibrated() {
    let m = model(|g| {
        let x = g.input("x", "N,3,5,4");
        let flag = g.initializer("flag", Reference::bools(&[], [true]));
        let chosen = g.if_else(
            &flag,
            |then| {
                then.capture(&x)
                    .batch_norm()
                    .attr("training_mode", 1)
                    .output("a")
            },
            |other| other.capture(&x).relu().output("b"),
        );
        let chosen = chosen.shape("N,3,5,4").dtype(DataType::Float);
        chosen.batch_norm().attr("training_mode", 1).output("y")
    });
    let (numbers, data) = whole(9);
    let (written, nodes, passes) = calibrated(&m, &data, &Options::default()).unwrap();
    assert_eq!((nodes.len(), passes), (2, 2));
    let [mean, var] = naive(&numbers, &SHAPE);
    let inner = nodes
        .iter()
        .find(|node| (node.mean[2] - mean[2]).abs() < 1e-9)
        .unwrap();
    close(&inner.var, &var, 1e-12);
    let x = Reference::floats(&SHAPE, numbers.iter().map(|&x| x as f32));
    assert!(run_outputs(&written, &[("x", x)]).is_ok());
}

#[test]
fn functions_are_calibrated_over_all_their_calls() {
    let m = model(|g| {
        g.function("local", "Norm", |f| {
            f.parameters(Parameters::ConstantNodes);
            let x = f.input("x", "N,3,5,4");
            x.batch_norm().attr("training_mode", 1).output("y")
        });
        g.parameters(Parameters::Initializers);
        let x = g.input("x", "N,3,5,4");
        let once = x
            .op("Norm")
            .domain("local")
            .shape("N,3,5,4")
            .dtype(DataType::Float);
        once.output("y");
        let twice = x.add(&x).op("Norm").domain("local");
        twice.shape("N,3,5,4").dtype(DataType::Float).output("z")
    });
    let (numbers, data) = whole(10);
    let doubled = numbers.iter().map(|x| 2.0 * x);
    let all: Vec<f64> = numbers.iter().copied().chain(doubled).collect();
    let (written, nodes, _) = calibrated(&m, &data, &Options::default()).unwrap();
    let [mean, var] = naive(&all, &[120, 3, 5, 4]);
    close(&nodes[0].mean, &mean, 1e-12);
    close(&nodes[0].var, &var, 1e-12);
    assert!(
        written.functions[0]
            .node
            .iter()
            .all(|node| node.output.len() == 1)
    );
}

#[test]
fn a_function_whose_callers_give_the_statistics_is_refused_by_name() {
    let m = model(|g| {
        g.function("local", "Norm", |f| {
            let x = f.input("x", "N,3,5,4");
            let names = ["s", "b", "m", "v"].map(|name| f.input(name, [3]));
            let inputs: Vec<_> = std::iter::once(&x).chain(&names).collect();
            f.op("BatchNormalization", &inputs)
                .attr("training_mode", 1)
                .name("inner")
                .output("y")
        });
        let x = g.input("x", "N,3,5,4");
        let weights = ["s", "b", "m", "v"].map(|name| g.weight_between(name, [3], 0.5, 1.0));
        let inputs: Vec<_> = std::iter::once(&x).chain(&weights).collect();
        let y = g.op("Norm", &inputs).domain("local");
        y.shape("N,3,5,4").dtype(DataType::Float).output("y")
    });
    let said = refusal(&m, &whole(1).1, &Options::default());
    assert!(said.contains("inner") && said.contains("inline"), "{said}");
}

#[test]
fn statistics_outputs_in_use_are_refused_by_name() {
    let m = model(|g| {
        let all = g
            .input("x", "N,3,5,4")
            .batch_norm()
            .attr("training_mode", 1)
            .outputs(3);
        all[0].output("y");
        all[1].output("running");
    });
    let said = refusal(&m, &whole(1).1, &Options::default());
    assert!(said.contains("bn_0") && said.contains("running"), "{said}");
}

#[test]
fn what_comes_behind_need_not_run() {
    let m = model(|g| {
        let x = g
            .input("x", "N,3,5,4")
            .batch_norm()
            .attr("training_mode", 1);
        x.op("Strange").domain("org.custom").output("y")
    });
    assert!(calibrated(&m, &whole(1).1, &Options::default()).is_ok());
    let before = model(|g| {
        let x = g.input("x", "N,3,5,4").op("Strange").domain("org.custom");
        let x = x.shape("N,3,5,4").dtype(DataType::Float);
        x.batch_norm().attr("training_mode", 1).output("y")
    });
    let said = refusal(&before, &whole(1).1, &Options::default());
    assert!(said.contains("Strange"), "{said}");
}

#[test]
fn a_fixed_batch_is_kept_and_what_fills_none_is_left_out() {
    let m = model(|g| {
        g.input("x", [8, 3, 5, 4])
            .batch_norm()
            .attr("training_mode", 1)
            .output("y")
    });
    let (numbers, data) = whole(11);
    let read = Model::from_bytes(m.to_bytes()).unwrap();
    let graph = Graph::new(&read, Reading::default()).unwrap();
    let found = calibrate(&graph, &data, &Options::default(), &mut |_| {}).unwrap();
    assert_eq!((found.samples, found.batches, found.left_over), (56, 7, 4));
    let [mean, _] = naive(&numbers[..56 * 60], &SHAPE);
    close(&found.nodes[0].mean, &mean, 1e-12);
    let options = Options {
        batch_size: Some(4),
        ..Options::default()
    };
    let said = refusal(&m, &data, &options);
    assert!(said.contains("fixes its batch at 8"), "{said}");
    let said = refusal(
        &m,
        &[rows(&numbers, &SHAPE, DataType::Float, 0, 5)],
        &Options::default(),
    );
    assert!(said.contains("holds 5 samples"), "{said}");
}

#[test]
fn data_that_are_not_finite_are_named_by_input_and_index() {
    let (mut numbers, _) = whole(1);
    numbers[60 * 2 + 20 + 4 * 3 + 1] = f64::NAN;
    let data = [rows(&numbers, &SHAPE, DataType::Float, 0, 60)];
    let said = refusal(&training(17), &data, &Options::default());
    assert!(
        said.contains("given") && said.contains("\"x\"") && said.contains("[2, 1, 3, 1]"),
        "{said}"
    );
}

#[test]
fn a_single_value_per_channel_has_no_variance() {
    let m = model(|g| {
        g.input("x", "N,3")
            .batch_norm()
            .attr("training_mode", 1)
            .output("y")
    });
    let one = rows(&[1.0, 2.0, 3.0], &[1, 3], DataType::Float, 0, 1);
    let said = refusal(&m, std::slice::from_ref(&one), &Options::default());
    assert!(
        said.contains("bn_0") && said.contains("one value"),
        "{said}"
    );
    assert!(calibrated(&m, &[one.clone(), one], &Options::default()).is_ok());
}
