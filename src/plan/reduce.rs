//! Reduction (`--reduce`): a BN whose scale can go but whose shift cannot becomes one Add.
//!
//! Upstream `s·x + t`: the scale goes into what produces `x`, the Add takes `t`.
//! Downstream `s·x + t = s·(x + t/s)`: the Add takes `t/s`, the scale goes on, as through `Relu(s·u) = s·Relu(u)`.

use super::downstream::compensated;
use super::upstream::{Demand, Readers, demanded};
use super::{Found, Way};
use crate::affine::{Affine, zip};
use crate::graph::{Effect, Graph, NodeId};
use crate::rules::carrier::operand::trimmed;
use crate::rules::{Code, Refusal, refuse};

/// Makes a BN an Add.
///
/// # Errors
/// If the scale can go neither way.
pub(super) fn search(graph: &Graph<'_>, seed: NodeId, affine: &Affine) -> Result<Found, Refusal> {
    let op = &*graph.node(seed).op;
    if op != "BatchNormalization" {
        return Err(refuse(
            graph,
            seed,
            Code::Nonlinear,
            format!("{op} is no BatchNormalization"),
        ));
    }
    let Some(output) = graph.output(seed, 0) else {
        return Err(refuse(graph, seed, Code::Nonlinear, "it has no output"));
    };
    let (way, mut found) = match demanded(
        graph,
        Demand {
            node: seed,
            slot: 0,
            affine: affine.without_shift(),
        },
        Readers::Refused,
    ) {
        Ok(found) => (Way::Upstream, found),
        Err(_) if affine.scale().iter().any(|&s| s == 0.0) => {
            return Err(refuse(
                graph,
                seed,
                Code::Degenerate,
                "a scale of zero cannot be divided out",
            ));
        }
        Err(_) => (
            Way::Downstream,
            compensated(graph, seed, &affine.without_shift())?,
        ),
    };
    let shift = match way {
        Way::Upstream => affine.shift().clone(),
        _ => zip(affine.shift(), affine.scale(), |t, s| t / s),
    };
    if way == Way::Upstream {
        found.ends.push(output);
    }
    found.effects.push(Effect::BecomeAdd {
        node: seed,
        shift: trimmed(&shift, 0),
    });
    Ok(found)
}
