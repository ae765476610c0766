//! Nodes in nested graphs and functions.

use super::*;

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
fn a_node_that_feeds_itself_is_measured_in_the_mode_it_had() {
    let m = model(|g| {
        g.dtype(DataType::Double);
        let x = g.input("x", "N,3,5,4");
        let body = g.body(|b| {
            b.typed_input("round", DataType::Int64, []);
            let goes_on = b.typed_input("goes_on", DataType::Bool, []);
            goes_on.op("Identity").output("still_on");
            let state = b.input("state", "N,3,5,4");
            let next = state.batch_norm().attr("training_mode", 1);
            next.output("next")
        });
        let rounds = g.initializer("rounds", Reference::ints(&[], [2]));
        let looped = g.op("Loop", &[&rounds, &g.absent(), &x]);
        looped.attr("body", body).shape("N,3,5,4").output("y")
    });
    let numbers = numbers(13, &SHAPE);
    let data = [rows(&numbers, &SHAPE, DataType::Double, 0, 60)];
    let options = Options {
        batch_size: Some(60),
        ..Options::default()
    };
    let read = Model::from_bytes(m.to_bytes()).unwrap();
    let graph = Graph::new(&read, Reading::default()).unwrap();
    let found = calibrate(&graph, &data, &options, &mut |_| {}).unwrap();
    let stored = |name: &str| {
        let views = graph
            .values
            .iter()
            .find(|value| value.name == *name)
            .unwrap();
        let id = graph
            .values
            .iter()
            .position(|value| value.name == views.name)
            .unwrap();
        graph.floats(crate::graph::ValueId(id as u32)).unwrap()
    };
    let (scale, b) = (stored("bn_0.scale"), stored("bn_0.B"));
    let [mean, var] = naive(&numbers, &SHAPE);
    let second = numbers.iter().enumerate().map(|(at, x)| {
        let c = at / 20 % 3;
        (x - mean[c]) * scale[c] / (var[c] + f64::from(1e-5f32)).sqrt() + b[c]
    });
    let all: Vec<f64> = numbers.iter().copied().chain(second).collect();
    let [mean, var] = naive(&all, &[120, 3, 5, 4]);
    assert_eq!((found.passes, found.nodes[0].count), (1, 2 * 1200));
    close(&found.nodes[0].mean, &mean, 1e-12);
    close(&found.nodes[0].var, &var, 1e-12);
}
