//! One pass over the data: the model runs on every mini-batch, and what enters each probed BN is gathered.

use std::collections::{HashMap, HashSet};

use ndarray::{ArrayView, IxDyn};

use super::batches::Batching;
use super::levels::holders;
use super::select::Site;
use super::{CalibrateError, Options, Tick};
use crate::apply::inference::{Settled, probed};
use crate::batch_norm::{BatchNormError, Moments};
use crate::engine::{
    BuiltIn, Element, Engine, EngineError, ModelBytes, Observer, Precision, Produced, Session,
    Step, Tensor,
};
use crate::graph::{Graph, NodeId};
use crate::onnx::model::Name;
use crate::onnx::{ReadOptions, model::Model};
use crate::verify::data::Source;

/// What a pass has seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// What entered each site of the group, in the group's order.
    pub(super) moments: Vec<Moments>,
    pub(super) rows: u64,
    pub(super) batches: u64,
    pub(super) left_over: u64,
}

/// What a pass works on.
pub(super) struct Pass<'a, 'm> {
    pub(super) graph: &'a Graph<'m>,
    pub(super) data: &'a [Source],
    pub(super) options: &'a Options,
    /// Where the pass stands among all.
    pub(super) tick: Tick,
}

impl Pass<'_, '_> {
    /// Measures a group of sites behind those that are settled already.
    pub(super) fn run(
        mut self,
        settled: &[Settled],
        group: &[&Site],
        watch: &mut dyn FnMut(Tick),
    ) -> Result<Seen, CalibrateError> {
        let nodes: Vec<NodeId> = group.iter().map(|site| site.node).collect();
        let (edits, names) = probed(self.graph, settled, &nodes)?;
        let mut session = load(&edits, self.options)?;
        let ports = &session.signature().inputs;
        let batching = Batching::new(ports, self.options.batch_size, super::BATCH_SIZE)?;
        let mut gather = Gather::new(self.graph, group, &names);
        let mut seen = Seen {
            moments: Vec::new(),
            rows: 0,
            batches: 0,
            left_over: 0,
        };
        for source in self.data {
            let sample = source.read()?;
            let cut = batching.cut(&sample)?;
            for inputs in cut.batches() {
                gather.remaining = gather.awaited.clone();
                let outcome = session.run(&inputs, &mut gather);
                ended(outcome, &sample.origin.display().to_string())?;
                gather.check(self.graph, group)?;
                seen.batches += 1;
            }
            seen.rows += cut.n_rows() as u64;
            seen.left_over += cut.left_over as u64;
            self.tick.source += 1;
            watch(self.tick);
        }
        let gathered = gather.moments.into_iter();
        seen.moments = gathered
            .map(|moments| moments.unwrap_or_else(|| Moments::empty(0)))
            .collect();
        Ok(seen)
    }
}

fn load(
    edits: &crate::onnx::Edits<'_>,
    options: &Options,
) -> Result<Box<dyn Session>, CalibrateError> {
    let edited = Model::edited(
        edits,
        &ReadOptions {
            verify_checksums: false,
            ..ReadOptions::default()
        },
    )?;
    let engine = BuiltIn {
        budget: options.budget,
    };
    let bytes = ModelBytes {
        bytes: edited.memory().unwrap_or_default(),
        directory: edited.directory(),
    };
    engine
        .load(bytes, Precision::Declared)
        .map_err(CalibrateError::Load)
}

/// A run that was stopped has shown what it was to show.
fn ended(
    outcome: Result<Vec<(String, Tensor)>, EngineError>,
    origin: &str,
) -> Result<(), CalibrateError> {
    match outcome {
        Ok(_) | Err(EngineError::Stopped) => Ok(()),
        Err(EngineError::UnsupportedOperator { operator, node, .. }) => {
            Err(CalibrateError::Operator { operator, node })
        }
        Err(error) => Err(CalibrateError::Run {
            origin: origin.to_owned(),
            error,
        }),
    }
}

/// Gathers moments at the probes, and ends a run once all of them were passed.
struct Gather {
    probes: HashMap<String, usize>,
    is_spatial: Vec<bool>,
    moments: Vec<Option<Moments>>,
    fault: Option<(usize, BatchNormError)>,
    /// Values of the main graph after which a run has nothing more to show; empty if that cannot be told.
    awaited: HashSet<String>,
    remaining: HashSet<String>,
}

impl Gather {
    fn new(graph: &Graph<'_>, group: &[&Site], names: &[Name]) -> Gather {
        let mut awaited = Some(HashSet::new());
        for (site, name) in group.iter().zip(names) {
            for holder in holders(graph, site.node) {
                let end = match holder == site.node {
                    true => Some(name.to_string()),
                    false => first_output(graph, holder),
                };
                match (end, &mut awaited) {
                    (Some(end), Some(awaited)) => drop(awaited.insert(end)),
                    _ => awaited = None,
                }
            }
        }
        Gather {
            probes: names.iter().map(ToString::to_string).zip(0..).collect(),
            is_spatial: group.iter().map(|site| site.kernel.spatial).collect(),
            moments: vec![None; group.len()],
            fault: None,
            awaited: awaited.unwrap_or_default(),
            remaining: HashSet::new(),
        }
    }

    fn check(&mut self, graph: &Graph<'_>, group: &[&Site]) -> Result<(), CalibrateError> {
        match self.fault.take() {
            None => Ok(()),
            Some((site, error)) => {
                let label = graph.label(group[site].node);
                Err(CalibrateError::node(label, error.to_string()))
            }
        }
    }

    fn add(&mut self, site: usize, x: &Tensor) -> Result<(), BatchNormError> {
        let is_spatial = self.is_spatial[site];
        let moments = match x.elements::<f32>() {
            Some(elements) => of(x, elements, is_spatial)?,
            None => of(x, x.elements::<f64>().unwrap_or_default(), is_spatial)?,
        };
        match &mut self.moments[site] {
            Some(known) => known.merge(&moments),
            unseen => {
                *unseen = Some(moments);
                Ok(())
            }
        }
    }
}

fn of<T: Element + crate::batch_norm::Element>(
    x: &Tensor,
    elements: &[T],
    is_spatial: bool,
) -> Result<Moments, BatchNormError> {
    match ArrayView::from_shape(IxDyn(x.shape()), elements) {
        Ok(view) => Moments::of(&view, is_spatial),
        Err(_) => Err(BatchNormError::EmptyBatch(x.shape().to_vec())),
    }
}

fn first_output(graph: &Graph<'_>, node: NodeId) -> Option<String> {
    let output = graph.node(node).outputs.iter().flatten().next();
    output.map(|&output| graph.value(output).name.to_string())
}

impl Observer for Gather {
    fn value(&mut self, produced: &Produced<'_>) -> Step {
        if let Some(&site) = self.probes.get(produced.name)
            && let Err(error) = self.add(site, produced.tensor)
        {
            self.fault.get_or_insert((site, error));
            return Step::Stop;
        }
        let is_last = produced.scope.is_empty()
            && self.remaining.remove(produced.name)
            && self.remaining.is_empty();
        if is_last { Step::Stop } else { Step::Keep }
    }
}
