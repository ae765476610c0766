//! Inputs that the caller gives.

use std::path::PathBuf;

use super::*;
use crate::engine::{BuiltIn, Engine, Tensor};
use crate::verify::data::Sample;

fn simple() -> ModelProto {
    model(|g| g.input("x", "N,3").gemm(4).relu().output("y"))
}

fn sample(inputs: Vec<(Option<String>, Tensor)>, outputs: Vec<(Option<String>, Tensor)>) -> Sample {
    Sample {
        origin: PathBuf::from("data"),
        inputs,
        outputs,
        is_strict: false,
    }
}

fn with(data: Vec<Sample>) -> VerifyOptions {
    VerifyOptions {
        data,
        ..VerifyOptions::default()
    }
}

fn row(values: [f32; 3]) -> Tensor {
    Tensor::new(vec![1, 3], values.to_vec()).unwrap()
}

#[test]
fn given_samples_are_what_is_run() {
    let original = simple();
    let data = vec![
        sample(vec![(None, row([1.0, 2.0, -3.0]))], Vec::new()),
        sample(
            vec![(Some("x".to_owned()), row([0.5, 9.0, 2.0]))],
            Vec::new(),
        ),
    ];
    let found = compare(&original, &original, &with(data));
    assert_eq!((found.verdict, found.samples), (Verdict::Equivalent, 2));
}

#[test]
fn inputs_that_do_not_fit_are_unknown_with_what_does_not() {
    let original = simple();
    let long = Tensor::new(vec![1, 4], vec![0f32; 4]).unwrap();
    for (inputs, said) in [
        (vec![(None, long)], "is declared [N, 3]"),
        (vec![], "gives 0 inputs"),
        (
            vec![(None, Tensor::new(vec![1, 3], vec![0f64; 3]).unwrap())],
            "float64",
        ),
    ] {
        let found = compare(
            &original,
            &original,
            &with(vec![sample(inputs, Vec::new())]),
        );
        let Verdict::Unknown {
            reason: Unknown::Inputs { message },
        } = &found.verdict
        else {
            panic!("{found:#?}");
        };
        assert!(message.contains(said), "{message}");
    }
    let drawn = |name: &str, draw: Draw| {
        let mut options = VerifyOptions::default();
        options.draws.insert(name.to_owned(), draw);
        options
    };
    let value = |tensor: Tensor| drawn("x", Draw::Value(tensor));
    let dimension = |name: &str, extent: usize| VerifyOptions {
        dims: [(name.to_owned(), extent)].into(),
        ..VerifyOptions::default()
    };
    let mut clash = value(row([1.0, 2.0, 3.0]));
    clash.dims = [("N".to_owned(), 7)].into();
    let double = Tensor::new(vec![1, 3], vec![0f64; 3]).unwrap();
    for (options, said) in [
        (drawn("z", "normal:0,1".parse().unwrap()), "no input \"z\""),
        (
            value(double),
            "input \"x\" is declared float32, the value is float64",
        ),
        (
            value(Tensor::vector(vec![0f32; 3])),
            "is declared [N, 3], the value is [3]",
        ),
        (
            dimension("M", 3),
            "no symbolic dimension \"M\"; the model's are [\"N\"]",
        ),
        (clash, "dimension \"N\" is 7 and 1 at once"),
    ] {
        let found = compare(&original, &original, &options);
        let Verdict::Unknown {
            reason: Unknown::Inputs { message },
        } = &found.verdict
        else {
            panic!("{said}: {found:#?}");
        };
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_given_value_settles_the_dimensions_that_it_shares() {
    let original = model(|g| {
        let x = g.input("x", "N,3");
        x.add(g.input("z", "N,3")).output("y")
    });
    let rows = Tensor::new(vec![7, 3], (0..21).map(|i| i as f32).collect()).unwrap();
    let mut options = VerifyOptions::default();
    options.draws.insert("z".to_owned(), Draw::Value(rows));
    let found = compare(&original, &original, &options);
    assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
    assert_eq!(found.dims, [("N".to_owned(), 7)]);
}

#[test]
fn ids_that_no_table_has_are_the_callers_mistake() {
    let original = model(|g| {
        let ids = g.typed_input("ids", DataType::Int64, [4, 40]);
        g.op("Gather", &[&g.weight("table", [50, 6]), &ids])
            .output("y")
    });
    let mut options = VerifyOptions::default();
    options
        .draws
        .insert("ids".to_owned(), "int:0..900".parse().unwrap());
    let found = compare(&original, &original, &options);
    assert!(
        matches!(
            &found.verdict,
            Verdict::Unknown {
                reason: Unknown::Engine { .. }
            }
        ),
        "{found:#?}"
    );
}

#[test]
fn expected_outputs_are_held_against_the_rewritten_model() {
    let original = simple();
    let x = row([1.0, 2.0, -3.0]);
    let bytes = original.to_bytes();
    let engine = BuiltIn::default();
    let model = ModelBytes::new(&bytes);
    let mut session = engine
        .load(model, crate::engine::Precision::Declared)
        .unwrap();
    let outputs = session
        .run(
            &[("x".to_owned(), x.clone())],
            &mut crate::engine::NoObserver,
        )
        .unwrap();
    let right = outputs[0].1.clone();
    let off: Vec<f32> = right
        .elements::<f32>()
        .unwrap()
        .iter()
        .map(|y| y + 0.1)
        .collect();
    let wrong = Tensor::new(right.shape().to_vec(), off).unwrap();
    let expecting = |y: Tensor| with(vec![sample(vec![(None, x.clone())], vec![(None, y)])]);
    let found = compare(&original, &original, &expecting(right.clone()));
    assert_eq!(
        (&found.verdict, found.notes.len()),
        (&Verdict::Equivalent, 0),
        "{found:#?}"
    );
    let found = compare(&original, &original, &expecting(wrong));
    assert!(
        matches!(
            &found.verdict,
            Verdict::Unknown {
                reason: Unknown::Expectation { .. }
            }
        ),
        "{found:#?}"
    );
    // Off by more than the expected outputs allow, by less than a lenient fixed tolerance does.
    let mut rewritten = original.clone();
    let tensors = &mut rewritten.graph.as_mut().unwrap().initializer;
    let bias = tensors
        .iter_mut()
        .find(|tensor| tensor.name() == "gemm_0.C")
        .unwrap();
    let mut moved = Weights::from_proto(bias).unwrap();
    moved.data.iter_mut().for_each(|x| *x += 0.05);
    *bias = moved.to_proto("gemm_0.C", Storage::Raw);
    let mut options = expecting(right);
    options.tolerance = Tolerance::Fixed {
        atol: Some(1.0),
        rtol: Some(0.0),
    };
    let found = compare(&original, &rewritten, &options);
    assert!(
        matches!(
            &found.verdict,
            Verdict::Different {
                counterexample: Counterexample::Expected { .. }
            }
        ),
        "{found:#?}"
    );
}

#[test]
fn table_ids_reach_all_rows_and_no_further() {
    let original = model(|g| {
        let ids = g.typed_input("ids", DataType::Int64, [4, 40]);
        g.op("Gather", &[&g.weight("table", [50, 6]), &ids])
            .reduce_mean([1])
            .output("y")
    });
    let change = |row: usize| {
        let mut rewritten = original.clone();
        let tensor = &mut rewritten.graph.as_mut().unwrap().initializer[0];
        let mut table = Weights::from_proto(tensor).unwrap();
        table.data[row * 6] *= 1.01;
        *tensor = table.to_proto("table", Storage::Raw);
        compare(&original, &rewritten, &VerifyOptions::default()).verdict
    };
    assert_eq!(
        compare(&original, &original, &VerifyOptions::default()).verdict,
        Verdict::Equivalent
    );
    for row in [0, 23, 49] {
        assert!(
            matches!(change(row), Verdict::Different { .. }),
            "row {row}"
        );
    }
}
