//! Verdicts that are no plain yes or no, and what decides between them.

use super::*;

#[test]
fn a_fixed_tolerance_is_taken_at_its_word() {
    let original = deep(DataType::Float, 2);
    let rewritten = folded(&original, |_, _, b| b.data[0] += 1e-3);
    let with = |atol: f64| {
        let tolerance = Tolerance::Fixed {
            atol: Some(atol),
            rtol: Some(0.0),
        };
        let options = VerifyOptions {
            tolerance,
            ..VerifyOptions::default()
        };
        compare(&original, &rewritten, &options).verdict
    };
    assert_eq!(with(0.1), Verdict::Equivalent);
    assert!(matches!(with(1e-7), Verdict::Different { .. }));
}

#[test]
fn outputs_that_show_nothing_are_unknown() {
    let blind = |end: fn(&crate::testing::builder::Value) -> crate::testing::builder::Value| {
        let original =
            model(|g| end(&g.input("x", [2, 4, 6, 6]).conv(4).bias().batch_norm()).output("y"));
        let rewritten = folded(&original, |_, _, b| b.data.fill(0.0));
        compare(&original, &rewritten, &VerifyOptions::default())
    };
    let zero = blind(|x| x.mul(x.graph().constant("value_float", 0.0f32)));
    let nan = blind(|x| x.op("Neg").op("Exp").op("Neg").op("Log"));
    let one = blind(|x| x.op("Abs").op("Exp").op("Exp").op("Exp").clip(0.0, 1.0));
    let saturated = |end: fn(&crate::testing::builder::Value) -> crate::testing::builder::Value| {
        let original =
            model(|g| end(&g.input("x", [2, 4, 6, 6]).conv(4).bias().batch_norm()).output("y"));
        compare(&original, &original, &VerifyOptions::default())
    };
    let ends = saturated(|x| x.mul(x.graph().constant("value_float", 1e6f32)).sigmoid());
    let hot = saturated(|x| {
        x.mul(x.graph().constant("value_float", 1e5f32))
            .op("Softmax")
    });
    let near = saturated(|x| {
        let far = x.graph().constant("value_float", 15.0f32);
        x.op("Sign").mul(far).add(x).sigmoid()
    });
    for (found, how) in [
        (zero, "zero"),
        (nan, "not finite"),
        (one, "constant"),
        (ends, "saturated"),
        (hot, "saturated"),
        (near, "saturated"),
    ] {
        let Verdict::Unknown {
            reason: Unknown::Uninformative { name, how: found },
        } = &found.verdict
        else {
            panic!("{how}: {found:#?}");
        };
        assert_eq!(name, "y");
        assert!(found.contains(how), "{found}");
    }
}

#[test]
fn interfaces_must_agree_exactly() {
    let original = model(|g| g.input("x", [1, 2, 4, 4]).relu().output("y"));
    let different = |rewritten: ModelProto, what: &str| {
        let found = compare(&original, &rewritten, &VerifyOptions::default());
        let Verdict::Different {
            counterexample: Counterexample::Interface { what: said },
        } = &found.verdict
        else {
            panic!("{what}: {found:#?}");
        };
        assert!(said.contains(what), "{said}");
    };
    let incomparable = |rewritten: ModelProto, what: &str| {
        let found = compare(&original, &rewritten, &VerifyOptions::default());
        let Verdict::Unknown {
            reason: Unknown::Interface { what: said },
        } = &found.verdict
        else {
            panic!("{what}: {found:#?}");
        };
        assert!(said.contains(what), "{said}");
    };
    incomparable(
        model(|g| g.input("x", [1, 2, 4]).relu().output("y")),
        "input \"x\" is declared float32[1, 2, 4, 4] in the original and float32[1, 2, 4]",
    );
    incomparable(
        model(|g| {
            g.input("z", [1, 2, 4, 4]);
            g.input("x", [1, 2, 4, 4]).relu().output("y")
        }),
        "1 input [\"x\"] and the rewritten model 2 inputs [\"z\", \"x\"]",
    );
    incomparable(
        model(|g| {
            let x = g.input("x", [1, 2, 4, 4]);
            x.op("Neg").output("z");
            x.relu().output("y")
        }),
        "1 output",
    );
    // Broadcasting would hide this one: the values are the same, the shape is not.
    different(
        model(|g| g.input("x", [1, 2, 4, 4]).relu().unsqueeze([0]).output("y")),
        "output \"y\"",
    );
    different(
        model(|g| {
            g.input("x", [1, 2, 4, 4])
                .relu()
                .cast(DataType::Double)
                .output("y")
        }),
        "output \"y\"",
    );
    let renamed = model(|g| g.input("x", [1, 2, 4, 4]).relu().output("z"));
    let found = compare(&original, &renamed, &VerifyOptions::default());
    assert_eq!(found.verdict, Verdict::Equivalent);
    assert!(
        found.notes.iter().any(|note| note.contains("by position")),
        "{:?}",
        found.notes
    );
}

#[test]
fn integer_outputs_must_be_equal() {
    let original = model(|g| g.input("x", [4, 9]).op("ArgMax").axis(1).output("y"));
    let rewritten = model(|g| {
        g.input("x", [4, 9])
            .op("Neg")
            .op("ArgMax")
            .axis(1)
            .output("y")
    });
    assert_eq!(
        compare(&original, &original, &VerifyOptions::default()).verdict,
        Verdict::Equivalent
    );
    let found = compare(&original, &rewritten, &VerifyOptions::default());
    let Verdict::Different {
        counterexample: Counterexample::Unequal { name, index, .. },
    } = &found.verdict
    else {
        panic!("{found:#?}");
    };
    assert_eq!((name.as_str(), index.len()), ("y", 2));
}

#[test]
fn lengths_that_do_not_fit_are_passed_over() {
    let build = |g: &Graph| {
        g.input("x", "N,3,H,W")
            .conv(4)
            .kernel([20, 20])
            .batch_norm()
            .output("y")
    };
    let original = model(build);
    let found = compare(&original, &original, &VerifyOptions::default());
    assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
    let height = found.dims.iter().find(|(name, _)| name == "H").unwrap().1;
    assert_eq!(height, 32);
    let given = VerifyOptions {
        dims: [
            ("H".to_owned(), 8),
            ("W".to_owned(), 8),
            ("N".to_owned(), 1),
        ]
        .into(),
        ..VerifyOptions::default()
    };
    let found = compare(&original, &original, &given);
    assert!(
        matches!(found.verdict, Verdict::Unknown { .. }),
        "{found:#?}"
    );
}

#[test]
fn a_model_that_drowns_in_its_own_rounding_is_unknown_at_its_outputs() {
    // sin(10⁷·x) turns float32's rounding of x into anything.
    let original = model(|g| {
        let x = g.input("x", [2, 4, 6, 6]).conv(4).bias().batch_norm();
        x.mul(g.constant("value_float", 1e7f32))
            .op("Sin")
            .output("y")
    });
    let found = compare(&original, &original, &VerifyOptions::default());
    assert!(
        matches!(
            found.verdict,
            Verdict::Unknown {
                reason: Unknown::Insensitive { .. }
            }
        ),
        "{found:#?}"
    );
    let rewritten = folded(&original, |_, _, _| {});
    let found = compare(&original, &rewritten, &options(ends(1)));
    assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
    let wrong = folded(&original, |_, _, b| b.data[1] *= 1.001);
    let found = compare(&original, &wrong, &options(ends(1)));
    assert!(
        matches!(found.verdict, Verdict::Different { .. }),
        "{found:#?}"
    );
}
