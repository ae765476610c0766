//! Wrong rewrites must be told from right ones.

mod branches;
mod data;
mod evidence;
mod fused;
mod layers;
mod regions;
mod unknown;

use super::*;
use crate::onnx::proto::{ModelProto, NodeProto};
use crate::testing::builder::Graph;
use crate::testing::{DataType, Storage, Tensor as Weights, ToBytes, model};

/// Values that nothing declares, the outputs apart.
fn undeclared(mut model: ModelProto) -> ModelProto {
    model.graph.as_mut().unwrap().value_info.clear();
    model
}

/// A hand-made fold of `conv_{i}` and `bn_{i}`, with a chance to get it wrong.
///
/// The Conv takes over the BN's output name; its W and B are replaced, in its own type.
fn folded(original: &ModelProto, wrong: impl Fn(usize, &mut Weights, &mut Weights)) -> ModelProto {
    let mut rewritten = original.clone();
    let graph = rewritten.graph.as_mut().unwrap();
    let initializers = graph.initializer.clone();
    let read = |name: &str| {
        let found = initializers.iter().find(|tensor| tensor.name() == name);
        Weights::from_proto(found.unwrap_or_else(|| panic!("no {name}"))).unwrap()
    };
    let norms: Vec<NodeProto> = graph
        .node
        .iter()
        .filter(|n| n.op_type() == "BatchNormalization")
        .cloned()
        .collect();
    for (index, norm) in norms.iter().enumerate() {
        let conv = graph
            .node
            .iter_mut()
            .find(|n| n.output[0] == norm.input[0])
            .unwrap();
        let (mut w, mut b) = (read(&conv.input[1]), read(&conv.input[2]));
        let [scale, shift, mean, var] = [1, 2, 3, 4].map(|at| read(&norm.input[at]).data);
        let taps = w.data.len() / scale.len();
        for channel in 0..scale.len() {
            let factor = scale[channel] / (var[channel] + f64::from(1e-5f32)).sqrt();
            w.data[channel * taps..(channel + 1) * taps]
                .iter_mut()
                .for_each(|x| *x *= factor);
            b.data[channel] = (b.data[channel] - mean[channel]) * factor + shift[channel];
        }
        wrong(index, &mut w, &mut b);
        let names = [format!("w{index}.new"), format!("b{index}.new")];
        conv.input[1] = names[0].clone();
        conv.input[2] = names[1].clone();
        conv.output[0] = norm.output[0].clone();
        graph
            .initializer
            .push(w.rounded().to_proto(&names[0], Storage::Raw));
        graph
            .initializer
            .push(b.rounded().to_proto(&names[1], Storage::Raw));
        graph
            .node
            .retain(|node| node.output[0] != norm.output[0] || node.op_type() == "Conv");
    }
    rewritten
}

/// Conv, BN and ReLU, `depth` times over.
fn deep(dtype: DataType, depth: usize) -> ModelProto {
    model(|g: &Graph| {
        g.opset(22).dtype(dtype);
        let mut x = g.input("x", "N,4,12,12");
        for _ in 0..depth {
            x = x.conv(16).pads([1, 1, 1, 1]).bias().batch_norm().relu();
        }
        x.global_average_pool().flatten().gemm(10).output("y")
    })
}

fn ends(depth: usize) -> Vec<String> {
    (0..depth).map(|index| format!("bn_{index}.out")).collect()
}

fn compare(original: &ModelProto, rewritten: &ModelProto, options: &VerifyOptions) -> Verification {
    let (before, after) = (original.to_bytes(), rewritten.to_bytes());
    verify(ModelBytes::new(&before), ModelBytes::new(&after), options)
}

fn options(values: Vec<String>) -> VerifyOptions {
    VerifyOptions {
        compare_values: values,
        ..VerifyOptions::default()
    }
}

#[test]
fn right_folds_are_equivalent_in_every_type_and_depth() {
    for dtype in [
        DataType::Float,
        DataType::Float16,
        DataType::Bfloat16,
        DataType::Double,
    ] {
        for depth in [1, 8] {
            let original = deep(dtype, depth);
            let rewritten = folded(&original, |_, _, _| {});
            for values in [Vec::new(), ends(depth)] {
                let found = compare(&original, &rewritten, &options(values));
                assert_eq!(
                    found.verdict,
                    Verdict::Equivalent,
                    "{dtype:?}, {depth} deep: {found:#?}"
                );
                assert_eq!(found.samples, 3);
                assert_eq!(found.dims, [("N".to_owned(), 2)]);
            }
        }
    }
}

type Wrong = fn(&mut Weights, &mut Weights);

const WRONGS: [(&str, Wrong); 6] = [
    ("dropped shift", |_, b| b.data.fill(0.0)),
    ("doubled shift", |_, b| {
        b.data.iter_mut().for_each(|x| *x *= 2.0)
    }),
    ("swapped channels", |w, _| {
        let taps = w.data.len() / w.shape[0];
        let (first, second) = w.data.split_at_mut(taps);
        first.swap_with_slice(&mut second[..taps]);
    }),
    ("one weight off by 1e-3", |w, _| w.data[5] *= 1.001),
    ("one weight off by 1e-4", |w, _| w.data[77] *= 1.0001),
    ("one bias off by 1e-4", |_, b| b.data[3] *= 1.0001),
];

#[test]
fn each_wrong_fold_is_named_with_index_values_and_seed_however_deep() {
    let depth = 8;
    let original = deep(DataType::Float, depth);
    for (name, wrong) in WRONGS {
        for at in [0, 5] {
            let rewritten = folded(&original, |index, w, b| {
                if index == at {
                    wrong(w, b);
                }
            });
            let found = compare(&original, &rewritten, &options(ends(depth)));
            let Verdict::Different { counterexample } = &found.verdict else {
                panic!("{name} at {at}: {found:#?}");
            };
            let Counterexample::Element {
                name: value,
                node,
                index,
                original,
                rewritten,
                allowed,
                seed,
                ..
            } = counterexample
            else {
                panic!("{name} at {at}: {counterexample}");
            };
            assert_eq!(value, &format!("bn_{at}.out"), "{name}");
            assert_eq!(node.as_deref(), Some(format!("bn_{at}").as_str()), "{name}");
            assert_eq!((index.len(), *seed), (4, 0), "{name}");
            assert!(
                (original - rewritten).abs() > *allowed,
                "{name}: {counterexample}"
            );
            let agreeing = found.values.iter().filter(|value| value.agrees).count();
            assert_eq!((found.values.len(), agreeing), (depth, depth - 1), "{name}");
        }
    }
}

#[test]
fn wrong_folds_show_at_the_outputs_alone() {
    let original = deep(DataType::Float, 6);
    // Behind four more layers and a mean over 144 places, a thousandth of one weight drowns in what
    // rounding all of them does; a hundredth does not.
    let coarse: (&str, Wrong) = ("one weight off by 1e-2", |w, _| w.data[5] *= 1.01);
    for (name, wrong) in WRONGS[..3].iter().chain([&coarse]) {
        let rewritten = folded(&original, |index, w, b| {
            if index == 2 {
                wrong(w, b);
            }
        });
        let found = compare(&original, &rewritten, &VerifyOptions::default());
        let Verdict::Different { counterexample } = &found.verdict else {
            panic!("{name}: {found:#?}");
        };
        assert!(
            matches!(
                counterexample,
                Counterexample::Element {
                    is_output: true,
                    ..
                }
            ),
            "{name}"
        );
        assert!(
            counterexample.to_string().contains("output \"y\""),
            "{counterexample}"
        );
    }
}

#[test]
fn halves_show_what_is_more_than_a_rounding() {
    for dtype in [DataType::Float16, DataType::Bfloat16] {
        let original = deep(dtype, 4);
        for (name, wrong) in &WRONGS[..3] {
            let rewritten = folded(&original, |index, w, b| {
                if index == 1 {
                    wrong(w, b);
                }
            });
            let found = compare(&original, &rewritten, &options(ends(4)));
            assert!(
                matches!(found.verdict, Verdict::Different { .. }),
                "{dtype:?}, {name}: {found:#?}"
            );
        }
    }
}
