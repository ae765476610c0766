//! What hinders a sample.

use crate::engine::EngineError;
use crate::verify::run::Failed;
use crate::verify::unknown;
use crate::verify::verdict::Unknown;

/// What hinders a sample.
#[derive(Debug)]
pub(in crate::verify) enum Trouble {
    Run(Failed),
    Inputs(String),
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Trouble {
        Trouble::Run(failed)
    }
}

impl Trouble {
    /// Whether other extents may help.
    pub(super) fn may_be_the_shape(&self) -> bool {
        match self {
            Trouble::Run(failed) => {
                matches!(
                    failed.error,
                    EngineError::Node { .. } | EngineError::Panic { .. }
                )
            }
            Trouble::Inputs(_) => false,
        }
    }

    pub(in crate::verify) fn reason(self) -> Unknown {
        match self {
            Trouble::Run(failed) => unknown(failed),
            Trouble::Inputs(message) => Unknown::Inputs { message },
        }
    }
}
