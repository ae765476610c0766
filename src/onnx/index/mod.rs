//! Bytes → views: one pass over a model's fields that steps over every payload.
//!
//! Protobuf's own rules hold: the last of a repeated singular scalar wins, repeated scalars may be packed or not,
//! fields of an unexpected wire type are unknown fields, and unknown fields are nobody's business.
//! A singular message that stands twice would have to be merged; it is refused, since a view has one span.
//! Names are interned, because a large model is mostly names.

mod attribute;
mod graph;
mod tensor;
mod types;

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::error::ReadError;
use super::model::{
    AnnotationView, FunctionView, GraphView, MessageSpan, Name, OperatorSet, TensorView,
    ValueInfoView,
};
pub(crate) use tensor::describe;

use super::wire::{Field, MAX_DEPTH, Position, Reader, Span, Value, WireError};

/// What a pass over the file finds.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) ir_version: i64,
    pub(crate) opset_imports: Vec<OperatorSet>,
    pub(crate) graph: GraphView,
    pub(crate) functions: Vec<FunctionView>,
    pub(crate) reserved_names: Vec<Name>,
    /// Every tensor with external data, wherever it stands, in file order, with what to call it in a message.
    pub(crate) external: Vec<(TensorView, String)>,
}

/// The state of the pass.
pub(super) struct Indexer<'a> {
    reader: Reader<'a>,
    file: &'a Path,
    names: HashSet<Name>,
    /// The node around what is being read, for messages.
    node: Option<Name>,
    external: Vec<(TensorView, String)>,
}

/// What is gathered of a ModelProto before it is known to be one.
#[derive(Default)]
struct ModelFields {
    ir_version: Option<i64>,
    opset_imports: Vec<OperatorSet>,
    graph: Option<GraphView>,
    functions: Vec<FunctionView>,
    reserved_names: Vec<Name>,
}

/// Reads the whole file as a ModelProto.
pub(crate) fn index(reader: Reader<'_>, length: u64, file: &Path) -> Result<Index, ReadError> {
    let mut indexer = Indexer {
        reader,
        file,
        names: HashSet::new(),
        node: None,
        external: Vec::new(),
    };
    if length == 0 {
        return Err(indexer.not_a_model("the file is empty"));
    }
    let found = indexer.model(Span::new(0, length))?;
    let ir_version = found.ir_version.unwrap_or_default();
    if ir_version <= 0 {
        return Err(indexer.not_a_model("it states no ir_version"));
    }
    let Some(graph) = found.graph else {
        return Err(indexer.not_a_model("it holds no graph"));
    };
    if found.opset_imports.is_empty() && ir_version >= 3 {
        return Err(indexer.not_a_model("it states no opset_import"));
    }
    Ok(Index {
        ir_version,
        opset_imports: found.opset_imports,
        graph,
        functions: found.functions,
        reserved_names: found.reserved_names,
        external: indexer.external,
    })
}

impl Indexer<'_> {
    fn model(&mut self, body: Span) -> Result<ModelFields, ReadError> {
        let mut found = ModelFields::default();
        let mut position = Position::at_start_of(body);
        loop {
            let field = match self.reader.next_field(&mut position) {
                Ok(Some(field)) => field,
                Ok(None) => return Ok(found),
                Err(WireError::Malformed { .. })
                    if found.ir_version.is_none() && found.graph.is_none() =>
                {
                    return Err(self.not_a_model("it does not start as one"));
                }
                Err(error) => return Err(self.wire(error)),
            };
            match (field.number, field.value) {
                (1, Value::Varint(version)) => found.ir_version = Some(version as i64),
                (7, Value::Bytes(_)) if found.graph.is_some() => {
                    return Err(self.twice("ModelProto.graph", field));
                }
                (7, Value::Bytes(body)) => found.graph = Some(self.graph(message(field, body), 1)?),
                (8, Value::Bytes(body)) => found.opset_imports.push(self.operator_set(body)?),
                (20, Value::Bytes(body)) => self.training_info(body, &mut found.reserved_names)?,
                (25, Value::Bytes(body)) => {
                    found.functions.push(self.function(message(field, body))?)
                }
                _ => {}
            }
        }
    }

    fn operator_set(&mut self, body: Span) -> Result<OperatorSet, ReadError> {
        let mut set = OperatorSet {
            domain: self.intern(b""),
            version: 0,
        };
        let mut position = Position::at_start_of(body);
        while let Some(field) = self.next(&mut position)? {
            match (field.number, field.value) {
                (1, Value::Bytes(body)) => set.domain = self.domain(body)?,
                (2, Value::Varint(version)) => set.version = version as i64,
                _ => {}
            }
        }
        Ok(set)
    }

    fn value_info(&mut self, at: MessageSpan) -> Result<ValueInfoView, ReadError> {
        let mut name = self.intern(b"");
        let mut types = Vec::new();
        let mut position = Position::at_start_of(at.body);
        while let Some(field) = self.next(&mut position)? {
            match (field.number, field.value) {
                (1, Value::Bytes(body)) => name = self.name(body)?,
                (2, Value::Bytes(body)) => types.push(body),
                _ => {}
            }
        }
        let ty = self.type_proto(&types)?;
        Ok(ValueInfoView { at, name, ty })
    }

    fn annotation(&mut self, at: MessageSpan) -> Result<AnnotationView, ReadError> {
        let mut annotation = AnnotationView {
            at,
            tensor_name: self.intern(b""),
            parameters: Vec::new(),
        };
        let mut position = Position::at_start_of(at.body);
        while let Some(field) = self.next(&mut position)? {
            match (field.number, field.value) {
                (1, Value::Bytes(body)) => annotation.tensor_name = self.name(body)?,
                (2, Value::Bytes(body)) => annotation.parameters.push(self.entry(body)?.1),
                _ => {}
            }
        }
        Ok(annotation)
    }

    /// The names that a TrainingInfoProto refers to, all of which are in use.
    fn training_info(&mut self, body: Span, names: &mut Vec<Name>) -> Result<(), ReadError> {
        let mut position = Position::at_start_of(body);
        while let Some(field) = self.next(&mut position)? {
            let Value::Bytes(body) = field.value else {
                continue;
            };
            match field.number {
                1 | 2 => names.extend(names_in(&self.graph(message(field, body), 2)?)),
                3 | 4 => names.extend(<[Name; 2]>::from(self.entry(body)?)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Key and value of a StringStringEntryProto.
    fn entry(&mut self, body: Span) -> Result<(Name, Name), ReadError> {
        let mut entry = (self.intern(b""), self.intern(b""));
        let mut position = Position::at_start_of(body);
        while let Some(field) = self.next(&mut position)? {
            match (field.number, field.value) {
                (1, Value::Bytes(body)) => entry.0 = self.name(body)?,
                (2, Value::Bytes(body)) => entry.1 = self.name(body)?,
                _ => {}
            }
        }
        Ok(entry)
    }

    fn next(&mut self, position: &mut Position) -> Result<Option<Field>, ReadError> {
        self.reader
            .next_field(position)
            .map_err(|error| wire_error(self.file, error))
    }

    fn name(&mut self, span: Span) -> Result<Name, ReadError> {
        let bytes = self
            .reader
            .bytes(span)
            .map_err(|error| wire_error(self.file, error))?;
        Ok(intern(&mut self.names, bytes))
    }

    /// A domain, the standard one's alias read as the empty one.
    fn domain(&mut self, span: Span) -> Result<Name, ReadError> {
        let name = self.name(span)?;
        Ok(if name == "ai.onnx" {
            self.intern(b"")
        } else {
            name
        })
    }

    fn intern(&mut self, bytes: &[u8]) -> Name {
        intern(&mut self.names, bytes)
    }

    fn check_depth(&self, at: MessageSpan, depth: usize) -> Result<(), ReadError> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(self.damaged(format!(
            "at byte {} messages nest more than {MAX_DEPTH} deep",
            at.field.start
        )))
    }

    fn twice(&self, field: &'static str, second: Field) -> ReadError {
        ReadError::Repeated {
            file: self.file.to_owned(),
            field,
            offset: second.at.start,
        }
    }

    fn not_a_model(&self, reason: &str) -> ReadError {
        ReadError::NotAModel {
            file: self.file.to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn damaged(&self, problem: String) -> ReadError {
        ReadError::Damaged {
            file: self.file.to_owned(),
            problem,
        }
    }

    fn wire(&self, error: WireError) -> ReadError {
        wire_error(self.file, error)
    }
}

/// The error of a file whose bytes could not be read as fields.
pub(crate) fn wire_error(file: &Path, error: WireError) -> ReadError {
    match error {
        // Spans lie within the file as it was when it was opened.
        WireError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            ReadError::Changed {
                file: file.to_owned(),
            }
        }
        WireError::Io(source) => ReadError::Io {
            file: file.to_owned(),
            source,
        },
        malformed => ReadError::Damaged {
            file: file.to_owned(),
            problem: malformed.to_string(),
        },
    }
}

fn intern(names: &mut HashSet<Name>, bytes: &[u8]) -> Name {
    if let Some(known) = names.get(bytes) {
        return known.clone();
    }
    let name = Name::from(bytes);
    names.insert(name.clone());
    name
}

fn message(field: Field, body: Span) -> MessageSpan {
    MessageSpan {
        field: field.at,
        body,
    }
}

fn names_in(graph: &GraphView) -> Vec<Name> {
    let infos = graph
        .inputs
        .iter()
        .chain(&graph.outputs)
        .chain(&graph.value_info);
    let nodes = graph
        .nodes
        .iter()
        .flat_map(|node| node.inputs.iter().chain(&node.outputs));
    let tensors = graph.initializers.iter().map(|tensor| &tensor.name);
    let sparse = graph.sparse_initializers.iter().map(|tensor| &tensor.name);
    let all = infos
        .map(|info| &info.name)
        .chain(nodes)
        .chain(tensors)
        .chain(sparse);
    all.filter(|name| !name.is_empty()).cloned().collect()
}
