//! Every refusal code has a model that provokes it.

use bnfold::fold::{fold, without_flaws};
use bnfold::graph::Reading;
use bnfold::onnx::proto::attribute_proto::AttributeType;
use bnfold::onnx::proto::{ModelProto, TensorAnnotation};
use bnfold::onnx::{Flaw, FlawKind, Model};
use bnfold::plan::{Outcome, Plan, PlanOptions};
use bnfold::rules::Code;
use bnfold::testing::builder::Parameters;
use bnfold::testing::{DataType, Tensor, ToBytes, Value, model};
use globset::{Glob, GlobSet, GlobSetBuilder};

mod support;

fn plan_of(model: &ModelProto, options: PlanOptions, reading: Reading) -> Plan {
    let model = Model::from_bytes(model.to_bytes()).expect("the model reads");
    fold(&model, reading, &options)
        .expect("the model folds")
        .plan
}

fn plan(model: &ModelProto) -> Plan {
    plan_of(model, PlanOptions::default(), support::reading())
}

fn codes(plan: &Plan) -> Vec<Code> {
    let stays = plan
        .entries
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Stays(reasons) => Some(reasons.iter().map(|(_, refusal)| refusal.code)),
            Outcome::Folded(_) => None,
        });
    stays.flatten().collect()
}

fn all(pattern: &str) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    set.add(Glob::new(pattern).expect("a pattern"));
    set.build().expect("a set")
}

/// A plan in which a node stays for this reason.
#[expect(clippy::too_many_lines, reason = "one arm a code")]
fn provoked(code: Code) -> Option<Plan> {
    let image = |g: &bnfold::testing::Graph| g.input("x", [1, 4, 6, 6]);
    Some(match code {
        Code::GraphInput | Code::GraphOutput => plan(&model(|g| image(g).batch_norm().output("y"))),
        Code::OtherReader => plan(&model(|g| {
            let x = image(g).conv(4);
            x.sigmoid().output("z");
            x.batch_norm().relu().output("y")
        })),
        Code::Captured => plan(&model(|g| {
            let x = image(g).conv(4);
            let condition = g.initializer("condition", Tensor::bools(&[1], [true]));
            g.if_else(
                &condition,
                |t| t.capture(&x).relu().output("t"),
                |e| e.capture(&x).sigmoid().output("e"),
            )
            .output("z");
            x.batch_norm().relu().output("y")
        })),
        Code::Reserved => {
            let mut annotated = model(|g| image(g).conv(4).batch_norm().relu().output("y"));
            let annotation = TensorAnnotation {
                tensor_name: Some("conv_0.out".to_owned()),
                ..Default::default()
            };
            annotated
                .graph
                .as_mut()
                .expect("a graph")
                .quantization_annotation
                .push(annotation);
            plan(&annotated)
        }
        Code::Nonlinear | Code::ShiftBlocked | Code::NoSibling => plan(&model(|g| {
            image(g).sigmoid().batch_norm().relu().output("y")
        })),
        Code::NegativeScale => plan(&model(|g| {
            image(g)
                .conv(4)
                .max_pool([2, 2])
                .batch_norm()
                .negative_scales()
                .relu()
                .output("y")
        })),
        Code::ZeroPadding => plan(&model(|g| {
            image(g)
                .batch_norm()
                .conv(4)
                .kernel([3, 3])
                .pads([1, 1, 1, 1])
                .output("y")
        })),
        Code::AxesMixed => plan(&model(|g| {
            image(g)
                .conv(4)
                .kernel([1, 1])
                .reshape([1, 6, 4, 6])
                .batch_norm()
                .relu()
                .output("y")
        })),
        Code::VariableWeight => plan(&model(|g| {
            let (x, w) = (image(g), g.input("w", [4, 4, 1, 1]));
            g.op("Conv", &[&x, &w]).batch_norm().relu().output("y")
        })),
        Code::IndicesUsed => plan(&model(|g| {
            let both = image(g).conv(4).max_pool([2, 2]).outputs(2);
            both[1].output("indices");
            both[0].batch_norm().relu().output("y")
        })),
        Code::Quantized => plan(&model(|g| {
            let x = image(g).conv(4);
            let (scale, zero) = (
                g.initializer("s", Tensor::floats(&[], [0.1])),
                g.initializer("z", Tensor::new(DataType::Uint8, &[], vec![128.0])),
            );
            let q = g
                .op("QuantizeLinear", &[&x, &scale, &zero])
                .shape([1, 4, 4, 4])
                .dtype(DataType::Uint8);
            g.op("DequantizeLinear", &[&q, &scale, &zero])
                .shape([1, 4, 4, 4])
                .dtype(DataType::Float)
                .batch_norm()
                .relu()
                .output("y")
        })),
        Code::Degenerate => plan(&model(|g| {
            let var = g.initializer("var", Tensor::floats(&[4], [1.0, -2.0, 1.0, 1.0]));
            image(g)
                .conv(4)
                .batch_norm()
                .with_input(4, &var)
                .relu()
                .output("y")
        })),
        Code::NotRepresentable => {
            let tiny = model(|g| {
                g.dtype(DataType::Float16);
                let b = g.initializer("b", Tensor::new(DataType::Float16, &[4], vec![60000.0; 4]));
                let mean = g.initializer(
                    "mean",
                    Tensor::new(DataType::Float16, &[4], vec![-60000.0; 4]),
                );
                let var = g.initializer("var", Tensor::new(DataType::Float16, &[4], vec![0.1; 4]));
                image(g)
                    .conv(4)
                    .batch_norm()
                    .with_input(2, &b)
                    .with_input(3, &mean)
                    .with_input(4, &var)
                    .relu()
                    .output("y")
            });
            plan(&tiny)
        }
        Code::TrainingMode => plan(&model(|g| {
            image(g)
                .conv(4)
                .batch_norm()
                .attr("training_mode", 1)
                .relu()
                .output("y")
        })),
        Code::Overridable => plan(&model(|g| {
            g.parameters(Parameters::OverridableInitializers);
            image(g).conv(4).batch_norm().relu().output("y")
        })),
        Code::Held => {
            let options = PlanOptions {
                keep: all("bn_*"),
                ..PlanOptions::default()
            };
            plan_of(
                &model(|g| image(g).conv(4).batch_norm().relu().output("y")),
                options,
                support::reading(),
            )
        }
        Code::Growth => {
            let shared = model(|g| {
                let w = g.weight("w", [16, 4, 3, 3]);
                image(g)
                    .conv(16)
                    .weight(&w)
                    .kernel([3, 3])
                    .batch_norm()
                    .relu()
                    .output("y");
                image_again(g)
                    .conv(16)
                    .weight(&w)
                    .kernel([3, 3])
                    .output("z")
            });
            let options = PlanOptions {
                max_growth: Some(10),
                ..PlanOptions::default()
            };
            plan_of(&shared, options, support::reading())
        }
        Code::UnknownOperator => plan(&model(|g| {
            let x = image(g).batch_norm();
            g.op("Strange", &[&x])
                .domain("org.custom")
                .shape([1, 4, 6, 6])
                .dtype(DataType::Float)
                .output("y")
        })),
        Code::Unruled => plan(&model(|g| {
            let axis = g.initializer("axis", Tensor::ints(&[], [2]));
            let summed = g.op("CumSum", &[&image(g).conv(4), &axis]);
            summed.batch_norm().relu().output("y")
        })),
        Code::UnknownShape => plan(&model(|g| {
            // Nothing tells the rank of what a custom operator gives.
            let x = image(g);
            g.op("Strange", &[&x])
                .domain("org.custom")
                .shape([1, 4, 6, 6])
                .dtype(DataType::Float)
                .batch_norm()
                .relu()
                .output("y")
        })),
        Code::Unevaluated => plan_of(
            &model(|g| {
                let w = g.weight("w", [4, 5]).transpose([1, 0]);
                let x = g.input("x", [3, 5]);
                g.op("MatMul", &[&x, &w]).batch_norm().relu().output("y")
            }),
            PlanOptions::default(),
            Reading::default(),
        ),
        Code::Malformed => plan(&model(|g| {
            image(g)
                .conv(4)
                .attr("group", 1.5f32)
                .batch_norm()
                .relu()
                .output("y")
        })),
        Code::Callers => plan(&model(|g| {
            g.function("local", "Block", |f| {
                f.attribute("eps");
                let x = f.input("x", [1, 4, 6, 6]);
                let epsilon = |norm: Value| norm.attr_ref("epsilon", AttributeType::Float, "eps");
                epsilon(x.batch_norm()).output("y");
            });
            let call = g.op("Block", &[&image(g)]).domain("local");
            call.attr("eps", 1e-3f32).relu().output("z")
        })),
        Code::Precision => plan(&model(|g| {
            let x = image(g).conv(4).cast(DataType::Double);
            x.batch_norm().relu().output("y")
        })),
        Code::Budget => plan(&model(|g| {
            let x = image(g).sigmoid();
            let mut sum = x.conv(4).kernel([1, 1]);
            for _ in 0..300 {
                sum = sum.add(x.conv(4).kernel([1, 1]));
            }
            sum.batch_norm().relu().output("y")
        })),
        Code::Different => {
            let proto = model(|g| image(g).conv(4).batch_norm().relu().output("y"));
            let read = Model::from_bytes(proto.to_bytes()).expect("the model reads");
            let folded =
                fold(&read, support::reading(), &PlanOptions::default()).expect("the model folds");
            let seed = folded.plan.folds()[0].1.seed;
            let refusal = bnfold::rules::Refusal::new(Code::Different, "bn_0", "rolled back");
            let mut options = PlanOptions::default();
            options.excluded.insert(seed, refusal);
            fold(&read, support::reading(), &options)
                .expect("the model folds")
                .plan
        }
        _ => return None,
    })
}

fn image_again(g: &bnfold::testing::Graph) -> bnfold::testing::Value {
    g.input("x2", [1, 4, 6, 6])
}

#[test]
fn every_code_is_provoked_by_a_model() {
    for &code in Code::ALL {
        let plan = provoked(code).unwrap_or_else(|| panic!("no model provokes {code}"));
        assert!(
            codes(&plan).contains(&code),
            "{code} is not among the reasons:\n{plan}"
        );
    }
}

#[test]
fn flaws_that_show_while_writing_take_their_fold_out() {
    let proto = model(|g| {
        g.input("x", [1, 4, 6, 6])
            .conv(4)
            .batch_norm()
            .relu()
            .output("y")
    });
    let read = Model::from_bytes(proto.to_bytes()).expect("the model reads");
    let mut options = PlanOptions::default();
    let folded = fold(&read, support::reading(), &options).expect("the model folds");
    let flaw = Flaw {
        tensor: "conv_0.W".to_owned(),
        kind: FlawKind::Overflow,
        index: 3,
    };
    let again = without_flaws(folded, &mut options, &[flaw]).expect("it folds again");
    assert!(again.applied.edits.is_empty());
    assert!(codes(&again.plan).contains(&Code::NotRepresentable));
}

#[test]
fn codes_are_unique() {
    let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
}
