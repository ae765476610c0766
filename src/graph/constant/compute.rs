//! What a model computes from constants alone, as a model of its own that the engine runs.

use std::collections::BTreeSet;

use super::{Computed, NotConstant};
use crate::graph::{Graph, NodeId, Origin, ValueId};
use crate::onnx::extract::Extract;

impl Graph<'_> {
    pub(super) fn compute(&self, value: ValueId) -> Result<Computed, NotConstant> {
        let unevaluated = |reason: &str| NotConstant::Unevaluated(reason.to_owned());
        let evaluate = self
            .constants
            .evaluate
            .ok_or_else(|| unevaluated("bnfold was built without an engine"))?;
        let left = self.constants.left.get();
        if let Some(dims) = self.shape(value).and_then(|shape| shape.numbers()) {
            let elements = dims
                .iter()
                .try_fold(1usize, |product, &extent| product.checked_mul(extent));
            if elements.is_none_or(|elements| elements as u64 > left / 8) {
                return Err(unevaluated("it is too large to compute"));
            }
        }
        let bytes = self.extract(value).map_err(NotConstant::Unevaluated)?;
        let computed = evaluate(&bytes, left).map_err(NotConstant::Unevaluated)?;
        let elements: usize = computed.dims.iter().product();
        let left = left.saturating_sub(8 * elements as u64);
        self.constants.left.set(left);
        Ok(computed)
    }

    /// The model that computes one constant.
    fn extract(&self, wanted: ValueId) -> Result<Vec<u8>, String> {
        let scope = self.value(wanted).scope.0 as usize;
        let mut extract = Extract::new(self.model, self.scopes[scope].opsets);
        let (mut nodes, mut seen, mut open) = (Vec::new(), BTreeSet::new(), vec![wanted]);
        // Values of which only the type counts, unless they are computed for another node.
        let mut likes = BTreeSet::new();
        while let Some(value) = open.pop() {
            if !seen.insert(value) {
                continue;
            }
            let name = &self.value(value).name;
            // Each of a long chain of lists would be computed from its start.
            if value != wanted
                && let Some(known) = self.known_integers(value)
            {
                extract.integers(name, known);
                continue;
            }
            match &self.value(value).origin {
                Origin::Initializer { tensor, .. } => extract
                    .tensor(name, tensor)
                    .map_err(|error| error.to_string())?,
                Origin::Node(node, _) => match &*self.node(*node).op {
                    "Shape" | "Size" => extract.integers(name, self.static_extents(*node)?),
                    "CastLike" => {
                        nodes.push(*node);
                        open.extend(self.input(*node, 0));
                        likes.extend(self.input(*node, 1));
                    }
                    _ => {
                        nodes.push(*node);
                        open.extend(self.node(*node).inputs.iter().flatten());
                    }
                },
                _ => return Err("it depends on what cannot be evaluated".to_owned()),
            }
        }
        for like in likes.difference(&seen) {
            let like = self.value(*like);
            extract.placeholder(&like.name, like.data_type);
        }
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            let view = self
                .node(node)
                .view
                .ok_or("it depends on a node that a fold made")?;
            extract.node(view).map_err(|error| error.to_string())?;
        }
        Ok(extract.finish(&self.value(wanted).name))
    }

    fn static_extents(&self, node: NodeId) -> Result<(Vec<i64>, bool), String> {
        let unknown = || "a shape is not static".to_owned();
        let shape = self
            .input(node, 0)
            .and_then(|input| self.shape(input))
            .ok_or_else(unknown)?;
        let dims: Vec<i64> = shape
            .numbers()
            .ok_or_else(unknown)?
            .iter()
            .map(|&extent| extent as i64)
            .collect();
        if &*self.node(node).op == "Size" {
            return Ok((vec![dims.iter().product()], true));
        }
        let output = self
            .output(node, 0)
            .and_then(|output| self.contents.get(&output))
            .ok_or_else(unknown)?;
        Ok((
            output
                .iter()
                .map(|dim| dim.known().unwrap_or(0) as i64)
                .collect(),
            false,
        ))
    }
}
