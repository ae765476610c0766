//! The elements of a tensor, whatever its storage, as a stream of dense little-endian bytes and as numbers.
//!
//! Byte counts are checked against dims × width before anything is allocated.
//! A packed run of fixed-size values is dense already and is read where it stands;
//! varints and unpacked fields are decoded on the way.
//! It leaves out strings, and arithmetic on types narrower than a byte.

mod stream;
mod transformed;

use super::elements::{self, TypedField, byte_count, type_name, typed_field};
use super::error::ReadError;
use super::files::FileId;
use super::load::Model;
use super::model::{SparseView, TensorData, TensorView};
use super::proto;
use super::wire::{Position, Span, Value};
pub(crate) use stream::ElementStream;
pub(crate) use transformed::TransformedStream;

const CHUNK: usize = 64 << 10;

impl TensorView {
    /// How many elements the tensor has.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a tensor with an extent of 0 is no special case to anyone"
    )]
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether the elements are of a float type that can be read as f64 and rounded back.
    pub fn is_float(&self) -> bool {
        elements::is_float(self.data_type)
    }
}

/// Where the dense bytes of a tensor come from.
#[derive(Clone, Debug)]
pub(crate) enum Elements {
    /// They stand in a file as they are.
    Dense(FileId, Span),
    /// They are decoded from the typed fields of the tensor whose body this is.
    Decoded(Span, TypedField, u64),
}

impl Elements {
    /// Bytes that belong together: an element, or an entry of a typed field.
    fn width(&self, data_type: i32) -> usize {
        match self {
            Elements::Decoded(_, field, _) => field.width,
            Elements::Dense(..) => {
                elements::bits(data_type).map_or(1, |bits| (bits as usize / 8).max(1))
            }
        }
    }

    /// Bytes in dense form.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Elements::Dense(_, span) => span.len(),
            Elements::Decoded(_, _, length) => *length,
        }
    }
}

impl Model {
    /// Whether a tensor's data are as long as its dims and type need; they are not read.
    ///
    /// # Errors
    /// If they are not, or its file is missing.
    pub(crate) fn check_length(&self, tensor: &TensorView) -> Result<(), ReadError> {
        self.elements(tensor).map(drop)
    }

    /// The elements of a float tensor.
    pub fn read_f64(&self, tensor: &TensorView) -> Result<Vec<f64>, ReadError> {
        self.check_float(tensor)?;
        let mut values = Vec::new();
        self.for_each_f64_chunk(tensor, |_, chunk| values.extend_from_slice(chunk))?;
        Ok(values)
    }

    /// The elements of a tensor of integers or booleans.
    pub fn read_i64(&self, tensor: &TensorView) -> Result<Vec<i64>, ReadError> {
        let mut values = Vec::new();
        let mut readable = elements::integers(tensor.data_type, &[], &mut values).is_some();
        if readable {
            self.for_each_chunk(tensor, |bytes| {
                readable &= elements::integers(tensor.data_type, bytes, &mut values).is_some();
            })?;
        }
        if readable {
            return Ok(values);
        }
        Err(self.bad_tensor(
            tensor,
            format!(
                "its elements ({}) cannot be read as integers",
                type_name(tensor.data_type)
            ),
        ))
    }

    /// Passes a float tensor's elements in order, each time with the flat index of the first, without holding them all.
    pub fn for_each_f64_chunk(
        &self,
        tensor: &TensorView,
        mut each: impl FnMut(usize, &[f64]),
    ) -> Result<(), ReadError> {
        self.check_float(tensor)?;
        let (mut index, mut values) = (0, Vec::new());
        self.for_each_chunk(tensor, |bytes| {
            values.clear();
            elements::widen_chunk(tensor.data_type, bytes, &mut values);
            each(index, &values);
            index += values.len();
        })
    }

    /// The elements of a sparse float tensor in dense form, if that has no more than `limit` of them.
    pub fn read_sparse_f64(
        &self,
        sparse: &SparseView,
        limit: usize,
    ) -> Result<Vec<f64>, ReadError> {
        let count: usize = sparse.dims.iter().product();
        let bad = |problem: String| self.bad_tensor(&sparse.values, problem);
        if count > limit {
            return Err(bad(format!(
                "in dense form it would have {count} elements, more than the {limit} allowed here"
            )));
        }
        let (values, indices) = (
            self.read_f64(&sparse.values)?,
            self.read_i64(&sparse.indices)?,
        );
        let rank = sparse.dims.len();
        let linear = sparse.indices.dims.len() < 2;
        if indices.len()
            != if linear {
                values.len()
            } else {
                values.len().saturating_mul(rank)
            }
        {
            return Err(bad(
                "its values and indices are not equally many; export the model again".to_owned(),
            ));
        }
        let mut dense = vec![0.0; count];
        for (position, value) in values.into_iter().enumerate() {
            let flat = if linear {
                indices
                    .get(position)
                    .and_then(|&index| usize::try_from(index).ok())
            } else {
                indices
                    .get(position * rank..(position + 1) * rank)
                    .and_then(|axes| flat_index(&sparse.dims, axes))
            };
            let slot = flat.and_then(|flat| dense.get_mut(flat));
            *slot.ok_or_else(|| {
                bad("one of its indices is outside its dims; export the model again".to_owned())
            })? = value;
        }
        Ok(dense)
    }

    /// The tensor as a message of its own: dense, inline, in `raw_data` (strings in `string_data`).
    pub fn tensor_proto(&self, tensor: &TensorView) -> Result<proto::TensorProto, ReadError> {
        let mut message = proto::TensorProto {
            dims: tensor.dims.iter().map(|&extent| extent as i64).collect(),
            data_type: Some(tensor.data_type),
            name: Some(tensor.name.to_string()),
            ..Default::default()
        };
        if tensor.data_type == proto::tensor_proto::DataType::String as i32 {
            message.string_data = self.string_data(tensor)?;
            return Ok(message);
        }
        let elements = self.elements(tensor)?;
        let mut bytes = Vec::new();
        let held = |_| self.bad_tensor(tensor, "it does not fit in memory".to_owned());
        bytes
            .try_reserve_exact(usize::try_from(elements.len()).unwrap_or(usize::MAX))
            .map_err(held)?;
        self.for_each_chunk(tensor, |chunk| bytes.extend_from_slice(chunk))?;
        message.raw_data = Some(bytes);
        Ok(message)
    }

    /// Where the tensor's dense bytes come from; their count is what dims and type need.
    pub(crate) fn elements(&self, tensor: &TensorView) -> Result<Elements, ReadError> {
        let name = || type_name(tensor.data_type);
        let Some(needed) = byte_count(tensor.data_type, tensor.len()) else {
            return Err(self.bad_tensor(
                tensor,
                format!("its elements ({}) cannot be read here", name()),
            ));
        };
        let (elements, found) = match &tensor.data {
            TensorData::Raw(span) => (Elements::Dense(FileId::MODEL, *span), span.len()),
            TensorData::External(_) => {
                let (file, span) = self.external_span(tensor)?;
                (Elements::Dense(file, span), span.len())
            }
            TensorData::Typed => {
                let field = typed_field(tensor.data_type).ok_or_else(|| {
                    self.bad_tensor(
                        tensor,
                        format!("its elements ({}) cannot be read here", name()),
                    )
                })?;
                self.typed_elements(tensor.at.body, field, needed)?
            }
        };
        if found == needed {
            return Ok(elements);
        }
        let dims = &tensor.dims;
        let problem = format!(
            "its data has {found} bytes, but dims {dims:?} of {} need {needed}; export the model again",
            name()
        );
        Err(self.bad_tensor(tensor, problem))
    }

    fn for_each_chunk(
        &self,
        tensor: &TensorView,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        let elements = self.elements(tensor)?;
        let mut stream = ElementStream::new(self, &elements);
        let mut buffer = vec![0; CHUNK.min(usize::try_from(elements.len()).unwrap_or(CHUNK))];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            each(buffer.get(..count).unwrap_or_default());
        }
    }

    fn check_float(&self, tensor: &TensorView) -> Result<(), ReadError> {
        if tensor.is_float() {
            return Ok(());
        }
        Err(self.bad_tensor(
            tensor,
            format!(
                "its elements ({}) are not floats",
                type_name(tensor.data_type)
            ),
        ))
    }

    /// The typed fields' elements, and how many bytes they are in dense form.
    fn typed_elements(
        &self,
        body: Span,
        field: TypedField,
        needed: u64,
    ) -> Result<(Elements, u64), ReadError> {
        let wire = |error| self.wire_error(error);
        let (mut reader, mut position) = (self.reader(), Position::at_start_of(body));
        let (mut entries, mut runs) = (0u64, Vec::new());
        while let Some(found) = reader.next_field(&mut position).map_err(wire)? {
            match found.value {
                Value::Bytes(packed) if found.number == field.number && field.fixed => {
                    entries += packed.len() / field.width as u64;
                    runs.push(packed);
                }
                Value::Bytes(packed) if found.number == field.number => {
                    let mut inside = Position::at_start_of(packed);
                    while reader.next_varint(&mut inside).map_err(wire)?.is_some() {
                        entries += 1;
                    }
                }
                Value::Varint(_) | Value::Fixed32(_) | Value::Fixed64(_)
                    if found.number == field.number =>
                {
                    entries += 1
                }
                _ => {}
            }
        }
        let found = entries * field.width as u64;
        let elements = match runs.as_slice() {
            [run] if run.len() == found => Elements::Dense(FileId::MODEL, *run),
            _ => Elements::Decoded(body, field, needed),
        };
        Ok((elements, found))
    }

    fn string_data(&self, tensor: &TensorView) -> Result<Vec<Vec<u8>>, ReadError> {
        let wire = |error| self.wire_error(error);
        let (mut reader, mut position) = (self.reader(), Position::at_start_of(tensor.at.body));
        let mut strings = Vec::new();
        while let Some(found) = reader.next_field(&mut position).map_err(wire)? {
            if let (6, Value::Bytes(body)) = (found.number, found.value) {
                strings.push(reader.bytes(body).map_err(wire)?.to_vec());
            }
        }
        if strings.len() == tensor.len() {
            return Ok(strings);
        }
        let problem = format!(
            "it has {} strings, but dims {:?}; export the model again",
            strings.len(),
            tensor.dims
        );
        Err(self.bad_tensor(tensor, problem))
    }
}

fn flat_index(dims: &[usize], axes: &[i64]) -> Option<usize> {
    dims.iter()
        .zip(axes)
        .try_fold(0usize, |flat, (&extent, &axis)| {
            let axis = usize::try_from(axis).ok().filter(|&axis| axis < extent)?;
            flat.checked_mul(extent)?.checked_add(axis)
        })
}
