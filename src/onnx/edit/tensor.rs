//! New and changed tensors: their elements as a rope, and their place inline or in a data file.
//!
//! A changed tensor keeps every field but those that hold or locate its elements;
//! a clone keeps them too, under another name.

use std::sync::Arc;

use super::Edits;
use super::node::fields_of;
use crate::onnx::elements::{byte_count, narrow_chunk, type_name, widen_chunk};
use crate::onnx::error::{EditError, Flaw, FlawKind, WriteError};
use crate::onnx::files::FileId;
use crate::onnx::load::Model;
use crate::onnx::model::{GraphView, Name, TensorView};
use crate::onnx::proto::{self, tensor_proto::DataType};
use crate::onnx::render::OldPlace;
use crate::onnx::rope::Rope;
use crate::onnx::splice::Splices;
use crate::onnx::tensor::Elements;
use crate::onnx::transform::Transform;
use crate::onnx::wire::{Field, Span, put_bytes_field, put_length, put_varint_field};

const NAME: u32 = 8;
const RAW_DATA: u32 = 9;
const FLOAT_DATA: u32 = 4;
const DOUBLE_DATA: u32 = 10;
const EXTERNAL_DATA: u32 = 13;
const DATA_LOCATION: u32 = 14;

/// The elements of a new or changed tensor.
#[derive(Clone, Debug)]
pub enum NewData {
    /// Floats, each rounded once to the tensor's type.
    Values(Vec<f64>),
    /// Integers, for INT64 and INT32 tensors.
    Integers(Vec<i64>),
    /// Another tensor's elements, transformed as they stream.
    Transformed {
        /// Whose elements.
        from: TensorView,
        /// What becomes of them.
        transform: Arc<Transform>,
    },
    /// Another tensor's elements as they are.
    Same(TensorView),
}

/// A tensor to add.
#[derive(Clone, Debug)]
pub struct NewTensor {
    /// Its name.
    pub name: Name,
    /// Its extents.
    pub dims: Vec<usize>,
    /// The element type's number in the standard.
    pub data_type: i32,
    /// Its elements.
    pub data: NewData,
}

/// A tensor whose elements change, ready to be placed.
#[derive(Clone, Debug)]
pub(crate) struct ChangedTensor {
    pub(crate) view: TensorView,
    pub(crate) dense: Rope,
}

/// A tensor that is added to a graph, ready to be placed.
#[derive(Clone, Debug)]
pub(crate) struct AddedTensor {
    /// The graph's body.
    pub(crate) graph: Span,
    /// All fields but those of the elements.
    pub(crate) header: Rope,
    pub(crate) dense: Rope,
    /// Where the tensor is that it is made from.
    pub(crate) like: OldPlace,
}

/// Where the elements of a tensor go.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Inline(Rope),
    External {
        location: String,
        offset: u64,
        length: u64,
    },
}

impl Edits<'_> {
    /// Gives a tensor, wherever it stands, other elements; extents and type stay.
    ///
    /// # Errors
    /// If they are not as many as the extents ask for, or the type cannot hold them, or they were changed already.
    pub fn replace_tensor(&mut self, tensor: &TensorView, data: NewData) -> Result<(), EditError> {
        let dense = self.dense(&tensor.name, &tensor.dims, tensor.data_type, data)?;
        let change = ChangedTensor {
            view: tensor.clone(),
            dense,
        };
        match self.tensors.insert(tensor.at.body, change) {
            None => Ok(()),
            Some(_) => Err(EditError::Conflict {
                offset: tensor.at.field.start,
                what: "a tensor is replaced twice",
            }),
        }
    }

    /// Adds an initializer after the others.
    ///
    /// # Errors
    /// If its elements are not as many as its extents ask for, or the type cannot hold them.
    pub fn add_initializer(
        &mut self,
        graph: &GraphView,
        tensor: NewTensor,
    ) -> Result<(), EditError> {
        let like = match &tensor.data {
            NewData::Same(from) | NewData::Transformed { from, .. } => OldPlace::of(from),
            NewData::Values(_) | NewData::Integers(_) => OldPlace::Model,
        };
        let dense = self.dense(&tensor.name, &tensor.dims, tensor.data_type, tensor.data)?;
        let mut header = Vec::new();
        for &extent in &tensor.dims {
            put_varint_field(&mut header, 1, extent as u64);
        }
        put_varint_field(&mut header, 2, tensor.data_type as u64);
        put_bytes_field(&mut header, NAME, tensor.name.as_bytes());
        self.added.push(AddedTensor {
            graph: graph.at.body,
            header: header.into(),
            dense,
            like,
        });
        Ok(())
    }

    /// Adds a copy of a tensor under another name and with other elements; what else the tensor says is copied.
    ///
    /// # Errors
    /// If the elements are not as many as the tensor's, or the type cannot hold them.
    pub fn add_clone(
        &mut self,
        graph: &GraphView,
        tensor: &TensorView,
        name: &Name,
        data: NewData,
    ) -> Result<(), EditError> {
        let dense = self.dense(name, &tensor.dims, tensor.data_type, data)?;
        let mut header = Rope::default();
        for field in fields_of(self.model, tensor.at.body)? {
            if field.number != NAME && !locates_elements(&field) {
                header.push_copy(FileId::MODEL, field.at);
            }
        }
        let mut named = Vec::new();
        put_bytes_field(&mut named, NAME, name.as_bytes());
        header.push_owned(named);
        self.added.push(AddedTensor {
            graph: graph.at.body,
            header,
            dense,
            like: OldPlace::of(tensor),
        });
        Ok(())
    }

    /// A tensor as a message of its own, for a Constant node.
    ///
    /// # Errors
    /// If its elements are not as many as its extents ask for, or the type cannot hold them.
    pub fn tensor_message(&self, tensor: NewTensor) -> Result<proto::TensorProto, EditError> {
        let dense = self.dense(&tensor.name, &tensor.dims, tensor.data_type, tensor.data)?;
        let (bytes, flaws) = dense.to_vec(self.model).map_err(|error| match error {
            WriteError::Read(error) => EditError::Read(error),
            error => EditError::Unsupported(error.to_string()),
        })?;
        if let Some(flaw) = flaws.into_iter().next() {
            return Err(flaw.into());
        }
        Ok(proto::TensorProto {
            dims: tensor.dims.iter().map(|&extent| extent as i64).collect(),
            data_type: Some(tensor.data_type),
            name: Some(tensor.name.to_string()),
            raw_data: Some(bytes),
            ..Default::default()
        })
    }

    fn dense(
        &self,
        name: &Name,
        dims: &[usize],
        data_type: i32,
        data: NewData,
    ) -> Result<Rope, EditError> {
        let unsupported =
            |problem: String| Err(EditError::Unsupported(format!("tensor {name} {problem}")));
        let dense = match data {
            NewData::Values(values) => rounded(name, data_type, &values)?,
            NewData::Integers(values) => integers(name, data_type, &values)?,
            NewData::Same(from) if from.data_type == data_type => self.stream(name, &from, None)?,
            NewData::Transformed { from, transform } if from.data_type == data_type => {
                if transform.dims() != from.dims || !from.is_float() {
                    return unsupported(format!(
                        "is {} {:?}, not a float tensor of the transform's extents",
                        type_name(data_type),
                        from.dims
                    ));
                }
                self.stream(name, &from, Some(transform))?
            }
            NewData::Same(from) | NewData::Transformed { from, .. } => {
                return unsupported(format!(
                    "is {}, its elements are {}",
                    type_name(data_type),
                    type_name(from.data_type)
                ));
            }
        };
        let count = dims
            .iter()
            .try_fold(1usize, |product, &extent| product.checked_mul(extent));
        match count.and_then(|count| byte_count(data_type, count)) {
            Some(needed) if needed == dense.len() => Ok(dense),
            _ => unsupported(format!(
                "of {dims:?} cannot have {} bytes of {}",
                dense.len(),
                type_name(data_type)
            )),
        }
    }

    fn stream(
        &self,
        name: &Name,
        from: &TensorView,
        transform: Option<Arc<Transform>>,
    ) -> Result<Rope, EditError> {
        let elements = self.model.elements(from)?;
        let mut dense = Rope::default();
        dense.push_tensor(name.to_string(), from.data_type, elements, transform);
        Ok(dense)
    }
}

fn rounded(name: &Name, data_type: i32, values: &[f64]) -> Result<Rope, EditError> {
    let Some(bytes) = narrow_chunk(data_type, values) else {
        return Err(EditError::Unsupported(format!(
            "tensor {name} is {}, which holds no floats",
            type_name(data_type)
        )));
    };
    let mut back = Vec::with_capacity(values.len());
    widen_chunk(data_type, &bytes, &mut back);
    let flaw = values
        .iter()
        .zip(&back)
        .position(|(_, rounded)| !rounded.is_finite())
        .map(|index| {
            let kind = if values.get(index).is_some_and(|value| value.is_finite()) {
                FlawKind::Overflow
            } else {
                FlawKind::NotFinite
            };
            Flaw {
                tensor: name.to_string(),
                kind,
                index,
            }
        });
    flaw.map_or(Ok(bytes.into()), |flaw| Err(flaw.into()))
}

fn integers(name: &Name, data_type: i32, values: &[i64]) -> Result<Rope, EditError> {
    let narrow = |value: &i64| i32::try_from(*value).map(i32::to_le_bytes);
    let bytes = match DataType::try_from(data_type) {
        Ok(DataType::Int64) => Some(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
        Ok(DataType::Int32) => values
            .iter()
            .map(narrow)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .map(|bytes| bytes.concat()),
        _ => None,
    };
    let failed = || {
        EditError::Unsupported(format!(
            "tensor {name} ({}) cannot hold these integers",
            type_name(data_type)
        ))
    };
    bytes.map(Rope::from).ok_or_else(failed)
}

fn locates_elements(field: &Field) -> bool {
    matches!(
        field.number,
        4..=7 | RAW_DATA | DOUBLE_DATA | 11 | EXTERNAL_DATA | DATA_LOCATION
    )
}

/// Whether the tensor's one data field is a packed run of floats, which can stay what it is.
fn packed_field(model: &Model, view: &TensorView, dense: &Rope) -> Result<Option<u32>, EditError> {
    let Elements::Dense(FileId::MODEL, run) = model.elements(view)? else {
        return Ok(None);
    };
    let fields = fields_of(model, view.at.body)?;
    let holder = fields.iter().find(|field| field.at.contains(run));
    let number = holder
        .map(|field| field.number)
        .filter(|number| [FLOAT_DATA, DOUBLE_DATA].contains(number));
    Ok(number.filter(|_| run.len() == dense.len()))
}

/// Splices a tensor's elements to where they go.
pub(crate) fn place(
    model: &Model,
    view: &TensorView,
    payload: Payload,
    splices: &mut Splices,
) -> Result<(), EditError> {
    let number = match &payload {
        Payload::Inline(dense) => packed_field(model, view, dense)?.unwrap_or(RAW_DATA),
        Payload::External { .. } => RAW_DATA,
    };
    let fields: Vec<Field> = fields_of(model, view.at.body)?
        .into_iter()
        .filter(locates_elements)
        .collect();
    let home = fields
        .iter()
        .rfind(|field| field.number != DATA_LOCATION)
        .or(fields.last())
        .map(|field| field.at);
    for field in &fields {
        if Some(field.at) != home {
            splices.remove(field.at)?;
        }
    }
    let rope = payload_fields(number, payload);
    match home {
        Some(home) => splices.replace(home, rope)?,
        None => splices.append(view.at.body, rope),
    }
    Ok(())
}

impl AddedTensor {
    /// The tensor as an initializer field of its graph.
    pub(crate) fn field(&self, payload: Payload) -> Rope {
        let mut body = self.header.clone();
        body.append(payload_fields(RAW_DATA, payload));
        let mut head = Vec::new();
        put_length(&mut head, 5, body.len());
        let mut field = Rope::from(head);
        field.append(body);
        field
    }
}

fn payload_fields(number: u32, payload: Payload) -> Rope {
    let mut head = Vec::new();
    match payload {
        Payload::Inline(dense) => {
            put_length(&mut head, number, dense.len());
            let mut rope = Rope::from(head);
            rope.append(dense);
            rope
        }
        Payload::External {
            location,
            offset,
            length,
        } => {
            for (key, value) in [
                ("location", location),
                ("offset", offset.to_string()),
                ("length", length.to_string()),
            ] {
                let mut entry = Vec::new();
                put_bytes_field(&mut entry, 1, key.as_bytes());
                put_bytes_field(&mut entry, 2, value.as_bytes());
                put_bytes_field(&mut head, EXTERNAL_DATA, &entry);
            }
            put_varint_field(&mut head, DATA_LOCATION, 1);
            head.into()
        }
    }
}
