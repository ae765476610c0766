//! Convolutions, products and recurrent cells.

use super::*;

#[test]
fn convolutions_agree_in_every_geometry() {
    check_all(&[
        ("2-D", |g| g.input("x", [2, 3, 9, 8]).conv(5).bias()),
        ("padded", |g| {
            g.input("x", [2, 3, 9, 8]).conv(5).pads([1, 2, 0, 1])
        }),
        ("strided", |g| {
            g.input("x", [1, 3, 11, 9])
                .conv(4)
                .strides([2, 3])
                .pads([1, 1, 1, 1])
        }),
        ("dilated", |g| {
            g.input("x", [1, 2, 12, 12])
                .conv(3)
                .dilations([2, 3])
                .pads([2, 2, 2, 2])
        }),
        ("grouped", |g| {
            g.input("x", [2, 6, 7, 7]).conv(9).group(3).bias()
        }),
        ("depthwise", |g| {
            g.input("x", [2, 6, 9, 9]).conv(6).group(6).strides([2, 2])
        }),
        ("depthwise multiplied", |g| {
            g.input("x", [1, 3, 9, 9]).conv(6).group(3).bias()
        }),
        ("pointwise", |g| {
            g.input("x", [2, 16, 9, 9]).conv(32).kernel([1, 1]).bias()
        }),
        ("1-D", |g| {
            g.input("x", [2, 5, 40]).conv(7).kernel([4]).dilations([3])
        }),
        ("3-D", |g| {
            g.input("x", [1, 2, 5, 6, 7])
                .conv(4)
                .kernel([2, 3, 3])
                .bias()
        }),
        ("same upper", |g| {
            g.input("x", [1, 2, 7, 8])
                .conv(3)
                .strides([2, 3])
                .auto_pad("SAME_UPPER")
        }),
        ("same lower", |g| {
            g.input("x", [1, 2, 7, 8])
                .conv(3)
                .strides([2, 3])
                .auto_pad("SAME_LOWER")
        }),
        ("valid", |g| {
            g.input("x", [1, 2, 7, 8]).conv(3).auto_pad("VALID")
        }),
        ("large", |g| {
            g.input("x", [1, 24, 40, 40])
                .conv(32)
                .pads([1, 1, 1, 1])
                .bias()
        }),
        ("empty batch", |g| g.input("x", [0, 3, 8, 8]).conv(4).bias()),
        ("empty bias name", |g| {
            let x = g.input("x", [1, 24, 24, 24]);
            g.op("Conv", &[&x, &g.weight("w", [16, 24, 3, 3]), &g.absent()])
        }),
    ]);
}

#[test]
fn transposed_convolutions_agree_in_every_geometry() {
    check_all(&[
        ("plain", |g| {
            g.input("x", [2, 3, 5, 6]).conv_transpose(4).bias()
        }),
        ("strided", |g| {
            g.input("x", [1, 3, 5, 6]).conv_transpose(4).strides([2, 3])
        }),
        ("padded", |g| {
            g.input("x", [1, 3, 5, 6])
                .conv_transpose(4)
                .strides([2, 2])
                .pads([1, 0, 1, 1])
        }),
        ("output padding", |g| {
            g.input("x", [1, 3, 5, 6])
                .conv_transpose(4)
                .strides([2, 2])
                .attr("output_padding", [1, 1])
        }),
        ("output shape, odd padding", |g| {
            let x = g.input("x", [1, 3, 5, 6]);
            x.conv_transpose(4)
                .strides([2, 2])
                .attr("output_shape", [10, 12])
        }),
        ("grouped and dilated", |g| {
            g.input("x", [1, 6, 5, 5])
                .conv_transpose(8)
                .group(2)
                .dilations([2, 1])
        }),
        ("same upper", |g| {
            g.input("x", [1, 2, 5, 5])
                .conv_transpose(3)
                .strides([2, 2])
                .auto_pad("SAME_UPPER")
        }),
        ("1-D", |g| {
            g.input("x", [2, 3, 9])
                .conv_transpose(2)
                .kernel([4])
                .strides([3])
        }),
    ]);
}

#[test]
fn products_agree_with_every_attribute_and_shape() {
    check_all(&[
        ("gemm", |g| {
            g.input("x", [5, 7])
                .gemm(6)
                .attr("alpha", 0.5f32)
                .attr("beta", 2.0f32)
        }),
        ("gemm transposed", |g| {
            g.input("x", [7, 5]).gemm(6).attr("transA", 1).no_bias()
        }),
        ("linear", |g| g.input("x", [5, 70]).linear(80)),
        ("gemm with a scalar C", |g| {
            let x = g.input("x", [5, 7]);
            g.op(
                "Gemm",
                &[
                    &x,
                    &g.weight("b", [7, 3]),
                    &g.initializer("c", Reference::scalar(DataType::Float, 0.3)),
                ],
            )
        }),
        ("gemm with a column C", |g| {
            let x = g.input("x", [5, 7]);
            g.op(
                "Gemm",
                &[&x, &g.weight("b", [7, 3]), &g.weight("c", [5, 1])],
            )
        }),
        ("matmul", |g| g.input("x", [2, 3, 40, 50]).matmul(60)),
        ("matmul of batches", |g| {
            g.input("x", [2, 1, 4, 5])
                .matmul_by(g.input("z", [3, 5, 6]))
        }),
        ("matmul from the left", |g| {
            let x = g.input("x", [3, 4, 5]);
            g.op("MatMul", &[&g.weight("w", [7, 4]), &x])
        }),
        ("vector by matrix", |g| {
            g.input("x", [5]).matmul_by(g.input("z", [3, 5, 6]))
        }),
        ("matrix by vector", |g| {
            g.input("x", [2, 3, 5]).matmul_by(g.input("z", [5]))
        }),
    ]);
}

#[test]
fn recurrent_cells_agree_in_every_direction() {
    let directed = |cell: fn(&Value) -> Value, direction: &'static str| {
        model(|g| {
            let y = cell(&g.input("x", [5, 3, 4])).attr("direction", direction);
            y.outputs(2)[0].output("y")
        })
    };
    type Cell = fn(&Value) -> Value;
    let cells: [(&str, Cell); 3] = [
        ("lstm", |x| x.lstm(6)),
        ("gru", |x| x.gru(6)),
        ("rnn", |x| x.rnn(6)),
    ];
    for (name, cell) in cells {
        for direction in ["forward", "reverse", "bidirectional"] {
            check(&format!("{name} {direction}"), &directed(cell, direction));
        }
    }
    check_all(&[("gru, linear before reset", |g| {
        g.input("x", [5, 3, 4])
            .gru(6)
            .attr("linear_before_reset", 1)
    })]);
}
