//! What two models take and give: names, types and shapes, matched by name, else by position.

use crate::engine::{Dim, Port, Signature};

/// How the ports of two models correspond.
#[derive(Debug)]
pub(super) struct Matching {
    /// For each input of the original, the name of the rewritten model's.
    pub(super) inputs: Vec<String>,
    /// For each output of the original, the position of the rewritten model's.
    pub(super) outputs: Vec<usize>,
    pub(super) notes: Vec<String>,
}

/// Matches the ports, or says what cannot match.
pub(super) fn matching(original: &Signature, rewritten: &Signature) -> Result<Matching, String> {
    let mut notes = Vec::new();
    let inputs = positions("input", &original.inputs, &rewritten.inputs, &mut notes)?;
    let outputs = positions("output", &original.outputs, &rewritten.outputs, &mut notes)?;
    let name = |&position: &usize| rewritten.inputs.get(position).map(|port| port.name.clone());
    Ok(Matching {
        inputs: inputs.iter().filter_map(name).collect(),
        outputs,
        notes,
    })
}

fn positions(
    kind: &str,
    original: &[Port],
    rewritten: &[Port],
    notes: &mut Vec<String>,
) -> Result<Vec<usize>, String> {
    if original.len() != rewritten.len() {
        let (before, after) = (original.len(), rewritten.len());
        return Err(format!(
            "the original has {before} {kind}s, the rewritten model {after}"
        ));
    }
    let by_name = |port: &Port| rewritten.iter().position(|other| other.name == port.name);
    let matched: Option<Vec<usize>> = original.iter().map(by_name).collect();
    let positions = matched.unwrap_or_else(|| {
        notes.push(format!(
            "{kind}s are matched by position, because their names differ"
        ));
        (0..original.len()).collect()
    });
    for (port, other) in original
        .iter()
        .zip(positions.iter().filter_map(|&at| rewritten.get(at)))
    {
        if port.element != other.element || !may_agree(port, other) {
            return Err(format!(
                "{kind} {:?} is declared {} in the original and {} in the rewritten model",
                port.name,
                declared(port),
                declared(other)
            ));
        }
    }
    Ok(positions)
}

/// Whether declared shapes do not exclude each other; the shapes of the run are compared exactly.
fn may_agree(port: &Port, other: &Port) -> bool {
    let (Some(dims), Some(others)) = (&port.dims, &other.dims) else {
        return true;
    };
    let fits = |(dim, other): (&Dim, &Dim)| match (dim, other) {
        (Dim::Fixed(extent), Dim::Fixed(other)) => extent == other,
        _ => true,
    };
    dims.len() == others.len() && dims.iter().zip(others).all(fits)
}

fn declared(port: &Port) -> String {
    let element = port
        .element
        .map_or_else(|| "of unknown type".to_owned(), |e| e.to_string());
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(extent) => extent.to_string(),
        Dim::Symbol(name) => name.clone(),
        Dim::Unknown => "?".to_owned(),
    };
    match &port.dims {
        Some(dims) => format!(
            "{element}[{}]",
            dims.iter().map(dim).collect::<Vec<_>>().join(", ")
        ),
        None => element,
    }
}
