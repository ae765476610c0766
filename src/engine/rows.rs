//! Parts of a tensor along its first axis, as mini-batches are.

use super::tensor::{Data, Tensor, volume};

impl Tensor {
    /// `count` parts along the first axis, from part `start` on; `None` if there are not so many.
    pub(crate) fn rows(&self, start: usize, count: usize) -> Option<Tensor> {
        let (_, rest) = self.shape().split_first()?;
        let length = volume(rest)?;
        let end = start.checked_add(count)?.checked_mul(length)?;
        let data = self.data().part(start.checked_mul(length)?..end)?;
        let shape = [&[count], rest].concat();
        Some(self.like(shape, data))
    }

    /// Where the first number stands that is NaN or infinite.
    pub(crate) fn first_not_finite(&self) -> Option<usize> {
        match self.data() {
            Data::F32(v) => v.iter().position(|x| !x.is_finite()),
            Data::F64(v) => v.iter().position(|x| !x.is_finite()),
            Data::F16(v) => v.iter().position(|x| !x.is_finite()),
            Data::BF16(v) => v.iter().position(|x| !x.is_finite()),
            _ => None,
        }
    }
}
