//! A small graph as plain choices, which any bytes are, and the valid model that it stands for.
//!
//! Each step reads a value that is there; one that does not suit it is left out.

use arbitrary::Arbitrary;

use crate::onnx::proto::ModelProto;
use crate::plan::PlanOptions;
use crate::testing::{DataType, Graph, Storage, Value, model};

/// Steps beyond these are left out.
const MOST_STEPS: usize = 12;
/// No value has more elements.
const MOST_ELEMENTS: usize = 400;

/// Choices.
#[derive(Arbitrary, Debug)]
pub(super) struct Sketch {
    opset: u8,
    extents: [u8; 4],
    rank: u8,
    typed: bool,
    flags: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
struct Step {
    of: u8,
    and: u8,
    is_output: bool,
    a: u8,
    b: u8,
    kind: Kind,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    BatchNorm,
    SharedBatchNorm,
    Conv,
    SharedConv,
    ConvTranspose,
    Gemm,
    MatMul,
    Activation,
    Pool,
    GlobalPool,
    Reduce,
    Transpose,
    Flatten,
    Reshape,
    OwnShape,
    Squeeze,
    Unsqueeze,
    Arithmetic,
    WithConstant,
    Concat,
    Split,
    Slice,
    Pad,
    Resize,
    Normalization,
    Recurrent,
    If,
    Space,
}

impl Sketch {
    pub(super) fn options(&self) -> PlanOptions {
        PlanOptions {
            reduce: self.flags & 1 != 0,
            compensate: self.flags & 2 != 0,
            merge_branches: self.flags & 4 != 0,
            only_batch_norm: self.flags & 8 != 0,
            ..PlanOptions::default()
        }
    }

    fn opset(&self) -> i64 {
        7 + i64::from(self.opset % 18)
    }

    /// The model: what no step reads is an output, and so is what a step says.
    pub(super) fn model(&self) -> ModelProto {
        model(|graph| {
            graph.opset(self.opset()).dtype(DataType::Double);
            if self.typed {
                graph.storage(Storage::Typed);
            }
            let mut drawing = Drawing {
                graph,
                opset: self.opset(),
                live: vec![graph.input("x", &self.shape()[..])],
                n_reads: vec![1],
                parameters: Vec::new(),
            };
            for step in self.steps.iter().take(MOST_STEPS) {
                drawing.step(step);
            }
            let Drawing { live, n_reads, .. } = drawing;
            let all_read = n_reads.iter().all(|&count| count > 0);
            for (at, (value, count)) in live.iter().zip(n_reads).enumerate() {
                if count == 0 || all_read && at == 0 {
                    value.output(&format!("y_{at}"));
                }
            }
        })
    }

    fn shape(&self) -> Vec<usize> {
        let rank = 2 + usize::from(self.rank % 4).min(3);
        let most = [3, 6, 6, 6, 3];
        let extents = self.extents.iter().chain(&self.extents).zip(most);
        let mut shape: Vec<usize> = extents
            .map(|(&extent, most)| 1 + usize::from(extent) % most)
            .collect();
        shape.truncate(rank);
        shape
    }
}

struct Drawing<'g> {
    graph: &'g Graph,
    opset: i64,
    live: Vec<Value>,
    /// How often each value is read; an output counts as a read of the next value.
    n_reads: Vec<usize>,
    /// Channels and parameters of each BatchNormalization, shape and weight of each Conv.
    parameters: Vec<(Vec<usize>, Vec<Value>)>,
}

/// What a step works on: its value, with extents, another value, and two numbers.
struct On<'v> {
    x: &'v Value,
    shape: &'v [usize],
    other: &'v Value,
    a: usize,
    b: usize,
}

impl On<'_> {
    fn rank(&self) -> usize {
        self.shape.len()
    }

    fn spatial(&self) -> usize {
        self.rank().saturating_sub(2)
    }

    /// An axis that `number` chooses.
    fn axis(&self, number: usize) -> usize {
        number % self.rank().max(1)
    }

    fn is_like_other(&self) -> bool {
        self.other.sizes().is_some_and(|shape| shape == self.shape)
    }

    /// Whether every spatial extent is at least that.
    fn is_wide(&self, least: usize) -> bool {
        self.spatial() > 0 && self.shape[2..].iter().all(|&extent| extent >= least)
    }
}

impl Drawing<'_> {
    fn step(&mut self, step: &Step) {
        let (of, and) = (usize::from(step.of), usize::from(step.and));
        let (of, and) = (of % self.live.len(), and % self.live.len());
        // Late values are read more often than early ones.
        let of = self.live.len() - 1 - of;
        let (x, other) = (self.live[of].clone(), self.live[and].clone());
        let Some(shape) = x.sizes() else { return };
        let on = On {
            x: &x,
            shape: &shape,
            other: &other,
            a: step.a.into(),
            b: step.b.into(),
        };
        let before = self.graph.mark();
        let made = self.made(step.kind, &on);
        let fits = |value: &Value| {
            let sizes = value.sizes();
            sizes.is_some_and(|shape| (1..=MOST_ELEMENTS).contains(&shape.iter().product()))
        };
        let Some(values) = made.filter(|values| values.iter().all(fits)) else {
            self.graph.undo(before);
            self.parameters
                .retain(|(_, values)| values.iter().all(Value::exists));
            return;
        };
        self.n_reads[of] += 1;
        let uses_other = matches!(step.kind, Kind::Arithmetic | Kind::Concat);
        self.n_reads[and] += usize::from(uses_other);
        self.n_reads.extend(values.iter().map(|_| 0));
        self.live.extend(values);
        if step.is_output
            && let Some(last) = self.live.last()
        {
            last.output(&format!("z_{}", self.live.len()));
            if let Some(reads) = self.n_reads.last_mut() {
                *reads += 1;
            }
        }
    }

    fn made(&mut self, kind: Kind, on: &On<'_>) -> Option<Vec<Value>> {
        let value = match kind {
            Kind::BatchNorm | Kind::SharedBatchNorm => self.batch_norm(kind, on)?,
            Kind::Conv | Kind::SharedConv => self.conv(kind, on)?,
            Kind::ConvTranspose => conv_transpose(on)?,
            Kind::Gemm => gemm(on)?,
            Kind::MatMul => (on.rank() >= 2).then(|| on.x.matmul(1 + on.a % 5))?,
            Kind::Activation => activation(on)?,
            Kind::Pool => pool(on)?,
            Kind::GlobalPool => global_pool(on)?,
            Kind::Reduce => reduce(on)?,
            Kind::Transpose => transpose(on)?,
            Kind::Flatten => on.x.flatten().axis((on.a % (on.rank() + 1)) as i64),
            Kind::Reshape => reshape(on)?,
            Kind::OwnShape => self
                .graph
                .op("Reshape", &[on.x, &on.x.op("Shape")])
                .shape(on.shape),
            Kind::Squeeze => {
                let axis = on.shape.iter().position(|&extent| extent == 1)?;
                (on.rank() > 2).then(|| on.x.squeeze([axis as i64]))?
            }
            Kind::Unsqueeze => {
                let axis = (on.a % (on.rank() + 1)) as i64;
                (on.rank() < 5).then(|| on.x.unsqueeze([axis]))?
            }
            Kind::Arithmetic => arithmetic(on)?,
            Kind::WithConstant => self.with_constant(on)?,
            Kind::Concat => {
                let axis = on.axis(on.a) as i64;
                on.is_like_other().then(|| on.x.concat(&[on.other], axis))?
            }
            Kind::Split => return split(on),
            Kind::Slice => slice(on)?,
            Kind::Pad => self.pad(on)?,
            Kind::Resize => resize(on)?,
            Kind::Normalization => self.normalization(on)?,
            Kind::Recurrent => recurrent(on)?,
            Kind::If => self.branches(on)?,
            Kind::Space => space(on)?,
        };
        Some(vec![value])
    }

    fn batch_norm(&mut self, kind: Kind, on: &On<'_>) -> Option<Value> {
        if on.rank() < 2 {
            return None;
        }
        let key = vec![on.shape[1]];
        if matches!(kind, Kind::SharedBatchNorm) {
            let (_, known) = self
                .parameters
                .iter()
                .find(|(channels, _)| *channels == key)?;
            let inputs: Vec<&Value> = [on.x].into_iter().chain(known).collect();
            return Some(self.graph.op("BatchNormalization", &inputs));
        }
        let value = on.x.batch_norm().epsilon([1e-5, 1e-3, 0.1][on.b % 3]);
        let value = if on.a % 2 == 1 {
            value.negative_scales()
        } else {
            value
        };
        let parameters = [1, 2, 3, 4].map(|index| value.operand(index));
        self.parameters.push((key, parameters.to_vec()));
        Some(value)
    }

    fn conv(&mut self, kind: Kind, on: &On<'_>) -> Option<Value> {
        let size = 1 + on.a % 3;
        if !on.is_wide(size) {
            return None;
        }
        let channels = on.shape[1];
        let group = if on.b & 8 != 0 { channels } else { 1 };
        let outputs = group * (1 + on.a / 3 % 3);
        let mut key = vec![outputs, channels / group];
        key.extend(vec![size; on.spatial()]);
        let shared = self.parameters.iter().find(|(shape, _)| *shape == key);
        let shared = shared.filter(|_| matches!(kind, Kind::SharedConv));
        let shared = shared.map(|(_, values)| values[0].clone());
        let mut value =
            on.x.conv(outputs)
                .group(group as i64)
                .kernel(vec![size as i64; on.spatial()]);
        value = match on.b % 4 {
            1 => value.pads(vec![(size / 2) as i64; 2 * on.spatial()]),
            2 => value.strides(vec![2; on.spatial()]),
            3 => value.auto_pad("SAME_UPPER"),
            _ => value,
        };
        value = match shared {
            Some(weight) => value.weight(&weight),
            None => value,
        };
        value = if on.b & 4 != 0 { value.bias() } else { value };
        self.parameters.push((key, vec![value.operand(1)]));
        Some(value)
    }

    fn with_constant(&mut self, on: &On<'_>) -> Option<Value> {
        let axis = on.axis(on.a);
        let extents = match on.b % 4 {
            0 => Vec::new(),
            1 => on.shape.to_vec(),
            _ => {
                let mut extents = vec![1; on.rank() - axis.min(on.rank())];
                if let Some(first) = extents.first_mut() {
                    *first = on.shape[axis];
                }
                extents
            }
        };
        let name = format!("constant_{}", self.live.len());
        let constant = self.graph.weight_between(&name, &extents, 0.5, 1.5);
        Some(match on.b / 4 % 6 {
            0 => on.x.add(constant),
            1 => on.x.sub(constant),
            2 => on.x.mul(constant),
            3 => on.x.div(constant),
            4 => constant.sub(on.x),
            _ => constant.mul(on.x),
        })
    }

    fn pad(&self, on: &On<'_>) -> Option<Value> {
        if !on.is_wide(3) {
            return None;
        }
        let side = |number: usize| {
            let inner = (0..on.spatial()).map(move |axis| (number >> axis & 1) as i64);
            [0, 0].into_iter().chain(inner)
        };
        let pads: Vec<i64> = side(on.a).chain(side(on.a / 8)).collect();
        let value = on.x.pad(pads);
        Some(match on.b % 3 {
            0 => value,
            1 => value.attr("mode", "reflect"),
            _ => value.attr("mode", "edge"),
        })
    }

    fn normalization(&self, on: &On<'_>) -> Option<Value> {
        match on.a % 3 {
            0 => (on.spatial() > 0).then(|| on.x.instance_norm()),
            1 => (self.opset >= 17 && on.rank() > 0).then(|| on.x.layer_norm()),
            _ => (self.opset >= 21 && on.spatial() > 0).then(|| on.x.group_norm(1)),
        }
    }

    /// An If whose branches work on the captured value.
    fn branches(&self, on: &On<'_>) -> Option<Value> {
        if on.rank() < 2 {
            return None;
        }
        let yes = crate::testing::Tensor::bools(&[], [on.b.is_multiple_of(2)]);
        let condition = self.graph.constant_parameter("condition", yes);
        let number = self.live.len();
        let branch = |name: &str, deep: bool| {
            self.graph.body(|body| {
                let inner = body.capture(on.x);
                let inner = match deep && on.is_wide(3) {
                    true => inner
                        .conv(on.shape[1])
                        .pads(vec![1; 2 * on.spatial()])
                        .batch_norm(),
                    false => inner.batch_norm(),
                };
                inner.shape(on.shape).output(&format!("{name}_{number}"))
            })
        };
        let (then, otherwise) = (branch("then", true), branch("else", on.a.is_multiple_of(2)));
        let value = self.graph.op("If", &[&condition]).attr("then_branch", then);
        Some(
            value
                .attr("else_branch", otherwise)
                .shape(on.shape)
                .dtype(DataType::Double),
        )
    }
}

fn conv_transpose(on: &On<'_>) -> Option<Value> {
    if !on.is_wide(1) {
        return None;
    }
    let value =
        on.x.conv_transpose(1 + on.a % 4)
            .kernel(vec![2; on.spatial()]);
    let value = match on.b % 3 {
        0 => value,
        1 => value.strides(vec![2; on.spatial()]),
        _ => value.pads([vec![0; on.spatial()], vec![1; on.spatial()]].concat()),
    };
    Some(if on.a & 4 != 0 { value.bias() } else { value })
}

fn gemm(on: &On<'_>) -> Option<Value> {
    if on.rank() != 2 {
        return None;
    }
    let outputs = 1 + on.a % 5;
    let value = if on.b & 1 == 0 {
        on.x.gemm(outputs)
    } else {
        on.x.linear(outputs)
    };
    let value = if on.b & 2 == 0 {
        value
    } else {
        value.attr("alpha", 0.5)
    };
    Some(if on.b & 4 == 0 {
        value
    } else {
        value.attr("beta", 2.0)
    })
}

fn activation(on: &On<'_>) -> Option<Value> {
    Some(match on.a % 9 {
        0 => on.x.relu(),
        1 => on.x.leaky_relu(0.25),
        2 => on.x.sigmoid(),
        3 => on.x.tanh(),
        4 => on.x.identity(),
        5 => on.x.dropout(),
        6 => (on.rank() > 1).then(|| on.x.prelu())?,
        7 => on.x.op("Neg"),
        _ => on.x.op("Abs"),
    })
}

fn pool(on: &On<'_>) -> Option<Value> {
    if !on.is_wide(2) {
        return None;
    }
    let op = if on.a.is_multiple_of(2) {
        "AveragePool"
    } else {
        "MaxPool"
    };
    let value = on.x.op(op).kernel(vec![2; on.spatial()]);
    let value = value.strides(vec![1 + (on.b & 1) as i64; on.spatial()]);
    let value = if on.b & 2 == 0 {
        value
    } else {
        value.pads(vec![1; 2 * on.spatial()])
    };
    let counts_pads = on.a.is_multiple_of(2) && on.b & 4 != 0;
    Some(if counts_pads {
        value.attr("count_include_pad", 1)
    } else {
        value
    })
}

fn global_pool(on: &On<'_>) -> Option<Value> {
    let value = match on.a % 2 {
        _ if on.spatial() == 0 => return None,
        0 => on.x.global_average_pool(),
        _ => on.x.global_max_pool(),
    };
    Some(if on.b.is_multiple_of(2) {
        value
    } else {
        value.flatten()
    })
}

fn reduce(on: &On<'_>) -> Option<Value> {
    if on.rank() < 2 {
        return None;
    }
    let op = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"][on.a % 4];
    let axis = on.axis(on.b) as i64;
    Some(
        on.x.reduce(op, [axis])
            .attr("keepdims", i64::from(on.a & 4 == 0)),
    )
}

fn transpose(on: &On<'_>) -> Option<Value> {
    let mut perm: Vec<i64> = (0..on.rank() as i64).collect();
    let (a, b) = (on.axis(on.a), on.axis(on.b));
    (on.rank() > 1).then(|| perm.swap(a, b))?;
    Some(on.x.transpose(perm))
}

/// Joins two neighbouring axes, or takes one apart.
fn reshape(on: &On<'_>) -> Option<Value> {
    let mut shape: Vec<i64> = on.shape.iter().map(|&extent| extent as i64).collect();
    let axis = on.axis(on.a);
    let extent = *shape.get(axis)?;
    if on.b.is_multiple_of(2) && axis + 1 < shape.len() {
        shape[axis] *= shape.remove(axis + 1);
    } else if shape.len() < 5 {
        let part = [2, 3].into_iter().find(|part| extent % part == 0)?;
        shape[axis] /= part;
        shape.insert(axis + usize::from(on.b & 2 != 0), part);
    }
    Some(on.x.reshape(shape))
}

fn arithmetic(on: &On<'_>) -> Option<Value> {
    if !on.is_like_other() {
        return None;
    }
    Some(match on.a % 3 {
        0 => on.x.add(on.other),
        1 => on.x.sub(on.other),
        _ => on.x.mul(on.other),
    })
}

fn split(on: &On<'_>) -> Option<Vec<Value>> {
    let axis = on.axis(on.a);
    let extent = *on.shape.get(axis)?;
    let first = 1 + on.b % extent;
    (first < extent).then(|| {
        on.x.split(axis as i64, [first as i64, (extent - first) as i64])
    })
}

fn slice(on: &On<'_>) -> Option<Value> {
    let axis = on.axis(on.a);
    let extent = *on.shape.get(axis)?;
    (extent > 1).then(|| {
        on.x.slice(axis as i64, (on.b % extent) as i64, extent as i64)
    })
}

fn resize(on: &On<'_>) -> Option<Value> {
    let mut scales = vec![1.0; on.rank()];
    (on.spatial() > 0).then(|| scales[2..].fill(2.0))?;
    Some(on.x.resize(scales))
}

fn recurrent(on: &On<'_>) -> Option<Value> {
    if on.rank() != 3 {
        return None;
    }
    let hidden = 1 + (on.b % 3) as i64;
    Some(match on.a % 3 {
        0 => on.x.lstm(hidden),
        1 => on.x.gru(hidden),
        _ => on.x.rnn(hidden),
    })
}

fn space(on: &On<'_>) -> Option<Value> {
    let [_, channels, height, width] = *on.shape else {
        return None;
    };
    if channels % 4 == 0 && on.a.is_multiple_of(2) {
        return Some(on.x.op("DepthToSpace").attr("blocksize", 2));
    }
    let is_even = height % 2 == 0 && width % 2 == 0;
    is_even.then(|| on.x.op("SpaceToDepth").attr("blocksize", 2))
}
