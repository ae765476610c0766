//! Wrong numbers: what can go wrong with one array of an effect.

use bnfold::graph::{Effect, Graph, NodeId};
use ndarray::{ArrayD, Axis};

use super::part::Kind;

/// What a corruption may look at.
#[derive(Clone, Debug)]
pub(crate) struct Setting<'a, 'm> {
    /// The graph before any fold.
    pub(crate) graph: &'a Graph<'m>,
    /// The effect that the array belongs to.
    pub(crate) effect: &'a Effect,
    pub(crate) kind: Kind,
    /// Into how many groups or blocks a layout may be cut in the wrong order; 0 where there are none.
    pub(crate) blocks: usize,
}

/// The wrong array, or why there is none.
pub(crate) type Corrupted = Result<ArrayD<f64>, &'static str>;

/// A way to get an array wrong.
pub(crate) type Corruption = fn(&ArrayD<f64>, &Setting<'_, '_>) -> Corrupted;

/// Every way to get an array wrong.
pub(crate) const CORRUPTIONS: &[(&str, Corruption)] = &[
    ("dropped", dropped),
    ("applied twice", doubled),
    ("negated", |array, _| Ok(array.mapv(|x| -x))),
    ("inverted", inverted),
    ("off by 1e-4 in one element", off),
    ("two channels swapped", swapped),
    ("moved by one channel", rolled),
    ("laid out by the wrong group", regrouped),
    ("laid along the wrong axis", crosswise),
];

fn dropped(array: &ArrayD<f64>, setting: &Setting<'_, '_>) -> Corrupted {
    match (setting.kind, setting.effect) {
        (Kind::Scale, _) => Ok(array.mapv(|_| 1.0)),
        (Kind::Constant, Effect::SetConstant { node, slot, .. }) => {
            let old = setting.graph.nodes.get(node.0 as usize);
            let old = old.and_then(|node| node.inputs.get(*slot).copied().flatten());
            let old = old.ok_or("the node had no constant there")?;
            let old = setting
                .graph
                .floats(old)
                .map_err(|_| "it was no constant")?;
            Ok((*old).clone())
        }
        _ => Ok(array.mapv(|_| 0.0)),
    }
}

fn doubled(array: &ArrayD<f64>, setting: &Setting<'_, '_>) -> Corrupted {
    Ok(match setting.kind {
        Kind::Scale => array.mapv(|x| x * x),
        _ => array.mapv(|x| x + x),
    })
}

fn inverted(array: &ArrayD<f64>, setting: &Setting<'_, '_>) -> Corrupted {
    match setting.kind {
        Kind::Scale => Ok(array.mapv(|x| 1.0 / x)),
        _ => Err("only a scale can be inverted"),
    }
}

fn off(array: &ArrayD<f64>, _: &Setting<'_, '_>) -> Corrupted {
    let largest = array.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let mut array = array.clone();
    let at = array.iter_mut().find(|x| x.abs() == largest);
    *at.ok_or("it is empty")? *= 1.0001;
    Ok(array)
}

fn varying(array: &ArrayD<f64>) -> Result<Axis, &'static str> {
    let axis = (0..array.ndim()).find(|&axis| array.len_of(Axis(axis)) > 1);
    axis.map(Axis).ok_or("it is the same in every channel")
}

/// Index `to[i]` of the varying axis takes the place of index `i`.
fn picked(array: &ArrayD<f64>, to: impl Fn(usize, usize) -> usize) -> Corrupted {
    let axis = varying(array)?;
    let count = array.len_of(axis);
    let order: Vec<usize> = (0..count).map(|at| to(at, count)).collect();
    Ok(array.select(axis, &order))
}

fn swapped(array: &ArrayD<f64>, _: &Setting<'_, '_>) -> Corrupted {
    picked(array, |at, _| if at < 2 { 1 - at } else { at })
}

fn rolled(array: &ArrayD<f64>, _: &Setting<'_, '_>) -> Corrupted {
    picked(array, |at, count| (at + 1) % count)
}

fn regrouped(array: &ArrayD<f64>, setting: &Setting<'_, '_>) -> Corrupted {
    let blocks = setting.blocks;
    if blocks == 0 {
        return Err("the layout has no groups or blocks");
    }
    if !array.len_of(varying(array)?).is_multiple_of(blocks) {
        return Err("its channels make up no groups");
    }
    picked(array, |at, count| {
        at % blocks * (count / blocks) + at / blocks
    })
}

fn crosswise(array: &ArrayD<f64>, setting: &Setting<'_, '_>) -> Corrupted {
    let (Effect::InsertAdd { node, .. } | Effect::BecomeAdd { node, .. }) = setting.effect else {
        return Err("its axis is the weight's");
    };
    let along = varying(array)?.index();
    let extents = extents(setting.graph, *node).ok_or("the extents are not known")?;
    let from = extents.len() - array.ndim() + along;
    let alike = |&axis: &usize| axis != from && extents[axis] == extents[from];
    let to = (0..extents.len()).rev().find(alike);
    let to = to.ok_or("no other axis has that extent")?;
    let mut wide = array.clone();
    while wide.ndim() < extents.len() {
        wide = wide.insert_axis(Axis(0));
    }
    wide.swap_axes(from, to);
    Ok(wide)
}

fn extents(graph: &Graph<'_>, node: NodeId) -> Option<Vec<usize>> {
    let output = graph.nodes.get(node.0 as usize)?.outputs[0]?;
    let shape = graph.shape(output)?;
    (0..shape.rank()).map(|axis| shape.extent(axis)).collect()
}
