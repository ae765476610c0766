//! What cannot be calibrated, and how that is said.

use super::*;

#[test]
fn a_function_whose_callers_give_the_statistics_is_refused_by_name() {
    let m = model(|g| {
        g.function("local", "Norm", |f| {
            let x = f.input("x", "N,3,5,4");
            let names = ["s", "b", "m", "v"].map(|name| f.input(name, [3]));
            let inputs: Vec<_> = std::iter::once(&x).chain(&names).collect();
            f.op("BatchNormalization", &inputs)
                .attr("training_mode", 1)
                .name("inner")
                .output("y")
        });
        let x = g.input("x", "N,3,5,4");
        let weights = ["s", "b", "m", "v"].map(|name| g.weight_between(name, [3], 0.5, 1.0));
        let inputs: Vec<_> = std::iter::once(&x).chain(&weights).collect();
        let y = g.op("Norm", &inputs).domain("local");
        y.shape("N,3,5,4").dtype(DataType::Float).output("y")
    });
    let said = refusal(&m, &whole(1).1, &Options::default());
    assert!(said.contains("inner") && said.contains("inline"), "{said}");
}

#[test]
fn statistics_outputs_in_use_are_refused_by_name() {
    let m = model(|g| {
        let all = g
            .input("x", "N,3,5,4")
            .batch_norm()
            .attr("training_mode", 1)
            .outputs(3);
        all[0].output("y");
        all[1].output("running");
    });
    let said = refusal(&m, &whole(1).1, &Options::default());
    assert!(said.contains("bn_0") && said.contains("running"), "{said}");
}

#[test]
fn what_comes_behind_need_not_run() {
    let m = model(|g| {
        let x = g
            .input("x", "N,3,5,4")
            .batch_norm()
            .attr("training_mode", 1);
        x.op("Strange").domain("org.custom").output("y")
    });
    assert!(calibrated(&m, &whole(1).1, &Options::default()).is_ok());
    let before = model(|g| {
        let x = g.input("x", "N,3,5,4").op("Strange").domain("org.custom");
        let x = x.shape("N,3,5,4").dtype(DataType::Float);
        x.batch_norm().attr("training_mode", 1).output("y")
    });
    let said = refusal(&before, &whole(1).1, &Options::default());
    assert!(said.contains("Strange"), "{said}");
}

#[test]
fn data_that_are_not_finite_are_named_by_input_and_index() {
    let (mut numbers, _) = whole(1);
    numbers[60 * 2 + 20 + 4 * 3 + 1] = f64::NAN;
    let data = [rows(&numbers, &SHAPE, DataType::Float, 0, 60)];
    let said = refusal(&training(17), &data, &Options::default());
    assert!(
        said.contains("given") && said.contains("\"x\"") && said.contains("[2, 1, 3, 1]"),
        "{said}"
    );
}

#[test]
fn a_single_value_per_channel_has_no_variance() {
    let m = model(|g| {
        g.input("x", "N,3")
            .batch_norm()
            .attr("training_mode", 1)
            .output("y")
    });
    let one = rows(&[1.0, 2.0, 3.0], &[1, 3], DataType::Float, 0, 1);
    let said = refusal(&m, std::slice::from_ref(&one), &Options::default());
    assert!(
        said.contains("bn_0") && said.contains("one value"),
        "{said}"
    );
    assert!(calibrated(&m, &[one.clone(), one], &Options::default()).is_ok());
}

#[test]
fn what_enters_a_node_must_be_finite() {
    let m = model(|g| {
        let x = g
            .input("x", "N,3,5,4")
            .op("Log")
            .shape("N,3,5,4")
            .dtype(DataType::Float);
        x.batch_norm().attr("training_mode", 1).output("y")
    });
    let said = refusal(&m, &whole(1).1, &Options::default());
    assert!(
        said.contains("bn_0") && said.contains("NaN or infinite"),
        "{said}"
    );
}

#[test]
fn a_branch_that_no_sample_takes_is_named() {
    let m = model(|g| {
        let x = g.input("x", "N,3,5,4");
        let flag = g.initializer("flag", Reference::bools(&[], [true]));
        let chosen = g.if_else(
            &flag,
            |then| then.capture(&x).relu().output("a"),
            |other| {
                other
                    .capture(&x)
                    .batch_norm()
                    .attr("training_mode", 1)
                    .output("b")
            },
        );
        chosen.shape("N,3,5,4").output("y")
    });
    let said = refusal(&m, &whole(1).1, &Options::default());
    assert!(said.contains("never reach it"), "{said}");
}
