//! Draws nodes one by one, and keeps those that behave.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    Options, activations, batch_norms, bodies, combinations, linear, random_inputs, shapes, windows,
};
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::testing::builder::{Mark, Parameters};
use crate::testing::{DataType, Graph, Storage, Tensor, Value, reference};

/// No value has more elements than that.
const MOST_ELEMENTS: usize = 3000;

/// A value that nodes may read, with what it is on the sample.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) value: Value,
    pub(super) sample: Tensor,
    uses: usize,
}

impl Live {
    pub(super) fn shape(&self) -> &[usize] {
        &self.sample.shape
    }

    pub(super) fn rank(&self) -> usize {
        self.sample.rank()
    }

    /// Extents after batch and channel.
    pub(super) fn spatial(&self) -> &[usize] {
        self.sample.shape.get(2..).unwrap_or_default()
    }

    /// Whether each of that many equal parts has elements far enough apart to divide by their
    /// deviation.
    pub(super) fn spreads_over(&self, parts: usize) -> bool {
        let length = (self.sample.data.len() / parts.max(1)).max(1);
        self.sample.data.chunks(length).all(spreads)
    }

    /// Whether the elements of each channel are far enough apart.
    pub(super) fn channels_spread(&self) -> bool {
        let inner: usize = self.spatial().iter().product::<usize>().max(1);
        let channels = self.channels();
        let of = |channel: usize| -> Vec<f64> {
            let elements = self.sample.data.iter().enumerate();
            let own = elements.filter(|(at, _)| at / inner % channels == channel);
            own.map(|(_, &element)| element).collect()
        };
        (0..channels).all(|channel| spreads(&of(channel)))
    }

    pub(super) fn channels(&self) -> usize {
        self.sample.shape.get(1).copied().unwrap_or(1)
    }
}

/// Appends some nodes that read the value, or declines.
pub(super) type Draw = fn(&mut Generator<'_>, &Live) -> Option<Vec<Value>>;

pub(super) struct Generator<'a> {
    pub(super) graph: &'a Graph,
    pub(super) random: ChaCha8Rng,
    pub(super) options: &'a Options,
    pub(super) opset: i64,
    pub(super) dtype: DataType,
    pub(super) live: Vec<Live>,
    /// Channels and the four parameters of each BatchNormalization, to be shared.
    pub(super) statistics: Vec<(usize, [Value; 4])>,
    /// Shape and value of each convolution's weight, to be shared.
    pub(super) kernels: Vec<(Vec<usize>, Value)>,
    samples: BTreeMap<String, Tensor>,
    seed: u64,
    names: usize,
    draws: Vec<(u32, Draw)>,
}

impl<'a> Generator<'a> {
    pub(super) fn new(graph: &'a Graph, seed: u64, options: &'a Options) -> Generator<'a> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let opset = random.random_range(options.opsets.clone());
        let dtype = options
            .dtype
            .unwrap_or_else(|| drawn_type(&mut random, opset));
        graph.opset(opset).dtype(dtype).seed(seed);
        if random.random_bool(0.2) {
            graph.storage(Storage::Typed);
        }
        match random.random_range(0..10) {
            0 => drop(graph.parameters(Parameters::ConstantNodes)),
            1 if options.overridable => drop(graph.parameters(Parameters::OverridableInitializers)),
            _ => {}
        }
        if random.random_bool(0.3) {
            graph.with_value_info();
        }
        let tables = [
            activations::DRAWS,
            batch_norms::DRAWS,
            combinations::DRAWS,
            linear::DRAWS,
            shapes::DRAWS,
            windows::DRAWS,
        ];
        let mut draws = tables.concat();
        if options.nested {
            draws.extend(bodies::NESTED);
        }
        if options.functions && opset >= 9 {
            draws.extend(bodies::FUNCTIONS);
        }
        if options.training {
            draws.extend(batch_norms::TRAINING);
        }
        if options.jumps {
            draws.extend(activations::JUMPS);
        }
        Generator {
            graph,
            random,
            options,
            opset,
            dtype,
            live: Vec::new(),
            statistics: Vec::new(),
            kernels: Vec::new(),
            samples: BTreeMap::new(),
            seed,
            names: 0,
            draws,
        }
    }

    pub(super) fn generate(mut self) {
        self.inputs();
        let wanted = self.random.random_range(self.options.nodes.clone());
        let most = *self.options.nodes.end();
        for _ in 0..50 * wanted {
            let before = self.graph.mark();
            if before.nodes() >= wanted {
                break;
            }
            let at = self.reader();
            let operand = self.live[at].clone();
            let Some(&(_, draw)) = self.weighted() else {
                break;
            };
            if let Some(values) = draw(&mut self, &operand) {
                let kept = self.graph.mark().nodes() <= most && self.keep(before, &values);
                if kept {
                    self.follow_up(most);
                    continue;
                }
            }
            self.graph.undo(before);
            self.forget();
        }
        self.name_outputs();
    }

    /// A BatchNormalization after what was just kept, as often as the options ask for.
    fn follow_up(&mut self, most: usize) {
        let Some(last) = self.live.last().cloned() else {
            return;
        };
        let before = self.graph.mark();
        if last.rank() < 2
            || before.nodes() >= most
            || !self.random.random_bool(self.options.batch_norms)
        {
            return;
        }
        let value = batch_norms::batch_norm(self, &last);
        if self.graph.mark().nodes() > most || !self.keep(before, &[value]) {
            self.graph.undo(before);
            self.forget();
        }
    }

    /// One or two inputs, with the sample that [`random_inputs`] gives for the model's seed.
    fn inputs(&mut self) {
        let count = self.random.random_range(1..=2);
        let values: Vec<Value> = (0..count)
            .map(|number| self.input(&format!("x_{number}")))
            .collect();
        let drawn = random_inputs(&self.graph.snapshot(), self.seed).unwrap_or_default();
        for (value, (name, sample)) in values.into_iter().zip(drawn) {
            self.samples.insert(name, sample.clone());
            self.live.push(Live {
                value,
                sample,
                uses: 0,
            });
        }
    }

    fn input(&mut self, name: &str) -> Value {
        let batch = self.random.random_range(1..=2);
        let channels = *self.pick(&[2, 3, 4, 6, 8]);
        let rank = *self.pick(&[2, 3, 4, 4, 4, 4, 5]);
        let largest = [0, 0, 8, 12, 9, 5][rank];
        let mut shape = vec![batch, channels];
        shape.extend((2..rank).map(|_| self.random.random_range(4..=largest)));
        if batch == 2 && self.random.random_bool(0.3) {
            let rest: Vec<String> = shape[1..].iter().map(usize::to_string).collect();
            return self
                .graph
                .input(name, format!("N,{}", rest.join(",")).as_str());
        }
        self.graph.input(name, &shape)
    }

    /// Any of the things.
    pub(super) fn pick<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        things
            .choose(&mut self.random)
            .expect("something to pick from")
    }

    /// Any `auto_pad` that settles the pads by itself.
    pub(super) fn auto_pad(&mut self) -> &'static str {
        let modes = ["SAME_UPPER", "SAME_LOWER", "VALID"];
        modes[self.random_below(modes.len())]
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.random.random_bool(share)
    }

    /// A number below `limit`, 0 if there is none.
    pub(super) fn random_below(&mut self, limit: usize) -> usize {
        self.random.random_range(0..limit.max(1))
    }

    /// A name that nothing else has.
    pub(super) fn fresh(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}.{}", self.names)
    }

    /// A constant of the model's type without axes.
    pub(super) fn scalar(&mut self, element: f64) -> Value {
        self.graph.scalar(element)
    }

    /// A weight of the model's type under a fresh name.
    pub(super) fn weight(&mut self, stem: &str, shape: &[usize], low: f64, high: f64) -> Value {
        let name = self.fresh(stem);
        self.graph.drawn_parameter(&name, shape, low, high)
    }

    /// Which live value the next node reads: often one that nobody reads yet, often a late one.
    fn reader(&mut self) -> usize {
        let unread: Vec<usize> = (0..self.live.len())
            .filter(|&at| self.live[at].uses == 0)
            .collect();
        if !unread.is_empty() && self.chance(0.7) {
            return *self.pick(&unread);
        }
        let count = self.live.len();
        let first = if self.chance(0.6) {
            count.saturating_sub(4)
        } else {
            0
        };
        self.random.random_range(first..count)
    }

    fn weighted(&mut self) -> Option<&(u32, Draw)> {
        let mut random = self.random.clone();
        let chosen = self
            .draws
            .choose_weighted(&mut random, |(weight, _)| *weight)
            .ok();
        self.random = random;
        chosen
    }

    /// Runs what came since the mark; keeps it if all its floats behave and enters the results.
    fn keep(&mut self, before: Mark, results: &[Value]) -> bool {
        let model = self.graph.since(before);
        let Some(graph) = &model.graph else {
            return false;
        };
        let mut wanted = BTreeSet::new();
        names_read(&graph.node, &mut wanted);
        let inputs: Vec<(&str, Tensor)> = wanted
            .iter()
            .filter_map(|name| Some((name.as_str(), self.samples.get(name)?.clone())))
            .collect();
        let Ok(values) = reference::run(&model, &inputs) else {
            return false;
        };
        let made = graph.node.iter().flat_map(|node| &node.output);
        let behaves = |name: &String| {
            values
                .get(name)
                .is_none_or(|value| behaves(value, self.dtype))
        };
        if !made.filter(|name| !name.is_empty()).all(behaves) {
            return false;
        }
        let mut entered = Vec::new();
        for value in results {
            let Some(sample) = values.get(&value.to_name()) else {
                return false;
            };
            let spreads = sample
                .data
                .iter()
                .any(|x| (x - sample.data[0]).abs() > 1e-2);
            if sample.dtype != self.dtype
                || sample.rank() > 5
                || !(spreads || sample.data.len() == 1)
            {
                return false;
            }
            let value = value.shape(&sample.shape);
            entered.push(Live {
                value,
                sample: sample.clone(),
                uses: 0,
            });
        }
        for live in &mut self.live {
            live.uses += usize::from(wanted.contains(&live.value.to_name()));
        }
        self.samples.extend(values);
        self.live.extend(entered);
        true
    }

    /// Drops what can be shared but was undone.
    fn forget(&mut self) {
        let known = |value: &Value| value.exists();
        self.statistics
            .retain(|(_, parameters)| parameters.iter().all(known));
        self.kernels.retain(|(_, weight)| known(weight));
    }

    /// What nobody reads is an output, and now and then something that is read too.
    fn name_outputs(mut self) {
        let mut outputs = 0;
        for live in std::mem::take(&mut self.live) {
            let input = self.graph.is_input(&live.value);
            let inner = live.uses > 0;
            if input {
                continue;
            }
            if !inner || self.chance(0.06) {
                live.value.output(&format!("y_{outputs}"));
                outputs += 1;
            }
        }
    }
}

fn drawn_type(random: &mut ChaCha8Rng, opset: i64) -> DataType {
    match random.random_range(0..12) {
        0 => DataType::Double,
        1 => DataType::Float16,
        // Conv and its kin take bfloat16 since opset 22.
        2 if opset >= 22 => DataType::Bfloat16,
        _ => DataType::Float,
    }
}

fn spreads(part: &[f64]) -> bool {
    let length = part.len() as f64;
    let mean = part.iter().sum::<f64>() / length;
    part.len() >= 5 && part.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / length > 0.01
}

/// Neither vanishing nor exploding, and not too large to run.
fn behaves(value: &Tensor, dtype: DataType) -> bool {
    let tame = || {
        let greatest = value.max_magnitude();
        value.data.iter().all(|x| x.is_finite()) && (1e-2..=50.0).contains(&greatest)
    };
    let bounded = value.data.len() <= MOST_ELEMENTS && !value.data.is_empty();
    bounded && (value.dtype != dtype || tame())
}

/// Every name that the nodes read, in their bodies too.
fn names_read(nodes: &[NodeProto], names: &mut BTreeSet<String>) {
    for node in nodes {
        names.extend(node.input.iter().cloned());
        let graphs = node.attribute.iter().flat_map(|attribute| &attribute.g);
        graphs.for_each(|graph: &GraphProto| names_read(&graph.node, names));
    }
}
