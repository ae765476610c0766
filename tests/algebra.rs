//! Every rule on each side it serves: what is planned, and that the folded model computes what the original does.
//!
//! Models are f64, so that a wrong fold cannot hide behind rounding; the reference executor knows nothing of folds.

use bnfold::onnx::proto::ModelProto;
use bnfold::plan::PlanOptions;
use bnfold::testing::{DataType, Tensor, Value, model};

mod support;
use support::{check, check_with, refused};

#[test]
fn conv_absorbs_on_output() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [1, 4, 8, 8])
            .conv(6)
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn grouped_conv_absorbs_on_output() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [1, 4, 8, 8])
            .conv(6)
            .group(2)
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn depthwise_conv_absorbs_on_output() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [2, 4, 8, 8])
            .conv(4)
            .group(4)
            .bias()
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn conv_of_one_and_three_dimensions_absorbs() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [1, 4, 9])
            .conv(6)
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output");
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [1, 2, 5, 6, 7])
            .conv(3)
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn batch_norms_after_one_another_meet_the_weight_once() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [1, 4, 8, 8])
            .conv(6)
            .batch_norm()
            .batch_norm()
            .negative_scales()
            .batch_norm()
            .relu()
            .output("y")
    });
    let folded = check(&m, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
}

#[test]
fn grouped_conv_transpose_absorbs_on_output() {
    for group in [1, 2] {
        let m = model(|g| {
            g.dtype(DataType::Double)
                .input("x", [1, 4, 5, 5])
                .conv_transpose(6)
                .group(group)
                .batch_norm()
                .relu()
                .output("y")
        });
        check(&m, "bn_0 -> conv_transpose_0 output");
    }
}

#[test]
fn gemm_absorbs_on_output_with_every_attribute() {
    for (trans_b, alpha, beta) in [(0, 1.0, 1.0), (1, 0.5, 2.0), (0, -1.5, 0.0), (1, 2.0, -0.5)] {
        for c in [
            None,
            Some(vec![]),
            Some(vec![6]),
            Some(vec![1, 6]),
            Some(vec![3, 1]),
            Some(vec![3, 6]),
        ] {
            let m = model(|g| {
                g.dtype(DataType::Double);
                let x = g.input("x", [3, 4]);
                let w = if trans_b == 1 {
                    g.weight("w", [6, 4])
                } else {
                    g.weight("w", [4, 6])
                };
                let mut inputs = vec![x.clone(), w];
                inputs.extend(c.clone().map(|dims: Vec<usize>| g.weight("c", &dims[..])));
                let inputs: Vec<_> = inputs.iter().collect();
                let y = g
                    .op("Gemm", &inputs)
                    .name("gemm_0")
                    .attr("transB", trans_b)
                    .attr("alpha", alpha as f32)
                    .attr("beta", beta as f32);
                y.batch_norm().relu().output("y")
            });
            check(&m, "bn_0 -> gemm_0 output");
        }
    }
}

#[test]
fn gemm_absorbs_on_input_with_every_attribute() {
    for (trans_a, trans_b, alpha, beta) in [(0, 0, 1.0, 1.0), (0, 1, 0.5, 2.0), (0, 0, -1.5, 0.0)] {
        for c in [None, Some(vec![]), Some(vec![6]), Some(vec![3, 6])] {
            let m = model(|g| {
                g.dtype(DataType::Double);
                let x = g.input("x", [3, 4]).relu().batch_norm();
                let w = if trans_b == 1 {
                    g.weight("w", [6, 4])
                } else {
                    g.weight("w", [4, 6])
                };
                let mut inputs = vec![x.clone(), w];
                inputs.extend(c.clone().map(|dims: Vec<usize>| g.weight("c", &dims[..])));
                let inputs: Vec<_> = inputs.iter().collect();
                let y = g
                    .op("Gemm", &inputs)
                    .name("gemm_0")
                    .attr("transA", trans_a)
                    .attr("transB", trans_b);
                y.attr("alpha", alpha as f32)
                    .attr("beta", beta as f32)
                    .output("y")
            });
            check(&m, "bn_0 -> gemm_0 input");
        }
    }
}

#[test]
fn matmul_takes_the_scale_and_an_add_takes_the_shift() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 5, 4]);
        x.matmul(6)
            .transpose([0, 2, 1])
            .batch_norm()
            .relu()
            .output("y")
    });
    let folded = check(
        &m,
        "bn_0 -> matmul_0 output, matmul_0 add through transpose_0",
    );
    assert_eq!(support::count(&folded, "Add"), 1);
}

#[test]
fn the_add_that_is_left_goes_on_where_the_scale_could_not() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 5, 4]);
        let x = x.matmul(6).transpose([0, 2, 1]);
        let x = x.batch_norm().negative_scales().max_pool([2]);
        x.conv(3).kernel([1]).output("y")
    });
    let folded = check(
        &m,
        "bn_0 -> matmul_0 output, matmul_0 add through transpose_0, then conv_0 input through transpose_0, max_pool_0",
    );
    assert_eq!(support::count(&folded, "Add"), 0);
}

#[test]
fn a_shift_joins_the_constant_add_behind_the_matmul() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 5, 4]);
        let b = g.weight("b", [6]);
        x.matmul(6)
            .add(&b)
            .transpose([0, 2, 1])
            .batch_norm()
            .relu()
            .output("y")
    });
    let folded = check(
        &m,
        "bn_0 -> add_0 constant, matmul_0 output through transpose_0",
    );
    assert_eq!(support::count(&folded, "Add"), 1);
}

#[test]
fn a_matmul_of_two_matrices_becomes_a_gemm() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [3, 4])
            .matmul(6)
            .batch_norm()
            .relu()
            .output("y")
    });
    let folded = check(&m, "bn_0 -> matmul_0 output");
    assert_eq!(
        (
            support::count(&folded, "Gemm"),
            support::count(&folded, "Add")
        ),
        (1, 0)
    );
}

#[test]
fn a_constant_on_the_left_of_a_matmul_absorbs_along_its_rows() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 5]);
        let w = g.weight("w", [6, 4]);
        g.op("MatMul", &[&w, &x])
            .name("matmul_0")
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> matmul_0 output, matmul_0 add");
}

#[test]
fn matmul_absorbs_on_input() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 4, 5])
            .relu()
            .batch_norm();
        x.transpose([0, 2, 1]).matmul(6).relu().output("y")
    });
    check(
        &m,
        "bn_0 -> matmul_0 input, matmul_0 add through transpose_0",
    );
}

#[test]
fn unpadded_conv_absorbs_on_input() {
    for group in [1, 2] {
        let m = model(|g| {
            g.dtype(DataType::Double)
                .input("x", [1, 4, 8, 8])
                .relu()
                .batch_norm()
                .conv(6)
                .group(group)
                .pads([0, 0, 0, 0])
                .output("y")
        });
        check(&m, "bn_0 -> conv_0 input");
    }
}

#[test]
fn padded_conv_refuses_a_shift_in_front() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [1, 4, 8, 8])
            .relu()
            .batch_norm()
            .conv(6)
            .kernel([3, 3])
            .pads([1, 1, 1, 1])
            .output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream shift-blocked, downstream zero-padding, sideways no-sibling",
    );
}

#[test]
fn same_padding_refuses_a_shift_in_front_unless_it_adds_nothing() {
    let padded = |kernel: i64| {
        model(|g| {
            let x = g
                .dtype(DataType::Double)
                .input("x", [1, 4, 8, 8])
                .relu()
                .batch_norm();
            x.conv(6)
                .kernel([kernel, kernel])
                .auto_pad("SAME_UPPER")
                .output("y")
        })
    };
    refused(
        &padded(3),
        "bn_0 stays: upstream shift-blocked, downstream zero-padding, sideways no-sibling",
    );
    check(&padded(1), "bn_0 -> conv_0 input");
}

#[test]
fn both_sides_of_one_weight_compose() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [3, 4])
            .relu()
            .batch_norm()
            .linear(6)
            .batch_norm()
            .negative_scales()
            .relu()
            .output("y")
    });
    let folded = check(&m, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
}

#[test]
fn recurrent_layers_absorb_on_input() {
    for op in ["LSTM", "GRU", "RNN"] {
        for direction in ["forward", "reverse", "bidirectional"] {
            for bias in [false, true] {
                let m = model(|g| {
                    let x = g
                        .dtype(DataType::Double)
                        .input("x", [5, 3, 2])
                        .relu()
                        .batch_norm();
                    let directions = if direction == "bidirectional" { 2 } else { 1 };
                    let gates = match op {
                        "LSTM" => 4,
                        "GRU" => 3,
                        _ => 1,
                    };
                    let w = g.weight("w", [directions, gates * 4, 3]);
                    let r = g.weight("r", [directions, gates * 4, 4]);
                    let b = g.weight("b", [directions, 2 * gates * 4]);
                    // A BN's channels are along axis 1, a layer's features along axis 2.
                    let x = x.transpose([0, 2, 1]);
                    let inputs = if bias {
                        vec![&x, &w, &r, &b]
                    } else {
                        vec![&x, &w, &r]
                    };
                    g.op(op, &inputs)
                        .name("rnn_0")
                        .attr("hidden_size", 4)
                        .attr("direction", direction)
                        .outputs(1)[0]
                        .output("y")
                });
                let folded = check(&m, "");
                assert_eq!(
                    support::count(&folded, "BatchNormalization"),
                    0,
                    "{op} {direction} bias {bias}"
                );
            }
        }
    }
}

#[test]
fn gather_from_a_table_absorbs_into_its_rows() {
    let m = model(|g| {
        g.dtype(DataType::Double);
        let ids = g.typed_input("x", DataType::Int64, [2, 5]);
        let table = g.weight("table", [7, 4]);
        g.op("Gather", &[&table, &ids])
            .name("gather_0")
            .transpose([0, 2, 1])
            .batch_norm()
            .relu()
            .output("y")
    });
    let ids = Tensor::ints(&[2, 5], [0, 6, 1, 3, 2, 2, 4, 5, 0, 1]);
    check_with(
        &m,
        &[("x", ids)],
        "bn_0 -> gather_0 output through transpose_0",
    );
}

#[test]
fn norms_absorb_into_their_own_scale_and_b() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [2, 4, 5, 5])
            .instance_norm()
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> instance_normalization_0 constant");
    let m = model(|g| {
        g.dtype(DataType::Double)
            .opset(21)
            .input("x", [2, 4, 5, 5])
            .group_norm(2)
            .batch_norm()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> group_normalization_0 constant");
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [2, 5, 4])
            .layer_norm()
            .transpose([0, 2, 1])
            .batch_norm()
            .relu()
            .output("y")
    });
    check(
        &m,
        "bn_0 -> layer_normalization_0 constant through transpose_0",
    );
}

#[test]
fn affines_pass_layout_changes_upstream_and_downstream() {
    let up = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 4, 6, 6])
            .conv(6)
            .bias();
        let x = x
            .flatten()
            .reshape([2, 6, 4, 4])
            .unsqueeze([2])
            .squeeze([2])
            .identity()
            .dropout();
        x.transpose([0, 2, 1, 3])
            .transpose([0, 2, 1, 3])
            .batch_norm()
            .negative_scales()
            .relu()
            .output("y")
    });
    let folded = check(&up, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
    let down = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 4, 3, 3])
            .relu()
            .batch_norm();
        x.identity()
            .unsqueeze([0])
            .squeeze([0])
            .flatten()
            .linear(5)
            .output("y")
    });
    check(
        &down,
        "bn_0 -> gemm_0 input through identity_0, unsqueeze_0, squeeze_0, flatten_0",
    );
}

#[test]
fn a_channel_shuffle_permutes_the_affine() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 4, 4])
            .conv(6)
            .kernel([1, 1])
            .bias();
        x.reshape([1, 2, 3, 4, 4])
            .transpose([0, 2, 1, 3, 4])
            .reshape([1, 6, 4, 4])
            .batch_norm()
            .relu()
            .output("y")
    });
    check(
        &m,
        "bn_0 -> conv_0 output through reshape_0, transpose_0, reshape_1",
    );
}

#[test]
fn a_reshape_that_mixes_channels_with_pixels_is_refused() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 8, 8])
            .conv(6)
            .kernel([3, 3])
            .pads([1, 1, 1, 1]);
        x.reshape([1, 8, 6, 8]).batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream axes-mixed, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn pools_pass_affines() {
    for op in ["AveragePool", "GlobalAveragePool", "ReduceMean"] {
        let m = model(|g| {
            let x = g
                .dtype(DataType::Double)
                .input("x", [2, 4, 8, 8])
                .conv(6)
                .bias();
            let x = match op {
                "AveragePool" => x.average_pool([2, 2]).strides([2, 2]),
                "GlobalAveragePool" => x.global_average_pool(),
                _ => x.reduce_mean([2, 3]),
            };
            x.batch_norm().negative_scales().relu().output("y")
        });
        let folded = check(&m, "");
        assert_eq!(support::count(&folded, "BatchNormalization"), 0, "{op}");
    }
}

#[test]
fn an_average_of_padded_zeros_refuses_a_shift() {
    let pool = |include: i64| {
        model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 8, 8]).conv(6);
            x.average_pool([3, 3])
                .pads([1, 1, 1, 1])
                .attr("count_include_pad", include)
                .batch_norm()
                .relu()
                .output("y")
        })
    };
    refused(
        &pool(1),
        "bn_0 stays: upstream zero-padding, downstream shift-blocked, sideways no-sibling",
    );
    check(&pool(0), "bn_0 -> conv_0 output through average_pool_0");
}

#[test]
fn a_maximum_passes_positive_scales_only() {
    let pool = |negative: bool| {
        model(|g| {
            let x = g
                .dtype(DataType::Double)
                .input("x", [1, 4, 8, 8])
                .conv(6)
                .max_pool([2, 2])
                .strides([2, 2]);
            let x = if negative {
                x.batch_norm().negative_scales()
            } else {
                x.batch_norm()
            };
            x.relu().output("y")
        })
    };
    check(&pool(false), "bn_0 -> conv_0 output through max_pool_0");
    refused(
        &pool(true),
        "bn_0 stays: upstream negative-scale, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_maximum_whose_indices_are_used_is_refused() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 8, 8]).conv(6);
        let both = x.max_pool([2, 2]).outputs(2);
        both[1].output("indices");
        both[0].batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream indices-used, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_concat_splits_the_affine_among_its_inputs() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let (a, b) = (x.conv(3), x.conv(5).group(1).bias());
        a.concat(&[&b], 1)
            .batch_norm()
            .negative_scales()
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output, conv_1 output through concat_0");
}

#[test]
fn a_concat_on_another_axis_replicates_the_affine() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let (a, b) = (x.conv(3), x.conv(3));
        a.concat(&[&b], 2).batch_norm().relu().output("y")
    });
    check(&m, "bn_0 -> conv_0 output, conv_1 output through concat_0");
}

#[test]
fn a_concat_with_a_branch_that_cannot_take_it_is_refused_whole() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let (a, b) = (x.conv(4).kernel([1, 1]), x.sigmoid());
        a.concat(&[&b], 1).batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream nonlinear, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_concat_downstream_keeps_its_other_inputs() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let (a, b) = (x.sigmoid().batch_norm(), x.tanh());
        a.concat(&[&b], 1).conv(5).kernel([1, 1]).output("y")
    });
    check(&m, "bn_0 -> conv_0 input through concat_0");
}

#[test]
fn a_split_passes_its_part() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).conv(6);
        let parts = x.split(1, [2, 4]);
        parts[0].batch_norm().negative_scales().relu().output("y");
        parts[1].relu().output("z")
    });
    check(&m, "bn_0 -> conv_0 output through split_0");
}

#[test]
fn an_addition_takes_the_scale_in_every_branch_and_the_shift_in_one() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let (a, b) = (x.conv(6).bias(), x.conv(6));
        a.add(&b).batch_norm().negative_scales().relu().output("y")
    });
    check(&m, "bn_0 -> conv_0 output, conv_1 output through add_0");
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let (a, b) = (x.conv(6).bias(), x.conv(6));
        a.sub(&b).batch_norm().negative_scales().relu().output("y")
    });
    check(&m, "bn_0 -> conv_0 output, conv_1 output through sub_0");
}

#[test]
fn a_product_takes_the_scale_in_one_branch_and_refuses_a_shift() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let (a, b) = (x.conv(6), x.conv(6).sigmoid());
        let zero = g.initializer("zero", Tensor::doubles(&[6], vec![0.0; 6]));
        a.mul(&b)
            .batch_norm()
            .with_input(2, &zero)
            .with_input(3, &zero)
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output through mul_0");
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let (a, b) = (x.conv(6), x.conv(6).sigmoid());
        a.mul(&b).batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream shift-blocked, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn activations_pass_positive_scales_without_a_shift() {
    for op in ["relu", "leaky_relu"] {
        let m = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).conv(6);
            let zero = g.initializer("zero", Tensor::doubles(&[6], vec![0.0; 6]));
            let x = if op == "relu" {
                x.relu()
            } else {
                x.leaky_relu(0.1)
            };
            x.batch_norm()
                .with_input(2, &zero)
                .with_input(3, &zero)
                .sigmoid()
                .output("y")
        });
        let folded = check(&m, "");
        assert_eq!(support::count(&folded, "BatchNormalization"), 0);
    }
}

#[test]
fn caffe_scale_layers_fold_like_a_batch_norm() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 6, 6])
            .conv(6)
            .batch_norm();
        let (scale, shift) = (
            g.weight("scale", [6, 1, 1]),
            g.weight("shift", [1, 6, 1, 1]),
        );
        x.mul(&scale).add(&shift).relu().output("y")
    });
    let folded = check(&m, "");
    let left: Vec<usize> = ["BatchNormalization", "Mul", "Add"]
        .iter()
        .map(|op| support::count(&folded, op))
        .collect();
    assert_eq!(left, [0, 0, 0]);
}

#[test]
fn a_factor_on_the_wrong_axis_is_left_alone() {
    // The trap of a constant of shape [C] on a value whose width is C too: it is right-aligned.
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 6, 6])
            .conv(6)
            .kernel([1, 1]);
        let scale = g.weight("scale", [6]);
        x.mul(&scale).relu().output("y")
    });
    refused(&m, "");
}

#[test]
fn a_constant_that_widens_the_value_is_left_alone() {
    for shape in [&[1, 1, 4, 1, 1][..], &[3, 4, 1, 1]] {
        let m = model(|g| {
            let x = g
                .dtype(DataType::Double)
                .input("x", [1, 4, 6, 6])
                .conv(4)
                .kernel([1, 1]);
            let scale = g.weight("scale", shape);
            x.mul(&scale).relu().output("y")
        });
        refused(&m, "");
    }
}

#[test]
fn a_lone_scalar_factor_is_left_alone() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).conv(4);
        let scale = g.initializer("scale", Tensor::scalar(DataType::Double, 0.125));
        x.mul(&scale).softmax().output("y")
    });
    refused(&m, "");
}

#[test]
fn repvgg_blocks_lose_their_identity_branch() {
    for (group, order) in [(1, 0), (2, 1), (4, 2)] {
        let m = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).relu();
            let a = x
                .conv(4)
                .group(group)
                .kernel([3, 3])
                .pads([1, 1, 1, 1])
                .batch_norm()
                .negative_scales();
            let b = x.conv(4).group(group).kernel([1, 1]).batch_norm();
            let c = x.batch_norm().negative_scales();
            let sum = match order {
                0 => a.add(&b).add(&c),
                1 => c.add(&a).add(&b),
                _ => a.add(&c).add(&b),
            };
            sum.relu().output("y")
        });
        let folded = check(&m, "");
        assert_eq!(support::count(&folded, "BatchNormalization"), 0);
        assert_eq!(support::count(&folded, "Add"), 1);
    }
}

#[test]
fn a_bare_identity_branch_joins_the_centre_tap() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).relu();
        let a = x.conv(4).kernel([3, 3]).pads([1, 1, 1, 1]);
        a.add(&x).batch_norm().negative_scales().relu().output("y")
    });
    let folded = check(&m, "bn_0 -> conv_0 tap, conv_0 output through add_0");
    assert_eq!(support::count(&folded, "Add"), 0);
}

#[test]
fn a_convolution_without_a_centre_tap_is_no_sibling() {
    for (kernel, stride, pads) in [
        ([3, 3], [2, 2], [1, 1, 1, 1]),
        ([2, 2], [1, 1], [0, 0, 1, 1]),
        ([3, 3], [1, 1], [0, 0, 2, 2]),
    ] {
        let m = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).relu();
            let a = x.conv(4).kernel(kernel).strides(stride).pads(pads);
            let b = if stride == [2, 2] {
                x.average_pool([2, 2]).strides([2, 2]).batch_norm()
            } else {
                x.batch_norm()
            };
            a.add(&b).relu().output("y")
        });
        let folded = check(&m, "");
        assert_eq!(support::count(&folded, "BatchNormalization"), 1);
    }
}

#[test]
fn a_difference_takes_the_branch_away() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).relu();
        let a = x.conv(4).kernel([3, 3]).pads([1, 1, 1, 1]);
        a.sub(x.batch_norm()).relu().output("y")
    });
    check(&m, "bn_0 -> conv_0 tap, conv_0 output through sub_0");
}

#[test]
fn a_value_that_others_read_is_not_rewritten() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).conv(4);
        x.sigmoid().output("z");
        x.batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream other-reader, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn a_value_of_which_others_read_only_the_shape_is_rewritten() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", "N,4,6,6").conv(4);
        g.op("Shape", &[&x]).output("z");
        x.batch_norm().relu().output("y")
    });
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn a_graph_output_is_not_rewritten_but_a_batch_norm_that_is_one_folds() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 6, 6])
            .conv(4)
            .output("z");
        x.batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream graph-output, downstream shift-blocked, sideways no-sibling",
    );
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 6, 6])
            .conv(4)
            .batch_norm()
            .output("z");
        x.relu().output("y")
    });
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn resize_and_pad_pass_what_they_do_not_touch() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 6, 6])
            .conv(4)
            .bias();
        let scales = g.initializer("scales", Tensor::floats(&[4], [1.0, 1.0, 2.0, 2.0]));
        let x = g
            .op("Resize", &[&x, &g.absent(), &scales])
            .attr("mode", "linear")
            .shape([1, 4, 8, 8]);
        let pads = g.ints(&[0, 0, 1, 1, 0, 0, 1, 1]);
        let x = g
            .op("Pad", &[&x, &pads])
            .attr("mode", "reflect")
            .shape([1, 4, 10, 10]);
        x.batch_norm().negative_scales().relu().output("y")
    });
    let folded = check(&m, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
}

#[test]
fn constant_padding_refuses_a_shift() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).conv(4);
        let pads = g.ints(&[0, 0, 1, 1, 0, 0, 1, 1]);
        let x = g.op("Pad", &[&x, &pads]).shape([1, 4, 6, 6]);
        x.batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream zero-padding, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn depth_to_space_maps_channels() {
    for mode in ["DCR", "CRD"] {
        let m = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 3, 4, 4]).conv(8);
            let x = g
                .op("DepthToSpace", &[&x])
                .attr("blocksize", 2)
                .attr("mode", mode)
                .shape([1, 2, 8, 8]);
            x.batch_norm().negative_scales().relu().output("y")
        });
        let folded = check(&m, "");
        assert_eq!(support::count(&folded, "BatchNormalization"), 0, "{mode}");
    }
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 3, 4, 4])
            .relu()
            .batch_norm();
        let x = g
            .op("SpaceToDepth", &[&x])
            .attr("blocksize", 2)
            .shape([1, 12, 2, 2]);
        x.conv(5).kernel([1, 1]).output("y")
    });
    let folded = check(&m, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
}

#[test]
fn training_mode_is_never_folded() {
    let m = model(|g| {
        g.dtype(DataType::Double)
            .input("x", [4, 4, 6, 6])
            .conv(4)
            .batch_norm()
            .attr("training_mode", 1)
            .relu()
            .output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream training-mode, downstream training-mode, sideways training-mode",
    );
}

#[test]
fn every_reader_takes_the_affine_or_none() {
    let both = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 6, 6])
            .relu()
            .batch_norm();
        x.conv(3).kernel([1, 1]).output("y");
        x.conv(5).kernel([3, 3]).pads([0, 0, 0, 0]).output("z")
    });
    check(&both, "bn_0 -> conv_0 input, conv_1 input");
    let one = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 6, 6])
            .relu()
            .batch_norm();
        x.conv(3).kernel([1, 1]).output("y");
        x.sigmoid().output("z")
    });
    refused(
        &one,
        "bn_0 stays: upstream shift-blocked, downstream nonlinear, sideways no-sibling",
    );
}

#[test]
fn shared_weights_are_cloned_unless_all_want_the_same() {
    let differ = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let w = g.weight("w", [4, 4, 1, 1]);
        x.conv(4)
            .weight(&w)
            .kernel([1, 1])
            .batch_norm()
            .relu()
            .output("y");
        x.conv(4)
            .weight(&w)
            .kernel([1, 1])
            .batch_norm()
            .relu()
            .output("z");
        x.sigmoid()
            .conv(4)
            .weight(&w)
            .kernel([1, 1])
            .output("plain")
    });
    let folded = check(&differ, "bn_0 -> conv_0 output\nbn_1 -> conv_1 output");
    let graph = folded.graph.expect("a graph");
    let weights = graph
        .initializer
        .iter()
        .filter(|tensor| tensor.dims.len() == 4)
        .count();
    assert_eq!(weights, 3);
}

fn with(change: impl FnOnce(&mut PlanOptions)) -> PlanOptions {
    let mut options = PlanOptions::default();
    change(&mut options);
    options
}

fn check_options(m: &ModelProto, options: &PlanOptions, plan: &str) -> ModelProto {
    let (text, rewritten) = support::folded_with(m, options);
    assert_eq!(text, plan);
    let inputs = support::inputs(m);
    let inputs: Vec<(&str, Tensor)> = inputs
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.clone()))
        .collect();
    support::same(m, &rewritten, &inputs);
    rewritten
}

#[test]
fn a_reduction_leaves_one_add_where_the_shift_cannot_move() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 4, 6, 6])
            .sigmoid()
            .batch_norm();
        x.relu()
            .conv(5)
            .kernel([3, 3])
            .pads([1, 1, 1, 1])
            .output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream nonlinear, downstream shift-blocked, sideways no-sibling",
    );
    let folded = check_options(
        &m,
        &with(|options| options.reduce = true),
        "bn_0 -> conv_0 input, bn_0 add through relu_0",
    );
    assert_eq!(
        (
            support::count(&folded, "Add"),
            support::count(&folded, "BatchNormalization")
        ),
        (1, 0)
    );
}

#[test]
fn a_node_whose_scale_and_shift_part_is_not_reduced() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let z = g.input("z", [1, 5, 6, 6]);
        let x = x.conv(5).kernel([1, 1]).relu().batch_norm();
        x.add(&z).conv(3).kernel([3, 3]).output("y")
    });
    let folded = check_options(
        &m,
        &with(|options| options.reduce = true),
        "bn_0 -> conv_0 output, conv_1 input through relu_0, add_0",
    );
    assert_eq!(support::count(&folded, "Add"), 1);
}

#[test]
fn other_linear_readers_compensate_when_asked_to() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).conv(5);
        x.conv(3).kernel([1, 1]).output("z");
        x.batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream other-reader, downstream shift-blocked, sideways no-sibling",
    );
    let folded = check_options(
        &m,
        &with(|options| options.compensate = true),
        "bn_0 -> conv_0 output, conv_1 input",
    );
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
}

#[test]
fn padded_or_nonlinear_readers_do_not_compensate() {
    for padded in [false, true] {
        let m = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).conv(5);
            match padded {
                true => x.conv(3).kernel([3, 3]).pads([1, 1, 1, 1]).output("z"),
                false => x.max_pool([2, 2]).output("z"),
            };
            x.batch_norm().relu().output("y")
        });
        let (text, rewritten) =
            support::folded_with(&m, &with(|options| options.compensate = true));
        assert_eq!(
            support::count(&rewritten, "BatchNormalization"),
            1,
            "{text}"
        );
    }
}

#[test]
fn branches_of_one_value_merge_when_asked_to() {
    for group in [1, 2] {
        let m = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).relu();
            let a = x
                .conv(4)
                .group(group)
                .kernel([3, 3])
                .pads([1, 1, 1, 1])
                .batch_norm()
                .negative_scales();
            let b = x.conv(4).group(group).kernel([1, 1]).bias().batch_norm();
            a.add(&b).sub(x.batch_norm()).relu().output("y")
        });
        let folded = check_options(
            &m,
            &with(|options| options.merge_branches = true),
            "\
bn_0 -> conv_0 output
bn_1 -> conv_1 output
bn_2 -> conv_1 tap, conv_1 output through sub_0
conv_1 -> conv_0 kernel through add_0",
        );
        let left: Vec<usize> = ["Conv", "Add", "Sub"]
            .iter()
            .map(|op| support::count(&folded, op))
            .collect();
        assert_eq!(left, [1, 0, 0]);
    }
}

#[test]
fn convolutions_of_another_geometry_do_not_merge() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 7, 7]).relu();
        let a = x.conv(4).kernel([3, 3]).pads([1, 1, 1, 1]);
        let b = x
            .conv(4)
            .kernel([3, 3])
            .pads([2, 2, 2, 2])
            .dilations([2, 2]);
        let c = x.conv(4).kernel([3, 3]).pads([0, 2, 2, 0]);
        a.add(&b).add(&c).output("y")
    });
    let (text, _) = support::folded_with(&m, &with(|options| options.merge_branches = true));
    assert_eq!(text, "");
}

#[test]
fn convolutions_whose_sum_overflows_their_type_do_not_merge() {
    let m = model(|g| {
        let half = |name: &str| {
            let large = Tensor::new(DataType::Float16, &[2, 2, 1, 1], vec![40000.0; 4]);
            g.initializer(name, large)
        };
        let x = g.dtype(DataType::Float16).input("x", [1, 2, 3, 3]);
        let branch = |w: &str| x.conv(2).weight(&half(w)).kernel([1, 1]).no_bias();
        branch("w0").add(branch("w1")).output("y")
    });
    let (text, _) = support::folded_with(&m, &with(|options| options.merge_branches = true));
    assert_eq!(text, "");
}

#[test]
fn growth_by_copies_can_be_bounded() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 16, 6, 6]);
        let w = g.weight("w", [16, 16, 3, 3]);
        x.conv(16)
            .weight(&w)
            .kernel([3, 3])
            .batch_norm()
            .relu()
            .output("y");
        x.conv(16).weight(&w).kernel([3, 3]).output("plain")
    });
    check(&m, "bn_0 -> conv_0 output");
    let (text, _) = support::folded_with(&m, &with(|options| options.max_growth = Some(1000)));
    assert_eq!(
        text,
        "bn_0 stays: upstream growth, downstream growth, sideways growth"
    );
}

#[test]
fn a_shift_that_stays_has_the_type_of_the_parameters_where_nothing_else_tells_it() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]);
        let x = g
            .op("Strange", &[&x])
            .domain("org.custom")
            .shape([1, 4, 6, 6])
            .dtype(DataType::Double);
        let x = x.reshape([1, 4, 6, 6]).batch_norm();
        x.conv(5).kernel([3, 3]).pads([1, 1, 1, 1]).output("y")
    });
    let options = with(|options| options.reduce = true);
    let (text, folded) = support::folded_with(&m, &options);
    assert_eq!(text, "bn_0 -> conv_0 input, bn_0 add");
    let graph = folded.graph.expect("a graph");
    let mut floats = graph.initializer.iter().filter(|at| at.data_type() != 7);
    assert!(floats.all(|tensor| tensor.data_type() == 11));
}

#[test]
fn a_shift_has_the_type_of_the_weight_where_nothing_else_tells_it() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 5, 4]);
        let x = g
            .op("Strange", &[&x])
            .domain("org.custom")
            .shape([2, 5, 4])
            .dtype(DataType::Double);
        x.reshape([2, 5, 4])
            .matmul(6)
            .transpose([0, 2, 1])
            .batch_norm()
            .relu()
            .output("y")
    });
    let (text, folded) = support::folded_with(&m, &PlanOptions::default());
    assert_eq!(
        text,
        "bn_0 -> matmul_0 output, matmul_0 add through transpose_0"
    );
    let graph = folded.graph.expect("a graph");
    assert!(
        graph
            .initializer
            .iter()
            .filter(|tensor| tensor.data_type() != 7)
            .all(|tensor| tensor.data_type() == 11)
    );
}

#[test]
fn a_decomposed_batch_norm_folds_like_one() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 4, 6, 6])
            .conv(4)
            .bias();
        let (mean, scale, b) = (
            g.weight("mean", [4, 1, 1]),
            g.weight("scale", [4, 1, 1]),
            g.weight("b", [4, 1, 1]),
        );
        let var = g.weight_between("var", [4, 1, 1], 0.5, 2.0);
        let epsilon = g.initializer("epsilon", Tensor::doubles(&[1], vec![1e-5]));
        let root = g.op("Sqrt", &[&var.add(&epsilon)]);
        let factor = scale.mul(g.op("Reciprocal", &[&root]));
        x.sub(&mean).mul(&factor).add(&b).relu().output("y")
    });
    let folded = check(&m, "");
    let ops: Vec<String> = folded
        .graph
        .expect("a graph")
        .node
        .iter()
        .map(|node| node.op_type().to_owned())
        .collect();
    assert_eq!(ops, ["Conv", "Relu"]);
}

#[test]
fn affines_in_disguise_are_left_alone_when_asked_to() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 6, 6]).conv(4);
        x.mul(g.weight("scale", [4, 1, 1]))
            .relu()
            .conv(3)
            .batch_norm()
            .relu()
            .output("y")
    });
    let options = with(|options| options.only_batch_norm = true);
    let folded = check_options(&m, &options, "bn_0 -> conv_1 output");
    assert_eq!(support::count(&folded, "Mul"), 1);
}

#[test]
fn maxima_and_minima_over_other_axes_pass_positive_scales() {
    for op in ["ReduceMax", "ReduceMin", "GlobalMaxPool"] {
        for negative in [false, true] {
            let m = model(|g| {
                let x = g.dtype(DataType::Double).input("x", [2, 4, 6, 6]).conv(5);
                let x = match op {
                    "GlobalMaxPool" => x.global_max_pool(),
                    _ => x.reduce(op, [2, 3]),
                };
                let x = if negative {
                    x.batch_norm().negative_scales()
                } else {
                    x.batch_norm()
                };
                x.sigmoid().output("y")
            });
            let folded = check(&m, "");
            assert_eq!(
                support::count(&folded, "BatchNormalization"),
                usize::from(negative),
                "{op}"
            );
        }
    }
}

#[test]
fn a_sum_over_an_extent_that_is_not_known_passes_a_scale_and_no_shift() {
    for shifted in [false, true] {
        let m = model(|g| {
            let x = g
                .dtype(DataType::Double)
                .input("x", "2,4,6,W")
                .conv(5)
                .kernel([1, 1])
                .reduce("ReduceSum", [2, 3]);
            let zero = g.initializer("zero", Tensor::doubles(&[5], vec![0.0; 5]));
            let x = if shifted {
                x.batch_norm()
            } else {
                x.batch_norm().with_input(2, &zero).with_input(3, &zero)
            };
            x.relu().output("y")
        });
        let folded = check(&m, "");
        assert_eq!(
            support::count(&folded, "BatchNormalization"),
            usize::from(shifted)
        );
    }
}

#[test]
fn a_reduction_over_the_channels_is_refused() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 4, 6, 6])
            .sigmoid()
            .batch_norm();
        x.reduce_mean([1]).conv(3).kernel([1, 1]).output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream nonlinear, downstream axes-mixed, sideways no-sibling",
    );
}

#[test]
fn a_learned_slope_passes_positive_scales_only() {
    for negative in [false, true] {
        let m = model(|g| {
            let x = g
                .dtype(DataType::Double)
                .input("x", [2, 4, 6, 6])
                .conv(4)
                .prelu();
            let zero = g.initializer("zero", Tensor::doubles(&[4], vec![0.0; 4]));
            let x = if negative {
                x.batch_norm().negative_scales()
            } else {
                x.batch_norm()
            };
            x.with_input(2, &zero)
                .with_input(3, &zero)
                .sigmoid()
                .output("y")
        });
        let folded = check(&m, "");
        assert_eq!(
            support::count(&folded, "BatchNormalization"),
            usize::from(negative)
        );
    }
}

#[test]
fn parts_of_a_value_take_parts_of_the_affine() {
    let down = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 6, 5, 5])
            .sigmoid()
            .batch_norm();
        let parts = x.split(1, [2, 4]);
        parts[0].conv(3).kernel([1, 1]).output("y");
        parts[1].conv(5).kernel([1, 1]).output("z")
    });
    check(&down, "bn_0 -> conv_0 input, conv_1 input through split_0");
    let slices = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 6, 5, 5])
            .sigmoid()
            .batch_norm();
        x.slice(1, 1, 4).conv(3).kernel([1, 1]).output("y");
        x.slice(1, -2, 100).conv(5).kernel([1, 1]).output("z")
    });
    let folded = check(&slices, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
    let up = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [2, 4, 5, 5])
            .conv(6)
            .slice(1, 1, 4);
        x.batch_norm().negative_scales().relu().output("y")
    });
    let folded = check(&up, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
}

#[test]
fn space_to_depth_takes_an_affine_back_only_if_a_block_shares_it() {
    let m = model(|g| {
        let x = g
            .dtype(DataType::Double)
            .input("x", [1, 3, 4, 4])
            .conv(3)
            .kernel([1, 1]);
        let x = g
            .op("SpaceToDepth", &[&x])
            .attr("blocksize", 2)
            .shape([1, 12, 2, 2]);
        x.batch_norm().relu().output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream axes-mixed, downstream shift-blocked, sideways no-sibling",
    );
}

#[test]
fn quotients_pass_a_scale_to_the_dividend() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 6, 6]);
        let (a, b) = (x.conv(4), x.conv(4).sigmoid());
        let zero = g.initializer("zero", Tensor::doubles(&[4], vec![0.0; 4]));
        a.div(&b)
            .batch_norm()
            .with_input(2, &zero)
            .with_input(3, &zero)
            .relu()
            .output("y")
    });
    check(&m, "bn_0 -> conv_0 output through div_0");
}

#[test]
fn old_resizing_operators_pass_affines() {
    let m = model(|g| {
        g.opset(9);
        let x = g.dtype(DataType::Double).input("x", [1, 4, 6, 6]).conv(4);
        let scales = g.initializer("scales", Tensor::floats(&[4], [1.0, 1.0, 2.0, 2.0]));
        let x = g
            .op("Upsample", &[&x, &scales])
            .attr("mode", "nearest")
            .shape([1, 4, 8, 8]);
        x.batch_norm().negative_scales().relu().output("y")
    });
    let folded = check(&m, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
}

#[test]
fn a_transposed_convolution_of_one_tap_takes_a_shift_in_front() {
    let one = |change: fn(&Value) -> Value| {
        model(|g| {
            let x = g.dtype(DataType::Double).input("x", [2, 4, 5, 5]).sigmoid();
            let y = x
                .batch_norm()
                .conv_transpose(6)
                .group(2)
                .kernel([1, 1])
                .bias();
            change(&y).output("y")
        })
    };
    check(&one(Clone::clone), "bn_0 -> conv_transpose_0 input");
    let apart: [fn(&Value) -> Value; 3] = [
        |y| y.strides([2, 2]),
        |y| y.strides([2, 2]).attr("output_padding", [1, 1].as_slice()),
        |y| y.pads([1, 1, 1, 1]),
    ];
    for change in apart {
        refused(
            &one(change),
            "bn_0 stays: upstream nonlinear, downstream shift-blocked, sideways no-sibling",
        );
    }
}

#[test]
fn grouped_conv_transpose_takes_a_scale_in_front_and_no_shift() {
    for shifted in [false, true] {
        let m = model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 5, 5]).sigmoid();
            let zero = g.initializer("zero", Tensor::doubles(&[4], vec![0.0; 4]));
            let x = if shifted {
                x.batch_norm()
            } else {
                x.batch_norm().with_input(2, &zero).with_input(3, &zero)
            };
            x.conv_transpose(6).group(2).output("y")
        });
        let folded = check(&m, "");
        assert_eq!(
            support::count(&folded, "BatchNormalization"),
            usize::from(shifted)
        );
    }
}
