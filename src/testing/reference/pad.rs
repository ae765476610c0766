//! Pad: a constant, the mirror image, the edge or the value repeated; negative pads cut off.

use super::axes::{axis, count, extents, offset, positions};
use super::call::{Call, Operator, require};
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    (op_type == "Pad").then_some(pad as Operator)
}

fn pad(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let name = if call.opset < 2 { "paddings" } else { "pads" };
    let given = call.ints_at(name, 1).ok_or("the pads are missing")?;
    let axes: Vec<usize> = match call.optional(3) {
        Some(axes) => axes
            .to_ints()
            .iter()
            .map(|&at| axis(at, x.rank()))
            .collect::<Result<_, _>>()?,
        None => (0..x.rank()).collect(),
    };
    require(given.len() == 2 * axes.len(), || {
        format!("pads {given:?} for axes {axes:?}")
    })?;
    let (mut begins, mut ends) = (vec![0; x.rank()], vec![0; x.rank()]);
    for (number, &axis) in axes.iter().enumerate() {
        begins[axis] = given[number];
        ends[axis] = given[axes.len() + number];
    }
    let padded = |axis: usize| x.shape[axis] as i64 + begins[axis] + ends[axis];
    let shape = extents(&(0..x.rank()).map(padded).collect::<Vec<_>>())?;
    let value = call.number_at("value", 2)?.unwrap_or(0.0);
    let mode = call.string("mode", "constant")?;
    let mut data = Vec::with_capacity(count(&shape));
    for position in positions(&shape) {
        let along = |axis: usize| {
            source(
                &mode,
                position[axis] as i64 - begins[axis],
                x.shape[axis] as i64,
            )
        };
        let from = (0..x.rank())
            .map(along)
            .collect::<Result<Option<Vec<usize>>, String>>()?;
        data.push(from.map_or(value, |from| x.data[offset(&x.shape, &from)]));
    }
    Ok(vec![Tensor {
        dtype: x.dtype,
        shape,
        data,
    }])
}

/// Which element a place beyond the ends copies, none for the constant.
fn source(mode: &str, at: i64, extent: i64) -> Result<Option<usize>, String> {
    let inside = (0..extent).contains(&at);
    require(mode == "constant" || extent > 0, || {
        "an empty axis has nothing to copy".into()
    })?;
    let found = match mode {
        _ if inside => at,
        "constant" => return Ok(None),
        "edge" => at.clamp(0, extent - 1),
        "wrap" => at.rem_euclid(extent),
        "reflect" if extent == 1 => 0,
        "reflect" => {
            let folded = at.rem_euclid(2 * (extent - 1));
            folded.min(2 * (extent - 1) - folded)
        }
        _ => return Err(format!("mode is `{mode}`")),
    };
    Ok(Some(found as usize))
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use crate::testing::Tensor;

    #[test]
    fn every_mode_copies_what_it_says() {
        let run = |mode: &str, pads: [i64; 2]| {
            let inputs = [
                Tensor::floats(&[3], [1.0, 2.0, 3.0]),
                Tensor::ints(&[2], pads),
            ];
            evaluate("Pad", 19, &inputs, |node| node.attr("mode", mode)).unwrap()[0]
                .data
                .clone()
        };
        assert_eq!(run("constant", [1, 1]), [0.0, 1.0, 2.0, 3.0, 0.0]);
        assert_eq!(run("reflect", [2, 1]), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
        assert_eq!(run("edge", [2, 1]), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(run("wrap", [2, 1]), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
        assert_eq!(run("constant", [-1, 1]), [2.0, 3.0, 0.0]);
    }

    #[test]
    fn attributes_give_pads_and_value_before_opset_11() {
        let node = |node: crate::testing::Value| node.pads([1, 0]).attr("value", 7.0);
        let y = evaluate("Pad", 2, &[Tensor::floats(&[1], [1.0])], node).unwrap();
        assert_eq!(y[0].data, [7.0, 1.0]);
    }
}
