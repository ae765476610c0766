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

/// Why two models' ports do not correspond, in words.
#[derive(Debug)]
pub(super) enum Mismatch {
    /// The same inputs do not suit both, or they give other numbers of outputs.
    Incomparable(String),
    /// An output is declared of another type or shape.
    Different(String),
}

/// Matches the ports, or says what cannot match.
pub(super) fn matching(original: &Signature, rewritten: &Signature) -> Result<Matching, Mismatch> {
    let mut notes = Vec::new();
    let inputs = positions("input", &original.inputs, &rewritten.inputs, &mut notes)
        .map_err(Mismatch::Incomparable)?;
    check("input", &original.inputs, &rewritten.inputs, &inputs).map_err(Mismatch::Incomparable)?;
    let outputs = positions("output", &original.outputs, &rewritten.outputs, &mut notes)
        .map_err(Mismatch::Incomparable)?;
    check("output", &original.outputs, &rewritten.outputs, &outputs)
        .map_err(Mismatch::Different)?;
    let name = |&position: &usize| rewritten.inputs.get(position).map(|port| port.name.clone());
    Ok(Matching {
        inputs: inputs.iter().filter_map(name).collect(),
        outputs,
        notes,
    })
}

/// For each port of the original, where its counterpart is: of the same name, else the next of the rest.
fn positions(
    kind: &str,
    original: &[Port],
    rewritten: &[Port],
    notes: &mut Vec<String>,
) -> Result<Vec<usize>, String> {
    if original.len() != rewritten.len() {
        return Err(format!(
            "the original has {} and the rewritten model {}",
            listed(kind, original),
            listed(kind, rewritten)
        ));
    }
    let by_name = |port: &Port| rewritten.iter().position(|other| other.name == port.name);
    let named: Vec<Option<usize>> = original.iter().map(by_name).collect();
    let mut rest = (0..rewritten.len()).filter(|at| !named.contains(&Some(*at)));
    let places = named.iter().map(|at| at.or_else(|| rest.next()));
    let positions: Vec<usize> = places.collect::<Option<_>>().unwrap_or_default();
    let renamed = original.iter().zip(&positions).zip(&named);
    let renamed = renamed.filter(|(_, by_name)| by_name.is_none());
    let pairs = renamed.filter_map(|((port, &at), _)| {
        Some(format!(
            "{:?} with {:?}",
            port.name,
            rewritten.get(at)?.name
        ))
    });
    let pairs: Vec<String> = pairs.collect();
    if !pairs.is_empty() {
        notes.push(format!(
            "{kind}s are matched by position where their names differ: {}",
            pairs.join(", ")
        ));
    }
    Ok(positions)
}

fn listed(kind: &str, ports: &[Port]) -> String {
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    let plural = if ports.len() == 1 { "" } else { "s" };
    format!("{} {kind}{plural} {names:?}", ports.len())
}

/// Types and declared extents of the ports that correspond.
fn check(
    kind: &str,
    original: &[Port],
    rewritten: &[Port],
    positions: &[usize],
) -> Result<(), String> {
    let others = positions.iter().filter_map(|&at| rewritten.get(at));
    for (port, other) in original.iter().zip(others) {
        if port.element != other.element || !may_agree(port, other) {
            return Err(format!(
                "{kind} {:?} is declared {} in the original and {} in the rewritten model",
                port.name,
                declared(port),
                declared(other)
            ));
        }
    }
    Ok(())
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
