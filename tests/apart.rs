//! Folds whose scale goes one way and whose shift the other.

use bnfold::testing::builder::Value;
use bnfold::testing::{DataType, Graph, model};

mod support;
use support::{check, refused};

fn image(g: &Graph) -> Value {
    g.dtype(DataType::Double).input("x", [2, 4, 8, 8])
}

#[test]
fn a_scale_goes_up_through_a_relu_and_the_shift_down_through_a_sum() {
    let m = model(|g| {
        let x = image(g).sigmoid();
        let branch = x.conv(4).kernel([1, 1]).relu().batch_norm();
        branch.add(&x).conv(6).output("y")
    });
    check(
        &m,
        "bn_0 -> conv_0 output, conv_1 input through relu_0, add_0",
    );
    // A Relu lets no scale pass that is negative.
    let negative = model(|g| {
        let x = image(g).sigmoid();
        let branch = x
            .conv(4)
            .kernel([1, 1])
            .relu()
            .batch_norm()
            .negative_scales();
        branch.add(&x).conv(6).output("y")
    });
    refused(
        &negative,
        "bn_0 stays: upstream shift-blocked, downstream other-reader, sideways no-sibling",
    );
    // Zeros that the second convolution pads with would lack the shift.
    let padded = model(|g| {
        let x = image(g).sigmoid();
        let branch = x.conv(4).kernel([1, 1]).relu().batch_norm();
        branch.add(&x).conv(6).pads([1, 1, 1, 1]).output("y")
    });
    refused(
        &padded,
        "bn_0 stays: upstream shift-blocked, downstream other-reader, sideways no-sibling",
    );
}

#[test]
fn a_shift_goes_up_through_a_maximum_and_the_scale_down_into_a_padded_convolution() {
    let pooled = |end: fn(&Value) -> Value| {
        model(|g| {
            let x = image(g).conv(4).max_pool([2, 2]).strides([2, 2]);
            let norm = x.batch_norm().negative_scales();
            end(&norm).output("y")
        })
    };
    check(
        &pooled(|x| x.conv(6).pads([1, 1, 1, 1])),
        "bn_0 -> conv_0 output, conv_1 input through max_pool_0",
    );
    refused(
        &pooled(|x| x.sigmoid()),
        "bn_0 stays: upstream negative-scale, downstream nonlinear, sideways no-sibling",
    );
}

/// The scale would change what the other branch reads.
#[test]
fn another_reader_stops_the_scale() {
    let m = model(|g| {
        let x = image(g).conv(4).kernel([1, 1]);
        x.relu().batch_norm().add(x.sigmoid()).conv(6).output("y")
    });
    refused(
        &m,
        "bn_0 stays: upstream shift-blocked, downstream other-reader, sideways no-sibling",
    );
}
