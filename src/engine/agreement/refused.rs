//! Models and inputs that the engine refuses in words.

use super::*;
use crate::onnx::proto::StringStringEntryProto;

#[test]
fn a_function_that_calls_itself_is_refused() {
    let model = model(|g| {
        g.function("local", "F", |f| {
            f.input("a", [3])
                .op("F")
                .domain("local")
                .shape("3")
                .output("b")
        });
        g.input("x", [3])
            .op("F")
            .domain("local")
            .shape("3")
            .output("y")
    });
    assert!(matches!(load(&model), Err(EngineError::Decode { .. })));
}

#[test]
fn cycles_and_dangling_values_are_named() {
    let mut cyclic = model(|g| g.input("x", [2]).relu().sigmoid().output("y"));
    cyclic.graph.as_mut().unwrap().node[0].input[0] = "y".to_owned();
    assert!(matches!(load(&cyclic), Err(EngineError::Cycle { .. })));
    let mut dangling = model(|g| g.input("x", [2]).relu().output("y"));
    dangling.graph.as_mut().unwrap().node[0].input[0] = "ghost".to_owned();
    let error = load(&dangling).unwrap_err();
    assert!(
        matches!(&error, EngineError::DanglingValue { value, .. } if value == "ghost"),
        "{error}"
    );
}

#[test]
fn external_data_stays_inside_the_models_directory() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("model");
    std::fs::create_dir(&inner).unwrap();
    let bytes: Vec<u8> = [1f32, 2.0, 3.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    std::fs::write(inner.join("w.data"), &bytes).unwrap();
    std::fs::write(directory.path().join("secret"), &bytes).unwrap();
    let with_entries = |entries: &[(&str, &str)]| {
        let mut model = model(|g| {
            let x = g.input("x", [3]);
            x.add(g.initializer("c", Reference::floats(&[3], [0.0; 3])))
                .output("y")
        });
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        tensor.raw_data = None;
        tensor.data_location = Some(1);
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: Some((*key).to_owned()),
            value: Some((*value).to_owned()),
        };
        tensor.external_data = entries.iter().map(entry).collect();
        model.to_bytes()
    };
    let read = |bytes: &[u8]| {
        let model = ModelBytes {
            bytes,
            directory: Some(&inner),
        };
        BuiltIn::default().load(model, Precision::Declared)
    };
    let zero = ("x".to_owned(), Tensor::vector(vec![0f32; 3]));
    let good = with_entries(&[("location", "w.data"), ("offset", "0"), ("length", "12")]);
    let outputs = read(&good).unwrap().run(&[zero], &mut NoObserver).unwrap();
    assert_eq!(only(outputs), [1.0, 2.0, 3.0]);
    for entries in [
        &[("location", "../secret")][..],
        &[("location", "/etc/hostname")],
        &[("location", "")],
        &[("location", "missing")],
        &[("location", ".")],
        &[("location", "w.data"), ("offset", "1")],
        &[("location", "w.data"), ("offset", "4"), ("length", "12")],
        &[("location", "w.data"), ("length", "8")],
        &[("location", "w.data"), ("offset", "-1")],
        &[("location", "w.data"), ("location", "w.data")],
        &[
            ("location", "w.data"),
            ("offset", "18446744073709551615"),
            ("length", "12"),
        ],
    ] {
        let error = read(&with_entries(entries)).unwrap_err();
        assert!(
            matches!(error, EngineError::Tensor { .. }),
            "{entries:?}: {error}"
        );
    }
    let without_directory = BuiltIn::default().load(ModelBytes::new(&good), Precision::Declared);
    assert!(matches!(without_directory, Err(EngineError::Tensor { .. })));
}

#[test]
fn extents_that_their_elements_do_not_fill_are_refused_before_they_are_allocated() {
    for dims in [vec![1i64 << 40], vec![-1], vec![i64::MAX, 2], vec![4]] {
        let mut model = model(|g| {
            let x = g.input("x", [3]);
            x.add(g.initializer("c", Reference::floats(&[3], [0.0; 3])))
                .output("y")
        });
        model.graph.as_mut().unwrap().initializer[0].dims = dims.clone();
        assert!(
            matches!(load(&model), Err(EngineError::Tensor { .. })),
            "{dims:?}"
        );
    }
}

#[test]
fn what_is_over_budget_is_refused() {
    let model = model(|g| {
        let x = g.input("x", [1]);
        g.op("Expand", &[&x, &g.ints(&[1 << 9, 1 << 9])])
            .output("y")
    });
    let bytes = model.to_bytes();
    let load = |budget| BuiltIn { budget }.load(ModelBytes::new(&bytes), Precision::Declared);
    let x = ("x".to_owned(), Tensor::vector(vec![0f32]));
    let small = Budget {
        bytes: 1 << 20,
        ..Budget::default()
    };
    let error = load(small).unwrap().run(&[x], &mut NoObserver).unwrap_err();
    assert!(error.to_string().contains("over budget"), "{error}");
    for budget in [Budget { nodes: 0, ..small }, Budget { bytes: 8, ..small }] {
        let error = load(budget).unwrap_err();
        assert!(matches!(error, EngineError::Budget { .. }), "{error}");
    }
}

#[test]
fn no_truncation_of_a_model_panics() {
    let bytes = model(|g| {
        g.input("x", [1, 3, 8, 8])
            .conv(4)
            .batch_norm()
            .relu()
            .output("y")
    })
    .to_bytes();
    let x = Tensor::new(vec![1, 3, 8, 8], vec![0f32; 192]).unwrap();
    for length in 0..bytes.len() {
        let part = ModelBytes::new(&bytes[..length]);
        if let Ok(mut session) = BuiltIn::default().load(part, Precision::Declared) {
            let outcome = session.run(&[("x".to_owned(), x.clone())], &mut NoObserver);
            assert!(
                !matches!(outcome, Err(EngineError::Panic { .. })),
                "at {length}"
            );
        }
    }
}

#[test]
fn inputs_of_another_name_type_or_shape_are_refused() {
    let model = model(|g| g.input("x", [2, 3]).relu().output("y"));
    let good = Tensor::new(vec![2, 3], vec![0f32; 6]).unwrap();
    for inputs in [
        vec![],
        vec![("x", Tensor::new(vec![3, 2], vec![0f32; 6]).unwrap())],
        vec![("x", Tensor::new(vec![2, 3], vec![0f64; 6]).unwrap())],
        vec![("x", good.clone()), ("z", good)],
    ] {
        let error = run(&model, &inputs).unwrap_err();
        assert!(matches!(error, EngineError::Input { .. }), "{error}");
    }
}
