//! What is written, in every opset and type.

use super::*;

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
fn statistics_per_activation_run_over_the_batch_alone() {
    let m = model(|g| {
        g.opset(8);
        let x = g.input("x", "N,3,5,4").batch_norm().attr("spatial", 0);
        x.outputs(5)[0].output("y")
    });
    let (numbers, data) = whole(12);
    let (written, nodes, _) = calibrated(&m, &data, &Options::default()).unwrap();
    let [mean, var] = naive(&numbers, &[60, 60]);
    assert_eq!(nodes[0].count, 60);
    close(&nodes[0].mean, &mean, 1e-12);
    close(&nodes[0].var, &var, 1e-12);
    let stored = &written.graph.as_ref().unwrap().initializer;
    let stored = stored.iter().find(|tensor| tensor.name() == "bn_0.mean");
    assert_eq!(stored.unwrap().dims, [3, 5, 4]);
}
