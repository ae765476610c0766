//! Typed reads of a node's attributes.

use super::error::AttributeError;
use super::model::{AttributeValue, AttributeView, NodeView, TensorView};

impl NodeView {
    /// What to call the node in a message: its name, or else its op_type and first output.
    pub fn label(&self) -> String {
        match self.outputs.iter().find(|output| !output.is_empty()) {
            _ if !self.name.is_empty() => self.name.to_string(),
            Some(output) => format!("{} -> {output}", self.op_type),
            None => self.op_type.to_string(),
        }
    }

    /// The attribute of this name, if the node has it.
    pub fn attribute(&self, name: &str) -> Option<&AttributeView> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }

    /// An INT attribute.
    pub fn int(&self, name: &str) -> Result<Option<i64>, AttributeError> {
        self.typed(name, "an INT", |value| match value {
            AttributeValue::Int(int) => Some(*int),
            _ => None,
        })
    }

    /// An INTS attribute.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>, AttributeError> {
        self.typed(name, "INTS", |value| match value {
            AttributeValue::Ints(ints) => Some(ints.as_slice()),
            _ => None,
        })
    }

    /// A FLOAT attribute.
    pub fn float(&self, name: &str) -> Result<Option<f32>, AttributeError> {
        self.typed(name, "a FLOAT", |value| match value {
            AttributeValue::Float(float) => Some(*float),
            _ => None,
        })
    }

    /// A FLOATS attribute.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>, AttributeError> {
        self.typed(name, "FLOATS", |value| match value {
            AttributeValue::Floats(floats) => Some(floats.as_slice()),
            _ => None,
        })
    }

    /// A STRING attribute.
    pub fn string(&self, name: &str) -> Result<Option<&[u8]>, AttributeError> {
        self.typed(name, "a STRING", |value| match value {
            AttributeValue::String(string) => Some(string.as_slice()),
            _ => None,
        })
    }

    /// A STRINGS attribute.
    pub fn strings(&self, name: &str) -> Result<Option<&[Vec<u8>]>, AttributeError> {
        self.typed(name, "STRINGS", |value| match value {
            AttributeValue::Strings(strings) => Some(strings.as_slice()),
            _ => None,
        })
    }

    /// A TENSOR attribute.
    pub fn tensor(&self, name: &str) -> Result<Option<&TensorView>, AttributeError> {
        self.typed(name, "a TENSOR", |value| match value {
            AttributeValue::Tensor(tensor) => Some(&**tensor),
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&'a AttributeValue) -> Option<T>,
    ) -> Result<Option<T>, AttributeError> {
        let mut found = self
            .attributes
            .iter()
            .filter(|attribute| attribute.name == name);
        let Some(first) = found.next() else {
            return Ok(None);
        };
        let (node, attribute) = (self.label(), name.to_owned());
        if found.next().is_some() {
            return Err(AttributeError::Twice { node, attribute });
        }
        if let AttributeValue::Reference(reference) = &first.value {
            return Err(AttributeError::Reference {
                node,
                attribute,
                reference: reference.to_string(),
            });
        }
        match read(&first.value) {
            Some(value) => Ok(Some(value)),
            None => Err(AttributeError::Kind {
                node,
                attribute,
                expected,
                found: kind(&first.value),
            }),
        }
    }
}

fn kind(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::Float(_) => "a FLOAT",
        AttributeValue::Int(_) => "an INT",
        AttributeValue::String(_) => "a STRING",
        AttributeValue::Floats(_) => "FLOATS",
        AttributeValue::Ints(_) => "INTS",
        AttributeValue::Strings(_) => "STRINGS",
        AttributeValue::Tensor(_) => "a TENSOR",
        AttributeValue::SparseTensor(_) => "a SPARSE_TENSOR",
        AttributeValue::Graph(_) => "a GRAPH",
        AttributeValue::Graphs(_) => "GRAPHS",
        AttributeValue::Reference(_) => "the caller's",
        AttributeValue::Other => "of a kind that is not read",
    }
}
