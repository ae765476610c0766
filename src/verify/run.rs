//! Runs two models side by side on the same inputs, each on a thread of its own.

use std::collections::HashSet;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::border::{Border, Filling};
use super::local::{Comparer, Sender};
use super::slices::Table;
use super::verdict::Side;
use crate::engine::{Engine, EngineError, ModelBytes, NoObserver, Observer, Session, Tensor};

/// Named tensors.
pub(super) type Named = Vec<(String, Tensor)>;

/// Outputs; `None` where a partial run does not reach one.
pub(super) type Outputs = Vec<Option<Tensor>>;

/// A failure and whose it is.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) side: Side,
    pub(super) error: EngineError,
}

fn on(side: Side) -> impl FnOnce(EngineError) -> Failed {
    move |error| Failed { side, error }
}

/// A model pair in one precision.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) original: Box<dyn Session>,
    pub(super) rewritten: Box<dyn Session>,
}

/// Which values two runs are compared at, and how.
#[derive(Debug)]
pub(super) struct Comparing<'a> {
    /// Names of the values.
    pub(super) wanted: &'a HashSet<String>,
    /// Whether the second run goes on with the first one's values.
    pub(super) is_forced: bool,
    /// Whether differences are filed as what perturbed weights do.
    pub(super) is_noise: bool,
    pub(super) sample: usize,
    pub(super) border: Option<&'a Border>,
    /// Whether bodies that a sample does not enter are run as well; needs a border.
    pub(super) explores: bool,
}

/// How many values may wait between the two runs.
const WAITING: usize = 2;

impl Pair {
    /// Both models in their own types, and both in float64.
    pub(super) fn load(
        engine: &dyn Engine,
        [original, rewritten]: [ModelBytes<'_>; 2],
    ) -> Result<[Pair; 2], Failed> {
        let (first, second) = both(
            || engine.load_both(original),
            || engine.load_both(rewritten),
        );
        let [plain, truth] = first.map_err(on(Side::Original))?;
        let [other, other_truth] = second.map_err(on(Side::Rewritten))?;
        let pair = |original, rewritten| Pair {
            original,
            rewritten,
        };
        Ok([pair(plain, other), pair(truth, other_truth)])
    }

    /// What a reader should know of how either model is run.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.original.notes();
        let others = self.rewritten.notes().into_iter();
        let others: Vec<String> = others.filter(|note| !notes.contains(note)).collect();
        notes.extend(others);
        notes
    }

    /// Both models on the same inputs.
    ///
    /// A partial run of the original comes first, because it decides the shapes at the gaps.
    pub(super) fn run(
        &mut self,
        inputs: [&Named; 2],
        border: Option<&Border>,
    ) -> Result<(Outputs, Outputs), Failed> {
        let Pair {
            original,
            rewritten,
        } = self;
        let mut first = || {
            run(
                original,
                inputs[0],
                (NoObserver, Side::Original),
                (border, false),
            )
        };
        let mut second = || {
            run(
                rewritten,
                inputs[1],
                (NoObserver, Side::Rewritten),
                (border, false),
            )
        };
        let (first, second) = match border {
            Some(border) => {
                border.restart();
                (first(), second())
            }
            None => both(first, second),
        };
        Ok((
            first.map_err(on(Side::Original))?,
            second.map_err(on(Side::Rewritten))?,
        ))
    }

    /// Both models, compared at the wanted values.
    pub(super) fn run_compared(
        &mut self,
        inputs: [&Named; 2],
        comparing: &Comparing<'_>,
        table: &mut Table,
    ) -> Result<(Outputs, Outputs), Failed> {
        compared(
            [&mut self.original, &mut self.rewritten],
            inputs,
            comparing,
            table,
        )
    }
}

/// The first session's values flow to the second, which is compared with them.
///
/// Where there may be gaps, the first runs alone before, because it decides what is missing.
pub(super) fn compared(
    [first, second]: [&mut Box<dyn Session>; 2],
    inputs: [&Named; 2],
    comparing: &Comparing<'_>,
    table: &mut Table,
) -> Result<(Outputs, Outputs), Failed> {
    let (send, receive) = sync_channel(WAITING);
    let gaps = (comparing.border, comparing.explores);
    if let Some(border) = comparing.border {
        border.restart();
        let alone = (NoObserver, Side::Original);
        run(first, inputs[0], alone, gaps).map_err(on(Side::Original))?;
    }
    let (first, second) = both(
        || {
            let sender = Sender::new(comparing.wanted, send);
            run(first, inputs[0], (sender, Side::Original), gaps)
        },
        || {
            let comparer = Comparer::new(comparing, receive, table);
            run(second, inputs[1], (comparer, Side::Rewritten), gaps)
        },
    );
    Ok((
        first.map_err(on(Side::Original))?,
        second.map_err(on(Side::Rewritten))?,
    ))
}

fn run(
    session: &mut Box<dyn Session>,
    inputs: &Named,
    (inner, side): (impl Observer, Side),
    (border, explores): (Option<&Border>, bool),
) -> Result<Outputs, EngineError> {
    let mut observer = Filling {
        inner,
        side,
        border,
        explores,
    };
    if border.is_some() {
        let outputs = session.run_partial(inputs, &mut observer)?;
        return Ok(outputs.into_iter().map(|(_, tensor)| tensor).collect());
    }
    let outputs = session.run(inputs, &mut observer)?;
    Ok(outputs
        .into_iter()
        .map(|(_, tensor)| Some(tensor))
        .collect())
}

/// Two pieces of work on two threads; a panic in one is passed on.
fn both<A: Send, B: Send>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    thread::scope(|scope| {
        let second = scope.spawn(|| alone(second));
        let first = alone(first);
        match second.join() {
            Ok(second) => (first, second),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Work that stays on one thread: kernels that hand parts to others would wait for those of the other run.
fn alone<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}
