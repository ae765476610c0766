//! Where other tools fell: each trap of the field as a graph that breaks without its condition.

use bnfold::engine::ModelBytes;
use bnfold::fold::fold;
use bnfold::graph::Reading;
use bnfold::onnx::Model;
use bnfold::onnx::proto::{ModelProto, ValueInfoProto};
use bnfold::plan::PlanOptions;
use bnfold::testing::builder::Parameters;
use bnfold::testing::{DataType, Graph, Tensor, ToBytes, Value, model};
use bnfold::verify::{Verdict, VerifyOptions, verify};
use prost::Message;

mod support;
use support::{check, count, folded_with, refused};

fn image(g: &Graph) -> Value {
    g.dtype(DataType::Double).input("x", [2, 4, 6, 6])
}

fn initializers(model: &ModelProto) -> Vec<&str> {
    let graph = model.graph.as_ref().expect("a graph");
    graph
        .initializer
        .iter()
        .map(|tensor| tensor.name())
        .collect()
}

fn inputs(model: &ModelProto) -> Vec<ValueInfoProto> {
    model.graph.as_ref().expect("a graph").input.clone()
}

#[test]
fn training_mode_with_one_output_is_not_folded() {
    let m = model(|g| {
        image(g)
            .conv(4)
            .batch_norm()
            .attr("training_mode", 1)
            .relu()
            .output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream training-mode, downstream training-mode, sideways training-mode",
    );
}

#[test]
fn a_named_statistics_output_means_training_before_opset_14() {
    let m = model(|g| {
        g.opset(9);
        image(g).conv(4).batch_norm().outputs(5)[0]
            .relu()
            .output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream training-mode, downstream training-mode, sideways training-mode",
    );
}

#[test]
fn a_constant_of_the_width_is_no_channel_factor() {
    for shape in [&[4][..], &[1, 1, 4, 1]] {
        let m = model(|g| {
            let x = g
                .dtype(DataType::Double)
                .input("x", [2, 4, 4, 4])
                .conv(4)
                .kernel([1, 1]);
            x.mul(g.weight("scale", shape)).relu().output("y")
        });
        refused(&m, "");
    }
}

#[test]
fn a_constant_that_widens_an_axis_of_extent_one_stays() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 1, 1])
            .conv(4)
            .kernel([1, 1]);
        x.mul(g.weight("scale", [1, 4, 5, 1])).relu().output("y")
    });
    refused(&m, "");
}

#[test]
fn new_names_collide_with_nothing_in_any_scope() {
    let m = model(|g| {
        let x = image(g);
        let w = g.weight("w", [4, 4, 1, 1]);
        let taken = g.weight("w_folded", [1]);
        let condition = g.initializer("condition", Tensor::bools(&[1], [true]));
        let a = x.conv(4).weight(&w).kernel([1, 1]).batch_norm();
        let b = x.conv(4).weight(&w).kernel([1, 1]).add(&taken);
        g.if_else(
            &condition,
            |t| {
                t.capture(&b)
                    .relu()
                    .value_name("w_bias")
                    .identity()
                    .output("t")
            },
            |e| e.capture(&b).sigmoid().output("e"),
        )
        .output("z");
        a.relu().output("y")
    });
    let folded = check(&m, "bn_0 -> conv_0 output");
    let mut names = initializers(&folded);
    names.push("w_bias");
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}

#[test]
fn an_axis_is_tracked_by_its_place_and_not_by_its_size() {
    // MatMul's columns and the BN's channels are of one size but another axis.
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 6, 4]);
        x.matmul(6).batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream axes-mixed, downstream shift-blocked, sideways no-sibling",
    );
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [6, 4]);
        x.matmul(6)
            .transpose([1, 0])
            .batch_norm()
            .relu()
            .output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream axes-mixed, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_matmul_of_higher_rank_never_becomes_a_gemm() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", "N,5,4");
        let y = x.matmul(6);
        let shape = g.op("Shape", &[&y]);
        let flat = y.reshape([-1, 6]).batch_norm();
        g.op("Reshape", &[&flat, &shape])
            .shape("N,5,6")
            .relu()
            .output("y")
    });
    let folded = check(
        &m,
        "bn_0 -> matmul_0 output, matmul_0 add through reshape_0",
    );
    assert_eq!(
        (count(&folded, "Gemm"), count(&folded, "BatchNormalization")),
        (0, 0)
    );
}

#[test]
fn a_batch_norm_that_is_read_and_a_graph_output_keeps_its_name() {
    let m = model(|g| {
        let x = image(g).conv(4).batch_norm().output("z");
        x.relu().output("y");
        x.sigmoid().output("w")
    });
    let folded = check(&m, "bn_0 -> conv_0 output");
    let graph = folded.graph.as_ref().expect("a graph");
    assert!(
        graph
            .node
            .iter()
            .any(|node| node.op_type() == "Conv" && node.output[0] == "z")
    );
}

#[test]
fn a_batch_norm_in_a_body_folds_into_weights_of_the_outer_graph() {
    let m = model(|g| {
        let x = image(g);
        let w = g.weight("w", [4, 4, 1, 1]);
        let (scale, b, mean, var) = (
            g.weight("s", [4]),
            g.weight("b", [4]),
            g.weight("m", [4]),
            g.weight_between("v", [4], 0.5, 2.0),
        );
        let condition = g.initializer("condition", Tensor::bools(&[1], [true]));
        let body = |t: &Graph| {
            let [x, w, scale, b, mean, var] =
                [&x, &w, &scale, &b, &mean, &var].map(|value| t.capture(value));
            let y = t
                .op("Conv", &[&x, &w])
                .name("inner")
                .attr("kernel_shape", vec![1i64, 1]);
            t.op("BatchNormalization", &[&y, &scale, &b, &mean, &var])
                .name("bn_inner")
                .relu()
                .output("t")
        };
        g.if_else(&condition, body, |e| e.capture(&x).sigmoid().output("e"))
            .output("y")
    });
    check(&m, "bn_inner -> inner output");
}

#[test]
fn a_batch_norm_in_a_function_folds_where_its_weights_are_its_own() {
    let m = model(|g| {
        g.dtype(DataType::Double);
        g.function("local", "Block", |f| {
            let x = f.input("x", [2, 4, 6, 6]);
            let w = f.constant(
                "value",
                Tensor::doubles(
                    &[4, 4, 1, 1],
                    (0..16)
                        .map(|i| f64::from(i) / 9.0 - 0.8)
                        .collect::<Vec<_>>(),
                ),
            );
            let p = |values: [f64; 4]| f.constant("value", Tensor::doubles(&[4], values.to_vec()));
            let (s, b, m, v) = (
                p([1.0, -2.0, 0.5, 3.0]),
                p([0.1, 0.2, 0.3, 0.4]),
                p([1.0, 0.0, -1.0, 0.5]),
                p([1.0, 0.5, 2.0, 1.5]),
            );
            let y = f.op("Conv", &[&x, &w]).name("inner");
            f.op("BatchNormalization", &[&y, &s, &b, &m, &v])
                .name("bn_inner")
                .relu()
                .output("y")
        });
        let x = g.input("x", [2, 4, 6, 6]);
        g.op("Block", &[&x])
            .domain("local")
            .shape([2, 4, 6, 6])
            .dtype(DataType::Double)
            .output("y")
    });
    check(&m, "bn_inner -> inner output");
}

#[test]
fn an_empty_bias_name_is_an_absent_bias() {
    let m = model(|g| {
        let x = image(g);
        let w = g.weight("w", [4, 4, 1, 1]);
        g.op("Conv", &[&x, &w, &g.absent()])
            .name("conv")
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv output");
}

#[test]
fn epsilon_is_what_the_node_says_and_zero_is_zero() {
    for epsilon in [0.0f32, 1e-5, 0.5] {
        let m = model(|g| {
            image(g)
                .conv(4)
                .batch_norm()
                .epsilon(epsilon)
                .relu()
                .output("y")
        });
        check(&m, "bn_0 -> conv_0 output");
    }
}

#[test]
fn a_variance_that_gives_no_number_is_refused() {
    for var in [-2.0, f64::NAN, f64::INFINITY] {
        let m = model(|g| {
            let var = g.initializer("var", Tensor::doubles(&[4], vec![1.0, var, 1.0, 1.0]));
            image(g)
                .conv(4)
                .batch_norm()
                .with_input(4, &var)
                .relu()
                .output("y")
        });
        refused(
            &m,
            "bn_0 stays: upstream degenerate-parameters, downstream degenerate-parameters, sideways degenerate-parameters",
        );
    }
    let m = model(|g| {
        let var = g.initializer("var", Tensor::doubles(&[4], vec![0.0; 4]));
        image(g)
            .conv(4)
            .batch_norm()
            .epsilon(0.0)
            .with_input(4, &var)
            .relu()
            .output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream degenerate-parameters, downstream degenerate-parameters, sideways degenerate-parameters",
    );
}

#[test]
fn an_initializer_that_a_caller_may_override_is_kept_unless_frozen() {
    let m = model(|g| {
        g.parameters(Parameters::OverridableInitializers);
        image(g).conv(4).batch_norm().relu().output("y")
    });
    let (text, same) = folded_with(&m, &PlanOptions::default());
    assert!(
        text.starts_with("bn_0 stays: upstream overridable-initializer"),
        "{text}"
    );
    assert_eq!(inputs(&m), inputs(&same));
}

#[test]
fn below_ir_version_4_the_interface_stays_and_no_initializer_is_added() {
    let m = model(|g| {
        g.opset(8).ir_version(3);
        let x = image(g);
        let w = g.weight("w", [4, 4, 1, 1]);
        let a = x.conv(4).weight(&w).kernel([1, 1]).batch_norm().relu();
        let b = x.conv(4).weight(&w).kernel([1, 1]).relu();
        a.add(&b).output("y")
    });
    let folded = check(&m, "bn_0 -> conv_0 output");
    let names: Vec<String> = inputs(&folded)
        .iter()
        .map(|input| input.name().to_owned())
        .collect();
    for name in initializers(&folded) {
        assert!(
            names.iter().any(|input| input == name),
            "{name} is an input as well"
        );
    }
    let public = |m: &ModelProto| {
        let stored: Vec<String> = initializers(m)
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        inputs(m)
            .into_iter()
            .filter(|input| !stored.contains(&input.name().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(public(&m), public(&folded));
}

#[test]
fn parameters_that_two_batch_norms_share_are_not_lost() {
    let m = model(|g| {
        let x = image(g);
        let (w, scale) = (g.weight("w", [4, 4, 1, 1]), g.weight("scale", [4]));
        let a = x
            .conv(4)
            .weight(&w)
            .kernel([1, 1])
            .batch_norm()
            .with_input(1, &scale);
        let b = x.sigmoid().batch_norm().with_input(1, &scale);
        a.relu().add(b.sigmoid()).output("y")
    });
    let folded = check(
        &m,
        "bn_0 -> conv_0 output\nbn_1 stays: upstream nonlinear, downstream nonlinear, sideways no-sibling",
    );
    assert!(initializers(&folded).contains(&"scale"));
}

#[test]
fn quantization_between_weight_and_batch_norm_stops_the_fold() {
    let m = model(|g| {
        let x = g.input("x", [1, 4, 6, 6]).conv(4);
        let scale = g.initializer("s", Tensor::floats(&[], [0.1]));
        let zero = g.initializer("z", Tensor::new(DataType::Uint8, &[], vec![128.0]));
        let q = g.op("QuantizeLinear", &[&x, &scale, &zero]);
        g.op("DequantizeLinear", &[&q, &scale, &zero])
            .batch_norm()
            .relu()
            .output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream quantized, downstream shift-blocked, sideways no-sibling",
    );
}

/// Conv in float16, BN in float32: `--allow-precision-change` folds it, and the proof holds.
#[test]
fn a_cast_between_float_types_is_passed_only_where_the_rounding_may_move() {
    let sandwich = model(|g| {
        let x = g.dtype(DataType::Float16).input("x", [2, 4, 6, 6]);
        let wide = x.conv(6).cast(DataType::Float);
        let narrow = wide.batch_norm().cast(DataType::Float16);
        narrow.relu().conv(4).output("y")
    });
    refused(
        &sandwich,
        "bn_0 stays: upstream precision-change, downstream precision-change, sideways no-sibling",
    );
    // The same type on both sides rounds nothing.
    let idle = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 6, 6]);
        x.conv(6).cast(DataType::Double).batch_norm().output("y")
    });
    check(&idle, "bn_0 -> conv_0 output through cast_0");
    let floats = model(|g| {
        let x = g.input("x", [2, 4, 6, 6]).conv(6).cast(DataType::Int32);
        x.cast(DataType::Float).batch_norm().relu().output("y")
    });
    refused(
        &floats,
        "bn_0 stays: upstream nonlinear, downstream shift-blocked, sideways no-sibling",
    );

    let original = Model::from_bytes(sandwich.to_bytes()).expect("the model reads");
    let reading = Reading {
        allow_precision_change: true,
        ..support::reading()
    };
    let folded = fold(&original, reading, &PlanOptions::default()).expect("the model folds");
    assert_eq!(
        folded.plan.to_string(),
        "bn_0 -> conv_0 output through cast_0"
    );
    let rope = folded.applied.edits.to_rope().expect("the edits fit");
    let (bytes, flaws) = rope.to_vec(&original).expect("it renders");
    assert!(flaws.is_empty());
    let rewritten = ModelProto::decode(&*bytes).expect("it decodes");
    let graph = rewritten.graph.as_ref().expect("a graph");
    let half = i32::from(DataType::Float16);
    let mut new = graph
        .initializer
        .iter()
        .filter(|t| t.name().starts_with("conv_0"));
    assert!(new.all(|tensor| tensor.data_type() == half));
    let mut options = VerifyOptions::default();
    options.compare_values.clone_from(&folded.applied.ends);
    let models = [sandwich.to_bytes(), bytes];
    let [before, after] = models.each_ref().map(|bytes| ModelBytes::new(bytes));
    let verdict = verify(before, after, &options).verdict;
    assert_eq!(verdict, Verdict::Equivalent);
    // One channel's shift off by a hundredth is more than any rounding.
    let mut wrong = rewritten;
    let tensors = &mut wrong.graph.as_mut().expect("a graph").initializer;
    let bias = tensors
        .iter_mut()
        .find(|tensor| tensor.dims == [6])
        .expect("the bias");
    let bytes = bias.raw_data.as_mut().expect("raw data");
    let old = half::f16::from_le_bytes([bytes[0], bytes[1]]);
    let new = half::f16::from_f32(old.to_f32() + 0.01 + 0.01 * old.to_f32().abs());
    bytes[..2].copy_from_slice(&new.to_le_bytes());
    let verdict = verify(before, ModelBytes::new(&wrong.to_bytes()), &options).verdict;
    assert!(matches!(verdict, Verdict::Different { .. }), "{verdict:?}");
}

#[test]
fn a_constant_minus_a_convolution_negates_the_kernel() {
    let m = model(|g| {
        let x = image(g).conv(4);
        let c = g.weight("c", [4, 1, 1]);
        c.sub(&x).batch_norm().relu().output("y")
    });
    let folded = check(&m, "");
    assert_eq!(
        (count(&folded, "Sub"), count(&folded, "BatchNormalization")),
        (0, 0)
    );
}

#[test]
fn a_constant_divided_by_a_convolution_is_refused() {
    let m = model(|g| {
        let x = image(g).conv(4).sigmoid();
        let c = g.weight("c", [4, 1, 1]);
        g.op("Div", &[&c, &x]).batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream nonlinear, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_custom_operator_with_a_standard_name_is_not_the_standard_one() {
    let m = model(|g| {
        let x = g.input("x", [1, 4, 6, 6]);
        let w = g.weight("w", [4, 4, 1, 1]);
        g.op("Conv", &[&x, &w])
            .domain("org.custom")
            .shape([1, 4, 6, 6])
            .dtype(DataType::Float)
            .batch_norm()
            .relu()
            .output("y")
    });
    let (text, _) = folded_with(&m, &PlanOptions::default());
    assert!(text.starts_with("bn_0 stays:"), "{text}");
}

#[test]
fn a_fold_emits_no_arithmetic() {
    let m = model(|g| image(g).conv(4).batch_norm().relu().output("y"));
    let folded = check(&m, "bn_0 -> conv_0 output");
    let graph = folded.graph.as_ref().expect("a graph");
    let ops: Vec<&str> = graph.node.iter().map(|node| node.op_type()).collect();
    assert_eq!(ops, ["Conv", "Relu"]);
    assert_eq!(initializers(&folded), ["conv_0.W", "conv_0.W_bias"]);
}

#[test]
fn identities_between_parameters_and_nodes_are_seen_through() {
    let m = model(|g| {
        let x = image(g);
        let w = g.weight("w", [4, 4, 1, 1]).identity();
        let scale = g.weight("scale", [4]).identity();
        x.conv(4)
            .weight(&w)
            .kernel([1, 1])
            .batch_norm()
            .with_input(1, &scale)
            .relu()
            .output("y")
    });
    let folded = check(&m, "bn_0 -> conv_0 output");
    assert_eq!(count(&folded, "BatchNormalization"), 0);
}

#[test]
fn one_name_in_two_functions_or_unnamed_nodes_confuse_nothing() {
    let mut m = model(|g| {
        let x = image(g);
        x.conv(4)
            .batch_norm()
            .relu()
            .conv(4)
            .batch_norm()
            .relu()
            .output("y")
    });
    for node in &mut m.graph.as_mut().expect("a graph").node {
        node.name = None;
    }
    let folded = check(&m, "");
    assert_eq!(count(&folded, "BatchNormalization"), 0);
}

#[test]
fn an_input_that_is_listed_twice_is_refused_by_name() {
    let mut m = model(|g| image(g).conv(4).batch_norm().output("y"));
    let graph = m.graph.as_mut().expect("a graph");
    graph.input.push(graph.input[0].clone());
    let model = Model::from_bytes(m.to_bytes()).expect("the model reads");
    let error =
        fold(&model, support::reading(), &PlanOptions::default()).expect_err("it is refused");
    assert!(
        error.to_string().contains("value x is defined twice"),
        "{error}"
    );
}

#[test]
fn a_batch_norm_without_outputs_stays() {
    let mut m = model(|g| {
        let x = image(g).relu();
        x.conv(4).output("y");
        x.conv(3).no_bias().batch_norm().output("z")
    });
    let graph = m.graph.as_mut().expect("a graph");
    graph.output.truncate(1);
    graph
        .node
        .last_mut()
        .expect("the BatchNormalization")
        .output
        .clear();
    let model = Model::from_bytes(m.to_bytes()).expect("the model reads");
    let options = PlanOptions {
        reduce: true,
        compensate: true,
        ..PlanOptions::default()
    };
    let folded = fold(&model, support::reading(), &options).expect("the model folds");
    assert_eq!(folded.plan.counts(), (0, 1), "{}", folded.plan);
}

/// The BatchNormalization that nobody reads goes, and with it what it alone read, a folded convolution included.
#[test]
fn a_fold_into_what_another_fold_leaves_unread_is_no_contradiction() {
    let m = model(|g| {
        let x = image(g);
        x.relu().output("y");
        x.conv(4).batch_norm().relu().batch_norm()
    });
    let folded = check(&m, "");
    let graph = folded.graph.as_ref().expect("a graph");
    assert_eq!(graph.node.len(), 1, "{:?}", graph.node);
    assert_eq!(initializers(&folded), Vec::<&str>::new());
}

/// As many elements in another shape than the standard's: what takes their places from it reads past the end.
#[test]
fn constants_of_another_rank_than_the_operator_takes_fold_nothing() {
    let resized = model(|g| {
        let scales = g.initializer("scales", Tensor::floats(&[1, 4], [1.0, 1.0, 2.0, 2.0]));
        let x = image(g).conv(4);
        let x = g.op("Resize", &[&x, &g.absent(), &scales]);
        x.shape([2, 4, 12, 12]).batch_norm().relu().output("y")
    });
    let recurrent = model(|g| {
        let x = g.input("x", [5, 3, 2]).relu().batch_norm();
        let x = x.transpose([0, 2, 1]);
        let (w, r) = (g.weight("w", [1, 4, 3]), g.weight("r", [1, 4, 4]));
        let b = g.weight("b", [8]);
        g.op("RNN", &[&x, &w, &r, &b])
            .attr("hidden_size", 4)
            .outputs(1)[0]
            .output("y")
    });
    for m in [resized, recurrent] {
        let model = Model::from_bytes(m.to_bytes()).expect("the model reads");
        let options = PlanOptions::default();
        let plan = fold(&model, support::reading(), &options)
            .expect("it folds")
            .plan;
        assert_eq!(plan.counts().0, 0, "{plan}");
    }
}

/// A short model could ask for any amount of memory.
#[test]
fn a_constant_that_takes_far_more_than_the_model_is_not_computed() {
    let m = model(|g| {
        let x = g.input("x", [2, 4, 6, 6]).conv(4);
        let all = g.op("ConstantOfShape", &[&g.ints(&[1 << 24])]);
        let few = all.slice(0, 0, 4).reshape([4, 1, 1]).shape([4, 1, 1]);
        x.add(few).batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream unevaluated-constant, downstream shift-blocked, sideways no-sibling",
    );
}
