//! A plan in one line per node, for people and for snapshots.

use std::fmt;

use super::{Entry, Fold, Outcome, Plan};

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.entries.iter().map(Entry::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.label)?;
        match &self.outcome {
            Outcome::Folded(folds) => {
                let folds: Vec<String> = folds.iter().map(Fold::to_string).collect();
                write!(formatter, "-> {}", folds.join(", then "))
            }
            Outcome::Stays(reasons) => {
                let reasons = reasons
                    .iter()
                    .map(|(way, refusal)| format!("{} {}", way.name(), refusal.code));
                write!(
                    formatter,
                    "stays: {}",
                    reasons.collect::<Vec<_>>().join(", ")
                )
            }
        }
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sites: Vec<String> = self
            .sites
            .iter()
            .map(|site| format!("{} {}", site.label, site.side))
            .collect();
        sites.dedup();
        match sites.is_empty() {
            true => formatter.write_str("nothing reads it")?,
            false => formatter.write_str(&sites.join(", "))?,
        }
        match self.carriers.is_empty() {
            true => Ok(()),
            false => write!(formatter, " through {}", self.carriers.join(", ")),
        }
    }
}
