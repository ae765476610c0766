//! What an output must show before it counts.

use super::*;

/// `x` times a factor per channel of axis 1.
fn scaled(factors: [f32; 6]) -> ModelProto {
    model(|g| {
        let factors = g.initializer("k", Weights::floats(&[1, 6, 1], factors));
        g.input("x", [1, 6, 40]).mul(factors).output("y")
    })
}

#[test]
fn small_channels_are_not_excused_by_large_ones() {
    let sizes = [640.0, 500.0, 1e-4, 0.0, 1e-4, 1e-11];
    let with = |channel: usize, factor: f32| {
        let mut wrong = sizes;
        wrong[channel] *= factor;
        compare(&scaled(sizes), &scaled(wrong), &VerifyOptions::default()).verdict
    };
    assert_eq!(with(0, 1.0), Verdict::Equivalent);
    for (channel, factor) in [(0, 1.0001), (2, 1.02), (4, 3.0), (5, 0.0)] {
        let Verdict::Different {
            counterexample: Counterexample::Element { index, .. },
        } = with(channel, factor)
        else {
            panic!("channel {channel} times {factor} goes unseen");
        };
        assert_eq!(index[1], channel);
    }
}

#[test]
fn outputs_that_are_empty_or_one_integer_prove_nothing() {
    let alone = |build: fn(&Graph)| {
        let built = model(build);
        compare(&built, &built, &VerifyOptions::default()).verdict
    };
    let blind: [fn(&Graph); 3] = [
        |g| {
            g.input("x", [2, 4]).relu();
        },
        |g| {
            g.input("x", [2, 4]).op("IsNaN").output("y");
        },
        |g| {
            let list = |name: &str, at: i64| g.initializer(name, Weights::ints(&[1], [at]));
            let x = g.input("x", [2, 4]);
            g.op("Slice", &[&x, &list("start", 0), &list("end", 0)])
                .output("y");
        },
    ];
    for build in blind {
        let verdict = alone(build);
        let is_nothing = matches!(
            verdict,
            Verdict::Unknown {
                reason: Unknown::Nothing { .. }
            }
        );
        assert!(is_nothing, "{verdict:?}");
    }
    // One that shows something is enough.
    let both = alone(|g| {
        let x = g.input("x", [2, 4]);
        x.op("IsNaN").output("y");
        x.relu().output("z");
    });
    assert_eq!(both, Verdict::Equivalent);
    let varying = alone(|g| {
        g.input("x", [8, 4]).op("ArgMax").output("y");
    });
    assert_eq!(varying, Verdict::Equivalent);
}

#[test]
fn an_extent_that_a_weight_settles_is_not_guessed() {
    let whole = |build: fn(&Graph)| {
        let built = model(build);
        let found = compare(&built, &built, &VerifyOptions::default());
        assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
        assert_eq!(found.extent, Extent::Full);
    };
    whole(|g| {
        let x = g.input("x", "N,C,H,W").relu();
        g.op("Conv", &[&x, &g.weight("w", [6, 3, 1, 1])])
            .output("y");
    });
    whole(|g| {
        let x = g.input("x", "N,C,H,W");
        let x = g.op("Conv", &[&x, &g.weight("w", [6, 3, 1, 1])]);
        x.attr("group", 2).output("y");
    });
    whole(|g| {
        let x = g.input("x", "N,T,C").relu();
        g.op("MatMul", &[&x, &g.weight("w", [5, 2])]).output("y");
    });
    whole(|g| {
        let x = g.input("x", "N,C");
        let gemm = g.op("Gemm", &[&x, &g.weight("w", [2, 5])]);
        gemm.attr("transB", 1).output("y");
    });
}

/// An exporter's wrong Reshape in the middle of a fold: both models would be given one value where it
/// means two things.
#[test]
fn a_fold_around_a_node_that_cannot_run_is_not_called_wrong() {
    let built = |factor: f32| {
        model(|g| {
            let x = g.input("x", [1, 4]).relu();
            let x = x.mul(g.constant("value_float", factor));
            let shape = g.initializer("shape", Weights::ints(&[2], [3, 4]));
            let x = g.op("Reshape", &[&x, &shape]).shape("3,4");
            x.mul(g.constant("value_float", 6.0 / factor)).output("y")
        })
    };
    let mut options = options(vec!["y".to_owned()]);
    options.changed_values = vec!["reshape_0.out".to_owned()];
    let found = compare(&built(2.0), &built(3.0), &options);
    let Verdict::Unknown {
        reason: Unknown::Engine { message, .. },
    } = &found.verdict
    else {
        panic!("{found:#?}");
    };
    assert!(
        message.contains("do not fill the shape [3, 4]"),
        "{message}"
    );
    // Where no fold lies around it, what comes behind is compared on equal terms.
    let found = compare(&built(2.0), &built(3.0), &VerifyOptions::default());
    assert!(
        matches!(found.verdict, Verdict::Different { .. }),
        "{found:#?}"
    );
}

#[test]
fn what_a_node_that_cannot_run_would_have_read_need_show_nothing() {
    let built = model(|g| {
        let dead = g.input("x", [1, 4]).relu().op("Neg").relu();
        let shape = g.initializer("shape", Weights::ints(&[2], [3, 4]));
        let x = g.op("Reshape", &[&dead, &shape]).shape("3,4");
        x.sigmoid().output("y")
    });
    let found = compare(&built, &built, &VerifyOptions::default());
    assert_eq!(found.verdict, Verdict::Equivalent, "{found:#?}");
}
