//! Pools, paddings and resizings.

use super::generator::{Draw, Generator};
use super::live::Live;
use crate::testing::{DataType, Tensor, Value};

pub(super) const DRAWS: &[(u32, Draw)] = &[
    (4, max_pool),
    (5, average_pool),
    (1, lp_pool),
    (5, global_pool),
    (4, pad),
    (5, resize),
];

/// Kernel, strides and pads that suit the value.
fn windowed(generator: &mut Generator<'_>, x: &Live, op_type: &str) -> Option<Value> {
    let rank = x.spatial().len();
    if rank == 0 || x.spatial().iter().any(|&extent| extent < 3) {
        return None;
    }
    let kernel = 2 + generator.random_below(2) as i64;
    let mut value = x.value.op(op_type).kernel(vec![kernel; rank]);
    value = value.strides(vec![1 + generator.random_below(2) as i64; rank]);
    Some(match generator.random_below(4) {
        0 => value.auto_pad(generator.auto_pad()),
        1 => value.pads(vec![1; 2 * rank]),
        _ => value,
    })
}

fn max_pool(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let mut value = windowed(generator, x, "MaxPool")?;
    if generator.opset >= 10 && !value.has_attribute("auto_pad") && generator.chance(0.3) {
        value = value.attr("ceil_mode", 1);
    }
    if generator.opset >= 8 && generator.dtype == DataType::Float && generator.chance(0.1) {
        return Some(value.outputs(2).into_iter().take(1).collect());
    }
    Some(vec![value])
}

fn average_pool(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let value = windowed(generator, x, "AveragePool")?;
    let count_all = i64::from(generator.chance(0.5));
    Some(vec![value.attr("count_include_pad", count_all)])
}

fn lp_pool(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    Some(vec![windowed(generator, x, "LpPool")?.attr("p", 2)])
}

fn global_pool(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    if x.spatial().is_empty() {
        return None;
    }
    let op_type = *generator.pick(&["GlobalAveragePool", "GlobalAveragePool", "GlobalMaxPool"]);
    let value = x.value.op(op_type);
    Some(vec![if generator.chance(0.5) {
        value.flatten()
    } else {
        value
    }])
}

fn pad(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let spatial = x.spatial().len();
    if spatial == 0 || x.spatial().iter().any(|&extent| extent < 3) {
        return None;
    }
    let mut sides = || {
        let inner = (0..spatial).map(|_| generator.random_below(3) as i64);
        [0, 0].into_iter().chain(inner).collect::<Vec<i64>>()
    };
    let mut pads = [sides(), sides()].concat();
    if generator.chance(0.15) {
        pads[2] = -1;
    }
    let mode = *generator.pick(&["constant", "constant", "reflect", "edge", "wrap"]);
    // What a copied side means beside a cut one is open for wrap and reflect.
    let copies = matches!(mode, "wrap" | "reflect");
    if (mode == "wrap" && generator.opset < 19) || (copies && pads[2] < 0) {
        return None;
    }
    if mode == "constant" && generator.opset >= 11 && generator.chance(0.3) {
        let pads = generator.graph.ints(&pads);
        let fill = generator.scalar(0.75);
        return Some(vec![generator.graph.op("Pad", &[&x.value, &pads, &fill])]);
    }
    Some(vec![x.value.pad(&pads).attr("mode", mode)])
}

fn resize(generator: &mut Generator<'_>, x: &Live) -> Option<Vec<Value>> {
    let spatial = x.spatial().len();
    // The half types and double came with opset 10 and 11; nobody interpolates rank 3 and 5 alike.
    if spatial != 2 || x.spatial().iter().any(|&extent| extent > 8) {
        return None;
    }
    // Upsample only makes larger.
    let least = if generator.opset < 10 { 1.0 } else { 0.5 };
    let scale = generator.pick(&[2.0f32, 2.0, 1.5, 0.5]).max(least);
    let mode = *generator.pick(&["nearest", "linear", "linear", "cubic"]);
    if generator.opset < 11 {
        let mode = if mode == "cubic" { "nearest" } else { mode };
        return Some(vec![
            x.value.resize([1.0, 1.0, scale, scale]).attr("mode", mode),
        ]);
    }
    // Where the scale does not divide, implementations differ on align_corners.
    let whole = x
        .spatial()
        .iter()
        .all(|&extent| (extent as f32 * scale).fract() == 0.0);
    let coordinates = match mode {
        "nearest" => *generator.pick(&["asymmetric", "half_pixel"]),
        _ if whole => *generator.pick(&["half_pixel", "align_corners"]),
        _ => *generator.pick(&["half_pixel", "asymmetric", "pytorch_half_pixel"]),
    };
    let value = if generator.chance(0.4) && generator.opset >= 13 {
        let sizes: Vec<i64> = x.shape()[..2]
            .iter()
            .map(|&extent| extent as i64)
            .chain(
                x.spatial()
                    .iter()
                    .map(|&extent| (extent as f32 * scale) as i64),
            )
            .collect();
        let sizes = Tensor::ints(&[4], sizes);
        let sizes = generator.graph.constant_parameter("sizes", sizes);
        let absent = generator.graph.absent();
        generator
            .graph
            .op("Resize", &[&x.value, &absent, &absent, &sizes])
    } else {
        x.value.resize([1.0, 1.0, scale, scale])
    };
    let value = value
        .attr("mode", mode)
        .attr("coordinate_transformation_mode", coordinates);
    Some(vec![if mode == "nearest" {
        value.attr("nearest_mode", "floor")
    } else {
        value
    }])
}
