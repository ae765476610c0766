//! Wrong tensors and attributes: a right plan whose result is written wrongly.

use bnfold::onnx::proto::{GraphProto, ModelProto, NodeProto};
use bnfold::testing::{DataType, Storage, Tensor};

/// A tensor or attribute that a fold has changed.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    /// What it is, for tables.
    pub(crate) what: &'static str,
    /// The node that reads it.
    pub(crate) node: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Tensor { name: String, slot: usize, old: Option<Tensor> },
    Attributes,
}

/// A way to write a tensor wrongly, given the old one.
type Slip = fn(&Tensor, Option<&Tensor>) -> Result<Tensor, &'static str>;

/// Every way to write a tensor wrongly.
const SLIPS: &[(&str, Slip)] = &[
    ("off by 1e-4 in one element", |new, _| {
        let most = new.max_magnitude();
        changed(new, |data| {
            data.iter_mut().filter(|x| x.abs() == most).take(1).for_each(|x| *x *= 1.0001);
        })
    }),
    ("left as it was", |new, old| match old {
        Some(old) if old.shape == new.shape => Ok(old.clone()),
        _ => Err("there was none of these extents"),
    }),
    ("moved by one element", |new, _| changed(new, |data| data.rotate_left(1))),
    ("rounded to half precision", |new, _| {
        let half = Tensor::new(DataType::Float16, &new.shape, new.data.clone()).rounded();
        Ok(Tensor { dtype: new.dtype, ..half })
    }),
    ("cut off in its last element", |new, _| {
        changed(new, |data| data.iter_mut().next_back().into_iter().for_each(|x| *x = 0.0))
    }),
];

fn changed(tensor: &Tensor, change: impl FnOnce(&mut Vec<f64>)) -> Result<Tensor, &'static str> {
    let mut tensor = tensor.clone();
    change(&mut tensor.data);
    Ok(tensor)
}

/// What the folds have changed, each with the node that reads it.
pub(crate) fn changes(original: &ModelProto, rewritten: &ModelProto) -> Vec<Changed> {
    let (Some(before), Some(after)) = (&original.graph, &rewritten.graph) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    for node in &after.node {
        let old = before.node.iter().find(|other| other.name() == node.name());
        for (slot, name) in node.input.iter().enumerate() {
            let Some(new) = tensor(after, name) else { continue };
            let old = old.and_then(|old| tensor(before, old.input.get(slot)?));
            if !is_float(&new) || old.as_ref() == Some(&new) {
                continue;
            }
            let what = if slot == 1 { "weight" } else { "bias" };
            let place = Place::Tensor { name: name.clone(), slot, old };
            changes.push(Changed { what, node: node.name().to_owned(), place });
        }
        if old.is_some_and(|old| old.op_type == node.op_type && old.attribute != node.attribute) {
            let (what, node) = ("attributes", node.name().to_owned());
            changes.push(Changed { what, node, place: Place::Attributes });
        }
    }
    changes
}

fn tensor(graph: &GraphProto, name: &str) -> Option<Tensor> {
    let stored = graph.initializer.iter().find(|tensor| tensor.name() == name)?;
    Tensor::from_proto(stored).ok()
}

/// The rewritten model with each slip at one place; why not, where one does not apply.
pub(crate) fn slips(
    original: &ModelProto,
    rewritten: &ModelProto,
    changed: &Changed,
) -> Vec<(String, Result<ModelProto, &'static str>)> {
    let Place::Tensor { name, slot, old } = &changed.place else {
        let reverted = reverted(original, rewritten, &changed.node);
        return vec![("attributes left as they were".to_owned(), reverted)];
    };
    let new = rewritten.graph.as_ref().and_then(|graph| tensor(graph, name));
    let Some(new) = new else { return Vec::new() };
    let written = |wrong: Tensor| {
        let mut model = rewritten.clone();
        for stored in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if stored.name() == name {
                *stored = wrong.to_proto(name, Storage::Raw);
            }
        }
        model
    };
    let slip = |(slip, wrong): &(&str, Slip)| {
        (format!("{} {slip}", changed.what), wrong(&new, old.as_ref()).map(written))
    };
    let mut all: Vec<_> = SLIPS.iter().map(slip).collect();
    if is_recurrent(rewritten, &changed.node) && *slot == 3 {
        let wrong = in_other_half(&new, old.as_ref());
        all.push(("bias in the recurrent half".to_owned(), Ok(written(wrong))));
    }
    all
}

/// What was added to the input's half of the bias of a recurrent layer, added to the other half.
fn in_other_half(new: &Tensor, old: Option<&Tensor>) -> Tensor {
    let mut wrong = new.clone();
    let before = |at: usize| old.map_or(0.0, |old| old.data[at]);
    let rows = new.shape[1];
    for at in 0..new.data.len() {
        let other = at - at % rows + (at % rows + rows / 2) % rows;
        wrong.data[at] = before(at) + (new.data[other] - before(other));
    }
    wrong
}

fn is_recurrent(model: &ModelProto, node: &str) -> bool {
    let is_one = |other: &NodeProto| {
        other.name() == node && ["LSTM", "GRU", "RNN"].contains(&other.op_type())
    };
    model.graph.iter().flat_map(|graph| &graph.node).any(is_one)
}

fn reverted(
    original: &ModelProto,
    rewritten: &ModelProto,
    node: &str,
) -> Result<ModelProto, &'static str> {
    let mut model = rewritten.clone();
    let find = |other: &&NodeProto| other.name() == node;
    let old = original.graph.iter().flat_map(|graph| &graph.node).find(find);
    let old = old.ok_or("the node is new")?;
    for other in model.graph.iter_mut().flat_map(|graph| &mut graph.node) {
        if other.name() == node {
            other.attribute.clone_from(&old.attribute);
        }
    }
    Ok(model)
}

fn is_float(tensor: &Tensor) -> bool {
    let floats = [DataType::Float, DataType::Double, DataType::Float16, DataType::Bfloat16];
    floats.contains(&tensor.dtype)
}
