//! Values that both graphs name, compared where they arise.
//!
//! Both models run in float64, side by side. At each value to be compared the rewritten model goes on
//! with the original's value, so that every difference is that of one fold, whatever lies before it.
//! What is found is filed in a `Table`.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, SyncSender};

use super::slices::Table;
use crate::engine::{Observer, Produced, Step, Tensor};

/// A value of one evaluation: its scope and name, and how often it was given before.
type Key = (String, usize);

/// Numbers the evaluations of the wanted values.
#[derive(Debug)]
struct Counter<'a> {
    wanted: &'a HashSet<&'a str>,
    seen: HashMap<String, usize>,
}

impl<'a> Counter<'a> {
    fn new(wanted: &'a HashSet<&'a str>) -> Counter<'a> {
        Counter {
            wanted,
            seen: HashMap::new(),
        }
    }

    fn key(&mut self, produced: &Produced<'_>) -> Option<Key> {
        if !self.wanted.contains(produced.name) {
            return None;
        }
        let name = format!("{}{}", produced.scope, produced.name);
        let count = self.seen.entry(name.clone()).or_default();
        *count += 1;
        Some((name, *count))
    }
}

/// A value on its way from the original's run to the rewritten model's.
pub(super) struct Parcel {
    key: Key,
    node: String,
    tensor: Tensor,
}

/// Sends the wanted values of a run.
pub(super) struct Sender<'a> {
    counter: Counter<'a>,
    channel: SyncSender<Parcel>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(wanted: &'a HashSet<&'a str>, channel: SyncSender<Parcel>) -> Sender<'a> {
        Sender {
            counter: Counter::new(wanted),
            channel,
        }
    }
}

impl Observer for Sender<'_> {
    fn value(&mut self, produced: &Produced<'_>) -> Step {
        if let Some(key) = self.counter.key(produced) {
            let parcel = Parcel {
                key,
                node: produced.node.to_owned(),
                tensor: produced.tensor.clone(),
            };
            // The other run may have ended early; this one goes on for its outputs.
            let _ = self.channel.send(parcel);
        }
        Step::Keep
    }
}

/// Compares the wanted values of a run with those sent by another, and goes on with the latter.
pub(super) struct Comparer<'a> {
    counter: Counter<'a>,
    channel: Receiver<Parcel>,
    waiting: HashMap<Key, Parcel>,
    table: &'a mut Table,
    sample: usize,
    is_noise: bool,
}

impl<'a> Comparer<'a> {
    /// With `is_noise` the differences are filed as what perturbed weights do.
    pub(super) fn new(
        wanted: &'a HashSet<&'a str>,
        channel: Receiver<Parcel>,
        table: &'a mut Table,
        sample: usize,
        is_noise: bool,
    ) -> Comparer<'a> {
        let counter = Counter::new(wanted);
        Comparer {
            counter,
            channel,
            waiting: HashMap::new(),
            table,
            sample,
            is_noise,
        }
    }

    fn receive(&mut self, key: &Key) -> Option<Parcel> {
        if let Some(parcel) = self.waiting.remove(key) {
            return Some(parcel);
        }
        while let Ok(parcel) = self.channel.recv() {
            if parcel.key == *key {
                return Some(parcel);
            }
            self.waiting.insert(parcel.key.clone(), parcel);
        }
        None
    }
}

impl Observer for Comparer<'_> {
    fn value(&mut self, produced: &Produced<'_>) -> Step {
        let Some(key) = self.counter.key(produced) else {
            return Step::Keep;
        };
        let Some(parcel) = self.receive(&key) else {
            return Step::Keep;
        };
        let entry = self.table.entry(&key.0, &parcel.node);
        entry.add(&parcel.tensor, produced.tensor, self.sample, self.is_noise);
        if parcel.tensor.shape() == produced.tensor.shape() {
            Step::Replace(parcel.tensor)
        } else {
            Step::Keep
        }
    }
}
