//! The estimates, against naive sums in the order that they are said to be measured in.

use super::*;

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
fn inputs_that_have_no_batch_are_given_whole_to_every_run() {
    let m = model(|g| {
        let x = g.input("x", "N,3,5,4");
        let mask = g.input("mask", [1, 3, 1, 1]);
        x.mul(&mask)
            .batch_norm()
            .attr("training_mode", 1)
            .output("y")
    });
    let (numbers, _) = whole(14);
    let x = Tensor::new(SHAPE.to_vec(), numbers.iter().map(|&x| x as f32).collect()).unwrap();
    let mask = Tensor::new(vec![1, 3, 1, 1], vec![1.0f32, 0.5, 2.0]).unwrap();
    let sample = |x: &Tensor| {
        Source::Given(Sample {
            origin: "given".into(),
            inputs: vec![
                (Some("mask".to_owned()), mask.clone()),
                (Some("x".to_owned()), x.clone()),
            ],
            outputs: Vec::new(),
            is_strict: false,
        })
    };
    let options = Options {
        batch_size: Some(7),
        ..Options::default()
    };
    let (_, nodes, _) = calibrated(&m, &[sample(&x)], &options).unwrap();
    let factor = |at: usize| [1.0, 0.5, 2.0][at / 20 % 3];
    let masked: Vec<f64> = numbers
        .iter()
        .enumerate()
        .map(|(at, x)| x * factor(at))
        .collect();
    close(&nodes[0].mean, &naive(&masked, &SHAPE)[0], 1e-12);
    let two = model(|g| {
        let (x, z) = (g.input("x", "N,3,5,4"), g.input("mask", "N,3,1,1"));
        x.mul(&z).batch_norm().attr("training_mode", 1).output("y")
    });
    let said = refusal(&two, &[sample(&x)], &options);
    assert!(
        said.contains("\"x\" holds 60 samples and input \"mask\" 1"),
        "{said}"
    );
}
