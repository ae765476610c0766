//! Properties of any input: the bodies of the fuzz targets, each over plain bytes.
//!
//! A body does this crate's work on an input, for which [`Target::memory`] says how much it may hold at a time, and
//! leaves the comparison with other readers, which are wasteful, to what it gives back.
//! Both panic where the property does not hold; whoever runs them measures the first with an allocator that counts.
//! Fuzzers and tests run the same bodies over the same corpora.
//! Left out: files beside a model, and what verification runs, since that has a process of its own.

mod config;
mod fold;
mod npz;
mod plan_apply;
mod read;
mod sketch;
mod wire;

/// A property of any input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// This crate's work on an input; gives what is left to compare.
    pub run: Body,
    memory: Memory,
}

/// Works on an input, and gives what is left to compare.
pub type Body = fn(&[u8]) -> Rest<'_>;

/// A comparison; it panics if the property does not hold.
pub type Rest<'i> = Box<dyn FnOnce() + 'i>;

/// Nothing is left to compare.
fn nothing<'i>() -> Rest<'i> {
    Box::new(|| {})
}

/// Bytes that may be allocated at a time.
#[derive(Clone, Copy, Debug)]
struct Memory {
    base: usize,
    per_byte: usize,
}

impl Target {
    /// Bytes that a run on an input of `length` bytes may hold at a time.
    pub fn memory(&self, length: usize) -> usize {
        let Memory { base, per_byte } = self.memory;
        base.saturating_add(per_byte.saturating_mul(length))
    }
}

const fn target(name: &'static str, run: Body, (base, per_byte): (usize, usize)) -> Target {
    Target {
        name,
        run,
        memory: Memory { base, per_byte },
    }
}

const MIB: usize = 1 << 20;

/// Every target.
pub const TARGETS: [Target; 6] = [
    target("read", read::run, (MIB, 320)),
    target("fold", fold::run, (80 * MIB, 512)),
    target("plan_apply", plan_apply::run, (80 * MIB, 512)),
    target("wire", wire::run, (MIB, 320)),
    // Deflate packs at most 1032 bytes into one; elements are copied once more.
    target("npz", npz::run, (MIB, 4 * 1032)),
    target("config", config::run, (MIB, 512)),
];
