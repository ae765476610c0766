//! Reshape and Flatten: the affine passes where the axes along which it varies stay whole blocks of the new shape.
//!
//! Both shapes are cut into the smallest groups of axes that hold the same elements in the same order.
//! A group in which nothing varies carries a constant whatever its extents; one in which something varies must have
//! known extents, over which the affine is written out and read again in the other shape (a channel shuffle's two
//! Reshapes, `[N, C, H, W]` to `[N, C·H·W]`).
//! Targets computed from Shape nodes are followed by symbols.

use std::ops::Range;

use ndarray::{ArrayD, IxDyn};

use crate::affine::{Affine, broadcast};
use crate::graph::{Dim, Graph, NodeId};
use crate::rules::{Code, Direction, Refusal, refuse, shape};

/// Reshape (opset 1, 5, 13, 14, 19, 21) and Flatten (opset 1, 9, 11, 13).
///
/// # Errors
/// If a varying axis is split or merged with extents that are not known.
pub fn reshape(
    graph: &Graph<'_>,
    node: NodeId,
    direction: Direction,
    affine: &Affine,
) -> Result<Affine, Refusal> {
    let input = &shape(graph, node, graph.input(node, 0))?.0;
    let output = &shape(graph, node, graph.output(node, 0))?.0;
    let (from, to) = match direction {
        Direction::Downstream => (input, output),
        Direction::Upstream => (output, input),
    };
    if from.len() != affine.rank() {
        return Err(refuse(
            graph,
            node,
            Code::UnknownShape,
            "the rank of its input is in doubt",
        ));
    }
    let groups = groups(from, to);
    let affine = affine.try_map(|array| regrouped(array, from, to, &groups).ok_or(()));
    affine.map_err(|()| {
        refuse(
            graph,
            node,
            Code::AxesMixed,
            "an axis along which the affine varies does not stay a whole block",
        )
    })
}

/// Axes of one shape and the axes of the other that hold the same elements.
type Group = (Range<usize>, Range<usize>);

fn groups(from: &[Dim], to: &[Dim]) -> Vec<Group> {
    let shorter = from.len().min(to.len());
    let ahead = (0..shorter).take_while(|&i| from[i] == to[i]).count();
    let behind = (0..shorter - ahead)
        .take_while(|&i| from[from.len() - 1 - i] == to[to.len() - 1 - i])
        .count();
    let mut groups: Vec<Group> = (0..ahead).map(|i| (i..i + 1, i..i + 1)).collect();
    groups.extend(middle(
        from,
        to,
        ahead..from.len() - behind,
        ahead..to.len() - behind,
    ));
    groups.extend((0..behind).rev().map(|i| {
        let (a, b) = (from.len() - 1 - i, to.len() - 1 - i);
        (a..a + 1, b..b + 1)
    }));
    groups
}

/// Cuts where the products of the extents so far agree; unknown extents leave one group.
fn middle(from: &[Dim], to: &[Dim], a: Range<usize>, b: Range<usize>) -> Vec<Group> {
    if a.is_empty() && b.is_empty() {
        return Vec::new();
    }
    let extents = |dims: &[Dim]| {
        dims.iter()
            .map(|dim| dim.known().filter(|&extent| extent > 0))
            .collect::<Option<Vec<_>>>()
    };
    let (Some(left), Some(right)) = (extents(&from[a.clone()]), extents(&to[b.clone()])) else {
        return vec![(a, b)];
    };
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        let (start, mut x, mut y) = ((i, j), left[i], right[j]);
        (i, j) = (i + 1, j + 1);
        while x != y {
            let (rest, product, extents) = if x < y {
                (&mut i, &mut x, &left)
            } else {
                (&mut j, &mut y, &right)
            };
            let Some(extent) = extents.get(*rest) else {
                return vec![(a, b)];
            };
            *product = product.saturating_mul(*extent);
            *rest += 1;
        }
        groups.push((
            a.start + start.0..a.start + i,
            b.start + start.1..b.start + j,
        ));
    }
    // Extents of 1 that are left over belong to no element.
    groups.push((a.start + i..a.end, b.start + j..b.end));
    groups.retain(|(a, b)| !a.is_empty() || !b.is_empty());
    groups
}

fn regrouped(
    array: &ArrayD<f64>,
    from: &[Dim],
    to: &[Dim],
    groups: &[Group],
) -> Option<ArrayD<f64>> {
    let (mut full, mut cut) = (Vec::new(), Vec::new());
    for (a, b) in groups {
        let varies = a.clone().any(|axis| array.shape()[axis] > 1);
        if !varies {
            full.extend(a.clone().map(|_| 1));
            cut.extend(b.clone().map(|_| 1));
        } else if a.len() == 1 && b.len() == 1 {
            full.push(array.shape()[a.start]);
            cut.push(array.shape()[a.start]);
        } else {
            full.extend(
                a.clone()
                    .map(|axis| from[axis].known())
                    .collect::<Option<Vec<_>>>()?,
            );
            cut.extend(
                b.clone()
                    .map(|axis| to[axis].known())
                    .collect::<Option<Vec<_>>>()?,
            );
        }
    }
    let elements = broadcast(array, &full).iter().copied().collect();
    ArrayD::from_shape_vec(IxDyn(&cut), elements).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(extents: &[usize]) -> Vec<Dim> {
        extents.iter().map(|&extent| Dim::Known(extent)).collect()
    }

    #[test]
    fn groups_are_cut_where_products_agree() {
        assert_eq!(
            groups(&known(&[2, 3, 4, 5]), &known(&[2, 12, 5])),
            [(0..1, 0..1), (1..3, 1..2), (3..4, 2..3)]
        );
    }

    #[test]
    fn an_unknown_batch_before_a_known_channel_stays_apart() {
        let from = [Dim::Symbol(1), Dim::Known(196), Dim::Known(384)];
        let to = [Dim::Symbol(2), Dim::Known(384)];
        assert_eq!(groups(&from, &to), [(0..2, 0..1), (2..3, 1..2)]);
    }

    #[test]
    fn a_square_axis_is_not_taken_for_its_neighbour() {
        // [4, 3, 3] to [4, 9]: the affine over the last axis must repeat, not stretch.
        let array = crate::affine::vector(3, 2, vec![1.0, 2.0, 3.0]);
        let (from, to) = (known(&[4, 3, 3]), known(&[4, 9]));
        let carried =
            regrouped(&array, &from, &to, &groups(&from, &to)).expect("all extents are known");
        assert_eq!(
            carried,
            crate::affine::vector(2, 1, vec![1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
        );
    }

    #[test]
    fn a_varying_axis_merged_with_an_unknown_extent_is_refused() {
        let array = crate::affine::vector(3, 1, vec![1.0, 2.0]);
        let from = [Dim::Known(1), Dim::Known(2), Dim::Symbol(1)];
        let to = [Dim::Known(1), Dim::Symbol(2)];
        assert_eq!(regrouped(&array, &from, &to, &groups(&from, &to)), None);
    }

    #[test]
    fn trailing_ones_belong_to_no_block() {
        let array = crate::affine::vector(4, 1, vec![1.0, 2.0]);
        let (from, to) = (known(&[3, 2, 1, 1]), known(&[3, 2]));
        let carried =
            regrouped(&array, &from, &to, &groups(&from, &to)).expect("all extents are known");
        assert_eq!(carried, crate::affine::vector(2, 1, vec![1.0, 2.0]));
    }
}
