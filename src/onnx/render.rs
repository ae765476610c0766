//! Edits → rope, and the question that decides it: which tensors stand in the model, and which in a data file beside it.
//!
//! Tensors go to the data file in source order, those that are added last, each at its own alignment:
//! 65536 or 4096 where its old offset had that, 16 otherwise.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::edit::{self, ChangedTensor, Edits, Payload};
use super::elements::byte_count;
use super::error::EditError;
use super::model::{AttributeValue, GraphView, NodeView, TensorData, TensorView};
use super::rope::Rope;
use super::splice;
use super::wire::Span;

/// Alignments that readers map memory by, largest first.
const PAGES: [u64; 2] = [65536, 4096];
/// The alignment of everything else.
const LEAST_ALIGNMENT: u64 = 16;
/// A tensor of this length is worth a page of its own.
const LONG_TENSOR: u64 = 1 << 20;

/// The data file of an output, as it fills.
#[derive(Debug)]
pub(crate) struct DataFile {
    /// What the model calls it.
    pub(crate) location: String,
    /// Its content.
    pub(crate) rope: Rope,
    /// Inline initializers of at least this length move here.
    pub(crate) threshold: Option<u64>,
}

/// Where a tensor, or the one it is a copy of, had its elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OldPlace {
    Model,
    DataFile { offset: u64 },
}

impl OldPlace {
    pub(crate) fn of(view: &TensorView) -> OldPlace {
        match &view.data {
            TensorData::External(data) => OldPlace::DataFile {
                offset: data.offset,
            },
            TensorData::Raw(_) | TensorData::Typed => OldPlace::Model,
        }
    }
}

impl DataFile {
    /// Whether a tensor belongs here.
    fn takes(&self, old: OldPlace, is_initializer: bool, length: u64) -> bool {
        let was_external = matches!(old, OldPlace::DataFile { .. });
        was_external
            || is_initializer
                && self
                    .threshold
                    .is_some_and(|threshold| length >= threshold.max(1))
    }

    fn place(&mut self, dense: Rope, old: OldPlace) -> Payload {
        let alignment = match old {
            // The first tensor of a file is aligned to everything, which says nothing.
            OldPlace::DataFile { offset } if offset > 0 => PAGES
                .into_iter()
                .find(|page| offset % page == 0)
                .unwrap_or(LEAST_ALIGNMENT),
            _ if dense.len() >= LONG_TENSOR => PAGES[0],
            _ => LEAST_ALIGNMENT,
        };
        self.rope
            .push_zeros(self.rope.len().next_multiple_of(alignment) - self.rope.len());
        let (offset, length) = (self.rope.len(), dense.len());
        self.rope.append(dense);
        Payload::External {
            location: self.location.clone(),
            offset,
            length,
        }
    }
}

impl Edits<'_> {
    /// The edited model as one file, all tensors inside.
    ///
    /// # Errors
    /// If edits contradict each other, or the model cannot be read.
    pub fn to_rope(&self) -> Result<Rope, EditError> {
        self.render(None)
    }

    /// The edited model as its file will be, with external tensors that do not change left where they are.
    ///
    /// # Errors
    /// If edits contradict each other, or the model cannot be read.
    pub fn to_rope_beside_data(&self) -> Result<Rope, EditError> {
        let changed = self.tensors.iter();
        let changed = changed.map(|(&body, tensor)| (body, (Cow::Borrowed(tensor), false)));
        self.render_tensors(changed.collect(), None)
    }

    /// The edited model, with the tensors that belong there put into the data file.
    pub(crate) fn render(&self, data: Option<&mut DataFile>) -> Result<Rope, EditError> {
        let threshold = data.as_ref().and_then(|data| data.threshold);
        let tensors = self.tensors_to_place(threshold)?;
        self.render_tensors(tensors, data)
    }

    fn render_tensors(
        &self,
        tensors: ToPlace<'_>,
        mut data: Option<&mut DataFile>,
    ) -> Result<Rope, EditError> {
        let mut splices = self.node_splices()?;
        for (tensor, is_initializer) in tensors.into_values() {
            let (view, dense) = (&tensor.view, tensor.dense.clone());
            let payload = match &mut data {
                Some(data) if data.takes(OldPlace::of(view), is_initializer, dense.len()) => {
                    data.place(dense, OldPlace::of(view))
                }
                _ => Payload::Inline(dense),
            };
            edit::place(self.model, view, payload, &mut splices)?;
        }
        for added in &self.added {
            let dense = added.dense.clone();
            let payload = match &mut data {
                Some(data) if data.takes(added.like, true, dense.len()) => {
                    data.place(dense, added.like)
                }
                _ => Payload::Inline(dense),
            };
            splices.append(added.graph, added.field(payload));
        }
        splice::render(self.model, &[&self.splices, &splices])
    }

    /// Changed tensors, external ones, and initializers that may become external, in source order.
    fn tensors_to_place(&self, threshold: Option<u64>) -> Result<ToPlace<'_>, EditError> {
        let changed = self
            .tensors
            .iter()
            .map(|(&body, tensor)| (body, (Cow::Borrowed(tensor), false)));
        let mut found: ToPlace<'_> = changed.collect();
        for view in &self.model.external {
            self.untouched(view, false, &mut found)?;
        }
        if let Some(threshold) = threshold {
            let mut initializers = Vec::new();
            collect_initializers(&self.model.graph, &mut initializers);
            for view in initializers {
                let length = byte_count(view.data_type, view.len());
                if let Some((_, is_initializer)) = found.get_mut(&view.at.body) {
                    *is_initializer = true;
                } else if length.is_some_and(|length| length >= threshold) {
                    self.untouched(view, true, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    fn untouched<'a>(
        &'a self,
        view: &TensorView,
        is_initializer: bool,
        found: &mut ToPlace<'a>,
    ) -> Result<(), EditError> {
        if self.splices.covers(view.at.field) || found.contains_key(&view.at.body) {
            return Ok(());
        }
        let mut dense = Rope::default();
        dense.push_tensor(
            view.name.to_string(),
            view.data_type,
            self.model.elements(view)?,
            None,
        );
        found.insert(
            view.at.body,
            (
                Cow::Owned(ChangedTensor {
                    view: view.clone(),
                    dense,
                }),
                is_initializer,
            ),
        );
        Ok(())
    }
}

/// By the tensor's body; with whether it is known to be an initializer.
type ToPlace<'a> = BTreeMap<Span, (Cow<'a, ChangedTensor>, bool)>;

fn collect_initializers<'a>(graph: &'a GraphView, found: &mut Vec<&'a TensorView>) {
    found.extend(&graph.initializers);
    for node in &graph.nodes {
        for nested in nested_graphs(node) {
            collect_initializers(nested, found);
        }
    }
}

fn nested_graphs(node: &NodeView) -> impl Iterator<Item = &GraphView> {
    node.attributes
        .iter()
        .flat_map(|attribute| match &attribute.value {
            AttributeValue::Graph(graph) => std::slice::from_ref(&**graph),
            AttributeValue::Graphs(graphs) => graphs.as_slice(),
            _ => &[],
        })
}
