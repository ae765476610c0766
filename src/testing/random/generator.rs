//! Draws nodes one by one, and keeps those that behave.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::live::Live;
use super::{
    Recipe, activations, batch_norms, bodies, combinations, linear, random_inputs, shapes, windows,
};
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::testing::builder::{Mark, Parameters};
use crate::testing::{DataType, Graph, Storage, Tensor, Value, reference};

/// No value has more elements than that.
const MOST_ELEMENTS: usize = 3000;
/// How often a step draws before it gives up.
const TRIES: usize = 50;

/// Appends some nodes that read the value, or declines.
pub(super) type Draw = fn(&mut Generator<'_>, &Live) -> Option<Vec<Value>>;

pub(super) struct Generator<'a> {
    pub(super) graph: &'a Graph,
    pub(super) random: ChaCha8Rng,
    recipe: &'a Recipe,
    pub(super) opset: i64,
    pub(super) dtype: DataType,
    pub(super) live: Vec<Live>,
    /// Channels and the four parameters of each BatchNormalization, to be shared.
    pub(super) statistics: Vec<(usize, [Value; 4])>,
    /// Shape and value of each convolution's weight, to be shared.
    pub(super) kernels: Vec<(Vec<usize>, Value)>,
    /// Integer inputs of zeros and ones.
    pub(super) indices: Vec<Value>,
    samples: BTreeMap<String, Tensor>,
    names: usize,
    draws: Vec<(u32, Draw)>,
}

impl<'a> Generator<'a> {
    pub(super) fn new(graph: &'a Graph, recipe: &'a Recipe) -> Generator<'a> {
        let mut random = ChaCha8Rng::seed_from_u64(recipe.seed);
        graph.opset(recipe.opset).dtype(recipe.dtype);
        graph.seed(recipe.seed);
        if let Some(version) = recipe.ir_version {
            graph.ir_version(version);
        }
        if random.random_bool(0.2) {
            graph.storage(Storage::Typed);
        }
        match random.random_range(0..10) {
            0 => _ = graph.parameters(Parameters::ConstantNodes),
            1 if recipe.options.overridable => {
                graph.parameters(Parameters::OverridableInitializers);
            }
            _ => {}
        }
        if random.random_bool(0.3) {
            graph.with_value_info();
        }
        if random.random_bool(0.3) {
            graph.metadata("drawn from", &recipe.seed.to_string());
        }
        Generator {
            graph,
            random,
            recipe,
            opset: recipe.opset,
            dtype: recipe.dtype,
            live: Vec::new(),
            statistics: Vec::new(),
            kernels: Vec::new(),
            indices: Vec::new(),
            samples: BTreeMap::new(),
            names: 0,
            draws: draws(recipe),
        }
    }

    pub(super) fn generate(mut self) {
        self.inputs();
        for &step in &self.recipe.steps {
            if self.graph.mark().nodes() >= self.recipe.nodes {
                break;
            }
            self.random = ChaCha8Rng::seed_from_u64(step);
            self.step();
        }
        self.random = ChaCha8Rng::seed_from_u64(!self.recipe.seed);
        self.name_outputs();
    }

    /// Draws until something is kept.
    fn step(&mut self) {
        for _ in 0..TRIES {
            let before = self.graph.mark();
            let at = self.reader();
            let operand = self.live[at].clone();
            let Some(&(_, draw)) = self.weighted() else {
                return;
            };
            if let Some(values) = draw(self, &operand)
                && self.graph.mark().nodes() <= self.recipe.nodes
                && self.keep(before, &values)
            {
                return self.follow_up();
            }
            self.graph.undo(before);
            self.forget();
        }
    }

    /// A BatchNormalization after what was just kept, as often as the options ask for.
    fn follow_up(&mut self) {
        let most = self.recipe.nodes;
        let Some(last) = self.live.last().cloned() else {
            return;
        };
        let before = self.graph.mark();
        if last.rank() < 2
            || before.nodes() >= most
            || !self.random.random_bool(self.recipe.options.batch_norms)
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
        if self.random.random_bool(0.25) {
            let indices = self
                .graph
                .typed_input("indices", DataType::Int64, [2usize, 3]);
            self.indices.push(indices);
        }
        let drawn = random_inputs(&self.graph.snapshot(), self.recipe.seed).unwrap_or_default();
        let indices = drawn.iter().skip(values.len()).cloned();
        self.samples.extend(indices);
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

    /// Which live value the next node reads: often one that nobody reads yet, often the last of them.
    fn reader(&mut self) -> usize {
        let unread: Vec<usize> = (0..self.live.len())
            .filter(|&at| self.live[at].uses == 0)
            .collect();
        if let Some(&last) = unread.last()
            && self.chance(0.75)
        {
            return match self.chance(0.6) {
                true => last,
                false => *self.pick(&unread),
            };
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

/// What may be drawn, with how often.
fn draws(recipe: &Recipe) -> Vec<(u32, Draw)> {
    let tables = [
        activations::DRAWS,
        batch_norms::DRAWS,
        combinations::DRAWS,
        linear::DRAWS,
        shapes::DRAWS,
        windows::DRAWS,
    ];
    let mut draws = tables.concat();
    let options = &recipe.options;
    if options.nested {
        draws.extend(bodies::NESTED);
    }
    // Model-local functions came with IR version 8.
    if options.functions
        && recipe.opset >= 9
        && recipe.ir_version.is_none_or(|version| version >= 8)
    {
        draws.extend(bodies::FUNCTIONS);
    }
    if options.training {
        draws.extend(batch_norms::TRAINING);
    }
    if options.jumps {
        draws.extend(activations::JUMPS);
    }
    draws
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
