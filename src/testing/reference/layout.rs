//! Operators that move elements without changing them.

use super::axes::{around, axis, count, extent, extents, offset, positions};
use super::call::{Call, Operator, require};
use crate::testing::Tensor;

pub(super) fn operator(op_type: &str) -> Option<Operator> {
    Some(match op_type {
        "Transpose" => |call| {
            let x = call.input(0)?;
            let backwards = (0..x.rank() as i64).rev().collect();
            Ok(vec![transposed(
                x,
                &call.ints("perm").unwrap_or(backwards),
            )?])
        },
        "Concat" => concat,
        "Tile" => tile,
        "DepthToSpace" => depth_to_space,
        "SpaceToDepth" => space_to_depth,
        _ => return None,
    })
}

/// The element at position p comes from the position that has p[i] on axis perm[i].
pub(super) fn transposed(x: &Tensor, perm: &[i64]) -> Result<Tensor, String> {
    let perm = perm
        .iter()
        .map(|&at| axis(at, x.rank()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    require(sorted.iter().copied().eq(0..x.rank()), || {
        format!("perm {perm:?} of {:?}", x.shape)
    })?;
    let shape: Vec<usize> = perm.iter().map(|&from| x.shape[from]).collect();
    let mut source = vec![0; x.rank()];
    let mut data = Vec::with_capacity(x.data.len());
    for position in positions(&shape) {
        for (&from, at) in perm.iter().zip(position) {
            source[from] = at;
        }
        data.push(x.data[offset(&x.shape, &source)]);
    }
    Ok(Tensor {
        dtype: x.dtype,
        shape,
        data,
    })
}

fn concat(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let parts = call.variadic()?;
    let first = *parts.first().ok_or("no input")?;
    let axis = axis(call.int("axis", 1), first.rank())?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for part in &parts {
        require(part.rank() == first.rank(), || {
            format!("{:?} and {:?}", first.shape, part.shape)
        })?;
        let same = |at: usize| at == axis || part.shape[at] == first.shape[at];
        require((0..first.rank()).all(same), || {
            format!("{:?} and {:?}", first.shape, part.shape)
        })?;
        shape[axis] += part.shape[axis];
    }
    let outer = count(&shape[..axis]);
    let mut data = Vec::with_capacity(count(&shape));
    for at in 0..outer {
        for part in &parts {
            let (_, extent, inner) = around(&part.shape, axis);
            data.extend(&part.data[at * extent * inner..(at + 1) * extent * inner]);
        }
    }
    Ok(vec![Tensor {
        dtype: first.dtype,
        shape,
        data,
    }])
}

/// Opset 1 repeats one axis; since opset 6 there is a count for each axis.
fn tile(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let mut repeats = extents(&call.input(1)?.to_ints())?;
    if call.opset < 6 {
        let axis = axis(super::call::single(call.input(2)?)? as i64, x.rank())?;
        let [tiles] = repeats[..] else {
            return Err("tiles is no number".into());
        };
        repeats = vec![1; x.rank()];
        repeats[axis] = tiles;
    }
    require(repeats.len() == x.rank(), || {
        format!("repeats {repeats:?} of {:?}", x.shape)
    })?;
    let shape: Vec<usize> = x
        .shape
        .iter()
        .zip(repeats)
        .map(|(extent, times)| extent * times)
        .collect();
    let source = |position: Vec<usize>| {
        let own: Vec<usize> = position
            .iter()
            .zip(&x.shape)
            .map(|(at, extent)| at % extent)
            .collect();
        x.data[offset(&x.shape, &own)]
    };
    Ok(vec![Tensor {
        dtype: x.dtype,
        data: positions(&shape).map(source).collect(),
        shape,
    }])
}

fn blocks<'a>(call: &Call<'a>) -> Result<(&'a Tensor, usize), String> {
    let (x, block) = (call.input(0)?, extent(call.int("blocksize", 0))?);
    require(x.rank() == 4 && block > 0, || {
        format!("blocksize {block}, X {:?}", x.shape)
    })?;
    Ok((x, block))
}

/// DCR takes the channel apart as (block, block, depth), CRD as (depth, block, block).
fn depth_to_space(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, block) = blocks(call)?;
    let [n, c, h, w] = x.shape[..] else {
        return Err(format!("X {:?}", x.shape));
    };
    require(c.is_multiple_of(block * block), || {
        format!("blocksize {block}, X {:?}", x.shape)
    })?;
    let depth = c / (block * block);
    let mode = call.string("mode", "DCR")?;
    let (apart, perm) = match mode.as_str() {
        "DCR" => (vec![n, block, block, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => (vec![n, depth, block, block, h, w], [0, 1, 4, 2, 5, 3]),
        _ => return Err(format!("mode is `{mode}`")),
    };
    let moved = transposed(
        &Tensor {
            shape: apart,
            ..x.clone()
        },
        &perm,
    )?;
    Ok(vec![Tensor {
        shape: vec![n, depth, h * block, w * block],
        ..moved
    }])
}

fn space_to_depth(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let (x, block) = blocks(call)?;
    let [n, c, h, w] = x.shape[..] else {
        return Err(format!("X {:?}", x.shape));
    };
    require(h.is_multiple_of(block) && w.is_multiple_of(block), || {
        format!("blocksize {block}, X {:?}", x.shape)
    })?;
    let apart = vec![n, c, h / block, block, w / block, block];
    let mode = call.string("mode", "DCR")?;
    let perm = match mode.as_str() {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        _ => return Err(format!("mode is `{mode}`")),
    };
    let moved = transposed(
        &Tensor {
            shape: apart,
            ..x.clone()
        },
        &perm,
    )?;
    Ok(vec![Tensor {
        shape: vec![n, c * block * block, h / block, w / block],
        ..moved
    }])
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;

    #[test]
    fn transposing_moves_axes() {
        let x = Tensor::ints(&[2, 3], 0..6);
        let y = evaluate("Transpose", 13, &[x], |node| node.attr("perm", [1, 0])).unwrap();
        assert_eq!(
            (&*y[0].shape, &*y[0].data),
            (&[3, 2][..], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0][..])
        );
    }

    #[test]
    fn depth_to_space_has_two_channel_orders() {
        let x = Tensor::ints(&[1, 8, 1, 1], 0..8);
        let run = |mode: &str| {
            let node = |node: crate::testing::Value| node.attr("blocksize", 2).attr("mode", mode);
            evaluate("DepthToSpace", 13, [x.clone()], node).unwrap()[0]
                .data
                .clone()
        };
        assert_eq!(run("DCR"), [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
        assert_eq!(run("CRD"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }

    #[test]
    fn concat_wants_equal_other_extents() {
        let (a, b) = (Tensor::ints(&[2, 1], 0..2), Tensor::ints(&[2, 2], 2..6));
        let y = evaluate("Concat", 13, &[a.clone(), b.clone()], |node| node.axis(1)).unwrap();
        assert_eq!(y[0].data, [0.0, 2.0, 3.0, 1.0, 4.0, 5.0]);
        assert!(evaluate("Concat", 13, &[a, b], |node| node.axis(0)).is_err());
    }
}
