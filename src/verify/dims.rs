//! Extents for symbolic dimensions.
//!
//! Equal names get equal extents; an unnamed dimension is called `INPUT.AXIS`.
//! What the caller does not give and the weights do not settle is tried in turn, small first: the first
//! axis of an input as a batch, the others as lengths.

use std::collections::BTreeMap;

use super::data::fits;
use super::draw::Draw;
use crate::engine::{Dim, Port, Signature};

/// Extents to try, in order: (batch, length).
const CANDIDATES: [(usize, usize); 14] = [
    (2, 8),
    (2, 16),
    (2, 32),
    (2, 64),
    (2, 128),
    (2, 224),
    (2, 256),
    (1, 8),
    (1, 32),
    (1, 224),
    (2, 4),
    (2, 1),
    (1, 1),
    (1, 512),
];

/// Extents of all symbolic dimensions.
pub(crate) type Binding = BTreeMap<String, usize>;

/// The name that a dimension is bound under; `None` if it is a number.
fn symbol(port: &Port, axis: usize, dim: &Dim) -> Option<String> {
    match dim {
        Dim::Fixed(_) => None,
        Dim::Symbol(name) => Some(name.clone()),
        Dim::Unknown => Some(format!("{}.{axis}", port.name)),
    }
}

/// The extents that the caller gives, and those of values that he gives for inputs.
///
/// `Err` says which dimension no input has, which value does not fit, or what contradicts what.
pub(super) fn settled(
    signature: &Signature,
    given: &BTreeMap<String, usize>,
    draws: &BTreeMap<String, Draw>,
) -> Result<Binding, String> {
    let mut names: Vec<String> = Vec::new();
    let mut settled = given.clone();
    for port in &signature.inputs {
        let value = match draws.get(&port.name) {
            Some(Draw::Value(value)) => Some(value),
            _ => None,
        };
        let fit = value.map_or(Ok(()), |value| fits(port, value));
        fit.map_err(|what| format!("input {:?} {what}", port.name))?;
        for (axis, dim) in port.dims.iter().flatten().enumerate() {
            let Some(name) = symbol(port, axis, dim) else {
                continue;
            };
            let extent = value.and_then(|value| value.shape().get(axis));
            if let Some(&extent) = extent
                && let Some(other) = settled.insert(name.clone(), extent)
                && other != extent
            {
                return Err(format!(
                    "dimension {name:?} is {other} and {extent} at once"
                ));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    match given.keys().find(|name| !names.contains(name)) {
        Some(stranger) => Err(format!(
            "there is no symbolic dimension {stranger:?}; the model's are {names:?}"
        )),
        None => Ok(settled),
    }
}

/// Bindings to try: one if nothing is open.
pub(super) fn candidates(signature: &Signature, given: &BTreeMap<String, usize>) -> Vec<Binding> {
    // Whether each open symbol is a batch: it stands first in some input.
    let mut open: BTreeMap<String, bool> = BTreeMap::new();
    let mut fixed = Binding::new();
    for port in &signature.inputs {
        for (axis, dim) in port.dims.iter().flatten().enumerate() {
            let Some(name) = symbol(port, axis, dim) else {
                continue;
            };
            let settled = signature.settled.get(&port.name).into_iter().flatten();
            let mut settled = settled
                .filter(|(at, _)| *at == axis)
                .map(|(_, extent)| *extent);
            // An exporter may write a number as a name.
            let named = || name.parse().ok().filter(|&extent| extent > 0);
            let known = given.get(&name).copied();
            match known.or_else(|| settled.next()).or_else(named) {
                Some(extent) => {
                    fixed.insert(name, extent);
                }
                None => *open.entry(name).or_default() |= axis == 0,
            }
        }
    }
    open.retain(|name, _| !fixed.contains_key(name));
    if open.is_empty() {
        return vec![fixed];
    }
    let mut bindings: Vec<Binding> = Vec::new();
    for (batch, length) in CANDIDATES {
        let mut binding = fixed.clone();
        binding.extend(
            open.iter()
                .map(|(name, &is_batch)| (name.clone(), if is_batch { batch } else { length })),
        );
        if !bindings.contains(&binding) {
            bindings.push(binding);
        }
    }
    bindings
}

/// An input's extents under a binding; `None` if the model gives it no rank.
pub(super) fn shape(port: &Port, binding: &Binding) -> Option<Vec<usize>> {
    let dims = port.dims.as_ref()?;
    let extent = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Fixed(extent) => Some(*extent),
        other => binding.get(&symbol(port, axis, other)?).copied(),
    };
    dims.iter().enumerate().map(extent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dims: Vec<Dim>) -> Port {
        Port {
            name: name.to_owned(),
            element: None,
            dims: Some(dims),
        }
    }

    fn symbolic(name: &str) -> Dim {
        Dim::Symbol(name.to_owned())
    }

    #[test]
    fn equal_names_are_equal_extents_and_given_ones_hold() {
        let signature = Signature {
            inputs: vec![
                port("a", vec![symbolic("n"), Dim::Fixed(3), symbolic("t")]),
                port("b", vec![symbolic("t"), Dim::Unknown]),
            ],
            ..Signature::default()
        };
        let given = BTreeMap::from([("b.1".to_owned(), 77)]);
        let bindings = candidates(&signature, &given);
        assert!(bindings.len() > 1);
        for binding in &bindings {
            let a = shape(&signature.inputs[0], binding).unwrap();
            let b = shape(&signature.inputs[1], binding).unwrap();
            assert_eq!((a[1], b[1]), (3, 77));
            assert_eq!(a[2], b[0]);
        }
    }

    #[test]
    fn weights_settle_an_extent_wherever_its_name_stands() {
        let signature = Signature {
            inputs: vec![
                port("a", vec![symbolic("n"), symbolic("c")]),
                port("b", vec![symbolic("n"), symbolic("c"), symbolic("7")]),
            ],
            settled: [("b".to_owned(), vec![(1, 3)])].into(),
            ..Signature::default()
        };
        for binding in candidates(&signature, &BTreeMap::new()) {
            let shapes = signature.inputs.iter().map(|port| shape(port, &binding));
            let shapes: Vec<Vec<usize>> = shapes.map(Option::unwrap).collect();
            assert_eq!((shapes[0][1], &shapes[1][1..]), (3, &[3, 7][..]));
        }
        let given = BTreeMap::from([("c".to_owned(), 5)]);
        let bindings = candidates(&signature, &given);
        assert!(bindings.iter().all(|binding| binding["c"] == 5));
    }

    #[test]
    fn a_fixed_model_has_one_binding_and_a_rankless_input_no_shape() {
        let fixed = port("a", vec![Dim::Fixed(2)]);
        let signature = Signature {
            inputs: vec![fixed],
            ..Signature::default()
        };
        assert_eq!(candidates(&signature, &BTreeMap::new()), [Binding::new()]);
        let rankless = Port {
            name: "x".to_owned(),
            element: None,
            dims: None,
        };
        assert_eq!(shape(&rankless, &Binding::new()), None);
    }
}
