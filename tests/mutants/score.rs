//! The mutation score and its tables.

use std::collections::BTreeMap;
use std::fmt;

use super::trial::{Outcome, Tried};

/// What became of all mutants of one model.
#[derive(Debug)]
pub(crate) struct Row {
    /// The rules that the model is for.
    pub(crate) rules: Vec<String>,
    pub(crate) title: String,
    pub(crate) tried: Vec<Tried>,
    /// What is said to change no output, and why.
    pub(crate) equivalent: Vec<(&'static str, &'static str)>,
}

/// All rows.
#[derive(Debug)]
pub(crate) struct Score {
    pub(crate) rows: Vec<Row>,
}

/// Why a mutant changes no output where nobody says it: not told at the fold's end either, or told there.
const UNSAID: [&str; 2] = ["less than rounding", "what follows the fold hides it"];

impl Row {
    pub(crate) fn killed(&self) -> usize {
        self.tried
            .iter()
            .filter(|tried| tried.outcome == Outcome::Killed)
            .count()
    }

    fn why_equivalent(&self, what: &str) -> Option<&'static str> {
        self.equivalent
            .iter()
            .find(|(which, _)| what.contains(which))
            .map(|&(_, why)| why)
    }

    /// What speaks against `verify`, or against what is said of the mutants.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for Tried { what, outcome } in &self.tried {
            let said = self.why_equivalent(what);
            match (outcome, said) {
                (Outcome::Missed(how), _) => faults.push(format!("missed: {what}: {how}")),
                (Outcome::Equivalent { change, .. }, None) => {
                    faults.push(format!(
                        "changes nothing ({change:.2e} of rounding), and nobody says why: {what}"
                    ));
                }
                (Outcome::Killed, Some(why)) => {
                    faults.push(format!("changes an output, though {why}: {what}"));
                }
                _ => {}
            }
        }
        for (which, why) in &self.equivalent {
            let is_there = |tried: &Tried| {
                tried.what.contains(which) && matches!(tried.outcome, Outcome::Equivalent { .. })
            };
            if !self.tried.iter().any(is_there) {
                faults.push(format!("no mutant is {which:?} ({why})"));
            }
        }
        faults
            .iter()
            .map(|fault| format!("{}: {fault}", self.title))
            .collect()
    }
}

impl Score {
    pub(crate) fn faults(&self) -> Vec<String> {
        self.rows.iter().flat_map(Row::faults).collect()
    }

    /// Mutants that change an output and that `verify` gets wrong.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = |row: &Row| {
            let tried = row.tried.iter();
            let missed = tried.filter_map(|tried| match &tried.outcome {
                Outcome::Missed(how) => Some(format!("{}: {}: {how}", row.title, tried.what)),
                _ => None,
            });
            missed.collect::<Vec<String>>()
        };
        self.rows.iter().flat_map(missed).collect()
    }

    /// Killed mutants by rule.
    pub(crate) fn by_rule(&self) -> BTreeMap<&str, usize> {
        let mut rules = BTreeMap::new();
        for row in &self.rows {
            for rule in &row.rules {
                *rules.entry(rule.as_str()).or_default() += row.killed();
            }
        }
        rules
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        let tried = self.rows.iter().flat_map(|row| &row.tried);
        tried.filter(|tried| wanted(&tried.outcome)).count()
    }

    fn inapplicable(&self) -> BTreeMap<&'static str, usize> {
        let mut reasons = BTreeMap::new();
        for tried in self.rows.iter().flat_map(|row| &row.tried) {
            if let Outcome::Inapplicable(why) = tried.outcome {
                *reasons.entry(why).or_default() += 1;
            }
        }
        reasons
    }

    fn equivalents(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "\nchange no output (largest change, 1 being {} roundings):",
            16
        )?;
        for row in &self.rows {
            for Tried { what, outcome } in &row.tried {
                if let Outcome::Equivalent { change, is_told } = outcome {
                    let why = row
                        .why_equivalent(what)
                        .unwrap_or(UNSAID[usize::from(*is_told)]);
                    let told = if *is_told { ", told inside" } else { "" };
                    writeln!(
                        formatter,
                        "  {}: {what}: {why} ({change:.1e}{told})",
                        row.title
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "killed of those that change an output:")?;
        for row in &self.rows {
            let missed = row
                .tried
                .iter()
                .filter(|tried| matches!(tried.outcome, Outcome::Missed(_)));
            let killed = row.killed();
            writeln!(
                formatter,
                "  {killed:4}/{:<4} {}",
                killed + missed.count(),
                row.title
            )?;
        }
        writeln!(formatter, "\nmistakes that cannot be made at a place:")?;
        for (why, count) in self.inapplicable() {
            writeln!(formatter, "  {count:5} {why}")?;
        }
        self.equivalents(formatter)?;
        let killed = self.count(|outcome| *outcome == Outcome::Killed);
        let missed = self.count(|outcome| matches!(outcome, Outcome::Missed(_)));
        let equivalent = self.count(|outcome| matches!(outcome, Outcome::Equivalent { .. }));
        let percent = 100.0 * killed as f64 / (killed + missed).max(1) as f64;
        write!(
            formatter,
            "\nmutation score: {killed}/{} ({percent:.2} %), {equivalent} change no output",
            killed + missed
        )
    }
}
