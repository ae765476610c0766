//! One node with its inputs and attributes, as an operator sees it.

use super::Round;
use crate::onnx::proto::{AttributeProto, NodeProto};
use crate::testing::element::data_type;
use crate::testing::{DataType, Tensor};

/// Computes a node's outputs from its inputs and attributes.
pub(super) type Operator = fn(&Call<'_>) -> Result<Vec<Tensor>, String>;

/// A node about to run.
pub(super) struct Call<'a> {
    pub(super) node: &'a NodeProto,
    /// The version of the operator set that the node is written in.
    pub(super) opset: i64,
    /// Inputs, `None` where the name is empty.
    pub(super) inputs: Vec<Option<&'a Tensor>>,
    pub(super) round: Round,
}

impl<'a> Call<'a> {
    pub(super) fn input(&self, index: usize) -> Result<&'a Tensor, String> {
        self.optional(index)
            .ok_or_else(|| format!("input {index} is missing"))
    }

    pub(super) fn optional(&self, index: usize) -> Option<&'a Tensor> {
        self.inputs.get(index).copied().flatten()
    }

    /// All inputs of a variadic operator.
    pub(super) fn variadic(&self) -> Result<Vec<&'a Tensor>, String> {
        (0..self.inputs.len())
            .map(|index| self.input(index))
            .collect()
    }

    /// Whether the output is named, so that somebody may read it.
    pub(super) fn wants_output(&self, index: usize) -> bool {
        self.node
            .output
            .get(index)
            .is_some_and(|name| !name.is_empty())
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node
            .attribute
            .iter()
            .find(|attribute| attribute.name() == name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name)
            .and_then(|attribute| attribute.i)
            .unwrap_or(default)
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name, default.into()) != 0
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f64 {
        self.attribute(name)
            .and_then(|attribute| attribute.f)
            .unwrap_or(default)
            .into()
    }

    pub(super) fn string(&self, name: &str, default: &str) -> Result<String, String> {
        match self
            .attribute(name)
            .and_then(|attribute| attribute.s.clone())
        {
            Some(bytes) => {
                String::from_utf8(bytes).map_err(|_| format!("attribute {name} is not UTF-8"))
            }
            None => Ok(default.to_string()),
        }
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|attribute| attribute.ints.clone())
    }

    pub(super) fn floats(&self, name: &str) -> Option<Vec<f64>> {
        let attribute = self.attribute(name)?;
        Some(attribute.floats.iter().map(|&x| x.into()).collect())
    }

    pub(super) fn strings(&self, name: &str) -> Option<Vec<String>> {
        let attribute = self.attribute(name)?;
        let strings = attribute.strings.iter();
        Some(
            strings
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .collect(),
        )
    }

    pub(super) fn dtype(&self, name: &str) -> Result<Option<DataType>, String> {
        self.attribute(name)
            .and_then(|attribute| attribute.i)
            .map(data_type)
            .transpose()
    }

    /// What an operator reads from an attribute in old opsets and from an input in new ones.
    pub(super) fn ints_at(&self, name: &str, input: usize) -> Option<Vec<i64>> {
        self.ints(name)
            .or_else(|| self.optional(input).map(Tensor::to_ints))
    }

    /// As [`Call::ints_at`], for a number.
    pub(super) fn number_at(&self, name: &str, input: usize) -> Result<Option<f64>, String> {
        if let Some(number) = self.attribute(name).and_then(|attribute| attribute.f) {
            return Ok(Some(number.into()));
        }
        match self.optional(input) {
            Some(tensor) => Ok(Some(single(tensor)?)),
            None => Ok(None),
        }
    }
}

/// The only element of a tensor.
pub(super) fn single(tensor: &Tensor) -> Result<f64, String> {
    match tensor.data.as_slice() {
        [element] => Ok(*element),
        _ => Err(format!(
            "shape {:?} where one element belongs",
            tensor.shape
        )),
    }
}

/// A tensor with the shape and element type of `like`.
pub(super) fn same_as(like: &Tensor, data: Vec<f64>) -> Tensor {
    Tensor {
        dtype: like.dtype,
        shape: like.shape.clone(),
        data,
    }
}

/// Errors with `text` unless the condition holds.
pub(super) fn require(condition: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(text()) }
}
