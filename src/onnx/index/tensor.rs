//! TensorProto and SparseTensorProto → views, with the description of external data parsed and checked.

use super::{Indexer, message};
use crate::onnx::error::{ExternalProblem, ReadError};
use crate::onnx::model::{ExternalData, MessageSpan, Name, SparseView, TensorData, TensorView};
use crate::onnx::wire::{Position, Span, Value};

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: u64 = 1;

#[derive(Default)]
struct Storage {
    raw: Option<Span>,
    typed: bool,
    location: u64,
    entries: Vec<(Name, Name)>,
}

impl Indexer<'_> {
    pub(super) fn tensor(&mut self, at: MessageSpan) -> Result<TensorView, ReadError> {
        let mut name = self.intern(b"");
        let (mut dims, mut data_type, mut storage) = (Vec::new(), 0, Storage::default());
        let mut position = Position::at_start_of(at.body);
        while let Some(field) = self.next(&mut position)? {
            match (field.number, field.value) {
                (1, Value::Varint(extent)) => dims.push(extent as i64),
                (1, Value::Bytes(packed)) => {
                    self.packed_varints(packed, |extent| dims.push(extent as i64))?
                }
                (2, Value::Varint(number)) => data_type = number as i32,
                (4..=7 | 10 | 11, Value::Bytes(packed)) => {
                    storage.typed |= !packed.is_empty() || field.number == 6
                }
                (4..=7 | 10 | 11, _) => storage.typed = true,
                (8, Value::Bytes(body)) => name = self.name(body)?,
                (9, Value::Bytes(body)) => storage.raw = Some(body),
                (13, Value::Bytes(body)) => storage.entries.push(self.entry(body)?),
                (14, Value::Varint(location)) => storage.location = location,
                _ => {}
            }
        }
        let dims = self
            .dims(&dims)
            .map_err(|problem| self.bad_tensor(&name, problem))?;
        let data = self.data(&name, storage)?;
        let view = TensorView {
            at,
            name,
            dims,
            data_type,
            data,
        };
        if matches!(view.data, TensorData::External(_)) {
            self.external
                .push((view.clone(), self.describe(&view.name)));
        }
        Ok(view)
    }

    pub(super) fn sparse(&mut self, at: MessageSpan) -> Result<SparseView, ReadError> {
        let (mut values, mut indices, mut dims) = (None, None, Vec::new());
        let mut position = Position::at_start_of(at.body);
        while let Some(field) = self.next(&mut position)? {
            match (field.number, field.value) {
                (1, Value::Bytes(_)) if values.is_some() => {
                    return Err(self.twice("SparseTensorProto.values", field));
                }
                (2, Value::Bytes(_)) if indices.is_some() => {
                    return Err(self.twice("SparseTensorProto.indices", field));
                }
                (1, Value::Bytes(body)) => values = Some(self.tensor(message(field, body))?),
                (2, Value::Bytes(body)) => indices = Some(self.tensor(message(field, body))?),
                (3, Value::Varint(extent)) => dims.push(extent as i64),
                (3, Value::Bytes(packed)) => {
                    self.packed_varints(packed, |extent| dims.push(extent as i64))?
                }
                _ => {}
            }
        }
        let (Some(values), Some(indices)) = (values, indices) else {
            return Err(self.damaged(format!(
                "the sparse tensor at byte {} lacks values or indices",
                at.field.start
            )));
        };
        let dims = self
            .dims(&dims)
            .map_err(|problem| self.bad_tensor(&values.name, problem))?;
        Ok(SparseView {
            at,
            name: values.name.clone(),
            dims,
            values,
            indices,
        })
    }

    pub(super) fn packed_varints(
        &mut self,
        packed: Span,
        mut each: impl FnMut(u64),
    ) -> Result<(), ReadError> {
        let mut position = Position::at_start_of(packed);
        while let Some(value) = self
            .reader
            .next_varint(&mut position)
            .map_err(|error| self.wire(error))?
        {
            each(value);
        }
        Ok(())
    }

    fn dims(&self, dims: &[i64]) -> Result<Vec<usize>, String> {
        let extents: Option<Vec<usize>> = dims
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect();
        let fitting = extents.filter(|extents| {
            // Extents of 0 do not excuse the others: strides are products too.
            let product = extents
                .iter()
                .filter(|&&extent| extent > 0)
                .try_fold(1usize, |product, &e| product.checked_mul(e));
            product.is_some_and(|product| product <= isize::MAX as usize)
        });
        fitting.ok_or_else(|| {
            format!("its dims {dims:?} are negative or too large; export the model again")
        })
    }

    fn data(&mut self, name: &Name, storage: Storage) -> Result<TensorData, ReadError> {
        if storage.location == EXTERNAL {
            let text = |bytes: &Name| String::from_utf8_lossy(bytes.as_bytes()).into_owned();
            return external_data(&storage.entries)
                .map(TensorData::External)
                .map_err(|problem| ReadError::External {
                    file: self.file.to_owned(),
                    tensor: self.describe(name),
                    location: storage
                        .entries
                        .iter()
                        .find(|(key, _)| *key == "location")
                        .map_or_else(String::new, |(_, v)| text(v)),
                    problem: Box::new(problem),
                });
        }
        match storage.raw {
            Some(raw) if storage.typed && !raw.is_empty() => Err(self.bad_tensor(
                name,
                "it has both raw_data and typed data; export the model again".to_owned(),
            )),
            Some(raw) if !storage.typed => Ok(TensorData::Raw(raw)),
            _ => Ok(TensorData::Typed),
        }
    }

    /// What to call a tensor in a message.
    pub(super) fn describe(&self, name: &Name) -> String {
        describe(name, self.node.as_ref())
    }

    fn bad_tensor(&self, name: &Name, problem: String) -> ReadError {
        ReadError::Tensor {
            file: self.file.to_owned(),
            tensor: self.describe(name),
            problem,
        }
    }
}

/// What to call a tensor in a message, with the node that holds it.
pub(crate) fn describe(name: &Name, node: Option<&Name>) -> String {
    match node {
        Some(node) if name.is_empty() => format!("the tensor of node {node}"),
        Some(node) => format!("tensor {name} of node {node}"),
        None => format!("tensor {name}"),
    }
}

fn external_data(entries: &[(Name, Name)]) -> Result<ExternalData, ExternalProblem> {
    let text = |key: &str| -> Result<Option<String>, ExternalProblem> {
        let mut values = entries
            .iter()
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(ExternalProblem::Entry(format!(
                "the entry {key} stands twice"
            ))),
            (None, _) => Ok(None),
            (Some(value), None) => String::from_utf8(value.as_bytes().to_vec())
                .map(Some)
                .map_err(|_| ExternalProblem::Entry(format!("the entry {key} is not UTF-8"))),
        }
    };
    let number = |key: &str| -> Result<Option<u64>, ExternalProblem> {
        let Some(value) = text(key)? else {
            return Ok(None);
        };
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(ExternalProblem::Entry(format!(
                "the entry {key} is {value:?}, not a number of bytes"
            ))),
        }
    };
    Ok(ExternalData {
        location: text("location")?
            .ok_or_else(|| ExternalProblem::Entry("the entry location is missing".to_owned()))?,
        offset: number("offset")?.unwrap_or(0),
        length: number("length")?,
        checksum: text("checksum")?,
    })
}
