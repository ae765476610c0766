//! Recipes as proptest draws them, and makes them smaller.

use bnfold::testing::DataType;
use bnfold::testing::random::{Options, Recipe};
use proptest::prelude::*;

/// Mostly small graphs, some of up to 200 nodes.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 5..=30usize, 6 => 31..=60usize, 1 => 61..=200usize]
}

/// The version that came out with the opset, one below 4, or one that is newer.
fn ir_versions() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![6 => Just(None), 1 => Just(Some(3)), 1 => Just(Some(10))]
}

/// Any recipe. In float64 a wrong fold cannot hide behind rounding, so half of them have that type.
pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let settings = (
        any::<u64>().no_shrink(),
        (7..=24i64).no_shrink(),
        ir_versions(),
        (0..24u32).no_shrink(),
        any::<bool>(),
    );
    let steps = sizes().prop_flat_map(|nodes| {
        let steps = prop::collection::vec(any::<u64>().no_shrink(), 1..=nodes);
        (Just(nodes), steps)
    });
    (settings, steps).prop_map(|(settings, (nodes, steps))| {
        let (seed, opset, ir_version, number, overridable) = settings;
        let dtype = match number {
            0..8 => Recipe::usual_type(number, opset),
            8..12 => Recipe::usual_type(2, opset),
            _ => DataType::Double,
        };
        let options = Options {
            overridable,
            batch_norms: 0.45,
            ..Options::default()
        };
        Recipe {
            seed,
            opset,
            ir_version,
            dtype,
            options,
            nodes,
            steps,
        }
    })
}
