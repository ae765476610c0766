//! Comparisons of every value that both graphs name.

use super::*;

fn layered(original: &ModelProto, rewritten: &ModelProto, changed: &[&str]) -> Layers {
    let options = VerifyOptions {
        layers: true,
        changed_values: changed.iter().map(|name| (*name).to_owned()).collect(),
        ..VerifyOptions::default()
    };
    compare(original, rewritten, &options)
        .layers
        .expect("layers were asked for")
}

#[test]
fn the_first_layer_that_diverges_is_named_with_the_worst_five() {
    let original = deep(DataType::Float, 6);
    let rewritten = folded(&original, |index, w, _| {
        if index == 3 {
            w.data[9] *= 1.01;
        }
    });
    let layers = layered(&original, &rewritten, &[]);
    let first = layers.first_divergent.expect("one diverges");
    assert_eq!(
        (first.report.name.as_str(), first.report.node.as_str()),
        ("bn_3.out", "bn_3")
    );
    let worst = first.worst.expect("an element is told");
    assert_eq!(worst.index.len(), 4);
    assert_ne!(worst.original, worst.rewritten);
    assert_eq!(layers.worst.len(), 5);
    assert!(
        layers
            .worst
            .iter()
            .all(|layer| layer.report.in_roundings > 8.0)
    );
    assert!(matches!(
        layers.counterexample,
        Some(Counterexample::Element { .. })
    ));
}

#[test]
fn right_folds_diverge_nowhere() {
    let original = deep(DataType::Float, 6);
    let layers = layered(&original, &folded(&original, |_, _, _| {}), &[]);
    assert_eq!(layers.first_divergent, None, "{layers:#?}");
    // BN and ReLU of each block, three values at the end; a Conv's own output is gone.
    assert_eq!(layers.n_compared, 6 * 2 + 3);
}

#[test]
fn values_that_change_their_meaning_are_left_out() {
    let original = deep(DataType::Float, 1);
    // The Conv keeps its output's name, and the name now stands for the normalised value.
    let mut rewritten = folded(&original, |_, _, _| {});
    for node in &mut rewritten.graph.as_mut().unwrap().node {
        let renamed = |name: &mut String| {
            if name == "bn_0.out" {
                *name = "conv_0.out".to_owned();
            }
        };
        node.output.iter_mut().for_each(renamed);
        node.input.iter_mut().for_each(renamed);
    }
    let naive = layered(&original, &rewritten, &[]);
    assert_eq!(
        naive.first_divergent.map(|layer| layer.report.name),
        Some("conv_0.out".to_owned())
    );
    assert_eq!(
        layered(&original, &rewritten, &["conv_0.out"]).first_divergent,
        None
    );
}

#[test]
fn both_models_are_held_against_the_truth_at_every_layer() {
    let original = deep(DataType::Float, 6);
    let options = VerifyOptions {
        layers: true,
        ..VerifyOptions::default()
    };
    let rewritten = folded(&original, |index, w, _| {
        if index == 3 {
            w.data[9] *= 1.01;
        }
    });
    let found = compare(&original, &rewritten, &options);
    let layers = found.layers.expect("layers were asked for");
    assert_eq!(layers.errors.len(), layers.n_compared);
    let output = &found.outputs[0];
    let at = |name: &str| {
        let mut errors = layers.errors.iter();
        errors.find(|error| error.name == name).expect("a layer")
    };
    let last = at(&output.name);
    let whole = [&output.original, &output.rewritten].map(|figures| figures.unwrap().max_abs);
    assert_eq!([last.original, last.rewritten], whole);
    assert!(last.original > 0.0, "float32 rounds");
    let (before, wrong) = (at("bn_2.out"), at("bn_3.out"));
    assert!(before.rewritten < 20.0 * before.original, "{before:?}");
    assert!(wrong.rewritten > 100.0 * wrong.original, "{wrong:?}");
}
