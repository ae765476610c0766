//! Wrong tensors and attributes: a right plan whose result is written wrongly.

use bnfold::onnx::proto::{GraphProto, ModelProto, NodeProto};
use bnfold::testing::{DataType, Storage, Tensor};

use super::subject::Made;

/// A tensor or attribute that a fold has changed.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    /// What it is, for tables.
    pub(crate) what: &'static str,
    /// The nodes that read it.
    pub(crate) nodes: Vec<String>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Tensor {
        name: String,
        slot: usize,
        old: Option<Tensor>,
    },
    Attributes,
}

/// A way to write a tensor wrongly, given the old one.
type Slip = fn(&Tensor, Option<&Tensor>) -> Result<Tensor, &'static str>;

/// Every way to write a tensor wrongly.
const SLIPS: &[(&str, Slip)] = &[
    ("off by 1e-4 in one element", |new, _| {
        let most = new.max_magnitude();
        changed(new, |data| {
            data.iter_mut()
                .filter(|x| x.abs() == most)
                .take(1)
                .for_each(|x| *x *= 1.0001);
        })
    }),
    ("left as it was", |new, old| match old {
        Some(old) if old.shape == new.shape => Ok(old.clone()),
        _ => Err("there was none of these extents"),
    }),
    ("moved by one element", |new, _| {
        changed(new, |data| data.rotate_left(1))
    }),
    ("rounded to half precision", |new, _| {
        let half = Tensor::new(DataType::Float16, &new.shape, new.data.clone()).rounded();
        Ok(Tensor {
            dtype: new.dtype,
            ..half
        })
    }),
    ("cut off in its last element", |new, _| {
        changed(new, |data| {
            data.iter_mut()
                .next_back()
                .into_iter()
                .for_each(|x| *x = 0.0)
        })
    }),
];

fn changed(tensor: &Tensor, change: impl FnOnce(&mut Vec<f64>)) -> Result<Tensor, &'static str> {
    let mut tensor = tensor.clone();
    change(&mut tensor.data);
    Ok(tensor)
}

impl Changed {
    /// The first node that reads it.
    pub(crate) fn node(&self) -> &str {
        &self.nodes[0]
    }

    fn is_tensor(&self, wanted: &str) -> bool {
        matches!(&self.place, Place::Tensor { name, .. } if name == wanted)
    }
}

/// What the folds have changed, each with the nodes that read it.
pub(crate) fn changes(original: &ModelProto, rewritten: &ModelProto) -> Vec<Changed> {
    let (Some(before), Some(after)) = (&original.graph, &rewritten.graph) else {
        return Vec::new();
    };
    let mut changes: Vec<Changed> = Vec::new();
    for node in &after.node {
        let old = before.node.iter().find(|other| other.name() == node.name());
        let nodes = vec![node.name().to_owned()];
        for (slot, name) in node.input.iter().enumerate() {
            if let Some(shared) = changes.iter_mut().find(|changed| changed.is_tensor(name)) {
                shared.nodes.extend(nodes.clone());
            } else if let Some(place) = changed_tensor(before, after, old, slot, name) {
                let what = if slot == 1 { "weight" } else { "bias" };
                let nodes = nodes.clone();
                changes.push(Changed { what, nodes, place });
            }
        }
        if old.is_some_and(|old| is_set_otherwise(old, node)) {
            let (what, place) = ("attributes", Place::Attributes);
            changes.push(Changed { what, nodes, place });
        }
    }
    changes
}

fn changed_tensor(
    before: &GraphProto,
    after: &GraphProto,
    old: Option<&NodeProto>,
    slot: usize,
    name: &str,
) -> Option<Place> {
    let new = tensor(after, name)?;
    let old = old.and_then(|old| tensor(before, old.input.get(slot)?));
    let name = name.to_owned();
    (is_float(&new) && old.as_ref() != Some(&new)).then_some(Place::Tensor { name, slot, old })
}

/// Whether a node of one operator has other attributes than nested graphs, which hold folds of their own.
fn is_set_otherwise(old: &NodeProto, new: &NodeProto) -> bool {
    let is_nested = new.attribute.iter().any(|attribute| attribute.g.is_some());
    old.op_type == new.op_type && old.attribute != new.attribute && !is_nested
}

fn tensor(graph: &GraphProto, name: &str) -> Option<Tensor> {
    let stored = graph
        .initializer
        .iter()
        .find(|tensor| tensor.name() == name)?;
    Tensor::from_proto(stored).ok()
}

/// Makes the rewritten model with a slip at one place, or says why it does not apply.
pub(crate) type Slipped = Box<dyn Fn(&ModelProto, &ModelProto, &Changed) -> Made>;

/// Every slip at one place of the rewritten model.
pub(crate) fn slips(rewritten: &ModelProto, changed: &Changed) -> Vec<(String, Slipped)> {
    let Place::Tensor { slot, .. } = &changed.place else {
        return vec![(
            "attributes left as they were".to_owned(),
            Box::new(reverted),
        )];
    };
    let slips = SLIPS.iter().copied();
    let halves = is_recurrent(rewritten, changed.node()) && *slot == 3;
    let slips = slips.chain(halves.then_some(("in the recurrent half", in_other_half as Slip)));
    let named = slips.map(|(what, slip)| {
        let make: Slipped =
            Box::new(move |_, rewritten, changed| written(rewritten, changed, slip));
        (format!("{} {what}", changed.what), make)
    });
    named.collect()
}

fn written(rewritten: &ModelProto, changed: &Changed, slip: Slip) -> Made {
    let Place::Tensor { name, old, .. } = &changed.place else {
        return Err("it is no tensor");
    };
    let mut model = rewritten.clone();
    for stored in model
        .graph
        .iter_mut()
        .flat_map(|graph| &mut graph.initializer)
    {
        if stored.name() == name {
            *stored = slip(
                &Tensor::from_proto(stored).map_err(|_| "it is no plain tensor")?,
                old.as_ref(),
            )?
            .to_proto(name, Storage::Raw);
        }
    }
    Ok(model)
}

/// What was added to the input's half of the bias of a recurrent layer, added to the other half.
fn in_other_half(new: &Tensor, old: Option<&Tensor>) -> Result<Tensor, &'static str> {
    let mut wrong = new.clone();
    let before = |at: usize| old.map_or(0.0, |old| old.data[at]);
    let rows = new.shape[1];
    for at in 0..new.data.len() {
        let other = at - at % rows + (at % rows + rows / 2) % rows;
        wrong.data[at] = before(at) + (new.data[other] - before(other));
    }
    Ok(wrong)
}

fn is_recurrent(model: &ModelProto, node: &str) -> bool {
    let is_one = |other: &NodeProto| {
        other.name() == node && ["LSTM", "GRU", "RNN"].contains(&other.op_type())
    };
    model.graph.iter().flat_map(|graph| &graph.node).any(is_one)
}

fn reverted(original: &ModelProto, rewritten: &ModelProto, changed: &Changed) -> Made {
    let mut model = rewritten.clone();
    let find = |other: &&NodeProto| other.name() == changed.node();
    let old = original
        .graph
        .iter()
        .flat_map(|graph| &graph.node)
        .find(find);
    let old = old.ok_or("the node is new")?;
    for other in model.graph.iter_mut().flat_map(|graph| &mut graph.node) {
        if other.name() == changed.node() {
            other.attribute.clone_from(&old.attribute);
        }
    }
    Ok(model)
}

fn is_float(tensor: &Tensor) -> bool {
    let floats = [
        DataType::Float,
        DataType::Double,
        DataType::Float16,
        DataType::Bfloat16,
    ];
    floats.contains(&tensor.dtype)
}
