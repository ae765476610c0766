//! Absorb: what a node's pending affines make of its weight and bias.
//!
//! With `in = (sᵢ, tᵢ)` in front, `out = (sₒ, tₒ)` behind and taps `d`:
//! `W' = sₒ·W·sᵢ + d` at the centre tap, `b' = sₒ·(b + Σ W·tᵢ) + tₒ + residual`.
//! All of it in f64; the weight is scaled as it streams and rounded once, when it is written.
//! One function serves every [`Layout`].

use ndarray::{ArrayD, IxDyn, Slice};

use super::ApplyError;
use super::shift_sum::ShiftSum;
use super::update::{Elements, Update};
use crate::affine::{broadcast, compacted, vector, zip};
use crate::graph::edit::channels;
use crate::graph::{Constant, Graph, NodeId, Pending};
use crate::rules::LINEAR;
use crate::rules::carrier::operand::{trimmed, widened};
use crate::rules::linear::{Bias, Layout, conv, on_weight};

/// What becomes of a node's parameters.
#[derive(Debug, Default)]
pub(super) struct Absorbed {
    pub(super) updates: Vec<Update>,
    /// Attributes to set.
    pub(super) attributes: Vec<(&'static str, Attribute)>,
}

/// An attribute to set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attribute {
    Float(f32),
    Int(i64),
}

/// Works out the parameters of a node that has taken affines on.
pub(super) fn absorb(
    graph: &Graph<'_>,
    node: NodeId,
    pending: &Pending,
) -> Result<Absorbed, ApplyError> {
    let op = &*graph.node(node).op;
    let Some((_, layout)) = LINEAR.iter().find(|(name, _)| *name == op) else {
        unreachable!("only linear nodes take affines on");
    };
    let layout = layout(graph, node).map_err(|refusal| ApplyError::refused(node, refusal))?;
    let site = Site {
        graph,
        node,
        layout: &layout,
        pending,
    };
    if layout.bias == Bias::Weight {
        return site.table();
    }
    let mut absorbed = Absorbed::default();
    if !pending.merged.is_empty() {
        absorbed.updates = merged(&site)?;
        return Ok(absorbed);
    }
    absorbed.updates.extend(site.weight());
    match layout.bias {
        Bias::Vector { slot, channels } => absorbed.updates.extend(site.vector(slot, channels)?),
        Bias::Gemm => site.gemm(&mut absorbed)?,
        Bias::Recurrent { directions, rows } => {
            absorbed.updates.extend(site.recurrent(directions, rows)?)
        }
        Bias::Behind | Bias::Weight => {}
    }
    Ok(absorbed)
}

/// A convolution with others of the same input: the sums of the kernels, smaller ones in the middle, and of the biases.
fn merged(site: &Site<'_, '_>) -> Result<Vec<Update>, ApplyError> {
    let (mut kernel, mut bias) = site.convolution()?;
    for &(node, sign) in &site.pending.merged {
        let layout =
            conv::layout(site.graph, node).map_err(|refusal| ApplyError::refused(node, refusal))?;
        let none = Pending::default();
        let pending = site.graph.node(node).pending.as_deref().unwrap_or(&none);
        let other = Site {
            graph: site.graph,
            node,
            layout: &layout,
            pending,
        };
        let (small, shift) = other.convolution()?;
        let inner: Vec<usize> = kernel
            .shape()
            .iter()
            .zip(small.shape())
            .map(|(a, b)| (a - b) / 2)
            .collect();
        let mut middle = kernel.slice_each_axis_mut(|axis| {
            let start = inner[axis.axis.index()];
            Slice::from(start..start + small.len_of(axis.axis))
        });
        middle.zip_mut_with(&small, |w, other| *w += sign * other);
        bias.iter_mut()
            .zip(&shift)
            .for_each(|(b, t)| *b += sign * t);
    }
    let update = |slot: usize, elements: ArrayD<f64>| Update {
        node: site.node,
        slot,
        elements: Elements::Full(elements),
    };
    let mut updates = vec![update(1, kernel)];
    if bias.iter().any(|&b| b != 0.0) || site.graph.input(site.node, 2).is_some() {
        updates.push(update(2, vector(1, 0, bias)));
    }
    Ok(updates)
}

struct Site<'a, 'm> {
    graph: &'a Graph<'m>,
    node: NodeId,
    layout: &'a Layout,
    pending: &'a Pending,
}

impl Site<'_, '_> {
    fn weight(&self) -> Option<Update> {
        let Layout {
            dims,
            input,
            output,
            weight,
            ..
        } = self.layout;
        let ones = || ArrayD::from_elem(IxDyn(&vec![1; dims.len()]), 1.0);
        let before = self
            .pending
            .input
            .as_ref()
            .map(|affine| on_weight(affine.scale(), input, dims));
        let behind = self
            .pending
            .output
            .as_ref()
            .map(|affine| on_weight(affine.scale(), output, dims));
        let scale = zip(
            &before.unwrap_or_else(ones),
            &behind.unwrap_or_else(ones),
            |a, b| a * b,
        );
        let taps = self.pending.taps.iter().flatten().enumerate();
        let taps = taps.filter(|(_, tap)| **tap != 0.0);
        let add: Vec<(usize, f64)> = taps
            .map(|(m, &tap)| (conv::centre_tap(self.layout, m), tap))
            .collect();
        let scale = compacted(scale);
        let is_same = add.is_empty() && scale.iter().all(|&s| s == 1.0);
        (!is_same).then(|| Update {
            node: self.node,
            slot: *weight,
            elements: Elements::Scaled {
                dims: dims.clone(),
                scale,
                add,
            },
        })
    }

    /// Kernel and bias of a convolution as the folds leave them, in full.
    fn convolution(&self) -> Result<(ArrayD<f64>, Vec<f64>), ApplyError> {
        let mut kernel = self.floats(1)?;
        let shape = kernel.shape().to_vec();
        if let Some(Update {
            elements: Elements::Scaled { dims, scale, add },
            ..
        }) = self.weight()
        {
            let factors = broadcast(&scale, &dims);
            kernel.iter_mut().zip(&factors).for_each(|(w, s)| *w *= s);
            let mut flat: Vec<f64> = kernel.iter().copied().collect();
            add.iter().for_each(|&(at, d)| flat[at] += d);
            kernel =
                ArrayD::from_shape_vec(IxDyn(&shape), flat).expect("as many elements as before");
        }
        let bias = match self.vector(2, shape[0])? {
            Some(Update {
                elements: Elements::Full(bias),
                ..
            }) => bias.into_iter().collect(),
            _ => match self.graph.input(self.node, 2) {
                Some(_) => self.floats(2)?.into_iter().collect(),
                None => vec![0.0; shape[0]],
            },
        };
        Ok((kernel, bias))
    }

    /// `s·T + t`, element by element.
    fn table(&self) -> Result<Absorbed, ApplyError> {
        let mut absorbed = Absorbed::default();
        let Some(affine) = &self.pending.output else {
            return Ok(absorbed);
        };
        let Layout {
            dims,
            output,
            weight,
            ..
        } = self.layout;
        let scale = on_weight(affine.scale(), output, dims);
        let elements = match affine.is_linear() {
            true => Elements::Scaled {
                dims: dims.clone(),
                scale,
                add: Vec::new(),
            },
            false => {
                let table = self.floats(*weight)?;
                let shift = on_weight(affine.shift(), output, dims);
                Elements::Full(zip(&zip(&table, &scale, |x, s| x * s), &shift, |x, t| {
                    x + t
                }))
            }
        };
        absorbed.updates.push(Update {
            node: self.node,
            slot: *weight,
            elements,
        });
        Ok(absorbed)
    }

    fn vector(&self, slot: usize, count: usize) -> Result<Option<Update>, ApplyError> {
        let old = match self.graph.input(self.node, slot) {
            Some(_) => Some(self.floats(slot)?.iter().copied().collect::<Vec<f64>>()),
            None => None,
        };
        let mut bias = old.clone().unwrap_or_else(|| vec![0.0; count]);
        if let Some(shift) = self.input_shift()? {
            bias.iter_mut().zip(&shift).for_each(|(b, t)| *b += t);
        }
        if let Some(output) = &self.pending.output {
            let (scale, shift) = (
                channels(output.scale(), count),
                channels(output.shift(), count),
            );
            for (b, (s, t)) in bias.iter_mut().zip(scale.iter().zip(&shift)) {
                *b = s * *b + t;
            }
        }
        if let Some(residual) = &self.pending.residual {
            bias.iter_mut()
                .zip(channels(residual, count))
                .for_each(|(b, t)| *b += t);
        }
        let is_same = match &old {
            Some(old) => *old == bias,
            None => bias.iter().all(|&b| b == 0.0),
        };
        let elements = Elements::Full(vector(1, 0, bias));
        Ok((!is_same).then_some(Update {
            node: self.node,
            slot,
            elements,
        }))
    }

    fn gemm(&self, absorbed: &mut Absorbed) -> Result<(), ApplyError> {
        let at = self.graph.node(self.node);
        let attribute = |name, default| at.float(name, default).map(f64::from).unwrap_or(1.0);
        let (alpha, beta) = (attribute("alpha", 1.0), attribute("beta", 1.0));
        let along = &self.layout.output[0];
        let old = match self.graph.input(self.node, 2) {
            Some(_) => Some(self.floats(2)?),
            None => None,
        };
        let rank = old.as_ref().map_or(1, |old| old.ndim());
        let (mut bias, mut shifted) = (old.as_ref().map(|old| widened(old, 2)), false);
        let mut add = |bias: &mut Option<ArrayD<f64>>, shift: ArrayD<f64>| {
            if shift.iter().any(|&t| t != 0.0) {
                let old = bias.take().map(|bias| {
                    if shifted {
                        bias
                    } else {
                        bias.mapv(|c| if beta == 0.0 { 0.0 } else { beta * c })
                    }
                });
                shifted = true;
                *bias =
                    Some(old.map_or_else(|| shift.clone(), |old| zip(&old, &shift, |a, b| a + b)));
            }
        };
        if let Some(shift) = self.input_shift()? {
            add(
                &mut bias,
                vector(2, along.value, shift.iter().map(|t| alpha * t).collect()),
            );
        }
        if let Some(output) = &self.pending.output {
            bias = bias.map(|bias| zip(&bias, output.scale(), |b, s| b * s));
            add(&mut bias, output.shift().clone());
        }
        let Some(bias) = bias
            .map(|bias| trimmed(&bias, rank))
            .filter(|bias| old.as_ref() != Some(bias))
        else {
            return Ok(());
        };
        absorbed.updates.push(Update {
            node: self.node,
            slot: 2,
            elements: Elements::Full(bias),
        });
        if shifted && beta != 1.0 {
            absorbed.attributes.push(("beta", Attribute::Float(1.0)));
        }
        // Gemm-1 and Gemm-6 broadcast C only if they are told to.
        if self.graph.opset(self.node) < 7 {
            absorbed.attributes.push(("broadcast", Attribute::Int(1)));
        }
        Ok(())
    }

    fn recurrent(&self, directions: usize, rows: usize) -> Result<Option<Update>, ApplyError> {
        let Some(shift) = self.input_shift()? else {
            return Ok(None);
        };
        let mut bias = match self.graph.input(self.node, 3) {
            Some(_) => self.floats(3)?,
            None => ArrayD::zeros(IxDyn(&[directions, 2 * rows])),
        };
        for (at, t) in shift.iter().enumerate() {
            bias[[at / rows, at % rows]] += t;
        }
        let elements = Elements::Full(bias);
        Ok(Some(Update {
            node: self.node,
            slot: 3,
            elements,
        }))
    }

    fn floats(&self, slot: usize) -> Result<ArrayD<f64>, ApplyError> {
        let Some(value) = self.graph.input(self.node, slot) else {
            unreachable!("the layout names slots that are present");
        };
        let floats = self.graph.floats(value);
        floats
            .map(|array| (*array).clone())
            .map_err(|reason| ApplyError::unreadable(self.graph, value, reason))
    }

    /// `Σ W·t` over all but the output axes, in the order of the output axes; `None` without a shift.
    fn input_shift(&self) -> Result<Option<Vec<f64>>, ApplyError> {
        let Some(affine) = self
            .pending
            .input
            .as_ref()
            .filter(|affine| !affine.is_linear())
        else {
            return Ok(None);
        };
        let Layout {
            dims,
            input,
            output,
            weight,
            bias,
            ..
        } = self.layout;
        let shift = on_weight(affine.shift(), input, dims);
        let kept: Vec<bool> = match bias {
            Bias::Recurrent { .. } => (0..dims.len()).map(|axis| axis < 2).collect(),
            _ => (0..dims.len())
                .map(|axis| output.iter().any(|along| along.weight.contains(&axis)))
                .collect(),
        };
        let mut sum = ShiftSum::new(dims, &shift, &kept);
        let Some(value) = self.graph.input(self.node, *weight) else {
            unreachable!("the layout's weight is present");
        };
        match self.graph.constant(value) {
            Ok(Constant::Stored(tensor)) => {
                let read = self
                    .graph
                    .model
                    .for_each_f64_chunk(tensor, |first, chunk| sum.add(first, chunk));
                read.map_err(ApplyError::Read)?;
            }
            _ => sum.add(0, self.floats(*weight)?.as_slice().unwrap_or_default()),
        }
        Ok(Some(sum.total()))
    }
}
