//! ONNX Runtime's fused operators against the standard nodes that they stand for.

use super::*;
use crate::testing::builder::Value;

type Build = fn(&Graph) -> Value;

fn fused(g: &Graph, op_type: &str, inputs: &[&Value]) -> Value {
    g.op(op_type, inputs).domain("com.microsoft")
}

fn image(g: &Graph) -> (Value, Value, Value) {
    let (w, b) = (g.weight("w", [4, 3, 3, 3]), g.weight("b", [4]));
    (g.input("x", [2, 3, 7, 7]), w, b)
}

fn rows(g: &Graph) -> (Value, Value, Value) {
    let (w, b) = (g.weight("w", [6, 5]), g.weight("b", [5]));
    (g.input("x", [4, 6]), w, b)
}

/// What each does, written with standard operators and fused; then fused and wrong.
const CASES: [(&str, Build, Build, Build); 6] = [
    (
        "a convolution with a summand and a leaky activation",
        |g| {
            let (x, w, b) = image(g);
            let y = g.op("Conv", &[&x, &w, &b]).attr("strides", [2, 2]);
            let y = y.shape("2,4,3,3").add(g.weight("z", [2, 4, 3, 3]));
            y.op("LeakyRelu").attr("alpha", 0.3f32)
        },
        |g| leaky_convolution(g, 0.3),
        |g| leaky_convolution(g, 0.301),
    ),
    (
        "a convolution that is clipped",
        |g| {
            let (x, w, b) = image(g);
            let y = g.op("Conv", &[&x, &w, &b]).shape("2,4,5,5");
            y.clip(-0.5, 0.25)
        },
        |g| clipped_convolution(g, 0.25),
        |g| clipped_convolution(g, 0.26),
    ),
    (
        "a product of matrices with a relu",
        |g| {
            let (x, w, b) = rows(g);
            let y = g.op("Gemm", &[&x, &w, &b]).attr("alpha", 0.5f32);
            y.shape("4,5").relu()
        },
        |g| {
            let (x, w, b) = rows(g);
            let y = fused(g, "FusedGemm", &[&x, &w, &b]).attr("alpha", 0.5f32);
            y.attr("activation", "Relu").shape("4,5")
        },
        |g| {
            let (x, w, b) = rows(g);
            let y = fused(g, "FusedGemm", &[&x, &w, &b]).attr("alpha", 0.5f32);
            y.attr("activation", "Tanh").shape("4,5")
        },
    ),
    (
        "a scaled product of matrices",
        |g| {
            let (x, w, _) = rows(g);
            let y = g.op("MatMul", &[&x, &w]).shape("4,5");
            y.mul(g.constant("value_float", 0.125f32))
        },
        |g| scaled_product(g, 0.125),
        |g| scaled_product(g, 0.1251),
    ),
    (
        "x·sigmoid(alpha·x)",
        |g| {
            let x = g.input("x", [4, 6]);
            x.mul(x.mul(g.constant("value_float", 1.702f32)).sigmoid())
        },
        |g| fused(g, "QuickGelu", &[&g.input("x", [4, 6])]).shape("4,6"),
        |g| {
            let y = fused(g, "QuickGelu", &[&g.input("x", [4, 6])]);
            y.attr("alpha", 1.0f32).shape("4,6")
        },
    ),
    (
        "a Gelu of a sum",
        |g| g.input("x", [4, 6]).add(g.weight("b", [6])).op("Gelu"),
        |g| fused(g, "BiasGelu", &[&g.input("x", [4, 6]), &g.weight("b", [6])]).shape("4,6"),
        |g| fused(g, "Gelu", &[&g.input("x", [4, 6])]).shape("4,6"),
    ),
];

fn leaky_convolution(g: &Graph, alpha: f32) -> Value {
    let (x, w, b) = image(g);
    let y = fused(g, "FusedConv", &[&x, &w, &b, &g.weight("z", [2, 4, 3, 3])]);
    let y = y.attr("strides", [2, 2]).attr("activation", "LeakyRelu");
    y.attr("activation_params", [alpha]).shape("2,4,3,3")
}

fn clipped_convolution(g: &Graph, high: f32) -> Value {
    let (x, w, b) = image(g);
    let y = fused(g, "FusedConv", &[&x, &w, &b]).attr("activation", "Clip");
    y.attr("activation_params", [-0.5f32, high])
        .shape("2,4,5,5")
}

fn scaled_product(g: &Graph, alpha: f32) -> Value {
    let (x, w, _) = rows(g);
    fused(g, "FusedMatMul", &[&x, &w])
        .attr("alpha", alpha)
        .shape("4,5")
}

#[test]
fn fused_operators_compute_what_they_stand_for() {
    let build = |build: Build| {
        model(|g| {
            g.opset(20);
            build(g).output("y")
        })
    };
    for (what, plain, fused, wrong) in CASES {
        let plain = build(plain);
        let found = compare(&plain, &build(fused), &VerifyOptions::default());
        assert_eq!(found.verdict, Verdict::Equivalent, "{what}: {found:#?}");
        assert_eq!(found.extent, Extent::Full, "{what}");
        let found = compare(&plain, &build(wrong), &VerifyOptions::default());
        assert!(
            matches!(found.verdict, Verdict::Different { .. }),
            "{what}: {found:#?}"
        );
    }
}

#[test]
fn a_function_of_the_model_goes_before_the_operator_of_its_name() {
    let mut model = model(|g| {
        fused(g, "Gelu", &[&g.input("x", [4, 6])])
            .shape("4,6")
            .output("y")
    });
    model.functions.push(crate::onnx::proto::FunctionProto {
        name: Some("Gelu".to_owned()),
        domain: Some("com.microsoft".to_owned()),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        node: vec![NodeProto {
            op_type: Some("Neg".to_owned()),
            input: vec!["a".to_owned()],
            output: vec!["b".to_owned()],
            ..NodeProto::default()
        }],
        opset_import: model.opset_import.clone(),
        ..Default::default()
    });
    let negated = crate::testing::model(|g| g.input("x", [4, 6]).op("Neg").output("y"));
    let found = compare(&negated, &model, &VerifyOptions::default());
    assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
}
