//! A model: its views, and the files that they point into.

use std::path::{Path, PathBuf};

use super::edit::Edits;
use super::error::{ExternalProblem, ReadError, WriteError};
use super::external;
use super::files::{FileId, Files};
use super::index::{self, Index};
use super::model::{FunctionView, GraphView, Name, OperatorSet, TensorData, TensorView};
use super::source::ReadAt;
use super::wire::{Reader, Span, WireError};

/// What a reader may accept.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Accept data files that have other hard links.
    pub allow_hard_links: bool,
    /// Compare data files with the SHA-1 that the model states for them.
    pub verify_checksums: bool,
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        ReadOptions {
            allow_hard_links: false,
            verify_checksums: true,
        }
    }
}

/// A model that has been read: views of everything but the elements of tensors.
#[derive(Debug)]
pub struct Model {
    /// The version of the file format.
    pub ir_version: i64,
    /// The operator sets that the main graph is written in.
    pub opset_imports: Vec<OperatorSet>,
    /// The main graph.
    pub graph: GraphView,
    /// Functions that the model defines itself.
    pub functions: Vec<FunctionView>,
    /// Names that training information refers to; what they name is in use.
    pub reserved_names: Vec<Name>,
    pub(crate) files: Files,
    /// Every tensor with external data, wherever it stands, in file order.
    pub(crate) external: Vec<TensorView>,
}

impl Model {
    /// Reads a model's file, and finds and checks the data files beside it.
    pub fn open(path: &Path) -> Result<Model, ReadError> {
        Model::open_with(path, &ReadOptions::default())
    }

    /// Reads a model's file under other terms.
    pub fn open_with(path: &Path, options: &ReadOptions) -> Result<Model, ReadError> {
        Model::load(Files::open(path)?, options)
    }

    /// Reads a model in memory, which can have no data files.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Model, ReadError> {
        Model::load(Files::in_memory(bytes, None), &ReadOptions::default())
    }

    /// Reads a model in memory as if its bytes stood in the file `path`, beside which its data files are.
    pub fn from_bytes_at(
        bytes: Vec<u8>,
        path: PathBuf,
        options: &ReadOptions,
    ) -> Result<Model, ReadError> {
        Model::load(Files::in_memory(bytes, Some(path)), options)
    }

    /// The edited model, read again: its bytes are in memory and stand for the same file, whose data files it shares.
    ///
    /// # Errors
    /// If the edits contradict each other, a type cannot hold its new elements, or a file cannot be read.
    pub fn edited(edits: &Edits<'_>, options: &ReadOptions) -> Result<Model, WriteError> {
        let model = edits.model();
        let (bytes, flaws) = edits.to_rope_beside_data()?.to_vec(model)?;
        if !flaws.is_empty() {
            let file = model.files.name().to_owned();
            return Err(WriteError::Unrepresentable { file, flaws });
        }
        Ok(Model::load(model.files.with_bytes(bytes), options)?)
    }

    /// The model's own bytes, if they are in memory.
    pub fn memory(&self) -> Option<&[u8]> {
        self.files.memory()
    }

    /// Bytes in the model's own file.
    #[expect(clippy::len_without_is_empty, reason = "an empty file is no model")]
    pub fn len(&self) -> u64 {
        self.files.length()
    }

    /// The model's file, where it has one.
    pub fn path(&self) -> Option<&Path> {
        self.files.path()
    }

    /// The files on disk that the model is read from: its own, and its data files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.stamps().map(|(path, _)| path)
    }

    /// The directory that external data is looked for in.
    pub fn directory(&self) -> Option<&Path> {
        self.path().map(external::directory_of)
    }

    /// Whether any tensor keeps its data in another file.
    pub fn has_external_data(&self) -> bool {
        !self.external.is_empty()
    }

    /// Fails if any of the model's files is not what it was when it was opened.
    pub fn check_unchanged(&self) -> Result<(), ReadError> {
        self.files.check_unchanged()
    }

    fn load(mut files: Files, options: &ReadOptions) -> Result<Model, ReadError> {
        let reader = Reader::new(files.main(), files.length());
        let Index {
            ir_version,
            opset_imports,
            graph,
            functions,
            reserved_names,
            external,
        } = index::index(reader, files.length(), files.name())?;
        for (tensor, description) in &external {
            check_external(&mut files, tensor, options).map_err(|problem| ReadError::External {
                file: files.name().to_owned(),
                tensor: description.clone(),
                location: location(tensor).to_owned(),
                problem: Box::new(problem),
            })?;
        }
        let external = external.into_iter().map(|(tensor, _)| tensor).collect();
        let model = Model {
            ir_version,
            opset_imports,
            graph,
            functions,
            reserved_names,
            files,
            external,
        };
        if options.verify_checksums {
            super::checksum::verify(&model)?;
        }
        Ok(model)
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        let source: &dyn ReadAt = self.files.main();
        Reader::new(source, self.files.length())
    }

    /// The file and span of external data, which was checked when the model was read.
    pub(crate) fn external_span(&self, tensor: &TensorView) -> Result<(FileId, Span), ReadError> {
        let TensorData::External(data) = &tensor.data else {
            return Err(self.bad_tensor(tensor, "its data is not external".to_owned()));
        };
        let file = self
            .files
            .at(&data.location)
            .ok_or(ExternalProblem::NoDirectory);
        let span =
            file.and_then(|file| Ok((file, external::span(tensor, data, self.files.size(file))?)));
        span.map_err(|problem| ReadError::External {
            file: self.files.name().to_owned(),
            tensor: self.describe(tensor),
            location: data.location.clone(),
            problem: Box::new(problem),
        })
    }

    pub(crate) fn wire_error(&self, error: WireError) -> ReadError {
        index::wire_error(self.files.name(), error)
    }

    pub(crate) fn bad_tensor(&self, tensor: &TensorView, problem: String) -> ReadError {
        ReadError::Tensor {
            file: self.files.name().to_owned(),
            tensor: self.describe(tensor),
            problem,
        }
    }

    /// What to call a tensor in a message: its name, and the node it stands in.
    pub(crate) fn describe(&self, tensor: &TensorView) -> String {
        let scopes = std::iter::once(&self.graph.nodes)
            .chain(self.functions.iter().map(|function| &function.nodes));
        let node = scopes
            .flatten()
            .find(|node| node.at.body.contains(tensor.at.field));
        let node_name = node.map(|node| {
            if node.name.is_empty() {
                &node.op_type
            } else {
                &node.name
            }
        });
        index::describe(&tensor.name, node_name)
    }
}

fn location(tensor: &TensorView) -> &str {
    match &tensor.data {
        TensorData::External(data) => &data.location,
        _ => "",
    }
}

fn check_external(
    files: &mut Files,
    tensor: &TensorView,
    options: &ReadOptions,
) -> Result<(), ExternalProblem> {
    let TensorData::External(data) = &tensor.data else {
        return Ok(());
    };
    let file = files.add(&data.location, options)?;
    external::span(tensor, data, files.size(file)).map(drop)
}
