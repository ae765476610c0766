//! What an audit comes to: its verdict, and how many of each there are.

use std::fmt;

use crate::check::{Audit, Severity};
use crate::report::text::count;

/// What an audit comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    models: usize,
    errors: usize,
    warnings: usize,
    notes: usize,
    accepted: usize,
    troubles: usize,
}

impl Totals {
    pub(super) fn of(audit: &Audit) -> Totals {
        let findings = audit.models.iter().flat_map(|audited| &audited.findings);
        Totals {
            models: audit.models.len(),
            errors: audit.count(Severity::Error),
            warnings: audit.count(Severity::Warning),
            notes: audit.count(Severity::Note),
            accepted: findings.filter(|finding| finding.is_accepted).count(),
            troubles: audit.troubles().count(),
        }
    }

    /// `trouble`, `findings` or `clean`; notes alone are clean.
    pub(super) fn verdict(self) -> &'static str {
        match (self.troubles, self.errors + self.warnings) {
            (0, 0) => "clean",
            (0, _) => "findings",
            _ => "trouble",
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {}, {}, {}",
            count(self.models, "model"),
            count(self.errors, "error"),
            count(self.warnings, "warning"),
            count(self.notes, "note")
        )?;
        if self.accepted > 0 {
            write!(formatter, " ({} more in the baseline)", self.accepted)?;
        }
        match self.troubles {
            0 => Ok(()),
            troubles => write!(formatter, "; {troubles} could not be checked"),
        }
    }
}
