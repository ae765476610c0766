//! Folds that a rule refuses, one for each of its conditions: as if the condition were not asked for.

use bnfold::onnx::proto::{AttributeProto, ModelProto, NodeProto};
use bnfold::testing::{Tensor, Value};

use super::super::case::{Case, case};
use super::{barrier, pointwise, scale_alone};

type Step = fn(&Value) -> Value;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = padded();
    cases.extend(bent());
    cases.extend(largest());
    cases.extend(products());
    cases.extend(others());
    cases
}

fn nodes(model: &mut ModelProto) -> &mut Vec<NodeProto> {
    &mut model.graph.as_mut().expect("a graph").node
}

/// The twin has another operator there.
fn becomes(from: &'static str, to: &'static str) -> impl Fn(&mut ModelProto) + Send + Sync {
    move |model| {
        for node in nodes(model)
            .iter_mut()
            .filter(|node| node.op_type() == from)
        {
            node.op_type = Some(to.to_owned());
        }
    }
}

/// The twin has another attribute there.
fn has(
    op: &'static str,
    attribute: impl Fn() -> AttributeProto + Send + Sync,
) -> impl Fn(&mut ModelProto) + Send + Sync {
    move |model| {
        for node in nodes(model).iter_mut().filter(|node| node.op_type() == op) {
            let attribute = attribute();
            node.attribute.retain(|other| other.name != attribute.name);
            node.attribute.push(attribute);
        }
    }
}

fn named(name: &str, kind: i32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind),
        ..AttributeProto::default()
    }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: ints.to_vec(),
        ..named(name, 7)
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        i: Some(i),
        ..named(name, 2)
    }
}

fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        s: Some(s.as_bytes().to_vec()),
        ..named(name, 3)
    }
}

/// The twin's BatchNormalization has no shift.
fn unshifted(model: &mut ModelProto) {
    for tensor in &mut model.graph.as_mut().expect("a graph").initializer {
        if ["bn_0.B", "bn_0.mean"].contains(&tensor.name()) {
            let name = tensor.name().to_owned();
            let mut zero = Tensor::from_proto(tensor).expect("a tensor");
            zero.data.fill(0.0);
            *tensor = zero.to_proto(&name, Default::default());
        }
    }
}

fn padded() -> Vec<Case> {
    let shift = "that a shift is missing where zeros are padded";
    vec![
        case(&["Conv downstream"], "padded, with a shift", |g| {
            barrier(g, &[1, 4, 6, 6])
                .batch_norm()
                .conv(6)
                .pads([1, 1, 1, 1])
                .output("y")
        })
        .forced(shift, has("Conv", || ints("pads", &[0, 0, 0, 0]))),
        case(&["Conv downstream"], "SAME, with a shift", |g| {
            barrier(g, &[1, 4, 6, 6])
                .batch_norm()
                .conv(6)
                .kernel([3, 3])
                .auto_pad("SAME_UPPER")
                .output("y")
        })
        .forced(shift, has("Conv", || text("auto_pad", "VALID"))),
        case(&["ConvTranspose downstream"], "with a shift", |g| {
            barrier(g, &[1, 4, 5, 5])
                .batch_norm()
                .conv_transpose(6)
                .output("y")
        })
        .forced("that the number of taps differs", unshifted)
        .with_its_shift(),
        case(
            &["AveragePool upstream"],
            "padded zeros counted, with a shift",
            |g| {
                let x = g
                    .input("x", [1, 4, 6, 6])
                    .conv(5)
                    .average_pool([3, 3])
                    .pads([1, 1, 1, 1]);
                x.attr("count_include_pad", 1)
                    .batch_norm()
                    .leaky_relu(0.1)
                    .output("y")
            },
        )
        .forced(shift, has("AveragePool", || int("count_include_pad", 0))),
        case(&["Pad upstream"], "zeros, with a shift", |g| {
            let x = g
                .input("x", [1, 4, 6, 6])
                .conv(4)
                .pad([0, 0, 1, 1, 0, 0, 1, 1]);
            x.batch_norm().leaky_relu(0.1).output("y")
        })
        .forced(shift, has("Pad", || text("mode", "reflect"))),
        case(&["Pad downstream"], "zeros, with a shift", |g| {
            let x = barrier(g, &[1, 4, 4, 4])
                .batch_norm()
                .pad([0, 0, 1, 1, 0, 0, 1, 1]);
            pointwise(&x).output("y")
        })
        .forced(shift, has("Pad", || text("mode", "reflect"))),
        case(&["ReduceSum upstream"], "with a shift", |g| {
            let x = g
                .input("x", [2, 4, 6, 6])
                .conv(5)
                .reduce("ReduceSum", [2, 3]);
            x.batch_norm().tanh().output("y")
        })
        .forced(
            "that a sum counts a shift once per element",
            becomes("ReduceSum", "ReduceMean"),
        ),
    ]
}

fn bent() -> Vec<Case> {
    let mut cases = Vec::new();
    let steps: [(&'static str, Step); 3] = [
        ("Relu", |x| x.relu()),
        ("LeakyRelu", |x| x.leaky_relu(0.1)),
        ("PRelu", |x| x.prelu()),
    ];
    for (op, step) in steps {
        cases.push(
            case(&[&format!("{op} upstream")], "with a shift", |g| {
                step(&g.input("x", [2, 4, 6, 6]).conv(5))
                    .batch_norm()
                    .tanh()
                    .output("y")
            })
            .forced("that a shift moves the bend", becomes(op, "Identity")),
        );
        cases.push(
            case(
                &[&format!("{op} downstream")],
                "with negative scales",
                |g| {
                    pointwise(&step(
                        &scale_alone(&barrier(g, &[2, 4, 4, 4])).negative_scales(),
                    ))
                    .output("y")
                },
            )
            .forced(
                "that a negative scale turns the bend",
                becomes(op, "Identity"),
            ),
        );
    }
    cases
}

fn largest() -> Vec<Case> {
    let negative = "that a negative scale makes the largest the smallest";
    let pairs: [(&'static str, &'static str, Step); 4] = [
        ("MaxPool", "AveragePool", |x| {
            x.max_pool([2, 2]).strides([2, 2])
        }),
        ("GlobalMaxPool", "GlobalAveragePool", |x| {
            x.global_max_pool()
        }),
        ("ReduceMax", "ReduceMean", |x| x.reduce("ReduceMax", [2, 3])),
        ("ReduceMin", "ReduceMean", |x| x.reduce("ReduceMin", [2, 3])),
    ];
    let mut cases = Vec::new();
    for (op, twin, step) in pairs {
        cases.push(
            case(&[&format!("{op} upstream")], "with negative scales", |g| {
                let x = step(&g.input("x", [2, 4, 6, 6]).conv(5));
                x.batch_norm().negative_scales().tanh().output("y")
            })
            .forced(negative, becomes(op, twin)),
        );
        cases.push(
            case(
                &[&format!("{op} downstream")],
                "with negative scales",
                |g| {
                    pointwise(&step(
                        &barrier(g, &[2, 4, 4, 4]).batch_norm().negative_scales(),
                    ))
                    .output("y")
                },
            )
            .forced(negative, becomes(op, twin)),
        );
    }
    cases
}

fn products() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ["Mul", "Div"] {
        cases.push(
            case(&[&format!("{op} upstream")], "with a shift", |g| {
                let x = g.input("x", [1, 4, 5, 5]);
                let (a, b) = (x.conv(6), x.conv(6).sigmoid());
                g.op(op, &[&a, &b]).batch_norm().leaky_relu(0.1).output("y")
            })
            .forced("that a shift does not pass a product", unshifted)
            .with_its_shift(),
        );
        cases.push(
            case(&[&format!("{op} downstream")], "with a shift", |g| {
                let x = barrier(g, &[1, 4, 3, 3]);
                pointwise(&g.op(op, &[&x.batch_norm(), &x.op("Exp")])).output("y")
            })
            .forced("that a shift does not pass a product", unshifted)
            .with_its_shift(),
        );
    }
    cases
}

/// The twin's nodes that read this value and are not of this operator read the model's input instead.
fn unread(value: &'static str, except: &'static str) -> impl Fn(&mut ModelProto) + Send + Sync {
    move |model| {
        let others = nodes(model)
            .iter_mut()
            .filter(|node| node.op_type() != except);
        for input in others
            .flat_map(|node| &mut node.input)
            .filter(|input| *input == value)
        {
            *input = "x".to_owned();
        }
    }
}

fn others() -> Vec<Case> {
    vec![
        case(&["Conv upstream"], "its value has another reader", |g| {
            let x = g.input("x", [1, 4, 6, 6]).conv(4);
            x.sigmoid().output("z");
            x.batch_norm().leaky_relu(0.1).output("y")
        })
        .forced(
            "that another node reads the value",
            unread("conv_0.out", "BatchNormalization"),
        )
        .shown_at("z"),
        case(&["Conv upstream"], "in training mode", |g| {
            let x = g.input("x", [4, 4, 6, 6]).conv(4).batch_norm();
            x.attr("training_mode", 1).leaky_relu(0.1).output("y")
        })
        .forced(
            "that it normalises by the batch",
            has("BatchNormalization", || int("training_mode", 0)),
        ),
        case(&["Compensation"], "a reader that pads", |g| {
            let x = g.input("x", [1, 4, 6, 6]).conv(5);
            x.conv(3).pads([1, 1, 1, 1]).output("z");
            x.batch_norm().leaky_relu(0.1).output("y")
        })
        .options(|options| options.compensate = true)
        .forced("that zeros are padded", |model| {
            has("Conv", || ints("pads", &[0, 0, 0, 0]))(model);
        })
        .shown_at("z"),
        case(&["Sibling"], "a centre that reads another element", |g| {
            let x = g.input("x", [1, 4, 6, 6]).relu();
            x.conv(4)
                .kernel([3, 3])
                .pads([0, 0, 2, 2])
                .add(x.batch_norm())
                .leaky_relu(0.1)
                .output("y")
        })
        .forced(
            "where the centre lies",
            has("Conv", || ints("pads", &[1, 1, 1, 1])),
        ),
        case(&["Merge"], "kernels off each other's centre", |g| {
            let x = g.input("x", [1, 4, 6, 6]).relu();
            let a = x.conv(4).kernel([3, 3]).pads([0, 0, 2, 2]);
            a.add(x.conv(4).kernel([1, 1])).leaky_relu(0.1).output("y")
        })
        .options(|options| options.merge_branches = true)
        .forced("where the kernels lie", |model| {
            let is_large = |node: &&mut NodeProto| node.name() == "conv_0";
            for node in nodes(model).iter_mut().filter(is_large) {
                node.attribute
                    .retain(|attribute| attribute.name() != "pads");
                node.attribute.push(ints("pads", &[1, 1, 1, 1]));
            }
        }),
        case(&["Resize upstream"], "with an extrapolation value", |g| {
            let x = g.input("x", [1, 4, 6, 6]).conv(4);
            let roi = g.initializer(
                "roi",
                Tensor::floats(&[8], [0.0, 0.0, -0.5, -0.5, 1.0, 1.0, 1.5, 1.5]),
            );
            let scales = g.initializer("scales", Tensor::floats(&[4], [1.0, 1.0, 2.0, 2.0]));
            let x = g.op("Resize", &[&x, &roi, &scales]).attr("mode", "linear");
            let x = x.attr("coordinate_transformation_mode", "tf_crop_and_resize");
            x.shape([1, 4, 16, 16])
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        })
        .forced(
            "that elements outside take the extrapolation value",
            has("Resize", || {
                text("coordinate_transformation_mode", "half_pixel")
            }),
        ),
    ]
}
