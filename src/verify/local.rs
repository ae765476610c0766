//! Values that both graphs name, compared where they arise.
//!
//! Both models run side by side, and each wanted value of the first is compared with the second's.
//! Where the second run goes on with the first one's value, every difference is that of one fold,
//! whatever lies before it. Nothing is held longer than the two runs are apart.
//! What is found is filed in a `Table`.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, SyncSender};

use super::run::Comparing;
use super::slices::Table;
use crate::engine::{Observer, Place, Produced, Step, Tensor};

/// A value of one evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Scope and name.
    name: String,
    /// How often it was given, this time included.
    count: usize,
    place: Place,
}

/// Numbers the evaluations of the wanted values.
#[derive(Debug)]
struct Counter<'a> {
    wanted: &'a HashSet<String>,
    seen: HashMap<String, usize>,
}

impl<'a> Counter<'a> {
    fn new(wanted: &'a HashSet<String>) -> Counter<'a> {
        Counter {
            wanted,
            seen: HashMap::new(),
        }
    }

    fn key(&mut self, produced: &Produced<'_>) -> Option<Key> {
        if produced.place == Place::Given && !self.wanted.contains(produced.name) {
            return None;
        }
        let name = format!("{}{}", produced.scope, produced.name);
        let count = self.seen.entry(name.clone()).or_default();
        *count += 1;
        Some(Key {
            name,
            count: *count,
            place: produced.place,
        })
    }
}

/// A value on its way from the first run to the second.
#[derive(Debug)]
pub(super) struct Parcel {
    key: Key,
    node: String,
    tensor: Tensor,
}

/// Sends the wanted values of a run.
#[derive(Debug)]
pub(super) struct Sender<'a> {
    counter: Counter<'a>,
    channel: SyncSender<Parcel>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(wanted: &'a HashSet<String>, channel: SyncSender<Parcel>) -> Sender<'a> {
        Sender {
            counter: Counter::new(wanted),
            channel,
        }
    }
}

impl Observer for Sender<'_> {
    fn value(&mut self, produced: &Produced<'_>) -> Step {
        if let Some(key) = self.counter.key(produced) {
            let (node, tensor) = (produced.node.to_owned(), produced.tensor.clone());
            // The other run may have ended early; this one goes on for its outputs.
            let _ = self.channel.send(Parcel { key, node, tensor });
        }
        Step::Keep
    }
}

/// Compares the wanted values of a run with those sent by another.
#[derive(Debug)]
pub(super) struct Comparer<'a> {
    comparing: &'a Comparing<'a>,
    counter: Counter<'a>,
    channel: Receiver<Parcel>,
    waiting: HashMap<Key, Parcel>,
    table: &'a mut Table,
}

impl<'a> Comparer<'a> {
    pub(super) fn new(
        comparing: &'a Comparing<'a>,
        channel: Receiver<Parcel>,
        table: &'a mut Table,
    ) -> Comparer<'a> {
        let counter = Counter::new(comparing.wanted);
        Comparer {
            comparing,
            counter,
            channel,
            waiting: HashMap::new(),
            table,
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
            if key.place != Place::Given {
                self.table.unmatched.insert(key.name);
            }
            return Step::Keep;
        };
        let Comparing {
            sample,
            is_noise,
            is_forced,
            ..
        } = *self.comparing;
        let entry = self.table.entry(&key.name, &parcel.node);
        entry.is_doubtful |= key.place == Place::Stumble;
        entry.is_fixed = produced.is_fixed;
        entry.add(&parcel.tensor, produced.tensor, sample, is_noise);
        if is_forced && parcel.tensor.shape() == produced.tensor.shape() {
            Step::Replace(parcel.tensor)
        } else {
            Step::Keep
        }
    }
}

impl Drop for Comparer<'_> {
    /// What the first run showed at a gap and the second did not is noted.
    fn drop(&mut self) {
        let rest = self.waiting.drain().map(|(key, _)| key);
        let rest = rest.chain(self.channel.try_iter().map(|parcel| parcel.key));
        let borders = rest
            .filter(|key| key.place != Place::Given)
            .map(|key| key.name);
        self.table.unmatched.extend(borders);
    }
}
