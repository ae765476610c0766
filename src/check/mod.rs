//! Check: what a CI job should know about a model before it is deployed, as data.
//!
//! [`findings`] reads a [`Report`] and says what stands out; a [`Policy`] gives each code its severity and its bounds; a
//! [`Baseline`] takes away what was accepted before.
//! A [`Config`] is a `bnfold.toml`.
//! Nothing here reads models, runs them, or prints.

mod audit;
mod baseline;
mod code;
mod config;
mod finding;
mod identity;
mod policy;
mod shard;

pub use audit::{Audit, Audited, MergeError};
pub use baseline::{Baseline, BaselineError};
pub use code::{FindingCode, Severity, UnknownCode};
pub use config::{Config, ConfigError};
pub use finding::{Finding, findings, findings_of_result};
pub use identity::Identity;
pub use policy::{Bounds, Level, Policy, UnknownLevel};
pub use shard::{Shard, ShardError};
