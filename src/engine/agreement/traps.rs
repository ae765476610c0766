//! Models that a careless engine gets wrong, refuses or dies of.

use super::*;
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{self, SparseTensorProto, TensorProto};

#[test]
fn a_foreign_conv_is_no_convolution() {
    let model = model(|g| {
        g.input("x", [1, 3, 8, 8])
            .conv(4)
            .domain("org.custom")
            .shape("1,4,6,6")
            .output("y")
    });
    let x = Tensor::new(vec![1, 3, 8, 8], vec![0f32; 192]).unwrap();
    let error = run(&model, &[("x", x)]).unwrap_err();
    match &error {
        EngineError::UnsupportedOperator { operator, node, .. } => {
            assert_eq!(
                (operator.as_str(), node.as_str()),
                ("org.custom::Conv", "conv_0")
            );
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("org.custom::Conv"), "{error}");
}

#[test]
fn functions_take_their_callers_attributes_and_else_their_defaults() {
    let build = |alpha: Option<f32>| {
        model(|g| {
            g.function("local", "Leak", |f| {
                f.attribute_default("alpha", 0.25f32);
                let x = f.input("a", [3]);
                x.op("LeakyRelu")
                    .attr_ref("alpha", AttributeType::Float, "alpha")
                    .output("b")
            });
            let y = g.input("x", [3]).op("Leak").domain("local");
            let y = match alpha {
                Some(alpha) => y.attr("alpha", alpha),
                None => y,
            };
            y.shape("3").output("y")
        })
    };
    let x = Tensor::vector(vec![-4f32, 0.0, 2.0]);
    let with = |alpha| only(run(&build(alpha), &[("x", x.clone())]).unwrap());
    assert_eq!(with(Some(0.5)), [-2.0, 0.0, 2.0]);
    assert_eq!(with(None), [-1.0, 0.0, 2.0]);
}

#[test]
fn nodes_may_share_names_and_stand_in_any_order() {
    let mut model = model(|g| {
        g.input("x", [2, 3])
            .relu()
            .name("n")
            .sigmoid()
            .name("n")
            .output("y")
    });
    model.graph.as_mut().unwrap().node.reverse();
    let x = Tensor::new(vec![2, 3], vec![0f32; 6]).unwrap();
    assert_eq!(only(run(&model, &[("x", x)]).unwrap()), [0.5; 6]);
}

#[test]
fn sparse_initializers_are_what_they_stand_for() {
    let mut model = model(|g| {
        let x = g.input("x", [2, 3]);
        x.add(g.initializer("c", Reference::floats(&[2, 3], [0.0; 6])))
            .output("y")
    });
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.clear();
    let values = Reference::floats(&[2], [5.0, 7.0]).to_proto("c", Default::default());
    for (indices, shape) in [(vec![1, 5], vec![2]), (vec![0, 1, 1, 2], vec![2, 2])] {
        let indices = Reference::ints(&shape, indices).to_proto("", Default::default());
        graph_with_sparse(graph, values.clone(), indices);
        let model = ModelProto {
            graph: Some(graph.clone()),
            ..model_frame()
        };
        let x = Tensor::new(vec![2, 3], vec![0f32; 6]).unwrap();
        assert_eq!(
            only(run(&model, &[("x", x)]).unwrap()),
            [0.0, 5.0, 0.0, 0.0, 0.0, 7.0]
        );
    }
}

fn model_frame() -> ModelProto {
    ModelProto {
        graph: None,
        ..model(|g| g.input("x", [1]).relu().output("y"))
    }
}

fn graph_with_sparse(graph: &mut proto::GraphProto, values: TensorProto, indices: TensorProto) {
    graph.sparse_initializer = vec![SparseTensorProto {
        values: Some(values),
        indices: Some(indices),
        dims: vec![2, 3],
    }];
}

#[test]
fn nan_survives_every_operator_that_only_selects() {
    for op in [
        "Relu",
        "Sigmoid",
        "Tanh",
        "LeakyRelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
    ] {
        let model = model(|g| g.input("x", [2]).op(op).output("y"));
        let y = only(run(&model, &[("x", Tensor::vector(vec![f32::NAN, 1.0]))]).unwrap());
        assert!(y[0].is_nan() && !y[1].is_nan(), "{op} gives {y:?}");
    }
    for op in ["Max", "Min"] {
        for swap in [false, true] {
            let model = model(|g| {
                let (x, z) = (g.input("x", [1]), g.input("z", [1]));
                if swap {
                    g.op(op, &[&z, &x])
                } else {
                    g.op(op, &[&x, &z])
                }
                .output("y")
            });
            let inputs = [
                ("x", Tensor::vector(vec![f32::NAN])),
                ("z", Tensor::vector(vec![1f32])),
            ];
            assert!(only(run(&model, &inputs).unwrap())[0].is_nan(), "{op}");
        }
    }
    let model = model(|g| g.input("x", [2]).clip(-1.0, 1.0).output("y"));
    let y = only(run(&model, &[("x", Tensor::vector(vec![f32::NAN, 7.0]))]).unwrap());
    assert!(y[0].is_nan() && y[1] == 1.0, "Clip gives {y:?}");
}

#[test]
fn reverse_cells_read_the_sequence_from_its_end() {
    let build = |direction: &str| {
        model(|g| {
            g.input("x", [5, 2, 3])
                .lstm(4)
                .attr("direction", direction)
                .output("y")
        })
    };
    let values = numbers(30, 5);
    let flipped: Vec<f64> = values.chunks(6).rev().flatten().copied().collect();
    let tensor = |v: &[f64]| {
        Tensor::new(vec![5, 2, 3], v.to_vec())
            .unwrap()
            .rounded_to(ElementType::Float32)
    };
    let reverse = only(run(&build("reverse"), &[("x", tensor(&values))]).unwrap());
    let forward = only(run(&build("forward"), &[("x", tensor(&flipped))]).unwrap());
    let turned: Vec<f64> = forward.chunks(8).rev().flatten().copied().collect();
    assert_eq!(reverse, turned);
}

#[test]
fn halves_are_computed_wide_and_given_back_as_declared() {
    for (dtype, element) in [
        (DataType::Float16, ElementType::Float16),
        (DataType::Bfloat16, ElementType::BFloat16),
    ] {
        let model = model(|g| {
            g.opset(22)
                .dtype(dtype)
                .input("x", [1, 3, 6, 6])
                .conv(4)
                .batch_norm()
                .output("y")
        });
        let x = Tensor::new(vec![1, 3, 6, 6], numbers(108, 3))
            .unwrap()
            .rounded_to(element);
        let mut session = load(&model).unwrap();
        assert_eq!(session.notes().len(), 1);
        let outputs = session
            .run(&[("x".to_owned(), x)], &mut NoObserver)
            .unwrap();
        assert_eq!(outputs[0].1.element(), element);
        assert_eq!(outputs[0].1.data().element(), element);
    }
}

#[test]
fn constant_subgraphs_are_evaluated() {
    // What the dynamo exporter writes for a bias: Expand(CastLike(0, W), Shape(W)).
    let model = model(|g| {
        let w = g.initializer(
            "w",
            Reference::new(DataType::Float16, &[2, 3], vec![1.5; 6]),
        );
        let zero = g.constant("value_float", 0.25f32);
        let like = g.op("CastLike", &[&zero, &w]);
        g.op("Expand", &[&like, &w.op("Shape")])
            .dtype(DataType::Float16)
            .shape("2,3")
            .output("b")
    });
    let bytes = model.to_bytes();
    let within = |results| {
        let budget = Budget {
            results,
            ..Budget::default()
        };
        evaluate_constants(ModelBytes::new(&bytes), budget)
    };
    let error = within(64).unwrap_err();
    assert!(matches!(error, EngineError::Budget { .. }), "{error}");
    let outputs = within(1 << 10).unwrap();
    assert_eq!(outputs[0].0, "b");
    assert_eq!(
        (outputs[0].1.element(), outputs[0].1.shape()),
        (ElementType::Float16, &[2, 3][..])
    );
    assert_eq!(only(outputs), [0.25; 6]);
}

#[cfg(feature = "engine")]
#[test]
fn float32_products_run_on_tract_and_agree_with_the_own_kernel() {
    use crate::engine::delegate::built_in;
    let model = model(|g| {
        g.input("x", [2, 24, 30, 30])
            .conv(32)
            .pads([1, 1, 1, 1])
            .bias()
            .output("y")
    });
    let bytes = model.to_bytes();
    let encoded = decode::Encoded::read(ModelBytes::new(&bytes)).unwrap();
    let program = decode::compile(&encoded, Precision::Declared, Budget::default(), None).unwrap();
    let node = &program.main.nodes[0];
    let x = Tensor::new(vec![2, 24, 30, 30], numbers(43200, 9))
        .unwrap()
        .rounded_to(ElementType::Float32);
    let constants: Vec<Tensor> = program
        .main
        .constants
        .iter()
        .map(|(_, t)| t.clone())
        .collect();
    let inputs = std::iter::once(x).chain(constants).map(Some).collect();
    let mut call = call::Call {
        node,
        inputs,
        precision: Precision::Declared,
        limit: u64::MAX,
    };
    let mut delegate = built_in();
    assert!(delegate.is_preferred(&call));
    let ours = delegate.run(&call).expect("tract has Conv");
    let again = delegate.run(&call).expect("the plan is kept");
    assert_eq!(ours, again);
    call.precision = Precision::Double;
    let own = kernels::run(call, built_in().as_mut())
        .unwrap()
        .expect("there is a kernel");
    let (a, b) = (ours[0].to_f64().unwrap(), own[0].to_f64().unwrap());
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn batch_norms_run_that_common_engines_refuse() {
    check(
        "rank 1",
        &model(|g| g.input("x", [7]).batch_norm().output("y")),
    );
    let computed_parameters = |g: &Graph| {
        let x = g.input("x", [3, 4, 5]);
        let [scale, b, mean] = ["scale", "b", "mean"].map(|name| g.input(name, [4]).op("Tanh"));
        let var = g.input("var", [4]).op("Exp");
        g.op("BatchNormalization", &[&x, &scale, &b, &mean, &var])
            .output("y")
    };
    check("computed parameters", &model(computed_parameters));
}

#[test]
fn training_mode_gives_the_batchs_statistics() {
    let (n, c, plane, momentum) = (3, 4, 5, 0.75);
    let model = model(|g| {
        let y = g.input("x", [n, c, plane]).batch_norm();
        let outputs = y
            .attr("training_mode", 1)
            .attr("momentum", momentum as f32)
            .outputs(3);
        outputs[1].output("mean_out");
        outputs[2].output("var_out");
        outputs[0].output("y")
    });
    let initializers = &model.graph.as_ref().unwrap().initializer;
    let parameter = |at: usize| Reference::from_proto(&initializers[at]).unwrap().data;
    let names: Vec<&str> = initializers.iter().map(|tensor| tensor.name()).collect();
    assert_eq!(names, ["bn_0.scale", "bn_0.B", "bn_0.mean", "bn_0.var"]);
    let values = numbers(n * c * plane, 11);
    let x = Tensor::new(vec![n, c, plane], values)
        .unwrap()
        .rounded_to(ElementType::Float32);
    let values = x.to_f64().unwrap();
    let outputs = run(&model, &[("x", x)]).unwrap();
    let of = |name: &str| {
        let found = outputs.iter().find(|(output, _)| output == name).unwrap();
        found.1.to_f64().unwrap()
    };
    let (y, means, vars) = (of("y"), of("mean_out"), of("var_out"));
    for channel in 0..c {
        let at: Vec<usize> = (0..n * c * plane)
            .filter(|position| position / plane % c == channel)
            .collect();
        let count = at.len() as f64;
        let mean = at.iter().map(|&p| values[p]).sum::<f64>() / count;
        let var = at.iter().map(|&p| (values[p] - mean).powi(2)).sum::<f64>() / count;
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-5;
        let running = |old: f64, new: f64| old * momentum + new * (1.0 - momentum);
        assert!(near(means[channel], running(parameter(2)[channel], mean)));
        assert!(near(vars[channel], running(parameter(3)[channel], var)));
        for position in at {
            let factor = parameter(0)[channel] / (var + f64::from(1e-5f32)).sqrt();
            assert!(near(
                y[position],
                (values[position] - mean) * factor + parameter(1)[channel]
            ));
        }
    }
}
