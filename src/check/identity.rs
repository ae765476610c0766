//! What makes a finding the same on the next run: its code, its model's path, its scope and its node.
//!
//! Its message does not count, for its figures move with every training.

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::audit::Audited;
use super::code::FindingCode;
use super::finding::Finding;

/// What makes a finding the same on the next run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    model: String,
    code: FindingCode,
    scope: String,
    node: String,
}

impl Identity {
    /// The identity of a model's finding.
    pub fn of(audited: &Audited, finding: &Finding) -> Identity {
        Identity {
            model: audited.path.clone(),
            code: finding.code,
            scope: finding.scope.clone(),
            node: finding.node.clone(),
        }
    }

    /// 40 hexadecimal digits that stand for it, the same on every machine and in every version.
    pub fn fingerprint(&self) -> String {
        let parts = [&self.model, self.code.name(), &self.scope, &self.node];
        let mut hash = Sha1::new();
        for part in parts {
            // With its length in front no part can run into the next.
            hash.update(format!("{} {part}\n", part.len()));
        }
        let digest = hash.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(scope: &str, node: &str) -> Identity {
        Identity {
            model: "a.onnx".to_owned(),
            code: FindingCode::Foldable,
            scope: scope.to_owned(),
            node: node.to_owned(),
        }
    }

    #[test]
    fn a_fingerprint_tells_identities_apart_and_never_changes() {
        let fingerprint = identity("", "bn_0").fingerprint();
        assert_eq!(fingerprint, "b56b02ba0462813f19a8071783f604e2315252b4");
        assert_ne!(fingerprint, identity("", "bn_1").fingerprint());
        let (one, other) = (identity("a", "b\n1 c"), identity("a\n1 b", "c"));
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}
