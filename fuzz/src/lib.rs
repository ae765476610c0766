//! Runs a fuzz target and measures what it allocates.

use bnfold::testing::fuzz::TARGETS;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs the target of this name on an input, and gives the bytes that its work held at a time.
///
/// # Panics
/// If the target's property does not hold, or it held more than it may.
#[allow(unreachable_pub, reason = "a test includes this file")]
pub fn run(name: &str, input: &[u8]) -> usize {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target of this name");
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let rest = (target.run)(input);
    let held = ALLOCATOR.peak_usage().saturating_sub(before);
    let (length, allowed) = (input.len(), target.memory(input.len()));
    assert!(
        held <= allowed,
        "{name}: an input of {length} bytes made it hold {held} bytes at a time, {allowed} are allowed"
    );
    rest();
    held
}
