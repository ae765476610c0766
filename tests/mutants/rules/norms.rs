//! Normalizations, which end in a scale and a shift of their own.

use super::super::case::{Case, case};
use super::{alike, barrier};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(&["BatchNormalization upstream"], "behind another", |g| {
            let x = barrier(g, &[2, 4, 5, 5]).batch_norm().batch_norm();
            x.negative_scales().leaky_relu(0.1).output("y")
        }),
        case(&["BatchNormalization downstream"], "behind a factor", |g| {
            let x = barrier(g, &[2, 4, 5, 5]).mul(g.weight("c", [4, 1, 1]));
            x.batch_norm().leaky_relu(0.1).output("y")
        }),
        case(&["InstanceNormalization upstream"], "per channel", |g| {
            g.input("x", [2, 4, 5, 5])
                .instance_norm()
                .batch_norm()
                .leaky_relu(0.1)
                .output("y")
        }),
        case(
            &["GroupNormalization upstream"],
            "per channel (opset 21)",
            |g| {
                g.opset(21);
                g.input("x", [2, 4, 5, 5])
                    .group_norm(2)
                    .batch_norm()
                    .leaky_relu(0.1)
                    .output("y")
            },
        )
        .blocks(2),
        case(
            &["GroupNormalization upstream"],
            "per group (opset 18)",
            |g| {
                g.opset(18);
                alike(&g.input("x", [2, 4, 5, 5]).group_norm(2), |c| c / 2)
                    .leaky_relu(0.1)
                    .output("y")
            },
        ),
        case(
            &["LayerNormalization upstream"],
            "over the last axis",
            |g| {
                let x = g.input("x", [2, 5, 4]).layer_norm().transpose([0, 2, 1]);
                x.batch_norm().leaky_relu(0.1).output("y")
            },
        ),
    ]
}
