//! One step after another: what it reads, whether its result fits, and who reads what.

use super::{Kind, Step, elements, layout, weighted, windows};
use crate::testing::{Graph, Value};

/// No value has more elements.
const MOST_ELEMENTS: usize = 400;

pub(super) struct Drawing<'g> {
    pub(super) graph: &'g Graph,
    pub(super) opset: i64,
    pub(super) live: Vec<Value>,
    /// How often each value is read; an output counts as a read of the next value.
    pub(super) n_reads: Vec<usize>,
    /// Channels and parameters of each BatchNormalization, shape and weight of each Conv.
    pub(super) parameters: Vec<(Vec<usize>, Vec<Value>)>,
}

/// What a step works on: its value, with extents, another value, and two numbers.
pub(super) struct On<'v> {
    pub(super) x: &'v Value,
    pub(super) shape: &'v [usize],
    pub(super) other: &'v Value,
    pub(super) a: usize,
    pub(super) b: usize,
}

impl On<'_> {
    pub(super) fn rank(&self) -> usize {
        self.shape.len()
    }

    pub(super) fn spatial(&self) -> usize {
        self.rank().saturating_sub(2)
    }

    /// An axis that `number` chooses.
    pub(super) fn axis(&self, number: usize) -> usize {
        number % self.rank().max(1)
    }

    pub(super) fn is_like_other(&self) -> bool {
        self.other.sizes().is_some_and(|shape| shape == self.shape)
    }

    /// Whether every spatial extent is at least that.
    pub(super) fn is_wide(&self, least: usize) -> bool {
        self.spatial() > 0 && self.shape[2..].iter().all(|&extent| extent >= least)
    }
}

impl Drawing<'_> {
    pub(super) fn step(&mut self, step: &Step) {
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
            Kind::ConvTranspose => weighted::conv_transpose(on)?,
            Kind::Gemm => weighted::gemm(on)?,
            Kind::MatMul => (on.rank() >= 2).then(|| on.x.matmul(1 + on.a % 5))?,
            Kind::Activation => elements::activation(on)?,
            Kind::Pool => windows::pool(on)?,
            Kind::GlobalPool => windows::global_pool(on)?,
            Kind::Reduce => windows::reduce(on)?,
            Kind::Transpose => layout::transpose(on)?,
            Kind::Flatten => on.x.flatten().axis((on.a % (on.rank() + 1)) as i64),
            Kind::Reshape => layout::reshape(on)?,
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
            Kind::Arithmetic => elements::arithmetic(on)?,
            Kind::WithConstant => self.with_constant(on)?,
            Kind::Concat => {
                let axis = on.axis(on.a) as i64;
                on.is_like_other().then(|| on.x.concat(&[on.other], axis))?
            }
            Kind::Split => return layout::split(on),
            Kind::Slice => layout::slice(on)?,
            Kind::Pad => layout::pad(on)?,
            Kind::Resize => layout::resize(on)?,
            Kind::Normalization => self.normalization(on)?,
            Kind::Recurrent => weighted::recurrent(on)?,
            Kind::If => self.branches(on)?,
            Kind::Space => layout::space(on)?,
        };
        Some(vec![value])
    }
}
