//! Extents behind sliding windows: convolutions and pools.

use super::super::{Graph, Malformed, NodeId};
use super::Dim;

/// Kernel, strides, dilations and pads of a node, with the standard's defaults.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) kernel: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) dilations: Vec<usize>,
    /// Begin of each axis, then end of each axis; `None` where `auto_pad` decides.
    pub(crate) pads: Option<Vec<i64>>,
}

impl Window {
    /// Reads the attributes; `kernel` is the weight's where the node has no `kernel_shape`.
    pub(crate) fn read(
        graph: &Graph<'_>,
        node: NodeId,
        kernel: Option<&[usize]>,
    ) -> Result<Window, Malformed> {
        let node = graph.node(node);
        let wrong = |problem: String| Malformed::Attribute(problem + "; export the model again");
        let sizes = |name: &str| -> Result<Option<Vec<usize>>, Malformed> {
            let ints = node.ints(name)?;
            ints.map(|ints| {
                ints.iter()
                    .map(|&i| usize::try_from(i).map_err(|_| wrong(format!("{name} holds {i}"))))
                    .collect()
            })
            .transpose()
        };
        let kernel = match (kernel, sizes("kernel_shape")?) {
            (Some(kernel), _) => kernel.to_vec(),
            (None, Some(kernel)) => kernel,
            (None, None) => return Err(wrong("it has no kernel_shape".to_owned())),
        };
        let rank = kernel.len();
        let strides = sizes("strides")?.unwrap_or_else(|| vec![1; rank]);
        let dilations = sizes("dilations")?.unwrap_or_else(|| vec![1; rank]);
        let auto_pad = node.string("auto_pad", "NOTSET")?;
        let pads = match auto_pad.as_str() {
            "NOTSET" | "" => Some(node.ints("pads")?.unwrap_or_else(|| vec![0; 2 * rank])),
            "VALID" => Some(vec![0; 2 * rank]),
            _ => None,
        };
        let lengths = [
            strides.len(),
            dilations.len(),
            pads.as_ref().map_or(rank, |pads| pads.len() / 2),
        ];
        if lengths.iter().any(|&length| length != rank) || strides.contains(&0) {
            let problem = "its kernel, strides, dilations and pads do not fit each other";
            return Err(wrong(problem.to_owned()));
        }
        Ok(Window {
            kernel,
            strides,
            dilations,
            pads,
        })
    }

    /// How many elements one output reads along an axis, gaps included.
    pub(crate) fn reach(&self, axis: usize) -> usize {
        self.kernel[axis]
            .saturating_sub(1)
            .saturating_mul(self.dilations[axis])
            .saturating_add(1)
    }

    /// The output extent of a convolution or pool along a spatial axis.
    pub(super) fn output(&self, axis: usize, input: Dim, ceil: bool) -> Option<usize> {
        let input = input.known()?;
        let Some(pads) = &self.pads else {
            return Some(input.div_ceil(self.strides[axis]));
        };
        let padded = i64::try_from(input)
            .ok()?
            .checked_add(pads[axis])?
            .checked_add(pads[axis + self.kernel.len()])?;
        let room = usize::try_from(padded)
            .ok()?
            .checked_sub(self.reach(axis))?;
        Some(
            match ceil {
                true => room.div_ceil(self.strides[axis]),
                false => room / self.strides[axis],
            } + 1,
        )
    }

    /// Whether no window reads a padded element, given the spatial extents of the input where `auto_pad` decides.
    pub(crate) fn is_unpadded(&self, input: Option<&[Dim]>) -> bool {
        match &self.pads {
            Some(pads) => pads.iter().all(|&pad| pad == 0),
            None => input.is_some_and(|input| {
                (0..self.kernel.len()).all(|axis| self.same_padding(axis, input[axis]) == Some(0))
            }),
        }
    }

    /// The padding that `auto_pad = SAME_*` adds along an axis.
    fn same_padding(&self, axis: usize, input: Dim) -> Option<usize> {
        let reach = self.reach(axis);
        if self.strides[axis] == 1 {
            return Some(reach - 1);
        }
        let input = input.known()?;
        let covered =
            (input.div_ceil(self.strides[axis]).checked_sub(1)?) * self.strides[axis] + reach;
        Some(covered.saturating_sub(input))
    }
}
