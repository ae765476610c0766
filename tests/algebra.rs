//! Every rule on each side it serves: what is planned, and that the folded model computes what the original does.
//!
//! Models are f64, so that a wrong fold cannot hide behind rounding; the reference executor knows nothing of folds.

use bnfold::testing::{DataType, Tensor, model};

mod support;
use support::{check, check_with, refused};

#[test]
fn conv_absorbs_on_output() {
    let m = model(|g| g.dtype(DataType::Double).input("x", [1, 4, 8, 8]).conv(6).batch_norm().relu().output("y"));
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn grouped_conv_absorbs_on_output() {
    let m = model(|g| g.dtype(DataType::Double).input("x", [1, 4, 8, 8]).conv(6).group(2).batch_norm().relu().output("y"));
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn depthwise_conv_absorbs_on_output() {
    let m = model(|g| g.dtype(DataType::Double).input("x", [2, 4, 8, 8]).conv(4).group(4).bias().batch_norm().relu().output("y"));
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn conv_of_one_and_three_dimensions_absorbs() {
    let m = model(|g| g.dtype(DataType::Double).input("x", [1, 4, 9]).conv(6).batch_norm().relu().output("y"));
    check(&m, "bn_0 -> conv_0 output");
    let m = model(|g| g.dtype(DataType::Double).input("x", [1, 2, 5, 6, 7]).conv(3).batch_norm().relu().output("y"));
    check(&m, "bn_0 -> conv_0 output");
}

#[test]
fn batch_norms_after_one_another_meet_the_weight_once() {
    let m = model(|g| {
        g.dtype(DataType::Double).input("x", [1, 4, 8, 8]).conv(6).batch_norm().batch_norm().negative_scales().batch_norm().relu().output("y")
    });
    let folded = check(&m, "");
    assert_eq!(support::count(&folded, "BatchNormalization"), 0);
}

#[test]
fn grouped_conv_transpose_absorbs_on_output() {
    for group in [1, 2] {
        let m = model(|g| {
            g.dtype(DataType::Double).input("x", [1, 4, 5, 5]).conv_transpose(6).group(group).batch_norm().relu().output("y")
        });
        check(&m, "bn_0 -> conv_transpose_0 output");
    }
}

#[test]
fn gemm_absorbs_on_output_with_every_attribute() {
    for (trans_b, alpha, beta) in [(0, 1.0, 1.0), (1, 0.5, 2.0), (0, -1.5, 0.0), (1, 2.0, -0.5)] {
        for c in [None, Some(vec![]), Some(vec![6]), Some(vec![1, 6]), Some(vec![3, 1]), Some(vec![3, 6])] {
            let m = model(|g| {
                g.dtype(DataType::Double);
                let x = g.input("x", [3, 4]);
                let w = if trans_b == 1 { g.weight("w", [6, 4]) } else { g.weight("w", [4, 6]) };
                let mut inputs = vec![x.clone(), w];
                inputs.extend(c.clone().map(|dims: Vec<usize>| g.weight("c", dims)));
                let inputs: Vec<_> = inputs.iter().collect();
                let y = g.op("Gemm", &inputs).name("gemm_0").attr("transB", trans_b).attr("alpha", alpha as f32).attr("beta", beta as f32);
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
                let w = if trans_b == 1 { g.weight("w", [6, 4]) } else { g.weight("w", [4, 6]) };
                let mut inputs = vec![x.clone(), w];
                inputs.extend(c.clone().map(|dims: Vec<usize>| g.weight("c", dims)));
                let inputs: Vec<_> = inputs.iter().collect();
                let y = g.op("Gemm", &inputs).name("gemm_0").attr("transA", trans_a).attr("transB", trans_b);
                y.attr("alpha", alpha as f32).attr("beta", beta as f32).output("y")
            });
            check(&m, "bn_0 -> gemm_0 input");
        }
    }
}

#[test]
fn matmul_takes_the_scale_and_an_add_takes_the_shift() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 5, 4]);
        x.matmul(6).transpose([0, 2, 1]).batch_norm().relu().output("y")
    });
    let folded = check(&m, "bn_0 -> matmul_0 output, matmul_0 add through transpose_0");
    assert_eq!(support::count(&folded, "Add"), 1);
}

#[test]
fn a_shift_joins_the_constant_add_behind_the_matmul() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 5, 4]);
        let b = g.weight("b", [6]);
        x.matmul(6).add(&b).transpose([0, 2, 1]).batch_norm().relu().output("y")
    });
    let folded = check(&m, "bn_0 -> add_0 constant, matmul_0 output through transpose_0");
    assert_eq!(support::count(&folded, "Add"), 1);
}

#[test]
fn a_matmul_of_two_matrices_becomes_a_gemm() {
    let m = model(|g| g.dtype(DataType::Double).input("x", [3, 4]).matmul(6).batch_norm().relu().output("y"));
    let folded = check(&m, "bn_0 -> matmul_0 output, matmul_0 bias");
    assert_eq!((support::count(&folded, "Gemm"), support::count(&folded, "Add")), (1, 0));
}

#[test]
fn a_constant_on_the_left_of_a_matmul_absorbs_along_its_rows() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 5]);
        let w = g.weight("w", [6, 4]);
        g.op("MatMul", &[&w, &x]).name("matmul_0").batch_norm().relu().output("y")
    });
    check(&m, "bn_0 -> matmul_0 output, matmul_0 add");
}

#[test]
fn matmul_absorbs_on_input() {
    let m = model(|g| {
        let x = g.dtype(DataType::Double).input("x", [2, 4, 5]).relu().batch_norm();
        x.transpose([0, 2, 1]).matmul(6).relu().output("y")
    });
    check(&m, "bn_0 -> matmul_0 input, matmul_0 add through transpose_0");
}

#[test]
fn unpadded_conv_absorbs_on_input() {
    for group in [1, 2] {
        let m = model(|g| {
            g.dtype(DataType::Double).input("x", [1, 4, 8, 8]).relu().batch_norm().conv(6).group(group).pads([0, 0, 0, 0]).output("y")
        });
        check(&m, "bn_0 -> conv_0 input");
    }
}

#[test]
fn padded_conv_refuses_a_shift_in_front() {
    let m = model(|g| g.dtype(DataType::Double).input("x", [1, 4, 8, 8]).relu().batch_norm().conv(6).kernel([3, 3]).pads([1, 1, 1, 1]).output("y"));
    refused(&m, "bn_0 stays: upstream shift-blocked, downstream zero-padding, sideways no-sibling");
}

#[test]
fn same_padding_refuses_a_shift_in_front_unless_it_adds_nothing() {
    let padded = |kernel: i64| {
        model(|g| {
            let x = g.dtype(DataType::Double).input("x", [1, 4, 8, 8]).relu().batch_norm();
            x.conv(6).kernel([kernel, kernel]).auto_pad("SAME_UPPER").output("y")
        })
    };
    refused(&padded(3), "bn_0 stays: upstream shift-blocked, downstream zero-padding, sideways no-sibling");
    check(&padded(1), "bn_0 -> conv_0 input");
}

#[test]
fn both_sides_of_one_weight_compose() {
    let m = model(|g| {
        g.dtype(DataType::Double).input("x", [3, 4]).relu().batch_norm().linear(6).batch_norm().negative_scales().relu().output("y")
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
                    let x = g.dtype(DataType::Double).input("x", [5, 3, 2]).relu().batch_norm();
                    let directions = if direction == "bidirectional" { 2 } else { 1 };
                    let gates = match op {
                        "LSTM" => 4,
                        "GRU" => 3,
                        _ => 1,
                    };
                    let w = g.weight("w", [directions, gates * 4, 2]);
                    let r = g.weight("r", [directions, gates * 4, 4]);
                    let b = g.weight("b", [directions, 2 * gates * 4]);
                    // The channel axis of the BN is the batch axis of the layer unless it is transposed.
                    let x = x.transpose([0, 2, 1]).transpose([0, 2, 1]);
                    let x = x.transpose([0, 2, 1]);
                    let w = if bias { w } else { w };
                    let w3 = g.weight("w3", [directions, gates * 4, 3]);
                    let _ = w;
                    let inputs = if bias { vec![&x, &w3, &r, &b] } else { vec![&x, &w3, &r] };
                    g.op(op, &inputs).name("rnn_0").attr("hidden_size", 4).attr("direction", direction).outputs(1)[0].output("y")
                });
                let folded = check(&m, "");
                assert_eq!(support::count(&folded, "BatchNormalization"), 0, "{op} {direction} bias {bias}");
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
        g.op("Gather", &[&table, &ids]).name("gather_0").transpose([0, 2, 1]).batch_norm().relu().output("y")
    });
    let ids = Tensor::ints(&[2, 5], [0, 6, 1, 3, 2, 2, 4, 5, 0, 1]);
    check_with(&m, &[("x", ids)], "bn_0 -> gather_0 output through transpose_0");
}

#[test]
fn norms_absorb_into_their_own_scale_and_b() {
    let m = model(|g| g.dtype(DataType::Double).input("x", [2, 4, 5, 5]).instance_norm().batch_norm().relu().output("y"));
    check(&m, "bn_0 -> instance_norm_0 constant");
    let m = model(|g| g.dtype(DataType::Double).opset(21).input("x", [2, 4, 5, 5]).group_norm(2).batch_norm().relu().output("y"));
    check(&m, "bn_0 -> group_norm_0 constant");
    let m = model(|g| g.dtype(DataType::Double).input("x", [2, 5, 4]).layer_norm().transpose([0, 2, 1]).batch_norm().relu().output("y"));
    check(&m, "bn_0 -> layer_norm_0 constant through transpose_0");
}
