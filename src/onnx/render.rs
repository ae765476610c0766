//! Edits → rope, and the question that decides it: which tensors stand in the model, and which in a data file beside it.
//!
//! Tensors go to the data file in source order, those that are added last, each at its own alignment:
//! 65536 or 4096 where its old offset had that, 16 otherwise.

use std::collections::BTreeMap;

use super::edit::{self, ChangedTensor, Edits, Payload};
use super::error::EditError;
use super::model::{AttributeValue, GraphView, NodeView, TensorData, TensorView};
use super::rope::Rope;
use super::splice::Splices;
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

impl DataFile {
    /// Whether a tensor belongs here.
    fn takes(&self, like: Option<&TensorView>, is_initializer: bool, length: u64) -> bool {
        let was_external = like.is_some_and(|view| matches!(view.data, TensorData::External(_)));
        was_external
            || is_initializer
                && self
                    .threshold
                    .is_some_and(|threshold| length >= threshold.max(1))
    }

    fn place(&mut self, dense: Rope, like: Option<&TensorView>) -> Payload {
        let alignment = alignment(like, dense.len());
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

fn alignment(like: Option<&TensorView>, length: u64) -> u64 {
    match like.map(|view| &view.data) {
        // The first tensor of a file is aligned to everything, which says nothing.
        Some(TensorData::External(data)) if data.offset > 0 => PAGES
            .into_iter()
            .find(|page| data.offset % page == 0)
            .unwrap_or(LEAST_ALIGNMENT),
        _ if length >= LONG_TENSOR => PAGES[0],
        _ => LEAST_ALIGNMENT,
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

    /// The edited model, with the tensors that belong there put into the data file.
    pub(crate) fn render(&self, mut data: Option<&mut DataFile>) -> Result<Rope, EditError> {
        let mut splices = self.structure()?;
        let threshold = data.as_ref().and_then(|data| data.threshold);
        for (_, (tensor, is_initializer)) in self.tensors_to_place(&splices, threshold)? {
            let payload = match &mut data {
                Some(data)
                    if data.takes(Some(&tensor.view), is_initializer, tensor.dense.len()) =>
                {
                    data.place(tensor.dense, Some(&tensor.view))
                }
                _ => Payload::Inline(tensor.dense),
            };
            edit::place(self.model, &tensor.view, payload, &mut splices)?;
        }
        for added in &self.added {
            let dense = added.dense.clone();
            let payload = match &mut data {
                Some(data) if data.takes(added.like.as_ref(), true, dense.len()) => {
                    data.place(dense, added.like.as_ref())
                }
                _ => Payload::Inline(dense),
            };
            splices.append(added.graph, added.field(payload));
        }
        splices.render(self.model)
    }

    /// Changed tensors, external ones, and initializers that may become external, in source order.
    fn tensors_to_place(
        &self,
        splices: &Splices,
        threshold: Option<u64>,
    ) -> Result<BTreeMap<Span, (ChangedTensor, bool)>, EditError> {
        let mut found = BTreeMap::new();
        let changed = self
            .tensors
            .iter()
            .map(|(&body, tensor)| (body, (tensor.clone(), false)));
        found.extend(changed);
        for view in &self.model.external {
            self.untouched(view, false, splices, &mut found)?;
        }
        if let Some(threshold) = threshold {
            let mut initializers = Vec::new();
            collect_initializers(&self.model.graph, &mut initializers);
            for view in initializers {
                let is_long = self.length_in_file(view) >= threshold;
                if let Some((_, is_initializer)) = found.get_mut(&view.at.body) {
                    *is_initializer = true;
                } else if is_long
                    && view.data_type != super::proto::tensor_proto::DataType::String as i32
                {
                    self.untouched(view, true, splices, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    fn untouched(
        &self,
        view: &TensorView,
        is_initializer: bool,
        splices: &Splices,
        found: &mut BTreeMap<Span, (ChangedTensor, bool)>,
    ) -> Result<(), EditError> {
        if splices.covers(view.at.field) || found.contains_key(&view.at.body) {
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
                ChangedTensor {
                    view: view.clone(),
                    dense,
                },
                is_initializer,
            ),
        );
        Ok(())
    }

    fn length_in_file(&self, view: &TensorView) -> u64 {
        super::elements::byte_count(view.data_type, view.len()).unwrap_or(0)
    }
}

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
