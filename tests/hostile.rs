//! Hostile files: each ends in one clear sentence or in a correct fold, within bounds of time and memory that are enforced.
//!
//! `BNFOLD_LONG=1` reads every prefix and 10,000 flipped bits of each of three models, and folds a million nodes.

#![cfg(unix)]
#![expect(
    clippy::print_stdout,
    reason = "what was measured or skipped is for its reader"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "hostile/bounds.rs"]
mod bounds;
#[path = "hostile/damage.rs"]
mod damage;
#[path = "hostile/data.rs"]
mod data;
#[expect(dead_code, reason = "shared between test files")]
#[path = "files/models.rs"]
mod models;
#[path = "hostile/names.rs"]
mod names;
#[path = "hostile/nesting.rs"]
mod nesting;
#[path = "hostile/numbers.rs"]
mod numbers;
#[path = "hostile/parts.rs"]
mod parts;
#[path = "hostile/size.rs"]
mod size;

/// Whether the long form is asked for.
fn is_long() -> bool {
    std::env::var_os("BNFOLD_LONG").is_some()
}
