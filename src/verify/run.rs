//! Runs two models side by side on the same inputs, each on a thread of its own.

use std::collections::HashSet;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::local::{Comparer, Sender};
use super::slices::Table;
use super::verdict::Side;
use crate::engine::{Engine, EngineError, ModelBytes, NoObserver, Precision, Session, Tensor};

/// Named tensors, inputs or outputs.
pub(super) type Named = Vec<(String, Tensor)>;

/// A failure and whose it is.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) side: Side,
    pub(super) error: EngineError,
}

fn on(side: Side) -> impl FnOnce(EngineError) -> Failed {
    move |error| Failed { side, error }
}

/// A model pair, loaded in one precision.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) original: Box<dyn Session>,
    pub(super) rewritten: Box<dyn Session>,
}

/// How many values may wait between the two runs.
const WAITING: usize = 2;

impl Pair {
    pub(super) fn load(
        engine: &dyn Engine,
        original: ModelBytes<'_>,
        rewritten: ModelBytes<'_>,
        precision: Precision,
    ) -> Result<Pair, Failed> {
        let (first, second) = both(
            || engine.load(original, precision),
            || engine.load(rewritten, precision),
        );
        Ok(Pair {
            original: first.map_err(on(Side::Original))?,
            rewritten: second.map_err(on(Side::Rewritten))?,
        })
    }

    /// Both models on the same inputs.
    pub(super) fn run(&mut self, inputs: [&Named; 2]) -> Result<(Named, Named), Failed> {
        let Pair {
            original,
            rewritten,
        } = self;
        let (first, second) = both(
            || original.run(inputs[0], &mut NoObserver),
            || rewritten.run(inputs[1], &mut NoObserver),
        );
        Ok((
            first.map_err(on(Side::Original))?,
            second.map_err(on(Side::Rewritten))?,
        ))
    }

    /// Both models, compared at the wanted values and going on from the original's.
    pub(super) fn run_compared(
        &mut self,
        inputs: [&Named; 2],
        wanted: &HashSet<&str>,
        table: &mut Table,
        sample: usize,
    ) -> Result<(Named, Named), Failed> {
        let Pair {
            original,
            rewritten,
        } = self;
        compared(
            [original, rewritten],
            inputs,
            wanted,
            table,
            (sample, false),
        )
    }
}

/// The first session's values flow to the second, which is compared with them.
pub(super) fn compared(
    [first, second]: [&mut Box<dyn Session>; 2],
    inputs: [&Named; 2],
    wanted: &HashSet<&str>,
    table: &mut Table,
    (sample, is_noise): (usize, bool),
) -> Result<(Named, Named), Failed> {
    let (send, receive) = sync_channel(WAITING);
    let (first, second) = both(
        || {
            let mut sender = Sender::new(wanted, send);
            first.run(inputs[0], &mut sender)
        },
        || {
            let mut comparer = Comparer::new(wanted, receive, table, sample, is_noise);
            second.run(inputs[1], &mut comparer)
        },
    );
    Ok((
        first.map_err(on(Side::Original))?,
        second.map_err(on(Side::Rewritten))?,
    ))
}

/// Two pieces of work on two threads; a panic in one is passed on.
fn both<A: Send, B: Send>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        match second.join() {
            Ok(second) => (first, second),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
