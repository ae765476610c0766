//! A small graph as plain choices, which any bytes are, and the valid model that it stands for.
//!
//! Each step reads a value that is there; one that does not suit it is left out.

mod drawing;
mod elements;
mod layout;
mod weighted;
mod windows;

use arbitrary::Arbitrary;

use crate::onnx::proto::ModelProto;
use crate::plan::PlanOptions;
use crate::testing::{DataType, Storage, model};
use drawing::Drawing;

/// Steps beyond these are left out.
const MOST_STEPS: usize = 12;

/// Choices.
#[derive(Arbitrary, Debug)]
pub(super) struct Sketch {
    opset: u8,
    extents: [u8; 4],
    rank: u8,
    typed: bool,
    flags: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
struct Step {
    of: u8,
    and: u8,
    is_output: bool,
    a: u8,
    b: u8,
    kind: Kind,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    BatchNorm,
    SharedBatchNorm,
    Conv,
    SharedConv,
    ConvTranspose,
    Gemm,
    MatMul,
    Activation,
    Pool,
    GlobalPool,
    Reduce,
    Transpose,
    Flatten,
    Reshape,
    OwnShape,
    Squeeze,
    Unsqueeze,
    Arithmetic,
    WithConstant,
    Concat,
    Split,
    Slice,
    Pad,
    Resize,
    Normalization,
    Recurrent,
    If,
    Space,
}

impl Sketch {
    pub(super) fn options(&self) -> PlanOptions {
        PlanOptions {
            reduce: self.flags & 1 != 0,
            compensate: self.flags & 2 != 0,
            merge_branches: self.flags & 4 != 0,
            only_batch_norm: self.flags & 8 != 0,
            ..PlanOptions::default()
        }
    }

    fn opset(&self) -> i64 {
        7 + i64::from(self.opset % 18)
    }

    /// The model: what no step reads is an output, and so is what a step says.
    pub(super) fn model(&self) -> ModelProto {
        model(|graph| {
            graph.opset(self.opset()).dtype(DataType::Double);
            if self.typed {
                graph.storage(Storage::Typed);
            }
            let mut drawing = Drawing {
                graph,
                opset: self.opset(),
                live: vec![graph.input("x", &self.shape()[..])],
                n_reads: vec![1],
                parameters: Vec::new(),
            };
            for step in self.steps.iter().take(MOST_STEPS) {
                drawing.step(step);
            }
            let Drawing { live, n_reads, .. } = drawing;
            let all_read = n_reads.iter().all(|&count| count > 0);
            for (at, (value, count)) in live.iter().zip(n_reads).enumerate() {
                if count == 0 || all_read && at == 0 {
                    value.output(&format!("y_{at}"));
                }
            }
        })
    }

    fn shape(&self) -> Vec<usize> {
        let rank = 2 + usize::from(self.rank % 4).min(3);
        let most = [3, 6, 6, 6, 3];
        let extents = self.extents.iter().chain(&self.extents).zip(most);
        let mut shape: Vec<usize> = extents
            .map(|(&extent, most)| 1 + usize::from(extent) % most)
            .collect();
        shape.truncate(rank);
        shape
    }
}
