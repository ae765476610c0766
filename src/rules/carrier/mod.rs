//! Carriers: operators that an affine passes through, one file a family, each with its condition.

pub mod activation;
pub mod alike;
pub mod axes;
pub mod cast;
pub mod concat;
pub mod depth_space;
pub mod expand;
pub mod gather;
pub mod matmul;
pub mod norm;
pub(crate) mod operand;
pub mod pad;
pub mod pool;
pub mod product;
pub mod reduce;
pub mod reshape;
pub mod resize;
pub mod split;
pub mod sum;
pub mod transparent;
