//! Any text is a `bnfold.toml` that says what a policy can hold, or an error that names a line of it.

use super::{Rest, nothing};
use crate::check::Config;

pub(super) fn run(input: &[u8]) -> Rest<'_> {
    let Ok(text) = std::str::from_utf8(input) else {
        return nothing();
    };
    match Config::parse(text) {
        Ok(config) => {
            let bounds = config.policy.bounds;
            assert!(bounds.scale > 0.0 && bounds.growth > 0.0, "{bounds:?}");
        }
        Err(error) => {
            let lines = text.matches('\n').count() + 1;
            assert!((1..=lines).contains(&error.line), "{error} of {lines}");
            assert!(!error.message.contains('\n'), "{error}");
        }
    }
    nothing()
}
