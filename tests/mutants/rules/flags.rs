//! Siblings, and the ways behind flags.

use super::super::case::{Case, case};
use super::{barrier, pointwise};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = siblings();
    cases.extend(ways());
    cases
}

fn siblings() -> Vec<Case> {
    let mut cases = Vec::new();
    for group in [1i64, 2] {
        cases.push(
            case(
                &["Sibling"],
                format!("a RepVGG block in {group} group(s)"),
                |g| {
                    let x = g.input("x", [1, 4, 6, 6]).relu();
                    let a = x
                        .conv(4)
                        .group(group)
                        .pads([1, 1, 1, 1])
                        .batch_norm()
                        .negative_scales();
                    let b = x.conv(4).group(group).kernel([1, 1]).batch_norm();
                    let c = x.batch_norm().negative_scales();
                    a.add(&b).add(&c).leaky_relu(0.1).output("y")
                },
            )
            .blocks(if group == 1 { 0 } else { 2 }),
        );
    }
    cases.push(
        case(&["Sibling"], "a bare branch", |g| {
            let x = g.input("x", [1, 4, 6, 6]).relu();
            let a = x.conv(4).pads([1, 1, 1, 1]).add(&x);
            a.batch_norm().negative_scales().leaky_relu(0.1).output("y")
        })
        .equivalent("centre tap two channels swapped", "every tap is one")
        .equivalent("centre tap moved by one channel", "every tap is one"),
    );
    cases.push(case(&["Sibling"], "a difference", |g| {
        let x = g.input("x", [1, 4, 6, 6]).relu();
        x.conv(4)
            .pads([1, 1, 1, 1])
            .sub(x.batch_norm())
            .leaky_relu(0.1)
            .output("y")
    }));
    cases
}

fn ways() -> Vec<Case> {
    vec![
        case(&["Reduction"], "the scale goes downstream", |g| {
            let x = barrier(g, &[1, 4, 6, 6]).batch_norm().leaky_relu(0.1);
            x.conv(5).pads([1, 1, 1, 1]).output("y")
        })
        .options(|options| options.reduce = true),
        case(&["Reduction"], "the scale goes upstream", |g| {
            let x = g.input("x", [1, 4, 6, 6]).conv(5).relu().batch_norm();
            x.sigmoid().output("y")
        })
        .options(|options| options.reduce = true),
        case(&["Compensation"], "another reader", |g| {
            let x = g.input("x", [1, 4, 6, 6]).conv(5);
            pointwise(&x).output("z");
            x.batch_norm().leaky_relu(0.1).output("y")
        })
        .options(|options| options.compensate = true),
        case(&["Merge"], "two branches and a bare one", |g| {
            let x = g.input("x", [1, 4, 6, 6]).relu();
            let a = x.conv(4).pads([1, 1, 1, 1]).batch_norm().negative_scales();
            let b = x.conv(4).kernel([1, 1]).bias().batch_norm();
            a.add(&b).sub(x.batch_norm()).leaky_relu(0.1).output("y")
        })
        .options(|options| options.merge_branches = true),
        case(&["Merge"], "in groups", |g| {
            let x = g.input("x", [1, 4, 6, 6]).relu();
            let a = x.conv(4).group(2).pads([1, 1, 1, 1]);
            a.sub(x.conv(4).group(2).kernel([1, 1]).bias())
                .leaky_relu(0.1)
                .output("y")
        })
        .options(|options| options.merge_branches = true)
        .blocks(2),
    ]
}
