//! The names of the graphs under construction, innermost last.

use std::collections::{HashMap, HashSet};

use super::{Compiler, attributes, display_name};
use crate::engine::error::EngineError;
use crate::engine::graph::{Attribute, Callee, Slot};
use crate::engine::tensor::Tensor;
use crate::onnx::proto::NodeProto;

/// The names of a graph under construction.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) slots: HashMap<String, Slot>,
    pub(super) names: Vec<String>,
    pub(super) captures: Vec<(Slot, Slot)>,
    pub(super) constants: Vec<(Slot, Tensor)>,
    pub(super) constant_slots: HashSet<Slot>,
    /// A function body sees nothing of its caller.
    pub(super) is_closed: bool,
}

impl Frame {
    pub(super) fn define(&mut self, name: &str) -> Slot {
        let slot = self.names.len();
        self.names.push(name.to_owned());
        self.slots.insert(name.to_owned(), slot);
        slot
    }
}

impl Compiler<'_> {
    pub(super) fn constant_flags(&self, inputs: &[Option<Slot>]) -> Vec<bool> {
        let frame = self.frames.last();
        let is_constant =
            |slot: &Slot| frame.is_some_and(|frame| frame.constant_slots.contains(slot));
        inputs
            .iter()
            .map(|slot| slot.as_ref().is_some_and(is_constant))
            .collect()
    }

    pub(super) fn constant_value(
        &self,
        proto: &NodeProto,
        callee: &Callee,
        attributes: &HashMap<String, Attribute>,
    ) -> Result<Option<Tensor>, EngineError> {
        if !matches!(callee, Callee::Operator) || proto.op_type() != "Constant" {
            return Ok(None);
        }
        let value = attributes
            .iter()
            .find_map(|(name, value)| attributes::constant(name, value));
        let value = value.ok_or_else(|| EngineError::Node {
            operator: "Constant".to_owned(),
            node: display_name(proto),
            reason: "it holds no value".to_owned(),
        })?;
        Ok(Some(self.tensors.held(value)))
    }

    pub(super) fn define(&mut self, name: &str) -> Slot {
        match self.frames.last_mut() {
            Some(frame) => frame.define(name),
            None => 0,
        }
    }

    pub(super) fn define_constant(&mut self, name: &str, value: Tensor) {
        let value = match &mut self.perturbation {
            Some(perturbation) => perturbation.moved(name, value),
            None => value,
        };
        if let Some(frame) = self.frames.last_mut() {
            let known = frame.slots.get(name).copied();
            let slot = known.unwrap_or_else(|| frame.define(name));
            frame.constants.push((slot, value));
            frame.constant_slots.insert(slot);
        }
    }

    pub(super) fn define_once(&mut self, name: &str) -> Result<Slot, EngineError> {
        let known = self
            .frames
            .last()
            .is_some_and(|frame| frame.slots.contains_key(name));
        if known {
            let reason = format!("value {name:?} is given twice in one graph");
            return Err(EngineError::Decode { reason });
        }
        Ok(self.define(name))
    }

    /// The slot of a name in the innermost frame, captured from the frames around it if need be.
    pub(super) fn resolve(&mut self, name: &str, reader: &str) -> Result<Slot, EngineError> {
        let mut found = None;
        for (depth, frame) in self.frames.iter().enumerate().rev() {
            if let Some(slot) = frame.slots.get(name) {
                found = Some((depth, *slot));
                break;
            }
            if frame.is_closed {
                break;
            }
        }
        let (depth, mut slot) = found.ok_or_else(|| EngineError::DanglingValue {
            value: name.to_owned(),
            node: reader.to_owned(),
        })?;
        for frame in self.frames.iter_mut().skip(depth + 1) {
            let outer = slot;
            slot = frame.define(name);
            frame.captures.push((outer, slot));
        }
        Ok(slot)
    }
}
