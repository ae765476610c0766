//! What a kernel sees: one node's attributes and input tensors, and the two ways it can fail.

use std::sync::Arc;

use super::Precision;
use super::graph::{Attribute, Graph, Node};
use super::tensor::{Element, ShapeError, Tensor, volume};

/// Why a kernel gives no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The node breaks the standard, or its inputs do not fit each other.
    #[error("{0}")]
    Invalid(String),
    /// The node is of a form that this kernel lacks.
    #[error("{0} is a form that the engine lacks")]
    Unsupported(String),
}

impl Fault {
    pub(super) fn invalid(reason: impl Into<String>) -> Fault {
        Fault::Invalid(reason.into())
    }

    pub(super) fn unsupported(what: impl Into<String>) -> Fault {
        Fault::Unsupported(what.into())
    }
}

impl From<ShapeError> for Fault {
    fn from(error: ShapeError) -> Fault {
        Fault::Invalid(error.to_string())
    }
}

/// What a kernel gives: one tensor per output, trailing outputs left out.
pub(super) type Outcome = Result<Vec<Tensor>, Fault>;

/// One node about to be computed.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) node: &'a Node,
    pub(super) inputs: Vec<Option<Tensor>>,
    pub(super) precision: Precision,
    /// Bytes that one result may take.
    pub(super) limit: u64,
}

impl Call<'_> {
    /// The opset version that the node is written in.
    pub(super) fn version(&self) -> i64 {
        self.node.version
    }

    /// Whether the node names output `index`.
    pub(super) fn wants(&self, index: usize) -> bool {
        self.node.outputs.get(index).is_some_and(Option::is_some)
    }

    pub(super) fn optional(&self, index: usize) -> Option<&Tensor> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    pub(super) fn input(&self, index: usize) -> Result<&Tensor, Fault> {
        self.optional(index)
            .ok_or_else(|| Fault::invalid(format!("input {index} is missing")))
    }

    /// An input to be consumed: the kernel may write in place if nobody else holds it.
    pub(super) fn take(&mut self, index: usize) -> Result<Tensor, Fault> {
        let input = self.inputs.get_mut(index).and_then(Option::take);
        input.ok_or_else(|| Fault::invalid(format!("input {index} is missing")))
    }

    /// The elements of an input that must be of type `T`.
    pub(super) fn elements<T: Element>(&self, index: usize) -> Result<&[T], Fault> {
        let input = self.input(index)?;
        input.elements().ok_or_else(|| {
            let found = input.data().element();
            Fault::unsupported(format!(
                "input {index} of type {found} instead of {}",
                T::TYPE
            ))
        })
    }

    /// An optional integer input.
    pub(super) fn integers(&self, index: usize) -> Result<Option<Vec<i64>>, Fault> {
        let Some(input) = self.optional(index) else {
            return Ok(None);
        };
        let values = input.to_i64();
        values
            .map(Some)
            .ok_or_else(|| Fault::invalid(format!("input {index} holds no integers")))
    }

    /// The number of elements of a result, if it stays inside the budget.
    pub(super) fn size(&self, shape: &[usize]) -> Result<usize, Fault> {
        let count = volume(shape).filter(|&count| count as u64 <= self.limit / 8);
        count.ok_or_else(|| Fault::invalid(format!("a result of shape {shape:?} is over budget")))
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.node.attributes.get(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, Fault> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(_) => Err(Fault::invalid(format!("attribute {name} is no integer"))),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.int(name, 0)? != 0)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f64, Fault> {
        match self.attribute(name) {
            None => Ok(f64::from(default)),
            Some(Attribute::Float(value)) => Ok(f64::from(*value)),
            Some(_) => Err(Fault::invalid(format!("attribute {name} is no number"))),
        }
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&[i64]>, Fault> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values)),
            Some(_) => Err(Fault::invalid(format!(
                "attribute {name} is no list of integers"
            ))),
        }
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<&[f32]>, Fault> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Floats(values)) => Ok(Some(values)),
            Some(_) => Err(Fault::invalid(format!(
                "attribute {name} is no list of numbers"
            ))),
        }
    }

    pub(super) fn text<'s>(&'s self, name: &str, default: &'s str) -> Result<&'s str, Fault> {
        let invalid = || Fault::invalid(format!("attribute {name} is no text"));
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::String(bytes)) => std::str::from_utf8(bytes).map_err(|_| invalid()),
            Some(_) => Err(invalid()),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, Fault> {
        let invalid = || Fault::invalid(format!("attribute {name} is no list of texts"));
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Strings(list)) => {
                let texts: Result<Vec<&str>, _> = list
                    .iter()
                    .map(|bytes| std::str::from_utf8(bytes))
                    .collect();
                texts.map(Some).map_err(|_| invalid())
            }
            Some(_) => Err(invalid()),
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<&Tensor>, Fault> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Tensor(tensor)) => Ok(Some(tensor)),
            Some(_) => Err(Fault::invalid(format!("attribute {name} is no tensor"))),
        }
    }

    pub(super) fn graph(&self, name: &str) -> Result<&Arc<Graph>, Fault> {
        match self.attribute(name) {
            Some(Attribute::Graph(graph)) => Ok(graph),
            _ => Err(Fault::invalid(format!("attribute {name} is no graph"))),
        }
    }
}

/// An axis counted from the end where negative, as an index below `rank`.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Fault> {
    let counted = if axis < 0 {
        axis.checked_add(rank as i64)
    } else {
        Some(axis)
    };
    counted
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < rank)
        .ok_or_else(|| Fault::invalid(format!("axis {axis} is outside rank {rank}")))
}

/// Distinct axes, each counted from the end where negative.
pub(super) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, Fault> {
    let mut axes = list
        .iter()
        .map(|&a| axis(a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    let count = axes.len();
    axes.dedup();
    if axes.len() < count {
        return Err(Fault::invalid(format!("axes {list:?} name one twice")));
    }
    Ok(axes)
}
