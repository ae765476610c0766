//! bnfold folds BatchNormalization out of ONNX models and proves that the result computes the same.
//!
//! # The way of a model
//!
//! ```text
//! bytes ─read→ Model ─index→ Graph ─plan→ Plan ─apply→ Edits ─verify→ Verification ─report→ text
//!                                                        └──────────── save ───────────→ bytes′
//! ```
//!
//! Each stage is a function from one value to the next; nothing is changed on the way.
//!
//! | room | what it is for |
//! |---|---|
//! | [`onnx`] | bytes ↔ [`onnx::Model`]: views of a file, edits of it, safe reading and writing |
//! | [`graph`] | who produces and consumes each value, in every scope; shapes; constants |
//! | [`affine`] | scale and shift that broadcast against a value |
//! | [`rules`] | the algebra: operators that absorb an affine, operators that carry it, and every refusal |
//! | [`plan`] | what becomes of each BatchNormalization, as data |
//! | [`apply`] | a plan as edits of the file |
//! | [`fold`] | the stages up to here, and again without what does not fit its type |
//! | [`bisect`] | which fold makes a result differ |
//! | [`settle`] | fold, compare, and go back until the plan is proved or refused |
//! | [`batch_norm`] | the kernel, inference and training mode |
//! | [`engine`] | runs a model node by node, in its own types or in float64 |
//! | [`calibrate`] | statistics from data for training mode, and what the batch does there |
//! | [`verify`] | two models on samples: equivalent, different, or unknown |
//! | [`report`] | what happened, for people and for machines |
//! | [`check`] | what stands out in a report, by code and severity |
//! | [`mod@format`] | checks of many models, one file a format |
//! | [`explain`] | the page of every finding and every refusal |
//!
//! # What holds everywhere
//!
//! - `plan` reads and never writes; `apply` is the only room that changes a model; `verify` trusts neither.
//! - Only `onnx` knows protobuf, only `engine` knows tract and ONNX Runtime; neither prints, and no library room ends the process.
//! - A refusal to fold is data; an error is typed and says what to do next; anything else is a bug.
//! - Arithmetic on weights is float64, rounded once; what a fold does not touch stays byte-identical.
//! - The same bytes and options give the same bytes, on every machine.

pub mod affine;
pub mod apply;
pub mod batch_norm;
pub mod bisect;
pub mod calibrate;
pub mod check;
pub mod engine;
pub mod explain;
pub mod fold;
pub mod format;
pub mod graph;
pub mod onnx;
pub mod plan;
pub mod report;
pub mod rules;
pub mod settle;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verify;
