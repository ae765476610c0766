//! Rules where values meet themselves, zeros have two signs, or there is nothing to compute.

use bnfold::fold::fold;
use bnfold::graph::Reading;
use bnfold::onnx::Model;
use bnfold::plan::PlanOptions;
use bnfold::testing::builder::Value;
use bnfold::testing::{DataType, Tensor, ToBytes, model};

mod support;
use support::{check, count, refused};

#[test]
fn a_value_that_arrives_twice_in_a_sum_takes_equal_shares_of_the_shift() {
    let twice = |second: fn(&Value) -> Value| {
        model(|g| {
            let x = g.dtype(DataType::Double).input("x", [2, 4, 8, 8]);
            let x = x.conv(6);
            x.add(second(&x)).batch_norm().relu().output("y")
        })
    };
    check(&twice(Clone::clone), "bn_0 -> conv_0 output through add_0");
    let through_both = "bn_0 -> conv_0 output through global_average_pool_0, add_0";
    check(&twice(Value::global_average_pool), through_both);
    let thrice = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 8, 8]).conv(6);
        let pooled = x.global_average_pool();
        let sum = g.op("Sum", &[&x, &pooled, &x]);
        sum.batch_norm().relu().output("y")
    });
    let through_both = "bn_0 -> conv_0 output through global_average_pool_0, sum_0";
    check(&thrice, through_both);
    // The shifts would have to differ: one share is added and one taken away.
    let difference = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 8, 8]).conv(6);
        let pooled = x.global_average_pool();
        g.op("Sub", &[&x, &pooled]).batch_norm().relu().output("y")
    });
    refused(
        &difference,
        "bn_0 stays: upstream other-reader, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_shift_of_zeros_of_both_signs_is_one_shift() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 8, 8]).conv(6);
        let sum = x.add(x.global_average_pool());
        let zeros = vec![0.0, -0.0, 0.0, -0.0, 0.0, -0.0];
        let parameter =
            |name: &str, data: Vec<f64>| g.initializer(name, Tensor::doubles(&[6], data));
        let parameters = [
            parameter("s", vec![1.5; 6]),
            parameter("b", zeros),
            parameter("m", vec![0.0; 6]),
            parameter("v", vec![1.0; 6]),
        ];
        let [s, b, m, v] = &parameters;
        g.op("BatchNormalization", &[&sum, s, b, m, v])
            .relu()
            .output("y")
    });
    check(
        &m,
        "bn_0 -> conv_0 output through global_average_pool_0, add_0",
    );
}

#[test]
fn a_batch_norm_over_no_channels_stays() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [3, 0, 2]);
        let none = |name: &str| g.initializer(name, Tensor::doubles(&[0], []));
        let [s, b, m, v] = ["s", "b", "m", "v"].map(none);
        g.op("BatchNormalization", &[&x, &s, &b, &m, &v])
            .output("y")
    });
    let reasons =
        ["upstream", "downstream", "sideways"].map(|way| format!("{way} degenerate-parameters"));
    refused(&m, &format!("bn_0 stays: {}", reasons.join(", ")));
}

#[test]
fn a_product_without_columns_takes_a_fold() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [3, 4]).batch_norm();
        let w = g.initializer("w", Tensor::doubles(&[4, 0], []));
        x.matmul_by(&w).output("y")
    });
    let original = Model::from_bytes(m.to_bytes()).unwrap();
    let folded = fold(&original, Reading::default(), &PlanOptions::default()).unwrap();
    assert_eq!(folded.plan.to_string(), "bn_0 -> matmul_0 input");
}

#[test]
fn a_negation_turns_the_shift_around() {
    let behind = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 8, 8]).conv(6);
        x.op("Neg").batch_norm().relu().output("y")
    });
    check(&behind, "bn_0 -> conv_0 output through neg_0");
    let before = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 8, 8]).relu();
        x.batch_norm().op("Neg").conv(6).output("y")
    });
    check(&before, "bn_0 -> conv_0 input through neg_0");
}

#[test]
fn a_slice_of_other_channels_does_not_stand_in_the_way() {
    let sliced = |first: i64| {
        model(|g| {
            let x = g.dtype(DataType::Double).input("x", [2, 4, 8, 8]).conv(6);
            let list = |name: &str, at: i64| g.initializer(name, Tensor::ints(&[1], [at]));
            let (end, axis) = (list("end", 6), list("axis", 1));
            let one = g.op("Slice", &[&x, &list("zero", 0), &list("four", 4), &axis]);
            one.batch_norm().relu().output("y");
            let other = g.op("Slice", &[&x, &list("first", first), &end, &axis]);
            other.sigmoid().output("z")
        })
    };
    check(&sliced(4), "bn_0 -> conv_0 output through slice_0");
    refused(
        &sliced(3),
        "bn_0 stays: upstream other-reader, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_constant_is_copied_only_where_its_original_is_still_read() {
    let copies = |reads_it: fn(&Value, &Value)| {
        let m = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [3, 6]);
            let stored = Tensor::doubles(&[6, 4], (0..24).map(|at| f64::from(at) - 11.5));
            let weight = g.initializer("w", stored);
            x.batch_norm().matmul_by(&weight).output("y");
            reads_it(&x.sigmoid(), &weight);
        });
        let original = Model::from_bytes(m.to_bytes()).unwrap();
        let folded = fold(&original, Reading::default(), &PlanOptions::default()).unwrap();
        folded.applied.clones.len()
    };
    assert_eq!(copies(|_, _| {}), 0);
    assert_eq!(copies(|x, weight| drop(x.matmul_by(weight).output("z"))), 1);
    // Both readers have a weight of their own then, of which one is more than there was.
    let folds_too = |x: &Value, weight: &Value| {
        x.batch_norm().matmul_by(weight).output("z");
    };
    assert_eq!(copies(folds_too), 1);
}

/// What the dynamo exporter writes: a constant that gives its type to one node and its numbers to another.
#[test]
fn a_constant_that_lends_its_type_keeps_its_numbers() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 3, 4, 4]);
        let extents = g.initializer("extents", Tensor::ints(&[4], [4, 3, 1, 1]));
        let factor = g.initializer("factor", Tensor::doubles(&[], [3.5]));
        let factor = g.op("Expand", &[&factor, &extents]);
        let offset = g.initializer("offset", Tensor::floats(&[], [0.25]));
        let offset = g.op("CastLike", &[&offset, &factor]);
        let stored = Tensor::doubles(&[4, 3, 1, 1], (0..12).map(|at| f64::from(at) - 5.5));
        let weight = g.initializer("w", stored).mul(&factor).add(&offset);
        g.op("Conv", &[&x, &weight])
            .batch_norm()
            .sigmoid()
            .output("y")
    });
    let folded = check(&m, "bn_0 -> conv_0 output");
    assert_eq!(count(&folded, "CastLike"), 0);
}

/// A pooled deviation as TorchScript writes it, whose count of elements is computed from the BN's shape: the fold leaves
/// that unread, and the node that reads the BN's name there goes instead of reading another.
#[test]
fn a_node_that_a_fold_leaves_unread_goes_unedited() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 9]).relu();
        let normed = x.batch_norm();
        let axis = g.initializer("axis", Tensor::ints(&[1], [2]));
        let length = g.op("Gather", &[&normed.op("Shape"), &axis]);
        let count = length
            .op("ReduceProd")
            .attr("keepdims", 0)
            .cast(DataType::Double);
        let mean = |x: &Value, keep: i64| {
            x.op("ReduceMean")
                .attr("axes", [2].as_slice())
                .attr("keepdims", keep)
        };
        let centred = normed.sub(mean(&normed, 1));
        let squares = mean(&centred.mul(&centred), 0);
        let one = g.initializer("one", Tensor::doubles(&[], [1.0]));
        let deviation = squares.mul(&count).div(count.sub(&one)).op("Sqrt");
        let both = g.op("Concat", &[&mean(&normed, 0), &deviation]).axis(1);
        both.gemm(3).output("y")
    });
    let folded = check(&m, "");
    let left = [
        "BatchNormalization",
        "Shape",
        "Gather",
        "ReduceProd",
        "Cast",
    ];
    assert_eq!(left.map(|op| count(&folded, op)), [0; 5]);
}
